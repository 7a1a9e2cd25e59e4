"""How soon new connections are safe: the demo's chapter (b), a revision that fails only users with an account.

    python -m bench.safe [RUNS]

RUNS (50), each on a local Cloud Run of its own with a hundred users a second. From the first run that a user lost on the
candidate until traffic was seen to be back on stable; and how many users met it. Ends with 1 unless all were sent back.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.e2e.project import Project

RUNS = 50
_PATIENCE_S = 300  # for a chapter of half a minute


@dataclass(frozen=True, slots=True)
class Safe:
    """One chapter. ``seconds``: from the first bad run until new connections are safe; None: it was never seen to be."""

    outcome: str
    seconds: float | None
    affected: int

    @classmethod
    def of(cls, chapter: dict[str, Any]) -> Safe:
        return cls(
            chapter["outcome"], chapter["seconds_to_new_connections_safe"], chapter["user_sessions_affected"]
        )


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    each = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(runs):
            each.append(_chapter_b(Path(name) / str(number)))
            last = each[-1]
            said = f"{number + 1} of {runs}: {last.outcome}, safe after {last.seconds} s, {last.affected} affected"
            print(said, file=sys.stderr, flush=True)
    print(words(each))
    return 0 if all(safe.outcome == "rolled_back" and safe.seconds is not None for safe in each) else 1


def _chapter_b(folder: Path) -> Safe:
    folder.mkdir()
    try:
        done = Project(folder, folder / "none", patience_s=_PATIENCE_S).run(
            "demo", "--only", "b", "-o", "json"
        )
    except subprocess.TimeoutExpired:  # it has ended by now; what the others showed is not lost
        return Safe("did not end in time", None, 0)
    if done.code:
        raise SystemExit(f"the demo ended with {done.code}: {done.stderr}")
    return Safe.of(done.document["chapters"][0])


def words(each: Sequence[Safe]) -> str:
    """The figures as a table of two rows."""
    seconds = sorted(safe.seconds for safe in each if safe.seconds is not None)
    affected = sorted(safe.affected for safe in each if safe.seconds is not None)
    rows = [("first bad run to new connections safe, s", seconds), ("user sessions affected", affected)]
    lines = [f"{len(each)} runs, {sum(s.outcome == 'rolled_back' for s in each)} rolled back"]
    for name, values in rows:
        lines.append(f"{name:<42} median {median(values):g}  p95 {_p95(values):.1f}  most {values[-1]:g}")
    return "\n".join(lines)


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


if __name__ == "__main__":
    sys.exit(main())
