"""The image catalogue: what an image name means on this machine, now. ``builds.py`` has what it meant when it was pinned."""

from __future__ import annotations

import difflib
import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field, to_builtins

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
        body = {**_names(folder), **{name: to_builtins(image) for name, image in images.items()}}
        private.write(folder / "images.json", json.dumps(body, indent=1, sort_keys=True))


def named(folder: Path, name: str) -> Image:
    """What a name means now. Raises StartFailed."""
    try:
        known = _names(folder)
    except SpillwayError as error:
        raise StartFailed("INTERNAL", f"{error.what}. {error.why}") from error
    if name not in known:
        raise StartFailed("CONTAINER_MISSING", f"Image '{name}' not found. {known_instead(folder, name)}")
    found = known[name]
    return Image(tuple(found["command"]), found.get("directory"), found.get("env", {}))


def known_instead(folder: Path, name: str) -> str:
    """What could have been meant by a name, in a sentence."""
    try:
        known = _names(folder)
    except SpillwayError:
        return ""
    near = difflib.get_close_matches(name, set(known) - {name}, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Known images: {', '.join(sorted(known)) or 'none'}."


def _names(folder: Path) -> dict[str, Any]:
    file = folder / "images.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    except (ValueError, TypeError) as error:
        raise SpillwayError(
            f"{file}: not an image catalogue", str(error), f"Write it anew: rm {file} && spillway local up"
        ) from error
