"""What starting costs: whole commands beside the import of Google's Cloud Run package, in one run, as ratios.

    python -m bench.startup [--rounds 7]

Commands take turns, so that a machine whose speed drifts drifts for all of them; what is compared are medians. The share
that is imports comes from runs of each under ``-X importtime``. ``rollback`` gives traffic back from 50/50, ``status``
looks at that rollout, ``plan`` plans the next one of another service; all three on a local Cloud Run. Of ``rollback`` it is
the time until it says that traffic was read back; that it then watches for two seconds is no work of its own. Exits 1
when a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from typer.main import get_command

from bench.checks_speed import Goal
from pipeline.cli.app import app
from pipeline.core.rollout import Phase
from pipeline.local import daemon
from tests.e2e.project import Project
from tests.faults.breakages import Night
from tests.faults.lanes import Lane

YARDSTICK = "import google.cloud.run_v2"
MOST = {"rollback": 0.5, "status": 0.5, "plan": 1.2}
MOST_HELP = 0.25
MOST_OWN = 0.3  # of plan, without its imports
_SPILLWAY = ("-m", "pipeline")
_TRACED = 3  # runs under -X importtime
_IMPORT = re.compile(
    r"^import time: +(\d+) \|", re.MULTILINE
)  # microseconds of a module, without what it imports


@dataclass(slots=True)
class Command:
    """One command line of Python, its figures over the rounds, and what is done before each of them.

    Args:
        until: how the line on stderr begins that ends what is measured; empty for the end of the process.
    """

    name: str
    words: Sequence[str]
    folder: Path
    before: Callable[[], object] = lambda: None
    until: str = ""
    seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def run(self) -> None:
        self.seconds.append(self._run()[0])

    def trace(self) -> None:
        took, told = self._run("-X", "importtime")
        self.shares.append(sum(map(int, _IMPORT.findall(told))) / 1e6 / took)

    def _run(self, *options: str) -> tuple[float, str]:
        """Wall seconds, and what was said on stderr in them."""
        self.before()
        began, told, rest = time.perf_counter(), "", ""
        with subprocess.Popen(
            [sys.executable, *options, *self.words], cwd=self.folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            is_done = False
            for line in process.stderr:
                told += line
                if is_done := bool(self.until) and line.startswith(self.until):
                    break
            else:
                process.wait()
            took = time.perf_counter() - began
            rest = process.stderr.read()
        assert process.returncode == 0, f"{self.name}: {process.returncode}\n{told}{rest}"
        assert is_done or not self.until, f"{self.name} never said {self.until!r}:\n{told}"
        return took, told

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def imports(self) -> float:
        """The share of the time that goes into imports."""
        return median(self.shares)


def helps(folder: Path, command: object, words: tuple[str, ...] = ()) -> Iterator[Command]:
    """``--help`` of every command, and of every group of them."""
    asked = (*words, "--help")
    yield Command(" ".join(asked), (*_SPILLWAY, *asked), folder)
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(folder, inner, (*words, name))


def working(root: Path, state: Path) -> Iterator[Command]:
    """Commands that talk to a Cloud Run."""
    night = Night.of(Lane(Project(root / "one", state, "one")))
    lane = night.lane

    def half_way() -> None:
        lane.write(night.moment, night.moment.split, Phase.ROLLING)

    yield Command(
        "rollback", (*_SPILLWAY, "rollback", lane.project.ref.name), lane.project.folder, half_way,
        until="traffic is back: 100% on ",
    )  # fmt: skip
    yield Command("status", (*_SPILLWAY, "status"), lane.project.folder, half_way)
    other = Lane(Project(root / "other", state, "other"))
    other.begin_with(other.next_build())
    yield Command("plan", (*_SPILLWAY, "plan", "--image", other.latest), other.project.folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("SPILLWAY_", "GITHUB_"))]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        state = root / "state"
        os.environ |= {"CI": "true", "NO_COLOR": "1", "SPILLWAY_LOCAL_DIR": str(state)}
        # Compiled once, all of it: else what an installer compiled is held against what each start compiles anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(root / "compiled")
        daemon.up(state, {}, strict_masks=True)
        try:
            made = [Command("yardstick", ("-c", YARDSTICK), root), *working(root, state)]
            made += helps(root, get_command(app))
            return tell(measured(made, given.rounds))
        finally:
            daemon.down(state)


def measured(made: Sequence[Command], rounds: int) -> Sequence[Command]:
    """All of them in turns; the first round, which compiles and fills the disk's cache, does not count."""
    for command in made * (rounds + 1):
        command.run()
    for command in made:
        command.seconds.pop(0)
    for command in made * _TRACED:
        command.trace()
    return made


def tell(made: Sequence[Command]) -> int:
    """Print the figures. Returns the exit code."""
    yardstick, *others = made
    print(f"{YARDSTICK}: {yardstick.median:.2f} s; the others beside it, and their share that is imports:")
    goals = []
    for command in others:
        ratio, most = command.median / yardstick.median, MOST.get(command.name, MOST_HELP)
        goals.append(Goal(command.name, ratio, most))
        print(f"  {goals[-1]}  {command.median:6.3f} s, imports {command.imports:.0%}")
        if command.name == "plan":
            goals.append(Goal("plan, but for imports", ratio * (1 - command.imports), MOST_OWN))
            print(f"  {goals[-1]}")
    return int(not all(goal.is_met for goal in goals))


if __name__ == "__main__":
    raise SystemExit(main())
