"""What a digest means, for ever.

Theory of operation. An image is a command, an environment, and a folder or none; its name is in ``images.py`` and may
mean another one tomorrow. Pinning it makes a *build*: named by a digest that covers all three, with the folder's content
copied (``content.py``). It never changes and is what revisions run, whatever happens to the source or to the name.

    images/builds/DIGEST.json       command, environment, and the content's digest or ""
    images/content/DIGEST/files     a copy, shared by all builds of it
    images/hashes, images/tmp-*     what was read of a source, and copies under way

Builds are added by any process; only the server removes them. Whoever pinned one holds a lease on it (a lock, which
ends with its process) until a revision names it. Everything that appears or goes does so in one step under ``lock``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from msgspec import Struct, field

from pipeline import private
from pipeline.errors import UserError
from pipeline.local.dataplane import StartFailed
from pipeline.local.images import content
from pipeline.local.images.catalogue import Image, known_instead
from pipeline.local.images.selection import Entry, select
from pipeline.local.locks import take, wait

_PATIENCE_S = 30.0  # for the lock: it is held for moments
_TRIES = 3  # a source may be written while it is read


class Build(Struct, frozen=True):
    """What a digest means. Args: directory: where the command runs."""

    command: tuple[str, ...]
    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)
    is_copy: bool = False


class Lease(Struct, frozen=True):
    """Keeps a build from being removed while it is open. Args: held: a file that is locked until it is closed."""

    reference: str
    held: IO[bytes] | None = None

    def __enter__(self) -> str:
        return self.reference

    def __exit__(self, *_: object) -> None:
        if self.held:
            self.held.close()


def reference(folder: Path, name: str, image: Image) -> str:
    """``NAME@sha256:...`` of an image as it is now; nothing is copied. Raises UserError."""
    for _ in range(_TRIES):
        with suppress(content.Changed):
            _, made = _read(folder, image)
            return f"{name}@sha256:{_digest(image, made)}"
    raise _restless(image)


def pin(folder: Path, name: str, image: Image) -> Lease:
    """Make a build of an image as it is now, unless it is there. Close the lease when a revision names it.

    Raises: UserError when its folder cannot be copied.
    """
    for _ in range(_TRIES):
        with suppress(content.Changed):
            entries, made = _read(folder, image)
            with _copied(folder, image, entries, made) as draft, _locked(folder):
                if made and not _place(folder, made, draft):
                    continue  # it was there, and was removed meanwhile
                return _lease(folder, name, image, made)
    raise _restless(image)


def hold(folder: Path, reference: str) -> Lease:
    """A lease on a build that was made before; on nothing when it is unknown, as Cloud Run will say."""
    file = _builds(folder) / f"{reference.partition('@sha256:')[2]}.json"
    if not file.exists():
        return Lease(reference)
    with _locked(folder):
        return Lease(reference, _held(file) if file.exists() else None)


def find(folder: Path, reference: str, *, verify: bool = True) -> Build:
    """The build of a reference that is pinned by digest, as it was made. Raises StartFailed."""
    name, _, digest = reference.partition("@sha256:")
    file = _builds(folder) / f"{digest}.json"
    if not digest.isalnum() or not file.exists():
        raise StartFailed(
            "CONTAINER_MISSING", f"Image '{reference}' not found. {known_instead(folder, name)}"
        )
    try:
        body = json.loads(file.read_bytes())
        image = Image(tuple(body["command"]), env=body["env"])
        made = str(body["content"])
        is_same = _digest(image, made) == digest
        if made and verify:
            content.verify(_content(folder) / made)
    except (OSError, ValueError, TypeError, KeyError, content.Broken) as error:
        raise StartFailed(
            "CONTAINER_MISSING",
            f"Image '{reference}': its copy in {_root(folder)} is not what its digest says: {error}. "
            "A rollout from the same source makes it anew.",
        ) from error
    if not is_same:
        raise StartFailed(
            "CONTAINER_MISSING", f"Image '{reference}': {file} was changed. Take it away: rm {file}"
        )
    directory = _content(folder) / made / content.FILES if made else _nowhere(folder)
    return Build(image.command, directory, image.env, is_copy=bool(made))


def collect(folder: Path, used: Collection[str]) -> list[Path]:
    """Take away the builds whose digests are not ``used`` and that nobody has a lease on, and their content.

    Returns folders that are out of everybody's sight and remain to be deleted, which takes longer. Does nothing while
    another process adds a build.
    """
    try:
        with _locked(folder, patience_s=0):
            _drop(folder, used)
            return [left for left in _root(folder).glob("tmp-*") if _is_free(left)]
    except UserError:
        return []


def _drop(folder: Path, used: Collection[str]) -> None:
    kept: set[str] = set()
    for file in _builds(folder).glob("*.json"):
        if file.stem in used or not _is_free(file):
            kept.add(str(json.loads(file.read_bytes())["content"]))
        else:
            file.unlink()
    for copied in _content(folder).glob("*"):
        if copied.name not in kept:
            _put_away(folder, copied)


def _read(folder: Path, image: Image) -> tuple[list[Entry], str]:
    """The files of an image and the digest of their content, ``""`` for a command alone. Raises UserError, Changed."""
    if image.directory is None:
        return [], ""
    source = Path(image.directory)
    entries = select(source, without=folder)
    cache = _root(folder) / "hashes" / f"{hashlib.sha256(os.fsencode(source)).hexdigest()[:32]}.json"
    try:
        items = content.hashed(source, entries, cache)
    except OSError as error:
        raise _unreadable(source, error) from error
    _check_program(source, image, {item.path for item in items})
    return entries, content.digest_of(items)


def _check_program(source: Path, image: Image, copied: Collection[str]) -> None:
    """A program that is named by its path below the folder must be in the copy. Raises UserError."""
    program = image.command[0]
    path = os.path.normpath(program)
    if "/" in program and not Path(program).is_absolute() and path not in copied and (source / path).exists():
        raise UserError(
            f"{program}: not part of the image",
            f"{source} is copied without what git ignores, .venv and node_modules.",
            f"Name it where it is: {source / path}",
        )


@contextmanager
def _copied(folder: Path, image: Image, entries: Collection[Entry], made: str) -> Iterator[Path | None]:
    """A fresh copy under a temporary name, or None where a whole one is there already. Raises UserError, Changed."""
    if not made or _is_whole(folder, made):
        yield None
        return
    with _locked(folder):
        draft = Path(tempfile.mkdtemp(prefix="tmp-", dir=_root(folder)))
        number = os.open(draft, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX)  # or it is somebody's who was killed
    try:
        if content.copy(Path(image.directory or ""), entries, draft) != made:
            raise content.Changed(image.directory)
        yield draft
    except OSError as error:
        raise _unreadable(Path(image.directory or ""), error) from error
    finally:
        os.close(number)
        shutil.rmtree(draft, ignore_errors=True)


def _is_whole(folder: Path, made: str) -> bool:
    try:
        content.verify(_content(folder) / made)
    except (content.Broken, OSError):
        return False
    return True


def _place(folder: Path, made: str, draft: Path | None) -> bool:
    """Put a copy where it belongs; whether one is there. Call with the lock."""
    place = _content(folder) / made
    if draft is not None:
        private.make_folder(place.parent)
        if place.exists() and not _is_whole(folder, made):
            _put_away(folder, place)
        if not place.exists():  # else somebody was faster, and may run it already
            draft.rename(place)
    return place.exists()


def _lease(folder: Path, name: str, image: Image, made: str) -> Lease:
    """Call with the lock."""
    digest = _digest(image, made)
    file = _builds(folder) / f"{digest}.json"
    if not file.exists():
        private.make_folder(file.parent)
        private.write(file, json.dumps(_body(image, made)))
    return Lease(f"{name}@sha256:{digest}", _held(file))


def _held(file: Path) -> IO[bytes]:
    held = file.open("rb")
    fcntl.flock(held, fcntl.LOCK_SH)
    return held


def _put_away(folder: Path, copied: Path) -> None:
    copied.rename(_root(folder) / f"tmp-{secrets.token_hex(8)}")


def _is_free(path: Path) -> bool:
    number = os.open(path, os.O_RDONLY)  # of a folder too
    try:
        return take(number)
    finally:
        os.close(number)


@contextmanager
def _locked(folder: Path, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Alone among all processes that add or remove. Raises UserError when somebody does not let go."""
    root = _root(folder)
    private.make_folder(root)
    with private.open_append(root / "lock") as lock:
        if not wait(partial(take, lock), patience_s):
            raise UserError(
                f"{root}: held by another process",
                f"It did not let go within {patience_s:g} s; it may be stopped.",
                f"See which: fuser {root / 'lock'}",
            )
        yield


def _digest(image: Image, made: str) -> str:
    """Of everything that decides what runs, and of nothing else: not the name, not where the folder was."""
    return hashlib.sha256(json.dumps(_body(image, made), sort_keys=True).encode()).hexdigest()


def _body(image: Image, made: str) -> dict[str, Any]:
    return {"command": list(image.command), "env": dict(image.env), "content": made}


def _nowhere(folder: Path) -> Path:
    """Where a command runs that brings no folder: it finds nothing there, whoever wrote it."""
    empty = _root(folder) / "empty"
    private.make_folder(empty)
    empty.chmod(0o500)
    return empty


def _root(folder: Path) -> Path:
    return folder / "images"


def _builds(folder: Path) -> Path:
    return _root(folder) / "builds"


def _content(folder: Path) -> Path:
    return _root(folder) / "content"


def _unreadable(source: Path, error: OSError) -> UserError:
    return UserError(
        f"{source}: cannot be copied", f"{error.filename or ''} {error.strerror or error}".strip(),
        "Make it readable, make room, or leave it out by .gitignore or .dockerignore.",
    )  # fmt: skip


def _restless(image: Image) -> UserError:
    return UserError(
        f"{image.directory}: cannot be copied", f"It was written each of {_TRIES} times that it was read.",
        "Let what writes there end, or leave it out by .gitignore or .dockerignore.",
    )  # fmt: skip
