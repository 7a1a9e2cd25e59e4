"""How fast ``spillway check`` is: whole commands beside ruff, the parser and git grep, in one run, as ratios.

    python -m bench.checks_speed [--files 2000] [--rounds 3]

Trees are made anew (``checks_tree.py``, seeded) in a temporary folder. Commands take turns, so that a machine whose speed
drifts drifts for all of them; what is compared are medians. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
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
        """Once: wall seconds, and the peak of its largest process."""
        self.before()
        began = time.perf_counter()
        process = subprocess.Popen(
            self.words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        )  # fmt: skip
        _, _, usage = os.wait4(process.pid, 0)
        self.seconds.append(time.perf_counter() - began)
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
        shutil.rmtree(cache, ignore_errors=True)

    def touch() -> None:
        changed.write_text(changed.read_text() + "\n# changed\n")

    two_rules = [*check, "--rule", "single-source", "--rule", "event-map"]
    made = [
        Command("git grep", ["git", "grep", "-c", checks_tree.HELPER]),
        Command("ruff F", [sys.executable, "-m", "ruff", "check", "--select", "F", "--no-cache", "."]),
        Command("ast.parse of all", [sys.executable, "-c", _PARSE_ALL, "."]),
        Command("two rules, cold", two_rules, cold),
        Command("all rules, cold", check, cold),
        Command("all rules, warm", check),
        Command("all rules, one changed", check, touch),
    ]
    return {command.name: command for command in made}


def plant(root: Path, count: int) -> Path:
    """A tree under git, with its configuration."""
    tree = root / f"tree-{count}"
    tree.mkdir()
    lines = checks_tree.plant(tree, count)
    (tree / "spillway.yaml").write_text(_CONFIG)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    print(f"{count} files, {lines:,} lines", flush=True)
    return tree


def measure(root: Path, count: int, rounds: int, only: Sequence[str] = ()) -> dict[str, Command]:
    tree, cache = plant(root, count), root / "cache"
    made = {name: command for name, command in commands(tree, cache).items() if not only or name in only}
    for _ in range(rounds):
        for command in made.values():
            command.run(tree, cache)
    for command in made.values():
        print(f"  {command.name:<24} {command.median:6.2f} s  {max(command.rss_mib):5.0f} MiB", flush=True)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--files", type=int, default=2000, help="of the small tree; the large one has four times as many"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        small = measure(Path(scratch), given.files, given.rounds)
        large = measure(Path(scratch), 4 * given.files, max(1, given.rounds - 1), ["all rules, cold"])
    ruff, parse = small["ruff F"].median, small["ast.parse of all"].median
    cold, grown = small["all rules, cold"], large["all rules, cold"]
    goals = [
        ("two rules / ruff", small["two rules, cold"].median / ruff, 0.5),
        ("all cold / ast.parse of all", cold.median / parse, 1.3),
        ("all warm / ruff", small["all rules, warm"].median / ruff, 0.5),
        ("one changed / ruff", small["all rules, one changed"].median / ruff, 0.6),
        ("four times the files", grown.median / cold.median, GROWTH),
        ("peak MiB", max(cold.rss_mib + grown.rss_mib), MAX_RSS_MIB),
    ]
    for name, value, most in goals:
        print(f"{name:<28} {value:7.2f}  at most {most:g}  {'ok' if value <= most else 'MISSED'}")
    return int(any(value > most for _, value, most in goals))


if __name__ == "__main__":
    raise SystemExit(main())
