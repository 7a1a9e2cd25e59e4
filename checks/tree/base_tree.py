"""The state to compare with: a git ref or a folder; only files that differ are ever read."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Protocol

from checks.errors import CheckError
from checks.tree import files
from checks.tree.git import GitRefused, run_git


class Base(Protocol):
    """What the tree was before."""

    name: str

    @property
    def changed(self) -> tuple[str, ...]:
        """Python files that were there before and are different or gone now, sorted. Raises CheckError."""
        ...

    def read(self, path: str) -> bytes | None:
        """What the file held before; None when it was not there. Raises CheckError when git cannot be asked."""
        ...


def open_base(root: Path, base: str) -> Base:
    """A folder if there is one of that name, else a git ref. Raises CheckError, also for a name that is both."""
    folder = Path(base)
    if not os.path.isdir(folder):
        return GitBase(root, base)
    if not base.startswith((".", "/")) and _is_commit(root, base):
        raise CheckError(
            f"base {base}: a folder and a commit have this name",
            "They would not compare alike.",
            f"Say which: --base ./{base} (the folder) or --base refs/heads/{base} (the branch)",
        )
    return FolderBase(root, folder)


def _is_commit(root: Path, ref: str) -> bool:
    try:
        _commit(root, ref)
    except CheckError:
        return False
    return True


class FolderBase:
    def __init__(self, root: Path, folder: Path) -> None:
        self.name = str(folder)
        self._root = root
        self._folder = folder

    @cached_property
    def changed(self) -> tuple[str, ...]:
        paths = files.discover(self._folder).paths
        return tuple(p for p in paths if self.read(p) != files.read_or_none(self._root, p))

    def read(self, path: str) -> bytes | None:
        return files.read_or_none(self._folder, path)


class GitBase:
    def __init__(self, root: Path, ref: str) -> None:
        self.name = ref
        self._root = root
        self._commit = _commit(root, ref)

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Raises CheckError when git cannot compare."""
        globs = [f"*{suffix}" for suffix in files.SUFFIXES]
        options = ("--name-only", "-z", "--no-renames", "--relative", "--no-ext-diff", "--diff-filter=MDT")
        try:
            listing = run_git(self._root, "diff", *options, self._commit, "--", *globs)
        except GitRefused as error:
            raise CheckError(f"base {self.name}: cannot be compared with", str(error)) from error
        return tuple(sorted(os.fsdecode(name) for name in listing.split(b"\0") if name))

    @cached_property
    def _blobs(self) -> dict[str, bytes]:
        names = [p for p in self.changed if "\n" not in p]
        asked = b"".join(f"{self._commit}:./".encode() + os.fsencode(p) + b"\n" for p in names)
        try:
            answer = run_git(self._root, "cat-file", "--batch", stdin=asked)
        except GitRefused as error:
            raise CheckError(
                f"base {self.name}: its files cannot be read",
                str(error),
                f"Try: git fetch origin {self.name}",
            ) from error
        blobs: dict[str, bytes] = {}
        for name in names:
            header, _, answer = answer.partition(b"\n")
            if header.endswith(b" missing") or b" blob " not in header:
                continue
            size = int(header.rsplit(b" ", 1)[1])
            blobs[name], answer = answer[:size], answer[size + 1 :]
        return blobs

    def read(self, path: str) -> bytes | None:
        if path in self._blobs:
            return self._blobs[path]
        try:
            return run_git(self._root, "show", f"{self._commit}:./{path}")
        except GitRefused:
            return None


def _commit(root: Path, ref: str) -> str:
    try:
        return (
            run_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
            .decode()
            .strip()
        )
    except GitRefused as error:
        raise CheckError(
            f"base {ref}: no such folder and no such commit here", *_advice(root, ref)
        ) from error


def _advice(root: Path, ref: str) -> tuple[str, str]:
    try:
        shallow = run_git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
    except GitRefused as error:
        return f"git says: {error}", "Name a folder: --base DIR"
    remote, _, branch = ref.partition("/")
    fetch = (
        f"git fetch --depth=1 {remote} {branch}:refs/remotes/{ref}" if branch else f"git fetch origin {ref}"
    )
    return ("This is a shallow clone." if shallow else "The repository does not hold it."), f"Try: {fetch}"
