"""The secrets that a state folder holds: values of the environments that images and services were given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline import credentials

_MAX_BYTES = 4 << 20  # of one file; our own are far smaller


def secrets_of(folder: Path) -> tuple[str, ...]:
    """For whoever prints what the services say. What cannot be read, whatever the reason, holds nothing."""
    catalogue, services = folder / "images.json", folder / "services"
    found = list(credentials.of_config({"images": _parsed(catalogue)}, {}))
    for file in sorted(services.glob("*.json")) if services.is_dir() else ():
        for environment in _environments(_parsed(file)):
            found += credentials.of_environment(environment)
    return tuple(dict.fromkeys(found))


class Trusted:
    """The same for whoever goes on printing: ``fresh`` reads again only when something was deployed in between."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: object = None

    def fresh(self) -> tuple[str, ...]:
        """Empty while nothing has changed."""
        stamp = [_changed_at(self._folder / part) for part in ("images.json", "services")]
        if stamp == self._stamp:
            return ()
        self._stamp = stamp
        return secrets_of(self._folder)


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _parsed(file: Path) -> object:
    try:
        return json.loads(file.read_bytes()) if file.is_file() and file.stat().st_size <= _MAX_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _environments(value: object) -> Iterator[Mapping[str, str]]:
    """Every ``env`` below a value, each a list of name and value."""
    if isinstance(value, Mapping):
        env = value.get("env")
        if isinstance(env, list):
            rows = [row for row in env if isinstance(row, Mapping)]
            yield {str(row.get("name", "")): str(row.get("value", "")) for row in rows}
        for each in value.values():
            yield from _environments(each)
    elif isinstance(value, list):
        for each in value:
            yield from _environments(each)
