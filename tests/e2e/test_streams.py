"""What happens to the output of the real command changes neither what it does nor its exit code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.cli.app import app
from pipeline.local import daemon
from pipeline.model import CANDIDATE_TAG, Split
from tests.cilog import commands_in
from tests.e2e.project import Done, Project, image
from tests.processes import full_pipe
from tests.test_streams import Raising

SHOUTING = Path(__file__).parent / "shouting.py"


@pytest.fixture(scope="module")
def served(shared_local: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose service has two good revisions and a rollout that was promoted."""
    made = Project(tmp_path_factory.mktemp("served"), shared_local, "served")
    made.configure({"good": image(), "next": image("good", "2")})
    for name, outcome in (("good", "first_deployment"), ("next", "promoted")):
        done = made.run_here("rollout", "--image", name, "-o", "json")
        assert done.document["outcome"] == outcome, done.stderr
    return made


def split_evenly(project: Project) -> str:
    """Half of the traffic to each revision, by an operator's hand. Returns the one that is to get it all."""
    with project.platform() as platform:
        live = platform.read(project.ref)
        newest, oldest = (r.name for r in platform.revisions(project.ref))
        split = Split.between(oldest, newest, 50, live.wanted.targets)
        platform.write(project.ref, etag=live.etag, annotations=live.annotations, split=split)
    return oldest


#: What is broken, as a line of shell that ends in the command.
BREAKAGES = {
    "everything closed, few descriptors": 'ulimit -n 64; exec "$@" <&- >&- 2>&-',
    "a full disk": 'exec "$@" >/dev/full 2>/dev/full',
    "nobody reads": '"$@" -o ndjson 2>&1 | true; exit ${PIPESTATUS[0]}',
    "no folder, no environment": 'mkdir gone; cd gone; rmdir ../gone; exec env -i SPILLWAY_LOCAL_DIR="$SPILLWAY_LOCAL_DIR" "$@"',
    "a hostile environment": (
        "export PYTHONIOENCODING=ascii PYTHONWARNINGS=error PYTHONINSPECT=1 LC_ALL=xx_YY HOME=/nowhere TMPDIR=/nowhere "
        "COLUMNS=0 USER=$'\\xff' http_proxy=http://127.0.0.1:9 https_proxy=$http_proxy all_proxy=$http_proxy "
        'grpc_proxy=$http_proxy SPILLWAY_DIRECTORY=/nowhere SPILLWAY_CONFIG=/proc/self/mem; exec "$@" </dev/null'
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_roll_back_needs_nothing(served: Project, breakage: str, tmp_path: Path) -> None:
    good = split_evenly(served)
    command = (sys.executable, "-P", "-m", "pipeline", "rollback", served.ref.name)
    done = subprocess.run(
        ["bash", "-c", BREAKAGES[breakage], "-", *command], cwd=tmp_path, timeout=100, check=False,
        env={**os.environ, "SPILLWAY_LOCAL_DIR": str(served.local)}, capture_output=True,
    )  # fmt: skip
    assert (done.returncode, served.live().serving.serving) == (0, {good: 100}), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"ignored" not in done.stderr


def test_a_roll_back_waits_for_no_reader(served: Project) -> None:
    """Both streams are pipes that are full and that nobody reads."""
    good = split_evenly(served)
    with full_pipe() as out, full_pipe() as err:
        process = subprocess.run(
            [sys.executable, "-m", "pipeline", "rollback", served.ref.name], stdout=out, stderr=err, timeout=100,
            env={**os.environ, "SPILLWAY_LOCAL_DIR": str(served.local)}, check=False,
        )  # fmt: skip
    assert (process.returncode, served.live().serving.serving) == (0, {good: 100})


def test_a_collector_that_dies_midway_leaves_no_traffic_on_a_failing_candidate(project: Project) -> None:
    """The night this tool exists for: half of the users are on a candidate that begins to fail, and the log is gone."""
    switch = project.folder / "switch"
    project.configure(
        {"good": image(), "late": f'{{command: ["{sys.executable}", "{SHOUTING.with_name("late.py")}", "{switch}"]}}'},
        ("{percent: 0}", "{percent: 50, soak: 60s}", "{percent: 100, soak: 1s}"),
    )  # fmt: skip
    stable = next(iter(project.live().serving.serving))
    with project.start("rollout", "--image", "late", "-o", "ndjson") as process:
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            if '"percent": 50' in line and '"shifted"' in line:
                break
        process.stdout.close()
        process.stderr.close()
        assert project.live().serving.serving[stable] == 50
        switch.touch()
        assert process.wait(timeout=100) == 11
    assert project.live().serving.serving == {stable: 100}


@pytest.fixture
def shouting(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project one of whose images shouts, and what it takes to run commands in this process."""
    program = f'"{sys.executable}", "{SHOUTING}"'
    project.configure({
        "good": image(), "loud": f"{{command: [{program}]}}", "dead": f"{{command: [{program}, crash]}}"
    })  # fmt: skip
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("SPILLWAY_LOCAL_DIR", str(project.local))
    monkeypatch.setenv("CI", "true")
    return project


def run(*words: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main.run(words)
    return Done(code, out.getvalue(), err.getvalue())


def test_no_command_lets_a_service_command_the_ci(shouting: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = [run("rollout", "--image", "loud", *form) for form in ((), ("-o", "ndjson", "--retry"))]
    assert [done.code for done in ran] == [11, 11], ran
    tagged = next(t.uri for t in shouting.live().serving.targets if t.tag == CANDIDATE_TAG)
    commands = [
        "status", "tick", "promote", "report", f"probe {tagged} -n 2", "plan --image loud", "rollout --image loud",
        "local logs", "local logs -o ndjson", "local logs -o json", "local status", "local status -o json",
        "local up", "local down --dry-run", "status -o json", "report -o json", f"probe {tagged} -n 1 -o json",
        "check", "rollback", "rollback ::error::x", "rollout --image ::error::x", "local logs --filter ::error::",
        "unpin --dry-run", "unpin ::error::x", "::error::x", "rollback --::error::x", "rollout --image dead", "status", "local status", "rollback",
        "doctor", "doctor -o json", "init --dry-run", "schema",
    ]  # fmt: skip
    for width in ("40", "61"):
        monkeypatch.setenv("COLUMNS", width)
        ran += [run(*line.split()) for line in commands]
    for done in ran:
        assert commands_in(done.stdout) == []
        assert commands_in(done.stderr) == []
        assert "Traceback" not in done.stderr
    everything = "".join(done.stdout + done.stderr for done in ran)
    assert everything.count("error") > 100, "it did shout"
    words = {line.split()[0] for line in commands} | {"demo"}  # which prints as rollout and status do
    assert {c.name or c.callback.__name__ for c in app.registered_commands if c.callback} <= words


def test_a_state_folder_that_cannot_be_written_is_told_and_stops_nothing(project: Project) -> None:
    (project.folder / ".spillway").rename(project.folder / "was")
    (project.folder / ".spillway").write_text("a file where the folder should be")
    done = project.run("rollout", "--image", "bad", "-o", "json")
    assert (done.code, done.document["outcome"]) == (11, "stopped_at_zero")
    assert done.document["reports"] == []
    assert "no journal" in done.stderr
    assert "no report" in done.stderr
    assert daemon.status(project.local)["pid"]
    back = project.run("rollback", "--to", str(done.document["stable"]))
    assert back.code == 0, back.stderr
    assert "no journal" in back.stderr
    assert "the roll-back does not need it" in back.stderr
    assert "the rollout goes on" not in back.stderr


@pytest.mark.parametrize("line", ["status --watch", "local logs --follow -n 3"])
def test_a_watch_ends_when_nobody_watches(shouting: Project, line: str) -> None:
    run("probe", shouting.live().uri, "-n", "3")  # something to tell
    with redirect_stdout(Raising(BrokenPipeError())):
        assert main.run(line.split()) == 0
