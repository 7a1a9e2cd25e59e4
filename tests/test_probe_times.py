"""How long a round's conversations took: whose times count, their percentiles and their histogram."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.times import Bucket, lines_of, spread, times_of


def held(kind: Kind = Kind.OK, seconds: float = 0.2, scenario: str = "run", **times: float) -> Conversation:
    return Conversation(scenario, kind, seconds, **times)  # type: ignore[arg-type]


def test_percentiles_are_nearest_rank_and_a_bucket_has_its_end() -> None:
    made = spread([None, *(number / 1000 for number in range(1, 201))])
    assert made is not None
    assert (made.count, made.p50_ms, made.p95_ms, made.p99_ms, made.max_ms) == (200, 100, 190, 198, 200)
    assert made.histogram[:3] == (Bucket(1, 1), Bucket(1.5, 0), Bucket(2, 1))
    assert made.histogram[-1] == Bucket(200, 50)
    assert spread([None, None]) is None


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=50))
def test_every_time_is_in_one_bucket_and_none_at_the_ends_is_empty(seconds: list[float]) -> None:
    made = spread(seconds)
    assert made is not None
    assert sum(bucket.count for bucket in made.histogram) == len(seconds)
    assert made.histogram[0].count
    assert made.histogram[-1].count
    assert made.p50_ms <= made.p95_ms <= made.p99_ms <= made.max_ms
    assert len(list(lines_of(made))) == len(made.histogram)


def test_each_time_counts_where_it_was_reached() -> None:
    report = ProbeReport(datetime(2030, 1, 1, tzinfo=UTC), 1.0, (
        held(connect_s=0.001, first_event_s=0.01),
        held(Kind.TIMED_OUT, 30.0, connect_s=0.002),
        held(Kind.UNREACHABLE, 30.0),
        held(scenario="health"),
    ))  # fmt: skip
    run, health = times_of(report)
    assert run.connect
    assert (run.scenario, run.connect.count, run.connect.max_ms) == ("run", 2, 2)
    assert run.first_event
    assert (run.first_event.count, run.first_event.p50_ms) == (1, 10)
    assert run.completion
    assert (run.completion.count, run.completion.max_ms) == (1, 200)
    assert (health.scenario, health.connect, health.first_event) == ("health", None, None)
    assert times_of(ProbeReport(datetime(2030, 1, 1, tzinfo=UTC), 0.0, ())) == ()


def test_a_bar_is_as_long_as_its_share() -> None:
    made = spread([0.001] * 40 + [0.0015] * 10 + [0.003])
    assert made is not None
    assert list(lines_of(made)) == [
        f"<=   1 ms  {'#' * 40}  40",
        f"<= 1.5 ms  {'#' * 10:<40}  10",
        f"<=   2 ms  {'':40}  0",
        f"<=   3 ms  {'#':<40}  1",
    ]
