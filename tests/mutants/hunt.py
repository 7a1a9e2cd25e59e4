"""Plant a bug in a copy of the tree, and see which test finds it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

from tests.mutants.mutant import ROOT, Mutant, place_of, sources

#: What is asked when the expected tests pass: all that is fast and needs nothing but this copy.
WIDER = (
    "tests",
    "--ignore=tests/e2e",
    "--ignore=tests/test_mutants.py",
    "--ignore=tests/test_probe_foreign.py",
    "--ignore-glob=tests/test_checks_*",
)
_NOT_COPIED = (".*", "__pycache__", "node_modules", "build", "*.egg-info")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class Broken(Exception):
    """The tests could not be run at all: that kills no mutant."""


class Copy:
    """A copy of the tree; tests that run in it import its code, not the working tree's."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self._folder = Path(
            shutil.copytree(root, folder / "tree", ignore=shutil.ignore_patterns(*_NOT_COPIED))
        )
        self._code = sources(self._folder)

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """The slip is in the code for the block. Raises DoesNotApply."""
        path = place_of(mutant, self._code)
        text = self._code[path]
        self._write(path, text.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            self._write(path, text)

    def _write(self, path: str, text: str) -> None:
        file = self._folder / path
        file.write_text(text, encoding="utf-8")
        # The same size within the same second would be taken for the same code.
        Path(cache_from_source(str(file))).unlink(missing_ok=True)

    def first_failure(self, tests: Sequence[str]) -> str | None:
        """The first of these tests that fails; None when all pass. Raises Broken when they cannot be run."""
        # A slip that only a lucky draw finds is found by no test: draws are the same each time.
        flags = ("-x", "-q", "--tb=no", "-rfE", "--hypothesis-seed=0")
        command = [sys.executable, "-m", "pytest", *flags, *tests]
        # Nothing of an outer pytest may steer the inner one.
        outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        ran = subprocess.run(
            command, cwd=self._folder, env={**outer, "PYTHONPATH": str(self._folder)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if ran.returncode == 0:
            return None
        failed = _FAILED.search(ran.stdout)
        if ran.returncode != 1 or failed is None:
            raise Broken(
                f"pytest {' '.join(tests)}: exit {ran.returncode}\n{(ran.stdout + ran.stderr)[-2000:]}"
            )
        return failed[1]
