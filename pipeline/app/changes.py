"""Which files of the repository changed since a commit, for the report: git is asked, nothing of the repository runs."""

from __future__ import annotations

from pathlib import Path

from checks.tree.git import GitRefused, run_git
from pipeline.errors import UserError

MOST = 500


def since(folder: Path, commit: str) -> tuple[str, ...]:
    """``M app/ws.py``: each file that HEAD has otherwise than the commit, in git's order. Raises UserError."""
    try:
        found = run_git(
            folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"
        )
        told = run_git(
            folder, "diff", "--name-status", "--no-renames", "-z", found.decode().strip(), "HEAD", "--"
        )
    except GitRefused as error:
        raise UserError(
            f"--commit {commit}: no such commit in {folder}",
            str(error),
            "Give one that this clone has (git fetch --unshallow), or leave --commit out.",
        ) from error
    words = told.decode(errors="replace").split("\0")
    return tuple(f"{kind} {path}" for kind, path in zip(words[::2], words[1::2], strict=False))[:MOST]
