"""Which files of the repository changed since a commit, for the report: git is asked, nothing of the repository runs."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from checks.tree.git import GitRefused, run_git
from pipeline.errors import UserError

MOST = 500
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def built_from(option: str) -> str:
    """The commit of an image: what ``--commit`` says, else the one that a job of GitHub's runs for; empty: not known.

    Raises: UserError for an option that is none.
    """
    if option and not _COMMIT.fullmatch(option):
        raise UserError(
            f"--commit {option}: not a commit",
            "It stands in the record, so that the next report can tell what has changed since.",
            "Give it by its hexadecimal name, as git rev-parse HEAD says it.",
        )
    said = option or os.environ.get("GITHUB_SHA", "")
    return said if _COMMIT.fullmatch(said) else ""


def since(folder: Path, commit: str, until: str = "") -> tuple[str, ...]:
    """``M app/ws.py``: each file that ``until`` has otherwise than the commit, in git's order. Raises UserError.

    Args:
        until: a commit; HEAD where it is empty, or not in this clone.
    """
    try:
        found = _found(folder, commit)
        last = "HEAD"
        if until:
            with suppress(GitRefused):
                last = _found(folder, until)
        told = run_git(folder, "diff", "--name-status", "--no-renames", "-z", found, last, "--")
    except GitRefused as error:
        raise UserError(
            f"--since {commit}: no such commit in {folder}",
            str(error),
            "Give one that this clone has (git fetch --unshallow), or leave --since out.",
        ) from error
    words = told.decode(errors="replace").split("\0")
    return tuple(f"{kind} {path}" for kind, path in zip(words[::2], words[1::2], strict=False))[:MOST]


def _found(folder: Path, commit: str) -> str:
    """Raises GitRefused."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    return run_git(folder, *words).decode().strip()
