"""The keys of the real command on a real terminal: asked, confirmed, done, and the terminal given back."""

from __future__ import annotations

import sys

from tests.e2e.project import STAGES, Project
from tests.processes import until
from tests.terminals import Terminal

HELP = "[p]romote [h]old [r]oll back [q]uit"


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
