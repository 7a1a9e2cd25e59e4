"""The image catalogue: what an image name means on this machine. A command, a folder and an environment."""

from __future__ import annotations

import difflib
import fcntl
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline import private
from pipeline.errors import SpillwayError
from pipeline.local.parts import StartFailed


@dataclass(frozen=True, slots=True)
class Image:
    """Args: directory: where the command runs, absolute."""

    command: tuple[str, ...]
    directory: str
    env: Mapping[str, str] = field(default_factory=dict)


def write(folder: Path, images: Mapping[str, Image]) -> None:
    """Add these images to the catalogue, replacing those of the same name. Several may write at once."""
    private.make_folder(folder)
    with private.open_append(folder / "images.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        body = {**_read(folder), **{name: asdict(image) for name, image in images.items()}}
        private.write(_file(folder), json.dumps(body, indent=1, sort_keys=True))


def find(folder: Path, reference: str) -> Image:
    """The image of a reference, read anew each time; its digest is not looked at. Raises StartFailed."""
    name = reference.partition("@")[0]
    try:
        known = _read(folder)
    except SpillwayError as error:
        raise StartFailed("INTERNAL", f"{error.what}. {error.why}") from error
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        listed = ", ".join(sorted(known)) or "none"
        raise StartFailed("CONTAINER_MISSING", f"Image '{name}' not found.{hint} Known images: {listed}.")
    found = known[name]
    return Image(tuple(found["command"]), found["directory"], found.get("env", {}))


def _file(folder: Path) -> Path:
    return folder / "images.json"


def _read(folder: Path) -> dict[str, Any]:
    file = _file(folder)
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    except (ValueError, TypeError) as error:
        raise SpillwayError(
            f"{file}: not an image catalogue", str(error), f"Write it anew: rm {file} && spillway local up"
        ) from error
