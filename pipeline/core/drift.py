"""What somebody else did to the service, in words.  PURE.

Theory of operation. Each of our writes keeps the generation of the read that it was decided on, so one more than that
is ours and whatever is above was written by others. Most of it is nobody's business here: a label, a tag of theirs, a
preview revision at 0 %. It is told, with what changed, and stops nothing. *Drift* is a write that touched what a rollout
rests on: the split, our two tags, the record, or one of the two revisions. After it nothing is raised.

The dangerous one is an apply that replays an old state: it brings an old record back together with the split of that
time, so neither betrays it. A process that has seen a newer one knows by the epoch. Anybody knows by the generation:
behind an old record stand at least one write of ours and the apply, so more than one foreign write between two looks is
drift (what the first of them did, an edit that the second took back, nobody saw), while exactly one cannot have brought
an older record back. While deploying, our own apply of
the Pulumi program is one write more, once the candidate is there; a write beside an apply that goes by no etag may have
been undone by it, so that is drift too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.core.rollout import Phase, Rollout
from pipeline.errors import PlanRefused
from pipeline.model import (
    DRAIN_ANNOTATION,
    OUR_TAGS,
    RECORD_ANNOTATION,
    LiveService,
    Revision,
    Split,
)
from pipeline.units import when

_OUR_ANNOTATIONS = (RECORD_ANNOTATION, DRAIN_ANNOTATION)


def drift_of(
    rollout: Rollout, live: LiveService, count: int, last_epoch: int = 0, *, has_candidate: bool = False
) -> str:
    """What somebody else changed of what the rollout rests on; empty when nothing.

    Args:
        count: of ``foreign_writes``.
        last_epoch: the highest epoch this process has seen; 0 for one that has only just come.
        has_candidate: the candidate revision exists.
    """
    by = author(live)
    if rollout.epoch < last_epoch:
        return f"an older record came back: epoch {rollout.epoch}, ours was {last_epoch}{by}"
    if not live.wanted.shares_with(rollout.split):
        return f"traffic was set to {live.wanted}, we had set {rollout.split}{by}"
    for tag in OUR_TAGS:
        ours, theirs = rollout.split.tagged(tag), live.wanted.tagged(tag)
        if ours != theirs:
            return f"the tag {tag!r} was moved from {ours} to {theirs}{by}"
    if count and rollout.apply_until and has_candidate:
        return f"the service was written by somebody else while the program was applied, which may have undone it{by}"
    if count > 1:
        return f"the service was written {count} times by somebody else, and nobody saw what the first of them did{by}"
    return ""


def foreign_writes(rollout: Rollout, live: LiveService, *, has_candidate: bool, known: int = 0) -> int:
    """How often somebody else wrote the service since our last write.

    Args:
        has_candidate: the candidate revision exists.
        known: the generation with which this process saw this very record before, and found nothing wrong.
    """
    ours = 2 if rollout.phase is Phase.DEPLOYING and has_candidate else 1
    return max(0, live.generation - max(rollout.generation + ours, known))


def told(before: LiveService | None, live: LiveService, count: int) -> str:
    """Foreign writes that stop nothing, for people.

    Args:
        before: an earlier read by this process; None for one that has only just come.
    """
    changed = "; ".join(changes(before, live)) if before else ""
    times = "once" if count == 1 else f"{count} times"
    what = changed or "what changed is not known: traffic, our tags and the record did not"
    return f"written {times} by somebody else{author(live)}: {what}"


def side_effects(before: LiveService, after: LiveService) -> str:
    """What one write of ours changed beside traffic and record, in words; empty when nothing, or others wrote too.

    A mask that the server does not take as we mean it replaces the service by the little that we sent.

    Args:
        before: the read that the write was decided on, with the split as it was to be after it.
        after: a read that may show it.
    """
    if after.generation != before.generation + 1:
        return ""
    gone = [change for change in changes(before, after) if not change.endswith((" added", " was made"))]
    if before.template != after.template:
        gone.insert(0, "the template is another one")
    if not after.wanted.shares_with(before.wanted):
        gone.insert(0, f"traffic is {after.wanted}, written was {before.wanted}")
    return "; ".join(gone)


def changes(before: LiveService, after: LiveService) -> Iterator[str]:
    """What differs between two reads of a service, traffic shares and our own record aside."""
    yield from _keys("label", before.labels, after.labels)
    yield from _keys("annotation", _foreign(before.annotations), _foreign(after.annotations))
    yield from _keys("tag", _tags(before.wanted), _tags(after.wanted))
    if after.latest_created != before.latest_created:
        yield f"revision {after.latest_created} was made"
    for field, words in _SETTINGS.items():
        old, new = getattr(before, field), getattr(after, field)
        if old != new:
            yield f"{words} was {old}, is {new}"


_SETTINGS = {
    "request_timeout": "request timeout",
    "session_affinity": "session affinity",
    "ingress_all": "ingress open to all",
    "ingress_balanced": "ingress open to a load balancer",
    "default_uri_disabled": "default address disabled",
    "http2": "HTTP/2 end to end",
}


def _keys(kind: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for key in sorted({*before, *after}):
        if key not in after:
            yield f"{kind} {key} removed"
        elif key not in before:
            yield f"{kind} {key} added"
        elif before[key] != after[key]:
            yield f"{kind} {key} changed"


def is_brought_back(
    live: LiveService, found: Rollout | None, before: LiveService, ours: Rollout | None, target: str
) -> bool:
    """Whether somebody wrote what was there before a roll-back to ``target``: its record, or, where none says, its split.

    Any other split is an edit that somebody meant.

    Args:
        found: the record that can be read of ``live``; ``ours`` that of the roll-back's write.
        before: the read that this write was decided on.
    """
    if ours is not None and found is not None:
        return found.epoch < ours.epoch
    was = (before.wanted, before.pinned)
    return live.wanted.serving != {target: 100} and any(live.wanted.shares_with(split) for split in was)


def _foreign(annotations: Mapping[str, str]) -> Mapping[str, str]:
    return {key: value for key, value in annotations.items() if key not in _OUR_ANNOTATIONS}


def _tags(split: Split) -> Mapping[str, str | None]:
    return {t.tag: t.revision for t in split.targets if t.tag and t.tag not in OUR_TAGS}


def must_still_hold(rollout: Rollout, live: LiveService) -> None:
    """For an answer that says "promoted" or "rolled back". Raises PlanRefused when somebody has undone it since."""
    candidate = rollout.plan.candidate
    share = live.wanted.percent_of(candidate)
    if rollout.phase is Phase.PROMOTED and live.pinned.serving != {candidate: 100}:
        undone = f"{candidate} was promoted, and does not have the traffic of {live.ref.service} any more"
    elif rollout.phase is Phase.ROLLED_BACK and share and candidate != rollout.plan.stable:
        undone = f"{candidate} was rolled back, and has {share}% of {live.ref.service} again"
    else:
        return
    raise PlanRefused(
        undone,
        f"Traffic is now {live.wanted}: somebody moved it after {rollout.heartbeat.isoformat()}{author(live)}.",
        f"Roll it out again: --retry; give traffic back: spillway rollback {live.ref.name}",
    )


def reborn(rollout: Rollout, candidate: Revision | None, stable: Revision | None) -> str:
    """A revision deleted and made again under the same name is another revision: its evidence does not carry over."""
    for name, uid, found in (
        (rollout.plan.candidate, rollout.candidate_uid, candidate),
        (rollout.plan.stable, rollout.plan.stable_uid, stable),
    ):
        if uid and found is not None and found.uid != uid:
            return f"{name} was deleted and made again (uid {found.uid}, ours was {uid})"
    return ""


def author(live: LiveService) -> str:
    """Who wrote last and when, for the end of a sentence; empty where Cloud Run says neither.

    A hint only: of several writes it is the last one, whoever did what is told.
    """
    by = f" by {live.last_modifier}" if live.last_modifier else ""
    at = f" at {when(live.update_time)}" if live.update_time else ""
    return f" (last modified{by}{at})" if by or at else ""
