"""From lines to trials: what counts as one, when it is decided, what it failed, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.judging.reading import Reading, read_lines
from pipeline.judging.trials import Trial, asked_of, is_abandoned, trials_of
from pipeline.model import LogLine
from tests.fakes import START
from tests.lines import CANDIDATE, STABLE, accept, close, conversation, line, run, start, text

D = timedelta(seconds=10)
ERRORS = ("is not JSON serializable",)


def reading(lines: Sequence[LogLine]) -> Reading:
    return read_lines(lines, CANDIDATE, f"n-{CANDIDATE}", ERRORS)


def trials(lines: Sequence[LogLine], at: float = 3600.0) -> list[Trial]:
    now = START.timestamp() + at
    return [t for socket in reading(lines).sockets.values() for t in trials_of(socket, D, now)]


def since_start(trial: Trial) -> float:
    return round(trial.start - START.timestamp(), 3)


@pytest.mark.parametrize(
    ("lines", "failed"),
    [
        pytest.param(conversation(1, "s"), [set()], id="ok"),
        pytest.param([accept(1, "s"), run(1, "ok", "s")], [set()], id="ok-and-still-open"),
        pytest.param([accept(1, "s"), run(1, "timeout", "s", took=10)], [{"agent_completed"}], id="a-hang-is-a-failure"),
        pytest.param(conversation(1, "s", ok=False), [{"agent_completed", "server_error_1011"}], id="1011"),
        pytest.param([accept(1, "s"), run(1, "closed", "s"), close(1.2, 1006, "s")], [{"agent_completed", "abnormal_1006"}], id="1006"),
        pytest.param([accept(1, "s"), run(1, "closed", "s"), close(1.2, 1012, "s")], [{"agent_completed"}], id="1012"),
        pytest.param([accept(1, "s"), run(1, "ok", "s"), close(2, 1011, "s")], [{"server_error_1011"}], id="1011-after-a-good-run"),
        pytest.param([accept(1, "s"), run(1, "ok", "s"), close(60, 1011, "s")], [set()], id="1011-long-after-is-no-part-of-the-run"),
        pytest.param(
            [accept(1, "s"), run(1, "ok", "s"), close(2, 1011, "s", reason="keepalive ping timeout")], [set()],
            id="keepalive-is-the-clients-doing",
        ),
        pytest.param([accept(1, "s"), run(1, "closed", "s"), close(1.2, 1001, "s", by="client")], [], id="the-user-left"),
        pytest.param([accept(1, "s"), run(1, "closed", "s"), close(1.2, 1006, "s", by="lost")], [], id="the-user-vanished"),
        pytest.param([accept(1, "s"), run(1, "timeout", "s", took=10), close(12, 1000, "s", by="client")], [{"agent_completed"}],
                     id="a-user-who-gave-up-after-a-hang-met-a-failure"),
        pytest.param([accept(1, "s"), run(1, "ok", "s"), close(2, 1011, "s", by="client")], [set()], id="1011-by-the-client"),
        pytest.param([accept(1, "s"), run(1, "ok", "s"), run(5, "ok", "s"), run(9, "timeout", "s", took=10)],
                     [set(), set(), {"agent_completed"}], id="each-run-is-one"),
        pytest.param([accept(1, "s"), close(1.1, 1011, "s")], [{"agent_completed", "server_error_1011"}], id="broken-before-a-run"),
        pytest.param([accept(1, "s"), close(1.1, 1000, "s", by="client")], [], id="came-and-went"),
        pytest.param([accept(1, "s"), line(11, "agent_run", "s", outcome="idle", run=0)], [], id="idle"),
        pytest.param([accept(1, "s"), line(11, "agent_run", "s", outcome="idle", run=0), close(50, 1011, "s")], [], id="idle-then-1011"),
        pytest.param([line(1, "ws_refused", "s", status=500)], [{"agent_completed"}], id="refused-by-a-fault"),
    ],
)  # fmt: skip
def test_what_is_a_trial_and_what_it_failed(lines: list[LogLine], failed: list[set[str]]) -> None:
    assert [set(t.failed) for t in trials(lines)] == failed


def test_silence_after_an_accept_is_a_failure_once_an_answer_was_due() -> None:
    lines = [accept(1, "s")]
    assert trials(lines, at=20.9) == []
    (trial,) = trials(lines, at=21)
    assert trial.failed == {"agent_completed"}
    assert since_start(trial) == 11


@pytest.mark.parametrize(
    ("lines", "failed"),
    [
        pytest.param([accept(1, "s"), start(2, "s")], [{"agent_completed"}], id="a-crash-in-the-first-run"),
        pytest.param([accept(1, "s"), start(1, "s"), run(1, "ok", "s"), start(2, "s", run=2)], [set(), {"agent_completed"}],
                     id="a-crash-in-the-second-run"),
        pytest.param([start(2, "s", run=2), start(2, "s", run=2)], [{"agent_completed"}], id="once-though-the-line-came-twice"),
        pytest.param([run(1, "ok", "s"), start(1, "s")], [set()], id="lines-out-of-order"),
        pytest.param([accept(1, "s"), start(2, "s"), close(3, 1001, "s", by="client")], [], id="the-user-left"),
        pytest.param([accept(1, "s"), start(2, "s"), close(3, 1006, "s", by="lost")], [], id="the-user-vanished"),
        pytest.param([accept(1, "s"), start(2, "s"), close(13, 1000, "s", by="client")], [{"agent_completed"}],
                     id="a-user-who-gave-up-after-the-deadline"),
        pytest.param([accept(1, "s"), start(2, "s"), close(3, 1011, "s")], [{"agent_completed", "server_error_1011"}],
                     id="the-outcome-was-lost-and-the-close-was-not"),
        pytest.param([start(2, "s", run=0)], [], id="no-number"),
    ],
)  # fmt: skip
def test_a_run_that_was_asked_for_and_never_decided_failed(
    lines: list[LogLine], failed: list[set[str]]
) -> None:
    assert [set(t.failed) for t in trials(lines)] == failed


def test_a_run_is_called_undecided_once_its_outcome_could_have_arrived() -> None:
    lines, late = [accept(1, "s"), start(2, "s")], timedelta(seconds=5)
    (socket,) = reading(lines).sockets.values()
    at = [list(trials_of(socket, D, START.timestamp() + second, late)) for second in (16.9, 17)]
    assert [len(each) for each in at] == [0, 1]
    assert since_start(at[1][0]) == 2


def test_a_trial_is_dated_by_its_start_not_by_its_end() -> None:
    (trial,) = trials([accept(1, "s"), run(4, "timeout", "s", took=10)])
    assert since_start(trial) == 4


def test_latency_is_of_the_first_event_and_none_when_none_came() -> None:
    fast, silent = run(1, "ok", "s", first=120.0), run(3, "timeout", "s", took=10, first=None)
    assert [t.first_event_s for t in trials([accept(1, "s"), fast, silent])] == [0.12, None]


def test_lines_without_the_nonce_are_counted_and_not_judged() -> None:
    forged = [line(1, "ws_accept", "evil", nonce="guess"), run(1, "timeout", "evil", nonce="")]
    seen = reading([*forged, *conversation(2, "s")])
    assert seen.forged == 2
    assert list(seen.sockets) == ["s"]


def test_a_line_that_has_no_nonce_at_all_is_forged() -> None:
    ours = line(1, "ws_accept", "evil")
    bare = replace(ours, payload={key: value for key, value in ours.payload.items() if key != "nonce"})
    assert (reading([bare]).forged, reading([bare]).sockets) == (1, {})


def test_a_probes_socket_is_left_out() -> None:
    assert trials([*conversation(1, "p", ok=False, probe=True), *conversation(2, "s")]) == trials(
        conversation(2, "s")
    )


def test_another_revisions_lines_are_not_ours() -> None:
    assert trials(conversation(1, "s", STABLE)) == []
    assert reading([text(1, "Object of type X is not JSON serializable", STABLE)]).errors_at == []


def test_error_lines_are_found_in_text_and_in_messages() -> None:
    said = "TypeError: Object of type WebSocketState is not JSON serializable"
    as_json = LogLine("i", START, CANDIDATE, "ERROR", "", {"message": said})
    assert len(reading([text(1, said), as_json, text(2, "all is well")]).errors_at) == 2
    assert (
        reading(conversation(1, "s", message=said)).errors_at == []
    )  # a telemetry line quotes, it does not complain


@pytest.mark.parametrize(
    "broken",
    [
        {"at": "noon"}, {"at": None}, {"at": float("nan")}, {"at": 1e300}, {"at": True}, {"session": 7}, {"session": None},
        {"event": "else"}, {"event": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_broken_line_is_left_out(broken: dict[str, object]) -> None:
    whole = run(1, "timeout", "s", took=10)
    assert len(trials([whole])) == 1
    assert trials([replace(whole, payload={**whole.payload, **broken})]) == []


@pytest.mark.parametrize("started", ["x", None, float("inf"), [], {}])
def test_a_run_without_a_start_is_no_trial(started: object) -> None:
    assert trials([line(1, "agent_run", "s", outcome="timeout", started=started)]) == []


@pytest.mark.parametrize("code", ["1011", None, float("nan"), True])
def test_a_close_with_a_strange_code_is_not_a_1011(code: object) -> None:
    seen = trials(
        [accept(1, "s"), run(1, "ok", "s"), line(2, "ws_close", "s", code=code, closed_by="server")]
    )
    assert [set(t.failed) for t in seen] == [set()]


def test_abandoned_is_told_from_failed() -> None:
    (left,) = reading(
        [accept(1, "s"), run(1, "closed", "s"), close(2, 1000, "s", by="client")]
    ).sockets.values()
    (broken,) = reading(conversation(1, "s", ok=False)).sockets.values()
    assert is_abandoned(left, left.runs[0])
    assert not is_abandoned(broken, broken.runs[0])


def test_what_its_user_left_was_asked_for_all_the_same() -> None:
    """Whatever line of it is missing; and whoever waited for the deadline did not leave."""
    lines = [
        *(accept(1, "left"), start(1, "left"), run(1, "closed", "left"), close(2, 1000, "left", by="client")),
        *(accept(1, "lost"), start(1, "lost"), close(2, 1006, "lost", by="lost")),
        *(accept(1, "waited"), start(1, "waited"), close(12, 1000, "waited", by="client")),
        *(accept(1, "held"), start(1, "held"), run(1, "ok", "held"), close(2, 1000, "held", by="client")),
        *(accept(1, "broken"), start(1, "broken"), run(1, "closed", "broken"), close(2, 1011, "broken")),
        *(accept(1, "idle"), run(1, "idle", "idle", took=10, first=None)),
    ]
    sockets, now = reading(lines).sockets, (START + timedelta(seconds=60)).timestamp()
    asked = {name: [t.failed for t in asked_of(s, D, now)] for name, s in sockets.items()}
    left, kept = [frozenset({"abandoned"})], [frozenset()]
    assert asked == {"left": left, "lost": left, "waited": kept, "held": kept, "broken": kept, "idle": []}
    assert not list(asked_of(sockets["lost"], D, (START + timedelta(seconds=5)).timestamp()))


def test_of_what_was_written_before_only_accepts_and_instances_are_taken() -> None:
    since = START.timestamp() + 10
    lines = [accept(1, "s"), run(2, "timeout", "s", took=1), accept(3, "gone"), run(12, "ok", "s")]
    lines += [
        line(4, "ws_accept", "forged", nonce="guess"),
        replace(accept(5, "s"), payload={"event": "ws_accept", "session": []}),
    ]
    seen = read_lines(lines, CANDIDATE, f"n-{CANDIDATE}", ERRORS, since)
    assert list(seen.sockets) == ["s"]
    assert seen.sockets["s"].accepted == START.timestamp() + 1
    assert [r.started for r in seen.sockets["s"].runs] == [START.timestamp() + 12]
