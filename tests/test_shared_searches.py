"""One search of the logs for many services: who gets what, and what it costs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.budget import Bucket
from pipeline.cloudrun import logs as source_module
from pipeline.cloudrun.log_filter import Asked, in_questions, shared_filter
from pipeline.cloudrun.logs import LoggingSource
from pipeline.errors import PlatformUnavailable
from pipeline.local.entries.filter import compile_filter
from pipeline.model import ServiceRef
from tests.fakes import START
from tests.test_cloudrun_logs import Logging, logging, loop, sessions  # noqa: F401 - fixtures

SECOND = timedelta(seconds=1)
LONGEST_NAME = "a" * 63


def ref(name: str, location: str = "here") -> ServiceRef:
    return ServiceRef("local", location, name)


def asked(name: str, since: float = 0, location: str = "here") -> Asked:
    return Asked(ref(name, location), (f"{name}-a", f"{name}-b"), START + since * SECOND)


def say(logging: Logging, name: str, session: str, *, location: str = "here", at: float = 0) -> None:  # noqa: F811
    line = f'{{"spillway": 2, "event": "ws_accept", "session": "{session}", "time": "{(START + at * SECOND).isoformat()}"}}'
    logging.say(line, f"{name}-a", ref=ref(name, location))


def read(source: LoggingSource, name: str, since: float = 0, location: str = "here") -> list[object]:
    revisions = (f"{name}-b", f"{name}-a")
    return sessions(source.lines(ref(name, location), since=START + since * SECOND, revisions=revisions))


def test_one_search_reads_for_all_and_each_gets_its_own(logging: Logging) -> None:  # noqa: F811
    source = logging.source(rest=5 * SECOND)
    every = [asked("one"), asked("two", 2), asked("one", location="there")]
    source.together(every)
    for second in range(4):
        for name in ("one", "two"):
            say(logging, name, f"{name} {second}", at=second)
    say(logging, "one", "there", location="there")
    say(logging, "one", "nobody's", location="elsewhere")
    assert read(source, "two", 2) == ["two 2", "two 3"]
    assert read(source, "one") == [f"one {second}" for second in range(4)]
    assert read(source, "one", location="there") == ["there"]
    assert len(logging.asked) == 1
    logging.pass_time(seconds=6)
    say(logging, "one", "later", at=6)
    assert read(source, "two", 2) == ["two 2", "two 3"]
    assert read(source, "one", 4) == ["later"]
    assert len(logging.asked) == 2
    assert logging.answers < 2 * 10, "the second search asked for what was new"


def test_an_earlier_question_is_searched_for_alone(logging: Logging) -> None:  # noqa: F811
    source = logging.source(rest=5 * SECOND)
    source.together([asked("one", 70), asked("two", 70)])
    for second in (0, 80):
        for name in ("one", "two"):
            say(logging, name, f"{name} {second}", at=second)
    assert read(source, "one", 0) == ["one 0", "one 80"]
    assert read(source, "two", 70) == ["two 80"]
    assert read(source, "one", 0) == ["one 0", "one 80"]
    assert len(logging.asked) == 2


def test_whoever_was_read_alone_hides_nothing_of_what_the_others_were_not_read_for(logging: Logging) -> None:  # noqa: F811
    source = logging.source(rest=5 * SECOND)
    source.together([asked("one", 70), asked("two", 70)])
    say(logging, "two", "two 80", at=80)
    logging.pass_time(seconds=1000)
    say(logging, "one", "one 1080", at=1080)
    assert read(source, "one", 0) == ["one 1080"]
    assert read(source, "two", 70) == ["two 80"]


def test_a_shared_search_that_uses_the_quota_up_goes_on_whoever_asks(
    logging: Logging,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source_module, "_PAGE", 10)
    source = logging.source(rest=5 * SECOND, quota=Bucket(1, 60))
    source.together([asked("one"), asked("two")])
    for number in range(15):
        say(logging, "one", f"one {number}")
        say(logging, "two", f"two {number}")
    for name in ("one", "two"):
        with pytest.raises(PlatformUnavailable, match="as often as one process may"):
            read(source, name)
        logging.pass_time(seconds=1)
    assert read(source, "one") == [f"one {number}" for number in range(15)]
    assert read(source, "two") == [f"two {number}" for number in range(15)]
    assert len(logging.asked) == 3


def test_a_search_that_failed_leaves_nothing_half_read(logging: Logging) -> None:  # noqa: F811
    source = logging.source()
    source.together([asked("one"), asked("two")])
    say(logging, "two", "early")
    logging.fault = source_module.grpc.StatusCode.UNAVAILABLE
    for name in ("one", "two"):
        with pytest.raises(PlatformUnavailable):
            read(source, name)
    logging.fault = None
    assert read(source, "two") == ["early"]


@pytest.mark.parametrize("minutes", [0, 1])
def test_no_question_is_longer_than_may_be_asked(minutes: int) -> None:
    """500 services with the longest names that there are, needed since one moment, or each since another."""
    hour = timedelta(minutes=61)
    every = [
        Asked(
            ref(f"s{n}"),
            (f"{n:04}{LONGEST_NAME}"[:63], f"b{n:03}{LONGEST_NAME}"[:63]),
            START + n * minutes * 60 * SECOND,
        )
        for n in range(500)
    ]
    groups = [*in_questions(every, longest_request=hour)]
    assert [each for group in groups for each in group] == every
    for group in groups:
        text = shared_filter(group, START, longest_request=hour)
        assert len(text) <= 20_000
        compile_filter(text)
    assert len(groups) <= 10


def test_projects_are_asked_apart() -> None:
    two = [Asked(ServiceRef(project, "l", "s"), ("r",), START) for project in ("p", "q")]
    assert [len(group) for group in in_questions(two)] == [1, 1]
