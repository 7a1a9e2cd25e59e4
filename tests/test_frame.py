"""What every command shares: where it stands, how it is told to stop, and how whatever goes wrong ends."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.errors import PlatformUnavailable
from pipeline.output import streams
from pipeline.output.writer import Mode
from tests.e2e.project import Done
from tests.processes import full_pipe


def invoke(function: Callable[[Session], int], *words: str) -> Done:
    """The function as a command of its own."""
    app = typer.Typer()
    app.command()(command(function))
    result = CliRunner().invoke(app, words)
    return Done(result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_a_signal_asks_to_stop(number: int, code: int) -> None:
    def wait(session: Session) -> int:
        os.kill(os.getpid(), number)
        assert session.stopped.wait(60)
        return 0

    before = signal.getsignal(number)
    done = invoke(wait)
    assert done.code == code
    assert "the service keeps the state" in done.stderr
    assert signal.getsignal(number) == before


@pytest.fixture
def _nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_nohup")
def test_a_hangup_that_somebody_wished_ignored_stays_ignored() -> None:
    def go_on(session: Session) -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return 7

    assert invoke(go_on).code == 7


FAULTS = [
    BrokenPipeError(32, "Broken pipe"),
    OSError(28, "No space left on device", "/x"),
    PermissionError(13, "Permission denied", "/x"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_what_the_machine_refused_is_an_error_and_no_traceback(fault: OSError) -> None:
    def refuse(session: Session) -> int:
        raise fault

    done = invoke(refuse, "-o", "json")
    assert done.code == 1
    assert done.document["what"].endswith(str(fault))
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_is_told_with_where_it_is_and_without_what_is_hostile() -> None:
    def fail(session: Session) -> int:
        raise RuntimeError("odd\n::error::\x1b[2Jx")

    done = invoke(fail, "-o", "json")
    assert done.code == 1
    assert json.loads(done.stdout)["error"] == "SpillwayError"
    assert "test_frame.py" in done.stderr
    assert "\x1b" not in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("::")]


@pytest.fixture
def gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a folder that was deleted."""
    folder = tmp_path / "gone"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    folder.rmdir()
    monkeypatch.delenv("SPILLWAY_LOCAL_DIR", raising=False)
    yield folder
    os.chdir(before)


def seen_by(function: Callable[[Session], object], *words: str) -> tuple[Done, object]:
    seen: list[object] = []

    def look(session: Session) -> int:
        seen.append(function(session))
        return 0

    return invoke(look, *words), seen[0] if seen else None


@pytest.mark.usefixtures("gone")
class TestWithoutAWorkingDirectory:
    def test_a_command_runs(self) -> None:
        assert seen_by(lambda session: session.state_folder)[0].code == 0

    def test_nothing_names_the_local_cloud_run(self) -> None:
        done, _ = seen_by(lambda session: session.local_folder)
        assert done.code == 2
        assert "the working directory is gone, and SPILLWAY_LOCAL_DIR is not set" in done.stderr
        assert "SPILLWAY_LOCAL_DIR=FOLDER" in done.stderr

    def test_the_environment_names_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPILLWAY_LOCAL_DIR", str(tmp_path))
        assert seen_by(lambda session: session.local_folder)[1] == tmp_path

    def test_a_relative_name_names_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPILLWAY_LOCAL_DIR", "local")
        assert seen_by(lambda session: session.local_folder)[0].code == 2

    def test_an_absolute_configuration_is_read(self, tmp_path: Path) -> None:
        done, _ = seen_by(lambda session: session.config, "-c", str(tmp_path / "other.yaml"))
        assert done.code == 2
        assert "other.yaml" in done.stderr

    def test_another_folder_can_be_stood_in(self, tmp_path: Path) -> None:
        done, folder = seen_by(lambda session: session.local_folder, "-C", str(tmp_path))
        assert (done.code, folder) == (0, tmp_path / ".spillway" / "local")


def test_a_folder_that_is_not_there_stops_only_who_needs_it(tmp_path: Path) -> None:
    words = ("-C", str(tmp_path / "nowhere"))
    assert seen_by(lambda session: session.state_folder, *words)[0].code == 0
    for needs in (lambda session: session.config, Session.need_folder, lambda session: session.local_folder):
        done, _ = seen_by(needs, *words)
        assert done.code == 2
        assert "no such folder" in done.stderr


def test_a_pager_is_waited_for_until_a_signal() -> None:
    def show(session: Session) -> int:
        streams.wait_for_reader()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        session.output.result("a page", {})
        return 0

    options = {"output": Mode.TEXT, "config": Path("x"), "directory": Path(), "yes": False, "quiet": False, "verbose": 0}  # fmt: skip
    with full_pipe() as descriptor, open(descriptor, "w", closefd=False) as out, redirect_stdout(out), pytest.raises(SystemExit) as end:  # fmt: skip
        command(show)(**options)
    assert end.value.code == 143


def test_a_command_that_leaves_nothing_behind_is_left_though_it_hangs() -> None:
    def hang(session: Session) -> int:
        session.leaves_at_once = True
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(3600)
        return 0

    before = signal.getsignal(signal.SIGALRM)
    assert invoke(hang).code == 143
    assert signal.getsignal(signal.SIGALRM) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_only_reads_ends_where_it_is(number: int, code: int) -> None:
    went_on: list[int] = []

    def read(session: Session) -> int:
        session.ends_now = True
        os.kill(os.getpid(), number)
        while len(went_on) < 10_000:  # handlers run between two lines of Python
            went_on.append(0)
        return 0

    done = invoke(read)
    assert done.code == code
    assert len(went_on) < 10_000
    assert "the service keeps the state" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_before_it_has_a_document_ends_with_one(number: int, code: int) -> None:
    def read(session: Session) -> int:
        session.ends_now = True
        os.kill(os.getpid(), number)
        threading.Event().wait(3600)
        return 0

    assert json.loads(invoke(read, "-o", "json").stdout) == {"outcome": "interrupted", "exit_code": code}

    def stop(session: Session) -> int:
        os.kill(os.getpid(), number)
        session.output.result("", {"outcome": "under_way"})
        return 0

    assert json.loads(invoke(stop, "-o", "json").stdout) == {"outcome": "under_way"}
    assert invoke(read).stdout == ""


def test_a_signal_before_the_command_says_that_it_leaves_at_once_is_obeyed_as_soon() -> None:
    def connect(session: Session) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        session.leaves_at_once = True
        assert not threading.Event().wait(3600), "a call that is never answered"
        return 0

    assert invoke(connect).code == 130


@pytest.mark.parametrize("code", [0, 11])
def test_what_was_decided_before_the_signal_stays_the_answer(code: int) -> None:
    def report(session: Session) -> int:
        session.leaves_at_once, session.decided = True, code
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(3600)  # a report that takes its time
        return code

    assert invoke(report).code == code


def test_an_error_on_the_way_out_is_still_an_interruption() -> None:
    def fail(session: Session) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        raise PlatformUnavailable("no answer")

    assert invoke(fail).code == 130
