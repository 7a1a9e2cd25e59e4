"""The state to compare with: a git ref or a folder; only files that differ are ever read."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from checks.errors import CheckError
from checks.tree import files
from checks.tree.git import GitRefused, run_git

_HASH = re.compile(r"[0-9a-fA-F]{4,64}")
_WHOLE_HASH = 40


def open_base(root: Path, base: str) -> Base:
    """What the tree was before: a folder if there is one of that name, else a git ref. Raises CheckError, also for a name that is both."""
    folder = Path(base)
    if not os.path.isdir(folder):
        return GitBase(root, base)
    if not base.startswith((".", "/")):
        with suppress(GitRefused):
            _commit(root, base)
            raise CheckError(
                f"base {base}: a folder and a commit have this name",
                "They would not compare alike.",
                f"Say which: --base ./{base} (the folder) or --base refs/heads/{base} (the branch)",
            )
    return FolderBase(root, folder)


class FolderBase:
    """A folder. ``changed``: Python files that were there before and are different or gone now, sorted."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder

    @cached_property
    def changed(self) -> tuple[str, ...]:
        paths = files.discover(self._folder).paths
        return tuple(p for p in paths if self.read(p) != files.read_or_none(self._root, p))

    def read(self, path: str) -> bytes | None:
        return files.read_or_none(self._folder, path)


class GitBase:
    """A commit of the repository that the root lies in."""

    def __init__(self, root: Path, ref: str) -> None:
        self._root, self._name = root, ref
        try:
            self._commit = _commit(root, ref)
        except GitRefused as error:
            raise CheckError(
                f"base {ref}: no such folder and no such commit here", *_advice(root, ref)
            ) from error

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """Raises CheckError when git cannot compare."""
        globs = [f"*{suffix}" for suffix in files.SUFFIXES]
        options = ("--name-only", "-z", "--no-renames", "--relative", "--no-ext-diff", "--diff-filter=MDT")
        try:
            listing = run_git(self._root, "diff", *options, self._commit, "--", *globs)
        except GitRefused as error:
            raise CheckError(f"base {self._name}: cannot be compared with", str(error)) from error
        return tuple(sorted(os.fsdecode(name) for name in listing.split(b"\0") if name))

    @cached_property
    def _blobs(self) -> dict[str, bytes]:
        names = [p for p in self.changed if "\n" not in p]
        asked = b"".join(f"{self._commit}:./".encode() + os.fsencode(p) + b"\n" for p in names)
        try:
            answer = run_git(self._root, "cat-file", "--batch", stdin=asked)
        except GitRefused as error:
            raise CheckError(
                f"base {self._name}: its files cannot be read",
                str(error),
                f"Try: git fetch origin {self._name}",
            ) from error
        blobs: dict[str, bytes] = {}
        for name in names:
            header, _, answer = answer.partition(b"\n")
            if b" blob " in header and not header.endswith(b" missing"):
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


Base = FolderBase | GitBase


def _commit(root: Path, ref: str) -> str:
    """Raises GitRefused."""
    options = ("--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return run_git(root, "rev-parse", *options).decode().strip()


def _advice(root: Path, ref: str) -> tuple[str, str]:
    try:
        shallow = run_git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
    except GitRefused as error:
        return str(error) if str(error).startswith(
            "git "
        ) else f"git says: {error}", "Name a folder: --base DIR"
    why = "This is a shallow clone." if shallow else "The repository does not hold it."
    try:
        run_git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except GitRefused:
        return "The repository holds no commit yet.", "Name a folder: --base DIR, or make the first commit"
    return why, f"Try: {_fetch(root, ref, is_shallow=shallow)}"


def _fetch(root: Path, ref: str, *, is_shallow: bool) -> str:
    """The command after which the base is there."""
    git = f"git{_where(root)}"
    remotes = run_git(root, "remote").decode(errors="replace").split()
    remote, _, branch = ref.partition("/")
    is_part = (
        _HASH.fullmatch(ref) is not None and len(ref) < _WHOLE_HASH
    )  # a server is asked for whole ones alone
    if is_part or any(mark in ref for mark in "~^@"):
        return f"{git} fetch --unshallow" if is_shallow else f"{git} log --oneline"
    if not remotes:
        return f"{git} branch --all  # it has no remote, so it is one of these"
    depth = "--depth=1 " if is_shallow else ""
    if branch and remote in remotes:
        return f"{git} fetch {depth}{remote} {branch}:refs/remotes/{ref}"
    first = "origin" if "origin" in remotes else remotes[0]
    again = f"spillway check{f' {shlex.quote(str(root))}' if _where(root) else ''} --base FETCH_HEAD"
    return f"{git} fetch {depth}{first} {ref} && {again}"


def _where(root: Path) -> str:
    """How git is told the repository, where whoever asks stands outside of it."""
    top = Path(os.fsdecode(run_git(root, "rev-parse", "--show-toplevel").rstrip(b"\n")))
    try:
        is_inside = Path.cwd().resolve().is_relative_to(top.resolve())
    except OSError:
        is_inside = False
    return "" if is_inside else f" -C {shlex.quote(str(root))}"
