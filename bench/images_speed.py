"""How fast an unchanged image folder is known again: 10,000 files, beside reading and copying them.

    python -m bench.images_speed [--files 10000] [--rounds 5]

Exits 1 when knowing them again takes more than half of reading them, which are small and in memory.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from pipeline.local.images import builds
from pipeline.local.images.catalogue import Image

SHARE = 0.5
_RACY_S = 2.5  # younger files are read again


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        return _measure(Path(name), given.files, given.rounds)


def _measure(folder: Path, files: int, rounds: int) -> int:
    source, state = folder / "source", folder / "state"
    for n in range(files):
        file = source / f"d{n % 200}" / f"f{n}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"VALUE = {n}\n" * 100)
    image = Image(("python", "main.py"), str(source))
    plain = _row(f"{files:,} files in a folder", image, state / "plain", rounds)
    subprocess.run(["git", "-C", source, "init", "-q"], check=True)
    subprocess.run(["git", "-C", source, "add", "."], check=True)
    checkout = _row(f"{files:,} files in a checkout", image, state / "checkout", rounds)
    return int(max(plain, checkout) > SHARE)


def _row(name: str, image: Image, state: Path, rounds: int) -> float:
    """Prints one row; returns what knowing again costs as a share of reading."""

    def know() -> None:
        builds.reference(state, "image", image)

    def pin() -> None:
        with builds.pin(state, "image", image):
            pass

    time.sleep(_RACY_S)
    cold, warm = _seconds(know), median(_seconds(know) for _ in range(rounds))
    copied, again = _seconds(pin), median(_seconds(pin) for _ in range(rounds))
    print(
        f"{name}: read {cold:.2f} s, known again {warm:.3f} s ({warm / cold:.2f} of it, goal {SHARE:g}); "
        f"copied {copied:.2f} s, found again and compared {again:.3f} s ({again / copied:.2f} of it)"
    )
    return warm / cold


def _seconds(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


if __name__ == "__main__":
    raise SystemExit(main())
