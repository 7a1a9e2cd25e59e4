"""A tally of lines as they come says what one look at all of them would say, and forgets what is settled."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.judging.exposure import exposure
from pipeline.judging.reading import Arm
from pipeline.judging.terms import Sampling
from pipeline.model import SYSTEM_LOG, LogLine
from pipeline.report.tally import Tally
from pipeline.report.timeline import Timeline
from tests.fakes import START

ARMS = (Arm("c", "nc"), Arm("s", "ns"))
SAMPLING = Sampling(within=timedelta(seconds=5))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def session(n: int, rng: random.Random) -> list[LogLine]:
    """One user's lines: some stay open, some break, some are forged, some are silent."""
    revision = rng.choice("cs")
    start = rng.uniform(0, 240)
    shared = {
        "spillway": 1,
        "session": f"s{n}",
        "client": f"k{n}",
        "nonce": rng.choice([f"n{revision}"] * 9 + ["no"]),
    }
    bad = rng.random() < 0.2
    events: list[tuple[float, dict[str, object]]] = [(0, {"event": "ws_accept"})]
    if rng.random() < 0.9:
        outcome = "closed" if bad else "ok"
        events.append((0.2, {"event": "agent_run", "started": after(start).timestamp(), "outcome": outcome}))
    if rng.random() < 0.8:
        code, by = (1011, "server") if bad else (1000, "client")
        events.append(
            (rng.choice([0.2, 3, 90]), {"event": "ws_close", "code": code, "reason": "", "closed_by": by})
        )
    if rng.random() < 0.1:
        events.append((1, {"spillway": 0, "message": "Object of type X is not JSON serializable"}))
    if rng.random() < 0.1:
        said = {"event": "ws_unasked", "sockets": n, "starts": [f"word{n % 3}"], "session": None}
        events.append((2, said))
    return [
        LogLine(
            f"{n}/{i}",
            after(start + late),
            revision,
            payload={**shared, **data, "at": after(start + late).timestamp()},
        )
        for i, (late, data) in enumerate(events)
    ]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.sampled_from([5, 7, 40]))
def test_chunks_add_up_to_the_whole(seed: int, step: int) -> None:
    rng = random.Random(seed)
    lines = sorted((line for n in range(80) for line in session(n, rng)), key=lambda line: line.at)
    tally = Tally(ARMS, SAMPLING, START)
    for seconds in range(step, 400, step):
        now = after(seconds)
        tally.add(line for line in lines if tally.since <= line.at <= now)
        told, there = tally.exposures(now), [line for line in lines if line.at <= now]
        assert told == {arm.revision: exposure(there, arm, SAMPLING, now) for arm in ARMS}


def test_memory_is_what_is_open() -> None:
    tally = Tally(ARMS, SAMPLING, START)
    for n in range(600):
        rng = random.Random(n)
        start = float(n)
        accept, close = ({"event": "ws_accept"}, {"event": "ws_close", "code": 1000, "closed_by": "client"})
        shared = {"spillway": 1, "session": f"s{n}", "nonce": "nc", "client": str(rng.random())}
        tally.add(
            LogLine(
                f"{n}/{i}",
                after(start + i),
                "c",
                payload={**shared, **data, "at": after(start + i).timestamp()},
            )
            for i, data in enumerate((accept, close))
        )
        tally.exposures(after(start + 1))
    assert tally.exposures(after(602))["c"].sessions == 600
    assert len(tally._open) < 60
    assert len(tally._known) < 80


def test_a_line_that_comes_late_is_counted_once() -> None:
    tally = Tally(ARMS, SAMPLING, START)
    late, early = session(1, random.Random(3)), session(2, random.Random(4))
    tally.add(early)
    tally.add([*late, *early])
    tally.add(late)
    assert sum(e.sessions for e in tally.exposures(after(300)).values()) == 2


def test_fresh_counts_what_came_since_the_stage_began() -> None:
    tally = Tally(ARMS, SAMPLING, START)

    def accept(n: int) -> list[LogLine]:
        at = after(n).timestamp()
        shared = {"spillway": 1, "session": f"s{n}", "nonce": "nc", "client": f"k{n}"}
        opened = LogLine(f"{n}a", after(n), "c", payload={**shared, "event": "ws_accept", "at": at})
        closed = {"event": "ws_close", "code": 1000, "closed_by": "client", "at": at}
        return [opened, LogLine(f"{n}b", after(n), "c", payload={**shared, **closed})]

    for n in range(0, 100, 10):
        tally.add(accept(n))
    assert tally.fresh(START, after(100))["c"] == 10
    tally.exposures(after(100))  # settles the old ones
    assert tally.fresh(START, after(100))["c"] == 10
    assert tally.fresh(after(75), after(100))["c"] == 2
    tally.add(accept(110))
    tally.exposures(after(300))
    assert tally.fresh(after(75), after(300)) == {"c": 3, "s": 0}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([1, 7, 100]), end=st.sampled_from([60, 150, 400]))
def test_of_an_attempt_the_sessions_that_began_in_it_are_counted_and_followed(
    seed: int, size: int, end: int
) -> None:
    """Read page by page, long after: the table's closes are the chart's, and both are of the same sessions."""
    rng = random.Random(seed)
    lines = sorted((line for n in range(80) for line in session(n, rng)), key=lambda line: line.at)
    axis = Timeline(START, after(end))
    tally = Tally(ARMS, SAMPLING, START, after(end), axis)
    for first in range(0, len(lines), size):
        tally.add(lines[first : first + size])
        tally.settle(tally.newest)
    seen, closes = tally.exposures(after(4000)), tally.closes()
    began = {
        line.payload["session"]: line
        for line in lines
        if line.payload.get("event") == "ws_accept" and _is_ours(line)
    }
    for arm in ARMS:
        met = seen[arm.revision]
        assert met.sessions == sum(
            line.at <= after(end) for line in began.values() if line.revision == arm.revision
        )
        assert sum(met.closes.values()) + met.open_sockets + met.refused == met.sessions
        abnormal = met.closes.get("server_error_1011", 0) + met.closes.get("abnormal_1006", 0)
        assert sum(c.abnormal for c in closes if c.revision == arm.revision) == abnormal
        assert sum(c.ended for c in closes if c.revision == arm.revision) == sum(met.closes.values())


def _is_ours(line: LogLine) -> bool:
    return line.payload["nonce"] == f"n{line.revision}"


def test_memory_for_a_long_rollout_is_what_is_open() -> None:
    tally = Tally(ARMS, SAMPLING, START, after(60_000), Timeline(START, after(60_000)))
    most = 0
    for n in range(0, 60_000, 20):
        tally.add(_whole(n))
        tally.settle(tally.newest)
        most = max(most, len(tally._open))
    assert most < 10
    assert tally.exposures(after(60_000))["c"].sessions == 3000
    assert len(tally.closes()) <= 49


def _whole(n: int) -> list[LogLine]:
    shared = {"spillway": 1, "session": f"s{n}", "nonce": "nc", "client": f"k{n}", "at": after(n).timestamp()}
    return [
        LogLine(
            f"{n}/{event}",
            after(n),
            "c",
            payload={**shared, "event": event, "code": 1000, "closed_by": "client"},
        )
        for event in ("ws_accept", "ws_close")
    ]


def test_sockets_that_ended_with_their_instance_are_closed_and_its_end_counts_once() -> None:
    shared = {"spillway": 2, "nonce": "n", "client": "u", "revision": "c"}

    def opened(n: int) -> LogLine:
        payload = {**shared, "session": f"s{n}", "event": "ws_accept", "at": after(n).timestamp()}
        return LogLine(f"{n}a", after(n), "c", payload=payload, instance="i")

    def ended(n: float, text: str) -> LogLine:
        return LogLine(f"e{n}", after(n), "c", "ERROR", text, instance="i", log=SYSTEM_LOG)

    lines = [*(opened(n) for n in range(20)), ended(20, "Memory limit of 512 MiB exceeded with 530 MiB used."),
             ended(20.1, "Container terminated on signal 9.")]  # fmt: skip
    tally = Tally((Arm("c", "n"),), SAMPLING, START)
    for line in lines:
        tally.add([line])
        tally.settle(line.at)
    for moment in (30, 300, 3000):
        told = tally.exposures(after(moment))["c"]
        assert (told.sessions, told.open_sockets, told.exits) == (20, 0, 1)
        assert told.closes == {"abnormal_1006": 20}
    assert not tally._open  # nothing is kept of what is over


def test_instances_that_were_heard_of_lately_and_have_not_ended_are_counted() -> None:
    tally = Tally(ARMS, SAMPLING, START)
    ended = "Container called exit(3)."
    tally.add([
        LogLine("1", after(0), "c", instance="old"),
        LogLine("2", after(400), "c", instance="a"),
        LogLine("3", after(410), "c", instance="b"),
        LogLine("4", after(411), "c", text=ended, instance="b", log=SYSTEM_LOG),
        LogLine("5", after(412), "s", instance="x"),
        LogLine("6", after(413), "s"),
    ])  # fmt: skip
    assert tally.instances(after(420)) == {"c": 1, "s": 1}


def test_the_first_events_percentile_is_of_all_chunks_to_a_twentieth() -> None:
    shared = {"spillway": 1, "nonce": "nc", "client": "k"}
    lines = [
        LogLine(f"{n}/{kind}", after(n), "c", payload={**shared, "session": f"s{n}", "at": after(n).timestamp(), **payload})
        for n in range(200)
        for kind, payload in (
            ("a", {"event": "ws_accept"}),
            ("r", {"event": "agent_run", "run": 1, "started": after(n).timestamp(), "outcome": "ok", "first_event_ms": 10.0 * (n + 1)}),
        )
    ]  # fmt: skip
    tally = Tally(ARMS, SAMPLING, START)
    for first in range(0, 400, 50):
        tally.add(lines[first : first + 50])
        tally.settle(after(first))
    p95 = tally.exposures(after(500))["c"].first_event_p95_ms
    assert p95 is not None
    assert 1900 / 1.05 <= p95 <= 1900 * 1.05
    assert tally.exposures(after(500))["s"].first_event_p95_ms is None
