"""The files under check: which there are, and their bytes. The only module that opens checked files.

Theory of operation. ``discover`` asks git (tracked and new files, ignored ones left out) and walks the folder when
git cannot say. A file is opened without following links and without waiting, and must turn out to be a regular
file: a FIFO, a device, or a link that appears in the middle of a run is a word in ``skipped``, never a hang.
Links are not followed at all: the target is checked where it lies, and a copy of a link is no second definition.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
import tempfile
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from checks.errors import CheckError
from checks.finding import Skipped
from checks.tree.git import GitRefused, run_git

READ_LIMIT_BYTES = 32 << 20
SUFFIXES = (".py", ".pyi")
NOTEBOOK = ".ipynb"
_BACKGROUND = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "build", "dist"})
_OPEN_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)


class Unreadable(Exception):
    """The file cannot be looked at; the text says why in a few words."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The Python files below a root: paths relative to it, sorted, with forward slashes."""

    paths: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()


def discover(root: Path, exclude: Iterable[str] = ()) -> Listing:
    """List what there is to check below ``root``. Raises CheckError when that is not a readable folder."""
    if not os.path.isdir(root):
        raise CheckError(
            f"{root}: not a folder", "The checks look at a folder of Python files.", "Name one that exists."
        )
    closed: list[Skipped] = []
    try:
        names = _listed(root)
    except GitRefused:
        names = list(_walked(root, closed))
    patterns = tuple(exclude)
    kept = sorted({n for n in names if not any(fnmatch.fnmatch(n, p) for p in patterns)})
    notebooks = (Skipped(n, "notebook: not checked") for n in kept if n.endswith(NOTEBOOK))
    return Listing(tuple(n for n in kept if n.endswith(SUFFIXES)), (*notebooks, *closed))


def _listed(root: Path) -> list[str]:
    """What git knows or would add, without files that are deleted or left out of a sparse checkout. Raises GitRefused."""
    globs = [f"*{suffix}" for suffix in (*SUFFIXES, NOTEBOOK)]
    options = ("-z", "-t", "--cached", "--deleted", "--others", "--exclude-standard")
    answer = run_git(root, "ls-files", *options, "--", *globs)
    rows = [(row[:1], os.fsdecode(row[2:])) for row in answer.split(b"\0") if row]
    gone = {name for tag, name in rows if tag == b"R"}
    gone |= {name for tag, name in rows if tag == b"S" and not os.path.lexists(f"{root}/{name}")}
    gone |= {name for tag, name in rows if tag == b"?" and not _BACKGROUND.isdisjoint(name.split("/"))}
    names = [name for _, name in rows if name not in gone]
    if not names and any(_walked(root, [])):
        raise GitRefused("everything here is ignored: an installed package, perhaps")
    return names


def _walked(root: Path, closed: list[Skipped]) -> Iterator[str]:
    """What is there. Folders that cannot be looked into are added to ``closed``."""

    def note(error: OSError) -> None:
        closed.append(Skipped(os.path.relpath(error.filename, root).replace(os.sep, "/"), _reason(error)))

    for folder, folders, files in os.walk(root, onerror=note):
        folders[:] = [f for f in folders if _is_source_folder(folder, f)]
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        yield from (prefix + name for name in files if name.endswith((*SUFFIXES, NOTEBOOK)))


def _is_source_folder(parent: str, name: str) -> bool:
    if name.startswith(".") or name in _BACKGROUND:
        return False
    return not os.path.lexists(os.path.join(parent, name, "pyvenv.cfg"))  # noqa: PTH118 - millions of times in a walk


def read(root: Path, path: str) -> bytes:
    """All bytes of one regular file. Raises Unreadable."""
    try:
        handle = os.open(f"{root}/{path}", _OPEN_FLAGS)
    except OSError as error:
        raise Unreadable(_link(root, path) if error.errno == errno.ELOOP else _reason(error)) from error
    except ValueError as error:
        raise Unreadable("not a file name") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if status.st_size > READ_LIMIT_BYTES:
            raise Unreadable(f"{status.st_size >> 20} MiB: larger than {READ_LIMIT_BYTES >> 20} MiB")
        with open(handle, "rb", buffering=0, closefd=False) as stream:
            return _python(stream.read())
    except OSError as error:
        raise Unreadable(_reason(error)) from error
    finally:
        os.close(handle)


def read_or_none(root: Path, path: str) -> bytes | None:
    """All bytes of one regular file; None when it cannot be looked at."""
    try:
        return read(root, path)
    except Unreadable:
        return None


def _python(data: bytes) -> bytes:
    """The same bytes. Raises Unreadable for what no search for words would find anything in."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("UTF-16, which Python does not read")
    if b"\n" not in data and b"\r" in data:
        raise Unreadable("its lines end with CR alone")
    return data


def _link(root: Path, path: str) -> str:
    target = os.path.realpath(f"{root}/{path}")
    if not os.path.exists(target):
        return "a link that leads nowhere"
    if Path(target).is_relative_to(os.path.realpath(root)):
        return "a link: its target is checked where it lies"
    return "a link out of the tree: its target is not checked"


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "vanished while the checks ran"
    return (error.strerror or str(error)).lower()


def replace(target: Path, data: bytes, mode: int) -> None:
    """Write a file whole or not at all. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(mode)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def places(data: bytes, needle: bytes) -> Iterator[int]:
    """Every offset at which the bytes hold the needle."""
    at = data.find(needle)
    while at >= 0:
        yield at
        at = data.find(needle, at + 1)


def lines_of(data: bytes, offsets: Iterable[int]) -> list[int]:
    """Line numbers of offsets, each once, by any line end that the parser knows."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b" \n").replace(b"\r", b"\n")  # offsets stay what they are
    lines: set[int] = set()
    at = line = 0
    for offset in sorted(offsets):
        line += data.count(b"\n", at, offset)
        at = offset
        lines.add(line + 1)
    return sorted(lines)


def decode(data: bytes) -> str:
    """The text of a Python file, by its byte order mark or coding line; undecodable bytes become U+FFFD."""
    try:
        encoding = tokenize.detect_encoding(BytesIO(data).readline)[0]
    except SyntaxError:
        encoding = "utf-8"
    return data.decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")
