"""Copies of folders by what is in them: ``NAME/files`` beside ``NAME/manifest.json``, NAME being the content's digest.

The digest covers, of each file and link in the order of their paths: the path, what it is (file, executable, link) and
its bytes. A copy appears in one step, whole, and never changes: files are read-only, and before it is used again after
a restart it is compared with its manifest (by size, times and inode; what differs there is read).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipeline import private
from pipeline.local.images.selection import Entry

FILES, MANIFEST = "files", "manifest.json"
_CHUNK = 1024 * 1024
#: What was written so shortly before it was read may be written again within the same tick.
_RACY_NS = 2_000_000_000
_WRITERS = 8  # files are synced one by one, which is waiting


class Item(NamedTuple):
    """One file of an image. ``kind`` is ``f``, ``x`` (executable) or ``l`` (link); ``sha`` is of its bytes or target."""

    path: str
    kind: str
    sha: str


class Broken(Exception):
    """A copy is not what its digest says; the text names the file."""


class Changed(Exception):
    """A file of the source was written while it was read."""


def digest_of(items: Iterable[Item]) -> str:
    """64 hex digits. The items are in the order of their paths' bytes."""
    whole = hashlib.sha256()
    for path, kind, sha in items:
        whole.update(f"{kind} {sha} ".encode() + os.fsencode(path) + b"\0")
    return whole.hexdigest()


def hashed(folder: Path, entries: Sequence[Entry], cache: Path) -> list[Item]:
    """The items of a folder; what the cache knows is not read again. Raises Changed, OSError."""
    known, fresh = _read_cache(cache), {}
    items: list[Item] = []
    latest = time.time_ns() - _RACY_NS
    for path, status, target in ((e.path, e.status, e.target) for e in entries):
        if target:
            items.append(_link(path, target))
            continue
        row = known.get(path)
        if row is None or row[:-1] != _print(status):
            row = [*_print(status), _hash(folder / path, status)]
        if max(status.st_mtime_ns, status.st_ctime_ns) < latest:
            fresh[path] = row
        items.append(Item(path, _kind(status), row[-1]))
    if fresh != known:
        _write_cache(cache, fresh)
    return items


def copy(folder: Path, entries: Iterable[Entry], into: Path) -> str:
    """Copy into an empty folder, on disk when it returns. Returns the digest of what was copied. Raises Changed, OSError."""
    root = into / FILES
    root.mkdir(mode=0o700)
    parents = {root}
    with ThreadPoolExecutor(_WRITERS) as pool:
        copied = pool.map(lambda entry: _copy_one(folder, entry, root), _with_parents(entries, root, parents))
        items = list(copied)
    rows = [[*i, [] if i.kind == "l" else _print((root / i.path).lstat())] for i in items]
    for parent in parents:
        _sync_folder(parent)
    with _create(into / MANIFEST) as file:
        file.write(json.dumps(rows).encode())
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(into)
    return digest_of(items)


def verify(copied: Path) -> None:
    """Compare a copy with the digest that it is named after, and take away what does not belong to it. Raises Broken."""
    try:
        rows = [
            (Item(path, kind, sha), found)
            for path, kind, sha, found in json.loads((copied / MANIFEST).read_bytes())
        ]
    except (OSError, ValueError, TypeError) as error:
        raise Broken(f"{MANIFEST}: {error}") from error
    if digest_of(item for item, _ in rows) != copied.name:
        raise Broken(f"{MANIFEST} is of something else")
    for item, found in rows:
        _verify_one(copied / FILES, item, found)
    _remove_others(copied / FILES, {item.path for item, _ in rows})


def _verify_one(root: Path, item: Item, found: list[int]) -> None:
    path = root / item.path
    try:
        status = path.lstat()
        if item.kind == "l":
            is_same = _link(item.path, str(path.readlink())) == item
        else:
            is_same = (
                stat.S_ISREG(status.st_mode)
                and _kind(status) == item.kind
                and (_print(status) == found or _hash(path, status) == item.sha)
            )
    except (OSError, Changed) as error:
        raise Broken(f"{item.path}: {error}") from error
    if not is_same:
        raise Broken(f"{item.path} was changed")


def _remove_others(root: Path, belong: set[str]) -> None:
    """What an instance wrote beside the files goes, as the file system of a container does."""
    parents = {""}
    for path in belong:
        while (path := path.rpartition("/")[0]) not in parents:
            parents.add(path)
    for parent in parents:
        for found in list(os.scandir(root / parent)):
            path = f"{parent}/{found.name}" if parent else found.name
            if found.is_dir(follow_symlinks=False):
                if path not in parents:
                    shutil.rmtree(found.path)
            elif path not in belong:
                Path(found.path).unlink()


def _with_parents(entries: Iterable[Entry], root: Path, made: set[Path]) -> Iterator[Entry]:
    """The entries, each when its folder is there."""
    for entry in entries:
        for parent in reversed((root / entry.path).relative_to(root).parents):
            if root / parent not in made:
                (root / parent).mkdir(mode=0o700)
                made.add(root / parent)
        yield entry


def _copy_one(folder: Path, entry: Entry, root: Path) -> Item:
    path = root / entry.path
    if entry.target:
        path.symlink_to(entry.target)
        return _link(entry.path, entry.target)
    whole, left = hashlib.sha256(), entry.status.st_size
    kind = _kind(entry.status)
    with _open(folder / entry.path) as source, _create(path) as target:
        while piece := source.read(min(_CHUNK, left + 1)):
            left -= len(piece)
            if left < 0:
                break
            whole.update(piece)
            target.write(piece)
        if left or _print(os.fstat(source.fileno())) != _print(entry.status):
            raise Changed(entry.path)
        os.fchmod(target.fileno(), 0o500 if kind == "x" else 0o400)
        target.flush()
        os.fsync(target.fileno())
    return Item(entry.path, kind, whole.hexdigest())


def _hash(path: Path, status: os.stat_result) -> str:
    with _open(path) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if _print(os.fstat(file.fileno())) != _print(status):
            raise Changed(str(path))
    return found


def _open(path: Path) -> BufferedReader:
    """For reading, and never what a file was replaced by meanwhile: a link, or a pipe that nobody writes into."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync_folder(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _link(path: str, target: str) -> Item:
    return Item(path, "l", hashlib.sha256(os.fsencode(target)).hexdigest())


def _kind(status: os.stat_result) -> str:
    return "x" if status.st_mode & 0o100 else "f"


def _print(status: os.stat_result) -> list[int]:
    """As long as these are the same, so are the bytes."""
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]


def _read_cache(cache: Path) -> dict[str, list[Any]]:
    """Rows of a print and a hash, by path; empty when there is none that can be read."""
    try:
        return dict(json.loads(cache.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _write_cache(cache: Path, rows: dict[str, list[Any]]) -> None:
    """Without it everything is read again, so a disk that is full or read-only refuses nothing."""
    with suppress(OSError):
        private.make_folder(cache.parent)
        private.write(cache, json.dumps(rows))
