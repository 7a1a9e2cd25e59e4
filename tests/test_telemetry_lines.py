"""The line format: each version that was ever written is read, and whatever else stands in a log is not taken for one."""

from __future__ import annotations

import pytest

from pipeline.telemetry.lines import (
    VERSION,
    Accepted,
    Closed,
    Line,
    Refused,
    Run,
    Started,
    Unasked,
    accepted_of,
    from_payload,
    is_telemetry,
    to_payload,
)

LINES: tuple[Line, ...] = (
    Accepted(1.0, "/ws"),
    Refused(1.0, 503, "/ws"),
    Started(1.0, 2),
    Run(2.0, 2, 1.0, "ok", first_event_ms=50.0),
    Run(7.0, 1, 1.0, "timeout", ("agent_completed",)),
    Run(2.0, 0, 1.0, "idle"),
    Closed(3.0, 1011, "boom", "server"),
    Unasked(4.0, 10, ("execute_agent",)),
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(to_payload(line)["message"]))
def test_what_is_written_is_read_back(line: Line) -> None:
    assert from_payload(to_payload(line)) == line


@pytest.mark.parametrize(
    ("version", "known"),
    [(1, True), (2, True), (2.0, True), (VERSION, True), (0, False), (3, False), ("2", False), (None, False), ([], False)],
)  # fmt: skip
def test_versions(version: object, known: bool) -> None:
    assert is_telemetry({"spillway": version}) is known


@pytest.mark.parametrize(
    ("payload", "accepted"),
    [
        pytest.param({"event": "ws_accept", "at": 7.0}, 7.0, id="version-1-says-it-at-the-accept-alone"),
        pytest.param({"event": "ws_close", "at": 9.0}, None, id="version-1-close"),
        pytest.param({"event": "ws_close", "at": 9.0, "accepted": 7.0}, 7.0, id="version-2-close"),
        pytest.param({"event": "agent_run", "at": 9.0, "accepted": "7"}, None, id="not-a-number"),
    ],
)
def test_when_the_socket_was_accepted(payload: dict[str, object], accepted: float | None) -> None:
    assert accepted_of(payload) == accepted


@pytest.mark.parametrize("number", [None, 0, -1, "1", True, float("nan")])
def test_a_start_needs_its_number(number: object) -> None:
    assert from_payload({"event": "agent_start", "at": 1.0, "run": number}) is None
