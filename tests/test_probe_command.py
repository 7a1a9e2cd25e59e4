"""Commands run for real: what they are told, how they end, and that nothing of them stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.probe.command import Command, CommandEnd
from pipeline.probe.command_runner import CommandRunner
from pipeline.redact import SINK

GIVE_UP_S = 60


def command(name: str = "it", within: float = 60) -> Command:
    return Command(
        name, "http://candidate", "http://stable", "agent-chat-new", "key", timedelta(seconds=within)
    )


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[..., CommandRunner]]:
    made: list[CommandRunner] = []

    def make(*words: str, **options: bool) -> CommandRunner:
        made.append(CommandRunner({"it": words}, tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.stop()


def ended(runner: CommandRunner) -> CommandEnd:
    give_up = time.monotonic() + GIVE_UP_S
    while (end := runner.poll()) is None:
        assert runner.is_busy
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert not runner.is_busy
    return end


def test_it_is_told_what_to_test_and_runs_beside_the_configuration(
    runner: Callable[..., CommandRunner], tmp_path: Path
) -> None:
    text = (
        "import json, os; print(json.dumps([os.getcwd(), {k: v for k, v in os.environ.items() if k in "
        "('SPILLWAY_URL', 'SPILLWAY_STABLE_URL', 'SPILLWAY_REVISION', 'SPILLWAY_PROBE_KEY')}]))"
    )
    it = runner(*python(text))
    it.start(command())
    end = ended(it)
    assert end.exit_code == 0
    folder, told = json.loads(end.said)
    assert Path(folder) == tmp_path
    assert told == {
        "SPILLWAY_URL": "http://candidate", "SPILLWAY_STABLE_URL": "http://stable",
        "SPILLWAY_REVISION": "agent-chat-new", "SPILLWAY_PROBE_KEY": "key",
    }  # fmt: skip
    assert it.poll() is None  # handed out once


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
    ],
)
def test_its_exit_code_is_a_shells(runner: Callable[..., CommandRunner], text: str, code: int) -> None:
    it = runner(*python(text))
    it.start(command())
    assert ended(it).exit_code == code


def test_of_a_flood_the_last_lines_are_kept(runner: Callable[..., CommandRunner]) -> None:
    it = runner(*python("print('x' * 10_000_000); print('the end')"))
    it.start(command())
    end = ended(it)
    assert end.said.endswith("the end")
    assert len(end.said) <= 300


HOSTILE = {
    "closes what it writes to": ("import os; os.close(1); os.close(2)", 0, ""),
    "reads what nobody says": ("import sys; print(repr(sys.stdin.read()))", 0, "''"),
    "wants a terminal": ("open('/dev/tty')", 1, "No such device or address: '/dev/tty'"),
    "writes what is no text": ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe ok\\n')", 0, "\ufffd\ufffd ok"),
    "writes escapes and no line end": ("print('\\x1b[2J\\r' * 3 + 'end', end='')", 0, "end"),
    "waits for its children": ("import os\ntry: os.wait()\nexcept ChildProcessError: print('none')", 0, "none"),
    "goes elsewhere": ("import os; os.chdir('/'); print(os.getcwd())", 0, "/"),
    "writes to a pipe that is gone": ("import signal; print(signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN)", 0, "True"),
    "leaves one behind that holds its output": (
        "import os, time\nif os.fork():\n    print('left', flush=True)\nelse:\n    time.sleep(600)", 0, "left",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_command_that_behaves_oddly(runner: Callable[..., CommandRunner], name: str) -> None:
    text, code, said = HOSTILE[name]
    it = runner(*python(text))
    it.start(command())
    end = ended(it)
    assert (end.exit_code, end.obstacle) == (code, "")
    assert end.said.endswith(said)


def test_what_a_command_writes_fills_no_disk(runner: Callable[..., CommandRunner]) -> None:
    """It may write for ever; what it wrote last is told, when its time is over."""
    it = runner("sh", "-c", "trap '' TERM; yes $SPILLWAY_REVISION")
    it.start(command(within=1))
    handle = Path(f"/proc/self/fd/{it._running._said.fileno()}")  # type: ignore[union-attr]
    most, give_up = 0, time.monotonic() + GIVE_UP_S
    while (end := it.poll()) is None:
        most = max(most, handle.stat().st_size if handle.exists() else 0)
        assert time.monotonic() < give_up
    assert end.exit_code is None
    assert end.said.strip().endswith("agent-chat-new")
    assert most <= 64 * 1024


def test_it_does_not_outlive_a_driver_that_is_killed(tmp_path: Path) -> None:
    deaf = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    driver = subprocess.Popen(
        python(
            "import sys, time; from datetime import timedelta; from pathlib import Path\n"
            "from pipeline.probe.command import Command; from pipeline.probe.command_runner import CommandRunner\n"
            f"runner = CommandRunner({{'it': (sys.executable, '-c', {deaf!r})}}, Path({str(tmp_path)!r}))\n"
            "runner.start(Command('it', 'http://c', 'http://s', 'r', 'k', timedelta(hours=1))); time.sleep(600)"
        )
    )
    try:
        give_up = time.monotonic() + GIVE_UP_S
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        driver.kill()
        driver.wait()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_secret_that_it_writes_goes_into_no_record(runner: Callable[..., CommandRunner]) -> None:
    SINK.learn("hunter2-hunter2")
    it = runner(*python("print('x' * 290 + 'hunter2-hunter2')"))
    it.start(command())
    assert "hunter2" not in ended(it).said


def test_one_whose_time_is_over_is_ended_with_all_that_it_started(
    runner: Callable[..., CommandRunner], tmp_path: Path
) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('up', 'w'); time.sleep(600)"
    )
    text = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {deaf!r}]);"
        "open('pid', 'w').write(str(child.pid)); child.wait()"
    )
    it = runner(*python(text))
    it.start(command(within=3))
    end = ended(it)
    assert end.exit_code is None
    assert end.seconds >= 3
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_stopping_takes_no_time_and_leaves_nothing(
    runner: Callable[..., CommandRunner], tmp_path: Path
) -> None:
    deaf = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    it = runner(*python(deaf))
    it.start(command())
    give_up = time.monotonic() + GIVE_UP_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    it.stop()
    assert is_gone(int((tmp_path / "pid").read_text()))
    assert not it.is_busy
    assert it.poll() is None


def test_what_cannot_be_begun_is_an_obstacle_and_no_failure(
    runner: Callable[..., CommandRunner], tmp_path: Path
) -> None:
    it = runner("no-such-command-anywhere")
    it.start(command())
    assert ended(it).obstacle == "No such file or directory: no-such-command-anywhere"
    it.start(command("gone"))
    assert ended(it).obstacle == "verify has no gone any more"
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    it = runner(str(tmp_path / "script"))
    it.start(command())
    assert ended(it).obstacle.startswith("Permission denied")
    (tmp_path / "script").chmod(0o700)
    it.start(command())
    assert ended(it).obstacle == f"No such file or directory: what the first line of {tmp_path}/script names"
    (tmp_path / "script").write_text("no first line")
    it.start(command())
    assert ended(it).obstacle.startswith("Exec format error")
    for word in ("a\0b", "\ud800"):
        it = runner(*python("pass"), word)
        it.start(command())
        assert ended(it).obstacle.startswith("it has a word that none can be: ")


def test_who_takes_one_step_waits_for_the_end(runner: Callable[..., CommandRunner]) -> None:
    it = runner(*python("import time; time.sleep(0.2)"), waits=True)
    it.start(command())
    end = it.poll()
    assert end is not None
    assert end.exit_code == 0


def is_gone(pid: int) -> bool:
    """Gone, or dead and waiting for init."""
    give_up = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
