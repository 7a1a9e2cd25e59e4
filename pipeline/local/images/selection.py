"""Which files of a folder belong to an image, and that they can be copied at all.

In a git checkout: what git would track. Elsewhere: everything but ``LEFT_OUT`` and what ``.dockerignore`` names. A line
``!NAME`` of ``.dockerignore`` brings back what would be left out, in both.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from checks.tree.git import GitRefused, run_git
from pipeline.errors import UserError
from pipeline.local.images.dockerignore import BadPattern, Ignored

LEFT_OUT = (".git", ".venv", "node_modules", "__pycache__", ".spillway")
_MIB = 1024 * 1024
_PATIENCE = 10  # times the limit: so far the count goes on, to tell by how much it is too many
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_HOW_TO_LEAVE_OUT = (
    "Leave it out: name it in .gitignore (a git checkout) or in .dockerignore (any other folder)."
)


class Limits(Struct, frozen=True):
    """What one image's folder may hold: files in number, and bytes in all."""

    files: int = 20_000
    size: int = 512 * _MIB


USUAL = Limits()


class Entry(Struct, frozen=True):
    """One file or link. ``path`` is relative to the folder; ``target`` is a link's, else empty."""

    path: str
    status: os.stat_result
    target: str = ""


def select(folder: Path, *, without: Path, limits: Limits = USUAL) -> list[Entry]:
    """The files of an image, in the order of their paths' bytes.

    Args:
        without: a folder that never belongs to it, wherever it is: the local Cloud Run's own.
    Raises: UserError for no folder, for what cannot be copied and for more than ``limits``.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder",
            "An image's directory is copied from there.",
            "Mend images: in spillway.yaml.",
        )
    folder = folder.resolve()
    apart = os.path.relpath(without.resolve(), folder)
    names = (name for name in _names(folder) if name != apart and not name.startswith(f"{apart}/"))
    entries = (entry for name in names if (entry := _entry(folder, name)))
    return sorted(_within(limits, folder, entries), key=lambda entry: os.fsencode(entry.path))


def _names(folder: Path) -> Iterator[str]:
    ignored = _ignored(folder)
    tracked = _tracked(folder)
    if not tracked:
        yield from _walk(folder, "", ignored)
        return
    yield from tracked
    seen, real = set(tracked), {"": True}
    for name in ignored.brought_back():
        if not _is_real(folder, _parent(name), real):
            continue
        below = _walk(folder, name, ignored) if (folder / name).is_dir() else [name]
        yield from (path for path in below if path not in seen)


def _tracked(folder: Path) -> list[str]:
    """What git would track below a folder; empty where git knows nothing of it."""
    try:
        told = run_git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except GitRefused:
        return []
    real: dict[str, bool] = {"": True}
    out: list[str] = []
    for name in dict.fromkeys(os.fsdecode(told).split("\0")):
        path = name.rstrip("/")
        if (
            not path
            or not set(path.split("/")).isdisjoint((".git", ".spillway"))
            or not _is_real(folder, _parent(path), real)
        ):
            continue
        if name.endswith("/") or _is_folder(folder / path):  # a repository in the repository
            out += [f"{path}/{below}" for below in _names(folder / path)]
        else:
            out.append(path)
    return out


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_real(folder: Path, parent: str, known: dict[str, bool]) -> bool:
    """Whether a path below the folder leads through no link: the index may remember a folder that became one."""
    if parent not in known:
        known[parent] = _is_real(folder, _parent(parent), known) and _is_folder(folder / parent)
    return known[parent]


def _ignored(folder: Path) -> Ignored:
    file = folder / ".dockerignore"
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else []
        return Ignored(lines, before=[f"**/{name}" for name in LEFT_OUT])
    except (BadPattern, ValueError, OSError) as error:
        raise UserError(f"{file}: cannot be used", str(error), "Mend the line, or take it away.") from error


def _walk(folder: Path, below: str, ignored: Ignored) -> Iterator[str]:
    waiting = [below]
    while waiting:
        here = waiting.pop()
        try:
            found = list(os.scandir(folder / here))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(
                f"{folder / here}: cannot be read", error.strerror or "", _HOW_TO_LEAVE_OUT
            ) from error
        for entry in found:
            path = f"{here}/{entry.name}" if here else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not ignored.hides(path):
                    waiting.append(path)
            elif path not in ignored:
                yield path


def _entry(folder: Path, name: str) -> Entry | None:
    """None for what is gone meanwhile, or deleted and still in git's index. Raises UserError."""
    path = f"{folder}/{name}"
    try:
        status = os.lstat(path)
        target = str(Path(path).readlink()) if stat.S_ISLNK(status.st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    if target:
        _check_link(folder, name, target)
    elif not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no file")
        raise UserError(f"{path}: it is {kind}", "Files, folders and links can be copied.", _HOW_TO_LEAVE_OUT)
    return Entry(name, status, target)


def _check_link(folder: Path, name: str, target: str) -> None:
    """A link is kept if it is relative and leads inside; what it leads to need not be there. Raises UserError."""
    end = os.path.realpath(folder / name)
    if Path(target).is_absolute() or os.path.commonpath([end, folder]) != str(folder):
        raise UserError(
            f"{folder / name}: the link leads to {target}",
            "A copy cannot follow it: a link must be relative and stay inside the image's folder.",
            _HOW_TO_LEAVE_OUT,
        )


def _within(limits: Limits, folder: Path, entries: Iterator[Entry]) -> list[Entry]:
    """All of them. Raises UserError for more than may be, with which parts of the folder weigh most."""
    found: list[Entry] = []
    files, size = Counter[str](), Counter[str]()
    for entry in entries:
        top = entry.path.partition("/")[0]
        files[top] += 1
        size[top] += 0 if entry.target else entry.status.st_size
        found.append(entry)
        if len(found) > _PATIENCE * limits.files:
            break
    if len(found) > limits.files:
        raise _too_much(folder, "{:,} files".format, files, limits.files)
    if size.total() > limits.size:
        raise _too_much(folder, lambda count: f"{count / _MIB:,.1f} MiB", size, limits.size)
    return found


def _too_much(folder: Path, shown: Callable[[int], str], by: Counter[str], limit: int) -> UserError:
    most = ", ".join(f"{name} ({shown(count)})" for name, count in by.most_common(3))
    return UserError(
        f"{folder}: {shown(by.total())} are too much for an image; {shown(limit)} may be copied",
        f"Most is in {most}.",
        _HOW_TO_LEAVE_OUT,
    )
