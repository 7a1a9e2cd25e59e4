"""Where ``spillway`` starts: an exit code comes out, whatever streams, environment and descriptors are."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout

import pytest

from pipeline.cli import main
from tests.test_streams import FAULTS, Raising

ENDINGS = {
    "--help": 0,
    "rollback --help": 0,
    "local logs --help": 0,
    "--nope": 2,
    "rollback --nope": 2,
    "nope": 2,
    "rollback a/b": 2,
    "status -c nowhere.yaml": 2,
    "check --explain nope": 2,
    "check --explain event-map": 0,
}


@pytest.mark.parametrize("fault", [*FAULTS[:4], None], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize(("words", "code"), ENDINGS.items())
def test_the_code_is_the_same_whatever_the_streams_do(
    words: str, code: int, fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Raising(fault) if fault else io.StringIO()
    with redirect_stdout(file), redirect_stderr(file):
        assert main.run(words.split()) == code
        assert sys.stdout is file, "what was there before is there again"


def test_completion_answers_into_a_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SPILLWAY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "spillway roll")
    monkeypatch.setenv("COMP_CWORD", "1")
    out = io.StringIO()
    with redirect_stdout(out):
        code = main.run([])
    assert "rollback" in out.getvalue()
    with redirect_stdout(Raising(BrokenPipeError())):
        assert main.run([]) == code


def test_an_interrupt_before_a_command_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressed(list[str]):
        def __iter__(self) -> Iterator[str]:
            raise KeyboardInterrupt

    err = io.StringIO()
    with redirect_stderr(err):
        assert main.run(Pressed(["check"])) == 130
    assert err.getvalue() == "spillway: interrupted\n"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of shell in which ``$PYTHON`` is this interpreter."""
    return subprocess.run(
        ["bash", "-c", line], env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True, text=True, timeout=100, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_socket_takes_the_place_of_a_closed_stream(closed: str) -> None:
    code = (
        "import os, socket, sys\nfrom pipeline.cli import main\nmain.run(['--help'])\n"
        "number = socket.socket().fileno()\nsys.exit(0 if number > 2 else 90 + number)"
    )
    assert shell(f'exec "$PYTHON" -c "{code}" {closed}').returncode == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('"$PYTHON" -m pipeline --help | head -1; exit ${PIPESTATUS[0]}', 0),
        ('"$PYTHON" -m pipeline rollback a/b 2>/dev/full', 2),
        ('"$PYTHON" -m pipeline rollback a/b 2>&1 | true; exit ${PIPESTATUS[0]}', 2),
        ('PYTHONINSPECT=1 "$PYTHON" -m pipeline rollback a/b', 2),
        ('PYTHONWARNINGS=error PYTHONIOENCODING=ascii LC_ALL=xx_YY "$PYTHON" -m pipeline rollback ö/b', 2),
    ],
)
def test_a_process_ends_with_its_code_and_quietly(line: str, code: int) -> None:
    done = shell(line)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


@pytest.mark.parametrize("name", ["SPILLWAY_OUTPUT", "SPILLWAY_YES"])
def test_a_setting_of_the_environment_that_says_nothing_is_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "xml")
    assert main.run(["rollback", "projects/local/locations/local/services/chat", "--help"]) == 0
    assert f"{name} is none of" in capfd.readouterr().err
