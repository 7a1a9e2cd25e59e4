"""Lines of a log, whatever a service writes: counted or passed over, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging import evidence
from pipeline.judging.exposure import exposure
from pipeline.judging.metrics import METRICS
from pipeline.judging.reading import Arm
from pipeline.judging.spans import Span
from pipeline.judging.terms import Criterion, Sampling
from pipeline.local.entries.store import LogStore
from pipeline.model import LogLine
from tests.fakes import START
from tests.fuzzing import NUMBERS, ODD, SCALARS, VALUES, WITHIN, draws
from tests.lines import CANDIDATE

pytestmark = WITHIN

EVENTS = st.sampled_from(["ws_accept", "agent_run", "ws_close", "ws_refused"]) | ODD
PAYLOADS = st.fixed_dictionaries(
    {"spillway": st.just(1) | SCALARS, "nonce": st.just("n") | SCALARS, "event": EVENTS},
    optional={
        "session": st.sampled_from(["a", "b"]) | VALUES, "client": VALUES, "at": st.floats(0, 99).map(lambda s: START.timestamp() + s) | VALUES,
        "started": st.floats(0, 99).map(lambda s: START.timestamp() + s) | VALUES, "outcome": st.sampled_from(["ok", "idle", "closed"]) | VALUES,
        "first_event_ms": NUMBERS | VALUES, "code": st.sampled_from([1000, 1006, 1011, 1e11]) | VALUES, "reason": VALUES, "closed_by": VALUES,
        "probe": VALUES, "message": VALUES,
    },
)  # fmt: skip
LINES = st.builds(
    LogLine,
    insert_id=ODD,
    at=st.floats(0, 99).map(lambda seconds: START + timedelta(seconds=seconds)),
    revision=st.just(CANDIDATE) | ODD,
    severity=ODD,
    text=ODD,
    payload=PAYLOADS | st.dictionaries(ODD, VALUES, max_size=4),
)


@draws(1_000)
@given(st.lists(LINES, max_size=8))
def test_log_lines(lines: list[LogLine]) -> None:
    arm, now = Arm(CANDIDATE, "n"), START + timedelta(seconds=300)
    sampling = Sampling(block=timedelta(seconds=10))
    span = Span(START, None, 1, 50)
    criteria = [Criterion(metric) for metric in METRICS if metric != "first_event"]
    criteria.append(Criterion("first_event", slower_than=timedelta(milliseconds=500)))
    for block in evidence.closed_blocks(lines, span, (arm, Arm("stable", "")), sampling, criteria, now):
        assert all(
            0 <= c.candidate_failures <= c.candidate_trials <= len(lines)
            for metric in block.counts
            for c in block.counts[metric]
        )
    met = exposure(lines, arm, sampling, now)
    assert 0 <= met.affected <= met.sessions <= len(lines)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogStore]:
    with closing(LogStore(tmp_path_factory.mktemp("logs"))) as made:
        yield made


@draws(1_000)
@given(
    text=st.text(max_size=40)
    | VALUES.map(lambda value: json.dumps({"time": value, "severity": value, "message": value}))
    | VALUES.map(json.dumps)
)
def test_what_a_service_writes(store: LogStore, text: str) -> None:
    store.line("projects/p/locations/l/services/s", "r", "stdout", text)
