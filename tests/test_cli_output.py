"""What a command prints: where, in which form, and through the one sink."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pipeline.errors import UserError
from pipeline.events import Looked, Probed, Said, Shifted
from pipeline.model import Outcome
from pipeline.output.writer import Mode, Output, outcome_document
from pipeline.redact import SINK
from tests.fakes import START
from tests.reports import a_look, a_probe

HOSTILE = "\x1b[2J::error::x \x1b]0;t\x07"
SHIFTED = Shifted(START, stage=1, before=0, percent=5)

Printed = Callable[[], tuple[str, str]]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What came on stdout and stderr since it was last asked."""

    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return read


@pytest.mark.parametrize("mode", Mode)
def test_people_read_stderr_and_stdout_is_data(mode: Mode, printed: Printed) -> None:
    output = Output(mode)
    output.say("looking")
    assert printed() == ("", "looking\n")
    output.result("all is well", {"outcome": "done"})
    out, err = printed()
    assert err == ""
    assert out == "all is well\n" if mode is Mode.TEXT else json.loads(out) == {"outcome": "done"}


def test_events_are_lines_where_lines_were_asked_for(printed: Printed) -> None:
    for mode, lines in ((Mode.TEXT, 0), (Mode.JSON, 0), (Mode.NDJSON, 1)):
        Output(mode).event(SHIFTED)
        Output(mode).event(Looked(START, a_look()))
        out, _ = printed()
        assert len(out.splitlines()) == lines
    assert json.loads(out) == {
        "at": START.isoformat(), "event": "shifted", "text": "stage 1: 0% -> 5%", "stage": 1, "percent": 5, "by": "",
    }  # fmt: skip
    Output(Mode.NDJSON).event(Probed(START, a_probe()))
    assert json.loads(printed()[0]) == {
        "at": START.isoformat(),
        "event": "probed",
        "text": "3 conversations ok",
    }


def test_quiet_says_nothing_but_errors(printed: Printed) -> None:
    output = Output(level=-1)
    output.say("hello")
    assert printed() == ("", "")
    output.error(UserError("what", "why", "fix"))
    assert printed() == ("", "spillway: what\nwhy\nfix\n")


def test_an_error_is_a_document_for_machines(printed: Printed) -> None:
    Output(Mode.JSON).error(UserError("what", "why", "fix"))
    out, err = printed()
    assert json.loads(out) == {
        "outcome": "error", "exit_code": 2, "error": "UserError", "what": "what", "why": "why", "fix": "fix",
    }  # fmt: skip
    assert err.startswith("spillway: what")


def test_nothing_of_a_service_drives_terminal_or_ci(printed: Printed) -> None:
    output = Output()
    output.say(HOSTILE)
    output.result(f"a\n{HOSTILE}", {})
    output.error(UserError("w", HOSTILE))
    for text in printed():
        assert "\x1b" not in text
        assert not [line for line in text.splitlines() if line.startswith("::")]


@pytest.mark.parametrize("mode", Mode)
def test_no_secret_leaves(mode: Mode, printed: Printed) -> None:
    SINK.learn("output-secret-1")
    output = Output(mode)
    output.say("output-secret-1")
    output.result("output-secret-1", {"a": ["output-secret-1"], "output-secret-1": "output-secret-1\n"})
    output.error(UserError("output-secret-1"))
    output.data('{"message": "output-secret-1"}')
    output.event(Said(START, "refused", "output-secret-1"))
    output.event(Shifted(START, 1, 0, 5, by="output-secret-1"))
    text = "".join(printed())
    assert "output-secret-1" not in text
    assert text.count("[redacted]") >= 4


def test_a_form_of_its_own_stays_as_its_maker_wrote_it(printed: Printed) -> None:
    Output().data("::error file=a.py::boom\n\tx")
    assert printed() == ("::error file=a.py::boom\n\tx\n", "")


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_has_its_name_and_its_code(outcome: Outcome) -> None:
    assert outcome_document(outcome, more=1) == {
        "outcome": outcome.label,
        "exit_code": outcome.exit_code,
        "more": 1,
    }
