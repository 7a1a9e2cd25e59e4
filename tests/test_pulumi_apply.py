"""The program under Pulumi's CLI, as far as no CLI is needed: which one, what it is told, what its faults are called."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from pulumi import automation

from infra.live import Live
from infra.settings import Settings, Template
from pipeline.app.programs import EngineChoice, Program
from pipeline.cloudrun.pulumi import cli as cli_module
from pipeline.cloudrun.pulumi import faults
from pipeline.cloudrun.pulumi.apply import PulumiCli
from pipeline.cloudrun.pulumi.cli import Cli
from pipeline.cloudrun.pulumi.found import VERSION, Found, found
from pipeline.cloudrun.pulumi.home import CloudHome
from pipeline.errors import AccessError, PlatformError, PlatformUnavailable, SpillwayError, UserError
from pipeline.local.provider.service import LocalProvider
from tests import pulumi_cli
from tests.contract.cloud import Cloud

SETTINGS = Settings("local", "here", "chat", Template("good"), deletion_protection=False)


def no_etag(_: Settings) -> str:
    return ""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it, and a cache with nothing in it."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def put(command: Path, text: str) -> None:
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(f"#!/bin/sh\n{text}\n")
    command.chmod(0o755)


def cached(path: Path) -> Path:
    return path.parent / "cache" / "spillway" / "pulumi" / VERSION / "bin" / "pulumi"


def test_without_a_cli_it_says_how_to_get_one(path: Path) -> None:
    with pytest.raises(UserError) as caught:
        found()
    assert "Pulumi CLI" in caught.value.what
    assert "make pulumi" in caught.value.fix
    assert "roll back" in caught.value.fix


@pytest.mark.parametrize("says", ["v3.200.0", "3.200.0", "v3.272.1", "v4.0.0"])
def test_the_path_goes_first(path: Path, says: str) -> None:
    put(path / "pulumi", f"echo {says}")
    put(cached(path), "echo v3.200.0")
    assert found() == Found(says.removeprefix("v"))


def test_the_cache_goes_second(path: Path) -> None:
    put(cached(path), "echo v3.200.0")
    assert found() == Found(VERSION, cached(path).parents[1])


@pytest.mark.parametrize(
    "text", ["echo v3.199.9", "echo", "echo v3.200.0; exit 1", "echo something else", "exit 127"]
)
def test_one_that_cannot_be_used_is_passed_over_and_named(path: Path, text: str) -> None:
    put(path / "pulumi", text)
    with pytest.raises(UserError) as caught:
        found()
    assert str(path / "pulumi") in caught.value.why
    assert VERSION in caught.value.why
    put(cached(path), "echo v3.200.0")
    assert found().root is not None


def test_auto_does_without_and_says_so_when_it_applies(path: Path, cloud: Cloud) -> None:
    said: list[str] = []
    settings = Settings("local", "here", cloud.fresh_id(), Template("good"), deletion_protection=False)
    Program(cloud.channel, path, EngineChoice.AUTO, said.append).apply(settings)
    assert any("engine" in line and "not used" in line for line in said)


@pytest.mark.parametrize(
    ("engine", "channel"),
    [(EngineChoice.PULUMI, True), (EngineChoice.AUTO, False), (EngineChoice.PULUMI, False)],
)
def test_what_is_asked_for_and_not_to_be_had_is_told(
    path: Path, cloud: Cloud, engine: EngineChoice, channel: bool
) -> None:
    with pytest.raises(UserError, match="Pulumi CLI"):
        _ = Program(cloud.channel if channel else None, path, engine).chosen


def test_in_the_cloud_there_is_no_in_process(path: Path) -> None:
    with pytest.raises(UserError, match="in-process"):
        _ = Program(None, path, EngineChoice.IN_PROCESS).chosen


def test_auto_says_why_it_does_without_one_that_is_too_old(path: Path, cloud: Cloud) -> None:
    put(path / "pulumi", "echo v3.100.0")
    said: list[str] = []
    _ = Program(cloud.channel, path, EngineChoice.AUTO, said.append).chosen
    assert "3.100.0" in said[0]


def test_a_stacks_own_settings_are_taken_along(tmp_path: Path) -> None:
    """Who keeps its secrets stands in them."""
    (tmp_path / "Pulumi.p.l.s.yaml").write_text("secretsprovider: gcpkms://key\n")
    with CloudHome(tmp_path).opened("p.l.s") as (folder, _):
        assert (Path(folder) / "Pulumi.p.l.s.yaml").read_text() == "secretsprovider: gcpkms://key\n"


def test_auto_takes_the_cli_that_is_there(path: Path, cloud: Cloud) -> None:
    put(path / "pulumi", "echo v3.200.0")
    assert isinstance(Program(cloud.channel, path, EngineChoice.AUTO).chosen, PulumiCli)


def test_a_cli_that_hangs_for_one_service_holds_no_other(
    path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def first_hangs() -> Found:
        if not asked.is_set():
            asked.set()
            go_on.wait(30)
        raise UserError("no CLI")

    monkeypatch.setattr("pipeline.cloudrun.pulumi.found.found", first_hangs)

    def chosen() -> None:
        _ = Program(cloud.channel, path, EngineChoice.AUTO).chosen

    hung, other = threading.Thread(target=chosen, daemon=True), threading.Thread(target=chosen, daemon=True)
    hung.start()
    assert asked.wait(30)
    other.start()
    other.join(10)
    try:
        assert not other.is_alive()
    finally:
        go_on.set()
        hung.join(30)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Found:
    """A Pulumi CLI on the path; see ``pulumi_cli.py``."""
    put(tmp_path / "pulumi", f'exec {sys.executable} -P {pulumi_cli.__file__} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Found(VERSION)


@pytest.mark.parametrize(
    "fault",
    [AccessError("read chat: not allowed", "no", "Log in"), PlatformUnavailable("read chat: no answer")],
)
def test_a_read_that_fails_under_the_cli_is_told_as_what_it_is(
    cloud: Cloud, cli: Found, fault: SpillwayError
) -> None:
    def blind(_: Settings) -> Live | None:
        raise fault

    with pytest.raises(type(fault)) as caught:
        PulumiCli(blind, no_etag, cli, CloudHome(Path()), lambda: LocalProvider(cloud.channel)).apply(
            SETTINGS
        )
    assert str(caught.value) == str(fault)


def test_what_is_asked_is_on_no_command_line(cloud: Cloud, cli: Found, tmp_path: Path) -> None:
    """There everybody on the machine could read it, and it could not be long."""
    put(
        tmp_path / "pulumi",
        f'echo "$@" >> {tmp_path}/words\nexec {sys.executable} -P {pulumi_cli.__file__} "$@"',
    )
    asked = replace(SETTINGS, template=Template("good", env={"TOKEN": "open-sesame" * 20_000}))
    seen: list[Settings] = []

    def read(settings: Settings) -> Live | None:
        seen.append(settings)
        raise PlatformUnavailable("enough")

    with pytest.raises(PlatformUnavailable, match="enough"):
        PulumiCli(read, no_etag, cli, CloudHome(Path()), lambda: LocalProvider(cloud.channel)).apply(asked)
    assert seen == [asked]
    words = (tmp_path / "words").read_text()
    assert "config set" in words
    assert "sesame" not in words


def test_any_other_fault_under_the_cli_is_told_with_its_last_lines(cloud: Cloud, cli: Found) -> None:
    def broken(_: Settings) -> Live | None:
        raise RuntimeError("our mistake")

    with pytest.raises(PlatformError) as caught:
        PulumiCli(broken, no_etag, cli, CloudHome(Path()), lambda: LocalProvider(cloud.channel)).apply(
            SETTINGS
        )
    assert "our mistake" in caught.value.why
    assert "spillway rollback projects/" in caught.value.fix


def complaint(stderr: str) -> automation.CommandError:
    return automation.CommandError(automation.CommandResult("", stderr, 255))


@pytest.mark.parametrize(
    ("stderr", "what", "fix"),
    [
        (
            "error: constructing secrets manager: incorrect passphrase",
            "passphrase",
            "PULUMI_CONFIG_PASSPHRASE",
        ),
        (
            "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
            "backend",
            "login",
        ),
        (
            "error: no resource plugin 'pulumi-resource-gcp' found in the workspace",
            "plugin",
            "plugin install",
        ),
        ("error: something new", "pulumi up of local.here.chat failed", "tries again"),
    ],
)
def test_each_complaint_says_the_way_out_and_that_a_roll_back_needs_none(
    stderr: str, what: str, fix: str
) -> None:
    told = faults.told(complaint(stderr), SETTINGS)
    assert isinstance(told, PlatformError)
    assert what in told.what
    assert told.why == stderr
    assert fix in told.fix
    assert told.fix.endswith(f"spillway rollback {SETTINGS.ref.name}")


def test_of_a_long_answer_what_was_wrong_is_told() -> None:
    stdout = (
        "Updating (x):\n +  gcp:cloudrunv2:Service chat updating\nDiagnostics:\n  gcp:cloudrunv2:Service (chat):\n"
        "    error: revision is not ready\n  pulumi:pulumi:Stack (s):\n    error: update failed\n\n"
        "Outputs:\n" + "  - a: 1\n" * 20 + "Resources:\n    2 unchanged\n\nDuration: 1s\n"
    )
    told = faults.told(automation.CommandError(automation.CommandResult(stdout, "", 255)), SETTINGS)
    assert "error: revision is not ready" in told.why
    assert "Outputs" not in told.why


def locked(host: str, pid: int) -> automation.ConcurrentUpdateError:
    text = (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the"
        f" lock file with `pulumi cancel`.\n  file:///x/y.json: created by me@{host} (pid {pid}) at 2026-11-27T07:00:00Z"
    )
    return automation.ConcurrentUpdateError(automation.CommandResult("", text, 255))


def test_a_lock_says_who_holds_it() -> None:
    told = faults.told(locked("elsewhere", 7), SETTINGS)
    assert isinstance(told, PlatformUnavailable), "it is waited for"
    assert "me@elsewhere (pid 7)" in told.why
    assert "pulumi cancel" in told.fix


def test_whose_process_is_gone_on_this_machine_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert faults.holders_are_dead(locked(socket.gethostname(), process.pid))
    assert not faults.holders_are_dead(locked(socket.gethostname(), os.getpid()))
    assert not faults.holders_are_dead(locked("elsewhere", process.pid))


@pytest.fixture
def stubborn(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CLI that does not end when it is asked to; the file that it writes at its own end, a line later."""
    monkeypatch.setenv("PATH", f"{path}:{os.defpath}")
    monkeypatch.setattr(cli_module, "GRACE_S", 0.2)
    end = path / "end"
    steps = f'trap "" INT; echo begun; while [ ! -e {path}/go ]; do sleep 0.05; done; echo more; echo done > {end}'
    put(path / "pulumi", f'if [ "$1" = version ]; then echo v{VERSION}; else {steps}; fi')
    return end


def wait_for(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.02)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a process that is left
def test_one_that_does_not_end_is_left_behind_and_goes_on_without_us(stubborn: Path) -> None:
    stopped, lines = threading.Event(), list[str]()
    cli = Cli(Found(VERSION), stopped.is_set)

    def heard(line: str) -> None:
        lines.append(line)
        stopped.set()

    with pytest.raises(PlatformUnavailable, match="goes on as process") as caught:
        cli.run(["up"], str(stubborn.parent), {}, on_output=heard)
    assert lines == ["begun"]
    pid = int(caught.value.what.rpartition(" ")[2])
    assert os.getsid(pid) == pid, "a session of its own: no terminal's signal reaches it"
    (stubborn.parent / "go").touch()
    wait_for(stubborn.exists)
    os.waitpid(pid, 0)
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a process that is left
def test_an_exception_in_the_middle_asks_it_to_end_too(stubborn: Path) -> None:
    """Ctrl-C a second time, or the alarm of the first: wherever we are."""

    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cli(Found(VERSION)).run(["up"], str(stubborn.parent), {}, on_output=interrupted)
    gc.collect()  # where what is left is expected
    assert not stubborn.exists()
    (stubborn.parent / "go").touch()
    wait_for(stubborn.exists)


def test_what_it_says_comes_line_by_line_and_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{path}:{os.defpath}")
    put(
        path / "pulumi",
        f'if [ "$1" = version ]; then echo v{VERSION}; else printf "a\\n\\nb"; printf "x\\ny\\n" >&2; fi',
    )
    lines, complaints = list[str](), list[str]()
    done = Cli(Found(VERSION)).run(["up"], str(path), {}, on_output=lines.append, on_error=complaints.append)
    assert (done.stdout, done.stderr) == ("a\n\nb", "x\ny")
    assert lines == ["a", ""]
    assert complaints == ["x", "y"]
