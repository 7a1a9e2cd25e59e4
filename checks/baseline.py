"""Old findings that are known: a file of their prints, so that only new ones count."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from checks.errors import CheckError
from checks.finding import Finding
from checks.tree.files import READ_LIMIT_BYTES


def load(path: Path) -> frozenset[str]:
    """The prints of known findings. Raises CheckError when the file is not one of ours."""
    try:
        _refuse_what_is_no_file(path)
        document = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(str(row["print"]) for row in document["findings"])
    except FileNotFoundError as error:
        raise CheckError(
            f"baseline {path}: not there", fix=f"Write it: spillway check --baseline {path} --write-baseline"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckError(
            f"baseline {path}: not a baseline", str(error), "Write it anew: --write-baseline"
        ) from error


def _refuse_what_is_no_file(path: Path) -> None:
    """A pipe would hold us for ever, and a device has no end. Raises CheckError, OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise CheckError(f"baseline {path}: not a regular file", fix="Name another: --baseline FILE")
    if found.st_size > READ_LIMIT_BYTES:
        raise CheckError(
            f"baseline {path}: not a baseline",
            f"It has {found.st_size:,} bytes; at most {READ_LIMIT_BYTES:,} are read.",
        )


def save(path: Path, findings: Iterable[Finding]) -> None:
    """Write the prints, each with what a person needs to recognise it. Raises CheckError."""
    rows = [{"print": f.print, "rule": f.rule, "path": f.path, "message": f.message} for f in findings]
    text = json.dumps({"version": 1, "findings": rows}, indent=1, ensure_ascii=True)
    try:
        if os.path.lexists(path):
            _refuse_what_is_no_file(path)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckError(f"baseline {path}: cannot be written", str(error)) from error
