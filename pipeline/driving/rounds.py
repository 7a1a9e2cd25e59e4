"""Probe rounds while a rollout is driven: when the next one is due, whose it is, and what the judge is told of it.

A round is bound to one attempt, one candidate and one stage, by what was read before it began, so no clock is asked. What
it showed is told to the judge again at each look, until a record holds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.core.rollout import Rollout
from pipeline.driving.ports import Clock, Prober
from pipeline.events import Listener, Probed
from pipeline.judging import judge, probes
from pipeline.judging.counts import Counts
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.terms import Plan
from pipeline.model import CANDIDATE_TAG, STABLE_TAG, LiveService, Revision
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.course import CONFIRMING
from pipeline.probe.probe_report import Confirming, ProbeReport
from pipeline.probe.route import Route, Ways
from pipeline.redact import SINK, plain
from pipeline.telemetry.proof import probe_key, revision_mark

if TYPE_CHECKING:
    from pipeline.probe.scenario import Scenario

_IN_DOUBT = timedelta(
    seconds=10
)  # the longest pause between rounds while a failure is neither proved nor cleared
_KEEPS_WARM = timedelta(minutes=10)  # Cloud Run keeps an idle instance for at most 15

_CAUSE_CHARS = 120  # of what goes into the record, a byte each

_Stage = tuple[int, datetime | None]


def stage_of(current: Rollout) -> _Stage:
    return current.split_epoch, current.arrived


def seen_in(report: ProbeReport, *, is_fresh: bool = True) -> probes.Round:
    """What the judge is told of a round. What was asked of both is told whatever came out: to choose would break the bound.

    Args:
        is_fresh: it was begun in the stage that runs. Any other shows faults of the candidate, and no health at this share.
    """
    counts = is_fresh and not report.is_blind
    bad = len(report.failures) if counts else 0
    ok = len(report.held) - len(report.failures) if counts else 0
    confirming = () if report.unspoken else tuple(map(_counts, report.confirming))
    return probes.Round(ok, bad, confirming, cause_of(report))


def cause_of(report: ProbeReport) -> str:
    """How most of the failed conversations with the candidate failed, with the close code or the missing event."""
    words = Counter(f"{c.kind}: {c.detail}".rstrip(": ") for c in report.failures)
    most = words.most_common(1)[0][0] if words else ""
    return SINK.cut(plain(most), _CAUSE_CHARS).encode("ascii", "replace").decode()


def _counts(block: Confirming) -> Counts:
    bad, stable_bad = block.bad
    return Counts(len(block.candidate), bad, len(block.control), stable_bad)


class Rounds:
    """The rounds of one service; remembers those that no record holds yet.

    Args:
        authenticated: the service wants an ID token.
        ways: to the revisions, where it is not by their tags' addresses.
        is_inside: a network lies between them and the prober, who must be told by each answer which revision it met.
    """

    def __init__(
        self,
        prober: Prober,
        clock: Clock,
        scenarios: Sequence[Scenario],
        listen: Listener,
        *,
        authenticated: bool,
        ways: Ways | None = None,
        is_inside: bool = False,
    ) -> None:
        self.last: ProbeReport | None = None
        self.is_now = False  # a round of the running stage ended with this look
        self._prober = prober
        self._clock = clock
        self._scenarios = tuple(scenarios)
        self._listen = listen
        self._authenticated = authenticated
        self._ways = ways
        self._is_inside = is_inside
        self._unwritten: list[tuple[ProbeReport, _Stage]] = []
        self._subject = ""  # a rollout's attempt and its candidate's uid
        self._under_way: tuple[str, _Stage] = ("", (0, None))
        self._ended: datetime | None = None  # the last round of this subject
        self._due: datetime | None = None
        self._is_in_doubt = False

    def soon(self) -> None:
        """The next look holds a round."""
        self._due = None

    def forget_written(self) -> None:
        """A record holds what all rounds so far showed."""
        self._unwritten.clear()

    @property
    def is_near(self) -> bool:
        """A round is under way, or due."""
        return self._prober.is_busy or self._is_due

    @property
    def _is_due(self) -> bool:
        return self._due is None or self._clock.now() >= self._due

    def collect(
        self, current: Rollout, live: LiveService, candidate: Revision, stable: Revision | None
    ) -> str:
        """Take a finished round, start the next when it is due. Returns why the last round said nothing, if so."""
        self._only(f"{current.plan.rollout_id}/{current.attempt}/{candidate.uid}")
        self._take(current)
        ask = self._ask(current.plan, live, candidate, stable)
        if ask is None:
            self._unwritten.clear()  # a round at a tag that leads elsewhere met somebody else, or nobody
            return "the tags do not lead to their revisions"
        if not self._prober.is_busy and self._is_due:
            self._due = self._clock.now() + current.plan.terms.probing.every
            self._under_way = self._subject, stage_of(current)
            self._prober.start(ask)
            self._take(current)  # a prober that waits for its round has it already
        if self.last is None or not self.last.is_blind:
            return ""
        unspoken = self.last.unspoken
        return (
            f"a conversation cannot be held: {unspoken}"
            if unspoken
            else "the probe failed against stable too"
        )

    def judged(self, state: JudgeState, current: Rollout) -> JudgeState:
        """The judge's state with what no record holds yet."""
        for report, stage in self._unwritten:
            is_fresh = current.arrived is not None and stage == stage_of(current)
            state = judge.observe_probes(state, current.plan, seen_in(report, is_fresh=is_fresh))
        self._is_in_doubt = probes.doubt(state.probes, current.plan.terms.beta) > 0
        if self._is_in_doubt and self._due is not None:
            self._due = min(self._due, self._clock.now() + _IN_DOUBT)
        return state

    def once(
        self, plan: Plan, uri: str, revision: Revision, stop: Callable[[], bool], *, warm_up: bool
    ) -> ProbeReport | None:
        """One round against the address of a revision, waited for; nothing to compare it with. None when stopped."""
        address, probing = self._address(uri, uri, self._alone(revision, uri), revision), plan.terms.probing
        self._prober.start(
            ProbeAsk(self._scenarios, address, None, probing.sessions, probing.concurrency, warm_up)
        )
        while (report := self._prober.poll()) is None:
            if stop():
                return None
            self._clock.sleep(timedelta(milliseconds=50))
        self._listen(Probed(self._clock.now(), report))
        return report

    def _only(self, subject: str) -> None:
        """Forget rounds of any other subject: evidence is of one attempt and one revision."""
        if subject != self._subject:
            self._subject, self.last, self._due, self._ended = subject, None, None, None
            self._unwritten.clear()

    def _take(self, current: Rollout) -> None:
        report = self._prober.poll()
        subject, stage = self._under_way
        if report is not None and subject == self._subject:
            self.last, self.is_now = report, stage == stage_of(current)
            self._ended = self._clock.now()
            self._unwritten.append((report, stage))
            if report.is_worse and not report.is_blind:
                self.soon()  # users may be on it
            self._listen(Probed(self._clock.now(), report, current))

    def _ask(
        self, plan: Plan, live: LiveService, candidate: Revision, stable: Revision | None
    ) -> ProbeAsk | None:
        """A round against both tags; None while they do not lead where they should, or soon will not."""
        addresses = []
        routes = self._routes(live, candidate, stable)
        for tag, revision, other in ((CANDIDATE_TAG, candidate, stable), (STABLE_TAG, stable, candidate)):
            # Before the round ends, an address that is not wanted any more may lead to another revision.
            if revision is None or not (uri := live.leads_to(revision.name, tag)):
                return None
            addresses.append(self._address(uri, live.uri, routes.get(tag), revision, other))
        probing = plan.terms.probing
        sessions = max(probing.sessions, CONFIRMING) if self._is_in_doubt else probing.sessions
        is_cold = self._ended is None or self._clock.now() - self._ended > _KEEPS_WARM
        return ProbeAsk(self._scenarios, addresses[0], addresses[1], sessions, probing.concurrency, is_cold)

    def _routes(self, live: LiveService, candidate: Revision, stable: Revision | None) -> Mapping[str, Route]:
        """By tag; none where the tags' own addresses are asked, and taken for what they are."""
        ways = self._ways_by(live.serving.uri_of(STABLE_TAG), live.serving.uri_of(CANDIDATE_TAG))
        if ways is None or stable is None:
            return {}
        marks = _mark(candidate), _mark(stable)
        return {
            CANDIDATE_TAG: ways.to_candidate(*marks, candidate.name),
            STABLE_TAG: ways.to_stable(*reversed(marks)),
        }

    def _alone(self, revision: Revision, uri: str) -> Route | None:
        """To the only revision of a service, which its first deployment gave the tag of stable."""
        ways = self._ways_by(uri, uri)
        return ways.to_stable(_mark(revision)) if ways else None

    def _ways_by(self, stable: str, candidate: str) -> Ways | None:
        """Args: stable, candidate: the tags' own addresses."""
        return self._ways or (Ways(stable, candidate) if self._is_inside else None)

    def _address(
        self, uri: str, service_uri: str, route: Route | None, *revisions: Revision | None
    ) -> Address:
        """Args: revisions: whose it is, and who else may be met on a way there; both know the probe by its key."""
        # The token's audience stays the service's own address, for tags too (Cloud Run, service-to-service).
        whose = self._ways.audience if self._ways else ""
        audience = (whose or service_uri) if self._authenticated else ""
        known = [probe_key(each.nonce) for each in revisions if each is not None]
        return Address(route.url if route else uri, audience, ", ".join(known if route else known[:1]), route)


def _mark(revision: Revision) -> str:
    """Empty for one that we did not deploy: nobody knows it, and nothing proves it."""
    return revision_mark(revision.nonce) if revision.nonce else ""
