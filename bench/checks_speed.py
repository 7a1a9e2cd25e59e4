"""How fast ``spillway check`` is: whole commands beside ruff, the parser and git grep, in one run, as ratios.

    python -m bench.checks_speed [--files 2000] [--rounds 3]

Trees are made anew (``checks_tree.py``, seeded) in a temporary folder. Commands take turns, so that a machine whose speed
drifts drifts for all of them; what is compared are medians of CPU seconds, all processes together, since seconds on a
clock tell more of what else runs. Exits 1 when a goal is missed.

"Cold" knows nothing of the tree: no file of it was looked at before. The configuration was read before in every round
but the first command's, which is shown apart: a command line and a schema are loaded there once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import checks_tree

MAX_RSS_MIB = 300
GROWTH = 4.2  # four times the files
_CONFIG = f"""\
service: bench
source: .
environments: {{local: {{endpoint: local}}}}
checks:
  single-source: [{{symbol: {checks_tree.HELPER}, home: {checks_tree.HOME}}}]
  event-map: [{{map: MESSAGE_TYPES, in: app/core/events.py, requires: {{run: START}}}}]
  json-safe-logs: {{safe: [{checks_tree.HELPER}]}}
scenarios: {{run: {{path: /ws, expect: [done]}}}}
"""
#: a file without event-map, for which it is proposed
_PROPOSING = "proposing.yaml"
_PARSE_ALL = """\
import ast, gc, os, sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
gc.disable()
def parse(paths):
    for path in paths:
        ast.parse(Path(path).read_bytes())
files = sorted(map(str, Path(sys.argv[1]).rglob("*.py")))
count = os.cpu_count() or 1
with ProcessPoolExecutor(count) as pool:
    list(pool.map(parse, [files[i::count * 4] for i in range(count * 4)]))
"""


@dataclass(slots=True)
class Command:
    """One command, its figures over the rounds, and what is done before each of them."""

    name: str
    words: Sequence[str]
    before: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)

    def run(self, folder: Path, cache: Path) -> None:
        """Once: CPU seconds, and the peak of its largest process."""
        self.before()
        process = subprocess.Popen(
            self.words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        )  # fmt: skip
        _, _, usage = os.wait4(process.pid, 0)
        self.seconds.append(usage.ru_utime + usage.ru_stime)
        self.rss_mib.append(usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024))
        process.returncode = 0

    @property
    def median(self) -> float:
        return median(self.seconds)


def commands(tree: Path, cache: Path) -> dict[str, Command]:
    """What takes turns on one tree."""
    check = [sys.executable, "-m", "pipeline", "check"]
    changed = next(tree.rglob("*service*.py"), next(tree.rglob("*.py")))

    def cold() -> None:
        shutil.rmtree(cache / "spillway" / "checks", ignore_errors=True)

    def touch() -> None:
        changed.write_text(changed.read_text() + "\n# changed\n")

    two_rules = [*check, "--rule", "single-source", "--rule", "event-map"]
    made = [
        Command("git grep", ["git", "grep", "-c", checks_tree.HELPER]),
        Command(
            "ruff F",
            [str(Path(sys.executable).with_name("ruff")), "check", "--select", "F", "--no-cache", "."],
        ),
        Command("ast.parse of all", [sys.executable, "-c", _PARSE_ALL, "."]),
        Command("two rules, cold", two_rules, cold),
        Command("all rules, cold", check, cold),
        Command("all rules, warm", check),
        Command("all rules, one changed", check, touch),
        Command("--discover, cold", [*check, "--discover"], cold),
        Command("--discover, proposing", [*check, "--discover", "-c", _PROPOSING], cold),
    ]
    return {command.name: command for command in made}


def plant(root: Path, count: int, *, is_dense: bool = False) -> Path:
    """A tree under git, with its configuration."""
    tree = root / f"tree-{count}{'-dense' if is_dense else ''}"
    tree.mkdir()
    lines = checks_tree.plant(tree, count, is_dense=is_dense)
    (tree / "spillway.yaml").write_text(_CONFIG)
    (tree / _PROPOSING).write_text("checks: {json-safe-logs: }\n")
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    print(f"{count} files, {lines:,} lines{', log calls dense' if is_dense else ''}", flush=True)
    return tree


def measure(
    root: Path, count: int, rounds: int, but: Sequence[str] = (), *, is_dense: bool = False
) -> dict[str, Command]:
    tree, cache = plant(root, count, is_dense=is_dense), root / "cache"
    made = {name: command for name, command in commands(tree, cache).items() if name not in but}
    first = Command("first of all", [sys.executable, "-m", "pipeline", "check", "--rule", "single-source"])
    first.run(tree, cache)
    for _ in range(rounds):
        for command in made.values():
            command.run(tree, cache)
    for command in (first, *made.values()):
        print(f"  {command.name:<24} {command.median:6.2f} s  {max(command.rss_mib):5.0f} MiB", flush=True)
    return made


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio, and what it may be at most."""

    name: str
    value: float
    most: float

    @property
    def is_met(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        return (
            f"{self.name:<30} {self.value:7.2f}  at most {self.most:g}  {'ok' if self.is_met else 'MISSED'}"
        )


def beside_ruff(made: dict[str, Command]) -> list[Goal]:
    ruff = made["ruff F"].median
    asked = (("two rules, cold", 0.5), ("all rules, warm", 0.5), ("all rules, one changed", 0.6))
    return [Goal(f"{name} / ruff", made[name].median / ruff, most) for name, most in asked]


def beside_parse(made: dict[str, Command]) -> list[Goal]:
    parse = made["ast.parse of all"].median
    asked = (("all rules, cold", 1.3), ("--discover, cold", 1.5))
    return [Goal(f"{name} / ast.parse", made[name].median / parse, most) for name, most in asked]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--files", type=int, default=2000, help="of the small tree; the large one has four times as many"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        small = measure(Path(scratch), given.files, given.rounds)
        dense = measure(Path(scratch), given.files // 2, given.rounds, is_dense=True)
        but = ["ast.parse of all", "--discover, cold", "--discover, proposing"]
        large = measure(Path(scratch), 4 * given.files, max(1, given.rounds - 1), but)
    cold, grown = small["all rules, cold"], large["all rules, cold"]
    print(f"{given.files} files, where starting Python is a third of it:")
    print(*(f"  {goal.name:<30} {goal.value:7.2f}" for goal in beside_ruff(small)), sep="\n")
    print("where half of the functions log structured fields:", *beside_parse(dense), sep="\n  ")
    goals = [
        *beside_ruff(large),
        *beside_parse(small)[:1],
        Goal("four times the files", grown.median / cold.median, GROWTH),
        Goal(
            "peak MiB",
            max(cold.rss_mib + grown.rss_mib + small["--discover, proposing"].rss_mib),
            MAX_RSS_MIB,
        ),
    ]
    print(f"{4 * given.files} files:", *goals, sep="\n  ")
    return int(not all(goal.is_met for goal in goals))


if __name__ == "__main__":
    raise SystemExit(main())
