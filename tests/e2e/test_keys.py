"""The keys of the real command on a real terminal: asked, confirmed, done, and the terminal given back."""

from __future__ import annotations

import os
import signal
import sys

from tests.e2e.project import STAGES, Project, image
from tests.processes import until
from tests.terminals import Terminal

HELP = "[p]romote [h]old [r]oll back [q]uit"


def test_a_rollout_that_somebody_else_drives_is_held_promoted_and_rolled_back_by_who_watches(
    project: Project,
) -> None:
    project.configure(
        {"good": image(), "next": image("good", "2")}, (STAGES[0], "{percent: 50, soak: 10m}", STAGES[-1])
    )
    before = project.live().serving.serving
    begun = project.run_here("rollout", "--image", "next", "--no-wait")
    assert begun.code == 0, begun.stderr
    until(lambda: project.run_here("tick", "-o", "json").document["percent"] == 50)
    environ = {name: value for name, value in project.environ.items() if name != "CI"}
    terminal = Terminal(
        sys.executable,
        "-m",
        "pipeline",
        "status",
        "--watch",
        cwd=project.folder,
        env={**environ, "TERM": "xterm"},
    )
    terminal.expect("connecting ...")
    terminal.expect(HELP)
    until(lambda: not terminal.echoes)
    terminal.type("hy")
    terminal.expect("PAUSED")
    assert project.run_here("tick", "-o", "json").document["outcome"] == "paused"
    terminal.type("hpn")  # there is nothing to hold
    terminal.expect("promote to the next stage now? [y/n]")
    terminal.type("py")
    terminal.expect("ROLLING")
    terminal.type("ry")
    terminal.expect("ROLLED BACK")
    until(lambda: project.live().serving.serving == before)
    terminal.type("qy")
    assert terminal.close() == 0
    told = project.run_here("status", "-o", "json").document
    assert (told["outcome"], told["reason"]) == ("rolled_back_by_hand", "an operator said so at the keyboard")


def test_a_single_step_offers_no_keys(project: Project) -> None:
    environ = {name: value for name, value in project.environ.items() if name != "CI"}
    terminal = Terminal(
        sys.executable, "-m", "pipeline", "tick", cwd=project.folder, env={**environ, "TERM": "xterm"}
    )
    terminal.expect("first_deployment")
    assert terminal.close() == 0
    assert "rollback target" in terminal.said
    assert HELP not in terminal.said, "nobody would obey them"


def test_a_terminal_that_cannot_redraw_gets_each_look(project: Project) -> None:
    environ = {name: value for name, value in project.environ.items() if name != "CI"}
    terminal = Terminal(
        sys.executable,
        "-m",
        "pipeline",
        "status",
        "--watch",
        cwd=project.folder,
        env={**environ, "TERM": "dumb"},
    )
    for _ in range(2):
        terminal.expect("rollback target")
    os.kill(terminal.pid, signal.SIGINT)
    assert terminal.close() == 130


def test_a_rollout_is_promoted_and_rolled_back_at_the_keys(project: Project) -> None:
    slow = ("{percent: 25, soak: 10m}", "{percent: 50, soak: 10m}")
    project.configure(
        {"good": f"{{command: {[sys.executable, '-m', 'pipeline.demo.service', '--behaviour', 'good']}}}",
         "next": f"{{command: {[sys.executable, '-m', 'pipeline.demo.service', '--behaviour', 'good']}, env: {{BUILD: n}}}}"},
        (STAGES[0], *slow, STAGES[-1]),
    )  # fmt: skip
    before = project.live().serving.serving
    environ = {name: value for name, value in project.environ.items() if name != "CI"}
    terminal = Terminal(
        sys.executable, "-m", "pipeline", "rollout", "--image", "next",
        cwd=project.folder, env={**environ, "TERM": "xterm"},
    )  # fmt: skip
    terminal.expect("connecting ...")
    terminal.expect(HELP)
    until(lambda: not terminal.echoes)
    terminal.expect("25%  ")
    terminal.type("h")
    terminal.expect("hold it here, until spillway promote? [y/n]")
    terminal.type("n")
    terminal.expect(HELP)
    terminal.type("py")
    terminal.expect("50%  ")
    assert 50 in project.live().wanted.serving.values()
    terminal.type("ry")
    terminal.expect("rolled_back_by_hand")
    assert terminal.echoes
    assert terminal.close() == 11
    assert project.live().serving.serving == before
