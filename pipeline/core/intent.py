"""What ``spillway rollout`` would do to a service as it is.  PURE.

Theory of operation. The same command is given again and again, by people and by CI, anywhere. What it comes to follows
from the wish, one read of the service and the record that the service carries:

    First      there is no such service, or one that never served anybody: deploy, ungated
    Resume     this very rollout is under way
    Supersede  another one is
    Ended      it ended; the answer is the old one, and nothing is done
    Begin      none of these: a new attempt, with a plan

A rollout that ended is begun again only with ``--retry``, or when the image comes back after another one had the
service: a bad image does not get a second chance by being asked for twice. "Promoted" is answered only while its
revision has all traffic.

``plan`` prints the intent, ``rollout`` acts on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pipeline.core import plan, promoted
from pipeline.core.draining import Draining, carried
from pipeline.core.drift import must_still_hold
from pipeline.core.plan import Proposal, Wish
from pipeline.core.promoted import Admission, Promoted
from pipeline.core.rollout import UNDER_WAY, Past, Rollout
from pipeline.judging.terms import Plan
from pipeline.model import LiveService, Outcome, Revision

GOOD = frozenset({Outcome.PROMOTED, Outcome.FIRST_DEPLOYMENT, Outcome.FIRST_DEPLOYMENT_UNHEALTHY})
_LABELS = {outcome.label: outcome for outcome in Outcome}


def _outcome_of(past: Past) -> Outcome:
    """A name that this version does not know is no good ending."""
    return _LABELS.get(past.outcome, Outcome.ROLLED_BACK)


class First(Struct, frozen=True):
    """Deploy the first revision. ``attempt``, ``epoch`` and ``promoted`` go on from a record that is there already."""

    plan: Plan
    attempt: int = 1
    epoch: int = 0
    promoted: tuple[Promoted, ...] = ()
    admission: Admission | None = None


class Begin(Struct, frozen=True):
    """A new attempt. ``epoch`` is of the record that it replaces: the counter never goes back.

    Args:
        promoted: as the record that it replaces has them.
        admission: why the image is let in, where the environment comes after another.
        draining: of a revision that it has nothing to do with, and that was asked before.
    """

    proposal: Proposal
    attempt: int
    epoch: int
    past: tuple[Past, ...]
    promoted: tuple[Promoted, ...] = ()
    admission: Admission | None = None
    draining: Draining | None = None


class Resume(Struct, frozen=True):
    rollout: Rollout


class Supersede(Struct, frozen=True):
    """``rollout`` would have to be given up first."""

    rollout: Rollout


class Ended(Struct, frozen=True):
    """How the wished rollout ended.

    Args:
        rollout: None when a later one has taken its place on the service.
    """

    outcome: Outcome
    candidate: str
    words: str
    rollout: Rollout | None = None


Intent = First | Begin | Resume | Supersede | Ended


def intent_of(
    wish: Wish,
    live: LiveService | None,
    revisions: Sequence[Revision],
    current: Rollout | None,
    *,
    retry: bool = False,
) -> Intent:
    """See the module's docstring. Raises PlanRefused where moving traffic would be a guess.

    Args:
        live: None when there is no such service.
        current: the rollout that the service carries.
        retry: the next attempt is wanted of one that ended.
    """
    if live is None or (current is None and _never_served(wish, live, revisions)):
        if live is not None:
            plan.refuse_no_address(wish, live)
        return First(plan.first(wish))
    if current is not None and current.phase in UNDER_WAY:
        return Resume(current) if _is_wished(wish, current) else Supersede(current)
    if current is not None and not retry:
        ended = _answer(wish, live, current)
        if ended is not None:
            return ended
    if current is not None and _is_wished(wish, current) and current.is_only_one(live):  # it is probed again
        return First(plan.first(wish), current.attempt + 1, current.epoch, current.promoted)
    proposal = plan.make(wish, live, revisions, current)
    if current is None:
        return Begin(proposal, 1, 0, ())
    known = promoted.taken_over(current.promoted, proposal.plan.stable, proposal.plan.stable_uid)
    return Begin(
        proposal, _attempts(wish, current) + 1, current.epoch, current.becomes_past(), known,
        draining=carried(current.draining, proposal.plan),
    )  # fmt: skip


def _is_wished(wish: Wish, current: Rollout) -> bool:
    return current.plan.rollout_id == wish.rollout_id


def _never_served(wish: Wish, live: LiveService, revisions: Sequence[Revision]) -> bool:
    """A service without a record whose first deployment failed, or ended before its record was written.

    Nobody was ever served by anything else, so there is no traffic to move.
    """
    if live.serves_nobody:
        return True
    serving = {revision or live.latest_created for revision in live.wanted.serving}
    return [r.name for r in revisions] == [wish.candidate] and serving == {wish.candidate}


def _is_deployed(wish: Wish, current: Rollout) -> bool:
    """Image and container are those that were promoted; what else changed in the file is for the next rollout."""
    return current.plan.candidate == wish.candidate and current.outcome in GOOD


def _answer(wish: Wish, live: LiveService, current: Rollout) -> Ended | None:
    """The answer of a rollout that ended before; None when it is to be begun."""
    if _is_wished(wish, current) or _is_deployed(wish, current):
        assert current.outcome is not None
        must_still_hold(current, live)
        words = f"{current.outcome.label}: {wish.candidate}: {current.reason}"
        return Ended(current.outcome, wish.candidate, words, current)
    return _answer_of_the_past(wish, live, current)


def _answer_of_the_past(wish: Wish, live: LiveService, current: Rollout) -> Ended | None:
    past = current.becomes_past()
    own = next((i for i in reversed(range(len(past))) if past[i].rollout_id == wish.rollout_id), None)
    if own is None:
        return None
    outcome, later = _outcome_of(past[own]), past[own + 1 :]
    if outcome in GOOD:
        has_all = live.pinned.serving == {wish.candidate: 100}
        words = f"{outcome.label}: {wish.candidate} has 100%; {later[-1].candidate} came after it: {later[-1].outcome}"
        return Ended(outcome, wish.candidate, words) if has_all else None
    if any(_outcome_of(p) in GOOD for p in later):
        return None  # another one had the service since: the image comes back
    by = f" by {later[0].candidate}" if outcome is Outcome.SUPERSEDED else ""
    words = f"{outcome.label}: {wish.candidate}{by} (attempt {past[own].attempt}; again: --retry)"
    return Ended(outcome, wish.candidate, words)


def _attempts(wish: Wish, current: Rollout) -> int:
    """How often this rollout was tried, as far as the service remembers."""
    return max((p.attempt for p in current.becomes_past() if p.rollout_id == wish.rollout_id), default=0)
