"""The image catalogue: what an image name means on this machine, now. ``builds.py`` has what it meant when it was pinned."""

from __future__ import annotations

import difflib
import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from pipeline import private
from pipeline.errors import SpillwayError
from pipeline.local.dataplane import StartFailed


class Image(Struct, frozen=True):
    """What a name means. Args: directory: the folder to copy, absolute; None for a command alone."""

    command: tuple[str, ...]
    directory: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def write(folder: Path, images: Mapping[str, Image]) -> None:
    """Let these names mean these images, replacing those of the same name. Several may write at once."""
    private.make_folder(folder)
    with private.open_append(folder / "images.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        body = msgspec.to_builtins({**_names(folder), **images})
        # a folder's name need not be UTF-8; json alone writes and reads what stands for such bytes
        private.write(folder / "images.json", json.dumps(body, indent=1, sort_keys=True))


def named(folder: Path, name: str) -> Image:
    """What a name means now. Raises StartFailed."""
    try:
        known = _names(folder)
    except SpillwayError as error:
        raise StartFailed("INTERNAL", f"{error.what}. {error.why}") from error
    if name not in known:
        raise StartFailed("CONTAINER_MISSING", f"Image '{name}' not found. {known_instead(folder, name)}")
    return known[name]


def known_instead(folder: Path, name: str) -> str:
    """What could have been meant by a name, in a sentence."""
    try:
        known = _names(folder)
    except SpillwayError:
        return ""
    near = difflib.get_close_matches(name, set(known) - {name}, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known images: {', '.join(sorted(known)) or 'none'}."


def _names(folder: Path) -> dict[str, Image]:
    file = folder / "images.json"
    try:
        return msgspec.convert(json.loads(file.read_bytes()), dict[str, Image]) if file.exists() else {}
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise SpillwayError(
            f"{file}: not an image catalogue", str(error), f"Write it anew: rm {file} && spillway local up"
        ) from error
