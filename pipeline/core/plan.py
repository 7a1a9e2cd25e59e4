"""What a rollout would do to the service as it is, or why it must not.  PURE.

Theory of operation. ``make`` takes a wish (validated config and image) and one read of the live service. It pins the
roll-back target by name, and refuses whatever would make moving traffic a guess: each refusal says what, the measured
value, and the next command. What is merely unwise is a warning. Only "there is no such service" means a first
deployment; everything that could not be read was an error before this module was asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.pin import pin_of
from pipeline.core.promoted import commit_of
from pipeline.core.rollout import Rollout
from pipeline.errors import PlanRefused
from pipeline.judging.metrics import PLATFORM_METRICS, UNASKED_METRICS
from pipeline.judging.sequential import trials_to_certify
from pipeline.judging.terms import Plan, Terms
from pipeline.model import CANDIDATE_TAG, OUR_TAGS, STABLE_TAG, LiveService, Revision, ServiceRef
from pipeline.probe.course import CONFIRMING, MOST_BLOCKS
from pipeline.units import format_duration

MAX_TAGGED_NAME = 46  # service and tag together: they become one label of a host name, with a hash
MAX_REVISION_NAME = 63


class Wish(Struct, frozen=True):
    """What the operator asks for: ``spillway.yaml`` and ``--image``, validated.

    Args:
        fingerprint: hash of the validated config.
        config: hash of the same but for its environments: what an image is taken from one into the next with.
        is_reached: probes go by addresses of a load balancer, not by those of the tags.
        is_inside: probes are held inside the network, by a job, which has ``round_within`` for a round.
        candidate: the revision's name, from the content hash of its template.
        longest_scenario: the longest ``within`` of any scenario.
        evidence: "users", or "probes" for an environment without users.
        commit: of the source of the image; empty: not known.
        client: whom a run is counted for, as the middleware is told; empty: by address.
    """

    ref: ServiceRef
    image: str
    candidate: str
    fingerprint: str
    terms: Terms
    longest_scenario: timedelta
    evidence: str = "users"
    min_instances: int = 0
    client: str = ""
    config: str = ""
    commit: str = ""
    is_reached: bool = False
    is_inside: bool = False
    round_within: timedelta = timedelta(0)

    @property
    def longest_round(self) -> timedelta:
        """How long a round may take in which every conversation hangs: a cold start, a failure, and what follows it."""
        probing, turns = self.terms.probing, len(self.terms.scenarios) * self.terms.probing.sessions
        batches = 2 * ceil(turns / probing.concurrency) + MOST_BLOCKS * ceil(CONFIRMING / probing.concurrency)
        return batches * self.longest_scenario

    @property
    def rollout_id(self) -> str:
        """Same digest and same validated config: the same rollout."""
        return hashlib.sha256(f"{self.image}\n{self.fingerprint}\n{self.ref.name}".encode()).hexdigest()[:12]


class Proposal(Struct, frozen=True):
    """A plan, and what its operator should know before it starts.

    Args:
        foreign_tags: tags of our names that somebody else set; they are not taken over unasked.
    """

    plan: Plan
    warnings: tuple[str, ...] = ()
    foreign_tags: tuple[str, ...] = ()

    @property
    def soak(self) -> timedelta:
        """That of all stages."""
        return sum((stage.soak for stage in self.plan.terms.stages), timedelta(0))

    def certification_trials(self) -> Mapping[str, int]:
        """Clean candidate trials that each certified criterion needs."""
        certified = ((c.metric, c.certify) for c in self.plan.terms.criteria if c.certify)
        return {metric: trials_to_certify(level, self.plan.terms.beta) for metric, level in certified}


def make(wish: Wish, live: LiveService, revisions: Sequence[Revision], current: Rollout | None) -> Proposal:
    """The plan against a live service. Raises PlanRefused.

    Args:
        current: the rollout that the service carries, ended; without one stable is ``adopted``.
    """
    stable = _stable(live, revisions)
    _refuse_same(wish, live, stable)
    _refuse_too_long(wish)
    _refuse_unreachable(wish, live)
    _refuse_blind_criteria(wish)
    plan = replace(
        first(wish),
        stable=stable.name,
        stable_uid=stable.uid,
        stable_adopted=current is None,
        stable_commit=commit_of(current.promoted, stable.name, stable.uid) if current else "",
        stable_unhealthy=current is not None and current.unhealthy and current.plan.candidate == stable.name,
    )
    if wish.evidence != "users":
        told = tuple(c for c in plan.terms.criteria if c.metric in PLATFORM_METRICS)
        plan = replace(plan, terms=replace(plan.terms, criteria=told))
    foreign = tuple(_foreign_tags(live, stable, revisions, current))
    pin = pin_of(live, current)
    idle = [pin.warning] if pin and pin.warning else []
    return Proposal(plan, (*_warnings(wish, live, stable), *idle, *foreign), foreign)


def first(wish: Wish) -> Plan:
    """The plan of a service that does not exist: one revision, 100 %, nothing to fall back on. Raises PlanRefused."""
    _refuse_too_long(wish)
    return Plan(
        rollout_id=wish.rollout_id,
        ref=wish.ref,
        stable=wish.candidate,
        stable_uid="",
        candidate=wish.candidate,
        image=wish.image,
        terms=wish.terms,
        config=wish.config,
        commit=wish.commit,
    )


def _stable(live: LiveService, revisions: Sequence[Revision]) -> Revision:
    """The one revision that has all traffic now, ready; a share on LATEST belongs to the latest ready one."""
    if not live.reconciling and not live.wanted.shares_with(live.serving):
        raise PlanRefused(
            f"{live.ref.service}: traffic is not what was asked for",
            f"asked: {live.wanted}; serving: {live.serving}",
            f"Wait until it settles, or set it: spillway rollback {live.ref.name} --to REVISION",
        )
    shares = live.pinned.serving
    if len(shares) != 1:
        raise PlanRefused(
            f"{live.ref.service}: which revision is stable?",
            f"traffic is split: {live.pinned}, and no rollout of ours is under way",
            f"Send it to one: spillway rollback {live.ref.name} --to REVISION",
        )
    name = next(iter(shares))
    stable = next((r for r in revisions if r.name == name), None)
    if stable is None or not stable.is_ready:
        state = f"{stable.readiness}: {stable.message}" if stable else "missing"
        ready = ", ".join(r.name for r in revisions if r.is_ready) or "none"
        raise PlanRefused(
            f"{live.ref.service}: the stable revision {name} is {state}",
            f"Without it there is nothing to roll back to. Ready revisions: {ready}",
            f"Choose one: spillway rollback {live.ref.name} --to REVISION",
        )
    return stable


def _refuse_same(wish: Wish, live: LiveService, stable: Revision) -> None:
    if wish.candidate == stable.name:
        raise PlanRefused(
            f"{stable.name} already has 100% of {live.ref.service}",
            "Image and settings are those of the stable revision.",
            "Give another digest: spillway rollout --image DIGEST",
        )


def _refuse_too_long(wish: Wish) -> None:
    """Before anything exists: what Cloud Run would refuse, or silently give no address, midway.

    Source: cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration, tags; RFC 1035 section 2.3.4.
    """
    service = wish.ref.service
    tagged = len(service) + len(CANDIDATE_TAG)
    if tagged > MAX_TAGGED_NAME:
        raise PlanRefused(
            f"{service}: the service's name is too long for the tag {CANDIDATE_TAG!r}",
            f"Name and tag have {tagged} characters together; Cloud Run allows {MAX_TAGGED_NAME}.",
            f"Give the service a name of at most {MAX_TAGGED_NAME - len(CANDIDATE_TAG)} characters.",
        )
    if len(wish.candidate) > MAX_REVISION_NAME:
        raise PlanRefused(
            f"{wish.candidate}: the revision's name is too long",
            f"It has {len(wish.candidate)} characters; Cloud Run allows {MAX_REVISION_NAME}.",
            "Give the service a shorter name.",
        )


def _foreign_tags(
    live: LiveService, stable: Revision, revisions: Sequence[Revision], current: Rollout | None
) -> Iterator[str]:
    """Tags of our names on revisions that neither a record of ours nor our nonce speaks for."""
    ours = {r.name for r in revisions if r.nonce}
    for tag in OUR_TAGS:
        found = live.wanted.tagged(tag)
        recorded = current.split.tagged(tag) if current is not None else None
        is_harmless = found in ours or found == recorded or (tag == STABLE_TAG and found == stable.name)
        if found is not None and not is_harmless:
            yield f"the tag {tag!r} is somebody else's, on {found}"


def refuse_no_address(wish: Wish, live: LiveService) -> None:
    """Nothing of the service can be probed from here, unless a load balancer or a job inside the network leads there."""
    if wish.is_reached or (not live.default_uri_disabled and (live.ingress_all or wish.is_inside)):
        return
    balanced = "name a load balancer's addresses of both tags under probes.address"
    inside = "hold the probes inside the network with probes.from: job"
    if live.default_uri_disabled:
        what = "the default address is disabled"
        why = "The tags then have no addresses: they answer 404 outside the network and inside"
        ways = f"{balanced}, or enable the default address"
    elif live.ingress_balanced:
        what, why = (
            "ingress is not open to all",
            "It lets in the network and a load balancer; to others tag addresses answer 404",
        )
        ways = f"{balanced}, or {inside}; or set ingress to INGRESS_TRAFFIC_ALL"
    else:
        what, why = (
            "ingress is not open to all",
            "It lets in the network alone; to others tag addresses answer 404",
        )
        ways = f"{inside}, or, if this machine is in the network, {balanced}; or set ingress to INGRESS_TRAFFIC_ALL"
    raise PlanRefused(
        f"{live.ref.service}: {what}",
        f"{why}, so the candidate cannot be probed at 0% from here.",
        f"{ways[0].upper()}{ways[1:]}. docs/reaching.md says how; then plan again.",
    )


def _refuse_unreachable(wish: Wish, live: LiveService) -> None:
    refuse_no_address(wish, live)
    service = live.ref.service
    if live.request_timeout < wish.longest_scenario:
        raise PlanRefused(
            f"{service}: request timeout {live.request_timeout.total_seconds():g}s",
            f"The longest scenario takes up to {wish.longest_scenario.total_seconds():g}s: "
            "its socket would be cut before it can pass.",
            "Raise container.timeout in spillway.yaml (at most 1h) or shorten the scenario.",
        )
    if live.http2:
        raise PlanRefused(
            f"{service}: HTTP/2 end-to-end is on",
            "WebSocket upgrades do not pass through it.",
            "Name the container port http1, then plan again.",
        )


def _refuse_blind_criteria(wish: Wish) -> None:
    """A certification that no trial can ever feed must not pass unseen, and would never be given."""
    certified = [c.metric for c in wish.terms.criteria if c.certify is not None]
    if wish.evidence != "users" and certified:
        raise PlanRefused(
            f"criteria {', '.join(certified)}: no data source",
            f"This environment's evidence is {wish.evidence!r}: no user runs are counted there.",
            "Leave certify out, or set evidence: users for the environment.",
        )


def _warnings(wish: Wish, live: LiveService, stable: Revision) -> Iterator[str]:
    unused = ", ".join(c.metric for c in wish.terms.criteria if c.metric not in UNASKED_METRICS)
    if wish.evidence != "users" and unused:
        yield f"evidence is {wish.evidence!r}: no user runs are counted, so {unused} is not judged here"
    if live.session_affinity:
        yield "session affinity is on: it beats the split, so returning clients stay where they were after a shift"
    if "" in live.wanted.serving:
        yield f"traffic follows LATEST; it will be pinned to {stable.name} by name"
    if following := [
        t.tag for t in live.wanted.targets if t.tag and not t.revision and t.tag not in OUR_TAGS
    ]:
        many = len(following) > 1
        yield (
            f"the tag{'s' if many else ''} {', '.join(following)} follow{'' if many else 's'} LATEST, and will go on to:"
            f" {'they show' if many else 'it shows'} the candidate as soon as that is ready, and after a roll-back too"
        )
    if wish.min_instances:
        yield f"min-instances {wish.min_instances} is set on the revision: it is billed at 0% too"
    if not stable.nonce and wish.evidence == "users":
        yield f"{stable.name} was not deployed by Spillway: its telemetry lines cannot be told from forged ones"
    yield from _unproven(wish, live, stable)
    if live.failure:
        yield f"the service's last reconciliation failed: {live.failure.splitlines()[0]}"


def _unproven(wish: Wish, live: LiveService, stable: Revision) -> Iterator[str]:
    """What is not known of who answers, where it is not the tags' addresses that are asked from here."""
    if not (wish.is_reached or wish.is_inside):
        return
    if wish.is_inside and (longest := wish.longest_round) >= wish.round_within:
        yield (
            f"probes.job.within is {format_duration(wish.round_within)}: a round whose conversations all hang takes up to"
            f" {format_duration(longest)} and then says nothing; raise it, or hold fewer conversations or more at once"
        )
    if wish.is_inside and wish.terms.verify and not (wish.is_reached or live.ingress_all):
        yield "verify: its commands run where the rollout is driven, and the tags' addresses answer 404 there"
    if wish.evidence != "users":
        yield (
            f"{'probes.address' if wish.is_reached else 'probes.from: job'} counts what the telemetry middleware proves:"
            f" without it in {wish.candidate} every answer is unproven, no round counts, and the rollout pauses"
        )
    if not stable.nonce:
        yield (
            f"{stable.name} was not deployed by Spillway: that the address of stable leads to it cannot be proven,"
            " so it is taken on trust"
        )
