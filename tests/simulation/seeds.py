"""Which seeds a run plays: fixed ones, and some that no run before has seen, taken from the commit."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

FIXED = 300
FRESH = 300
_ROOT = Path(__file__).parents[2]


def commit() -> str:
    """``SPILLWAY_COMMIT``, else what git says, else "unknown" (a tree without history): then no seed is fresh."""
    told = os.environ.get("SPILLWAY_COMMIT")
    if told:
        return told
    command = ["git", "-C", str(_ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def base_of(name: str) -> int:
    """Where the fresh seeds of a commit begin; far beyond the fixed ones."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) // FRESH * FRESH + 10_000 * FRESH


def of_ci() -> Sequence[range]:
    """The fixed range and the commit's; ``SPILLWAY_SEEDS`` and ``SPILLWAY_FIRST_SEED`` name another one instead."""
    if "SPILLWAY_SEEDS" in os.environ:
        first = int(os.environ.get("SPILLWAY_FIRST_SEED", "0"))
        return (range(first, first + int(os.environ["SPILLWAY_SEEDS"])),)
    base = base_of(commit())
    return range(FIXED), range(base, base + FRESH)


def told() -> str:
    """The ranges in words, and the commit that they follow from: enough to play them again."""
    words = " and ".join(f"{seeds[0]}-{seeds[-1]}" for seeds in of_ci())
    return f"simulation: seeds {words}, commit {commit()}"
