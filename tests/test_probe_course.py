"""In which order a round's conversations are held, and which follow a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.course import Turn, course
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.scenario import Scenario
from tests.fakes import START, followed

CANDIDATE, STABLE = Address("http://candidate"), Address("http://stable")
CHAT, FILES, STATUS = (Scenario(name, "/ws") for name in ("chat", "files", "status"))
Fails = Callable[[Scenario, Address, int], bool]


class Service:
    """Answers a round, and remembers in which order it was asked."""

    def __init__(self, fails: Fails, kind: Kind = Kind.CLOSED_EARLY) -> None:
        self._fails, self._kind = fails, kind
        self._count: Counter[tuple[str, Address]] = Counter()
        self.asked: list[tuple[str, Address]] = []

    def talk(self, scenario: Scenario, address: Address) -> Conversation:
        key = scenario.name, address
        self.asked.append(key)
        self._count[key] += 1
        is_bad = self._fails(scenario, address, self._count[key])
        return Conversation(scenario.name, self._kind if is_bad else Kind.OK, 0.1, "boom" if is_bad else "")

    def hold(self, *scenarios: Scenario, control: Address | None = STABLE, **options: bool) -> ProbeReport:
        ask = ProbeAsk(scenarios or (CHAT,), CANDIDATE, control, 3, 3, **options)
        return followed(course(ask, START), self.talk, 0.5)


def never(scenario: Scenario, address: Address, number: int) -> bool:
    return False


def test_a_clean_round_asks_stable_once_for_each_scenario() -> None:
    service = Service(never)
    report = service.hold(CHAT, FILES)
    assert (len(report.candidate), len(report.control), report.seconds) == (6, 2, 0.5)
    assert not report.confirming
    assert report.words == "6 conversations ok"


def test_one_failure_is_followed_by_five_with_each_in_turn() -> None:
    service = Service(lambda s, a, n: a == CANDIDATE and n == 2)
    report = service.hold()
    assert [each.words for each in report.confirming] == ["0 of 5 against 0 of 5"]
    assert service.asked[-10:] == [("chat", CANDIDATE), ("chat", STABLE)] * 5
    assert report.words == "a conversation failed; confirming with 5 on each: 0 of 5 against 0 of 5"
    assert (len(report.held), len(report.failures)) == (8, 1)


def test_one_that_always_fails_is_asked_for_two_fives_and_no_more() -> None:
    report = Service(lambda s, a, n: a == CANDIDATE).hold()
    assert [each.words for each in report.confirming] == ["5 of 5 against 0 of 5"] * 2
    assert report.is_worse


def test_what_is_spoken_with_stable_is_to_be_spoken_with_the_candidate_too() -> None:
    report = Service(lambda s, a, n: a == CANDIDATE, Kind.NOT_SPOKEN).hold()
    assert [each.words for each in report.confirming] == ["5 of 5 against 0 of 5"] * 2
    assert (report.is_worse, report.is_blind) == (True, False)
    assert {c.kind for c in report.failures} == {Kind.UNREADABLE}


def test_what_is_spoken_with_neither_says_nothing() -> None:
    report = Service(lambda s, a, n: True, Kind.NOT_SPOKEN).hold()
    assert (report.confirming, report.is_worse, report.is_blind) == ((), False, True)


def test_what_cannot_be_spoken_is_no_failure_of_one_scenario_because_of_another() -> None:
    report = Service(lambda s, a, n: s is CHAT, Kind.NOT_SPOKEN).hold(CHAT, FILES)
    assert (report.confirming, report.is_blind) == ((), True)


def test_where_both_fail_it_is_asked_once() -> None:
    report = Service(lambda s, a, n: True).hold()
    assert len(report.confirming) == 1
    assert report.is_blind


def test_without_a_stable_the_candidate_alone_is_asked_again() -> None:
    report = Service(lambda s, a, n: True).hold(control=None)
    assert [each.words for each in report.confirming] == ["5 of 5"] * 2
    assert not report.is_blind


def test_what_failed_is_asked_again_and_what_failed_once_more_once_more() -> None:
    report = Service(lambda s, a, n: a == CANDIDATE and (s == FILES or (s == CHAT and n == 1))).hold(
        CHAT, FILES, STATUS
    )
    first, second = ([c.scenario for c in each.candidate] for each in report.confirming)
    assert first == ["chat", "files", "chat", "files", "chat"]
    assert second == ["files"] * 5


def test_the_warm_up_counts_neither_way() -> None:
    report = Service(lambda s, a, n: n <= 2).hold(warm_up=True)
    assert ["closed_early" if not c.is_ok else "ok" for c in report.warm_up] == ["closed_early"] * 2 + ["ok"]
    assert not report.failures
    assert not report.confirming
    assert report.words == "3 conversations ok (2 of 3 before them, while it was cold, failed)"


@pytest.mark.parametrize("number", range(3))
def test_the_first_failure_itself_is_no_evidence(number: int) -> None:
    report = Service(lambda s, a, n: a == CANDIDATE and n == number + 1).hold()
    assert [each.bad for each in report.confirming] == [(0, 0)]


def test_a_mere_look_asks_nothing_more() -> None:
    report = Service(lambda s, a, n: True).hold(confirms=False)
    assert not report.confirming
    assert report.words == "3 of 3 conversations failed"


def test_a_turn_is_with_both_at_the_same_moment() -> None:
    steps = course(ProbeAsk((CHAT,), CANDIDATE, STABLE, 2, 2), START)
    assert next(steps) == [Turn(CHAT, (CANDIDATE, STABLE)), Turn(CHAT, (CANDIDATE,))]
    bad, good = Conversation("chat", Kind.TIMED_OUT, 1.0), Conversation("chat", Kind.OK, 1.0)
    assert steps.send([(bad, good), (good,)]) == [Turn(CHAT, (CANDIDATE, STABLE))] * 5
