"""The secrets that a state folder holds.

Values of the environments that images and services were given; and versions of secrets, which stand in for Secret
Manager: the file ``secrets/NAME/VERSION`` is the value, byte by byte. VERSION is a number or an alias; ``latest`` is the
highest number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline import credentials

LATEST_VERSION = "latest"
_MAX_SECRET = 64 << 10  # bytes; Secret Manager's
_MAX_BYTES = 4 << 20  # of one file; our own are far smaller


def secrets_of(folder: Path) -> tuple[str, ...]:
    """For whoever prints what the services say. What cannot be read, whatever the reason, holds nothing."""
    catalogue, services = folder / "images.json", folder / "services"
    found = list(credentials.of_config({"images": _parsed(catalogue)}, {}))
    for file in sorted(services.glob("*.json")) if services.is_dir() else ():
        for environment in _environments(_parsed(file)):
            found += credentials.of_environment(environment)
    for version in _versions(folder):
        with suppress(OSError, ValueError):
            found += spellings(text(version))
    return tuple(dict.fromkeys(found))


def place(folder: Path, secret: str, version: str) -> Path:
    """Where a version is; ``latest`` is the highest number, or 1 when there is none."""
    kept = folder / "secrets" / secret
    if version == LATEST_VERSION:
        version = str(max([int(each.name) for each in _inside(kept) if each.name.isdecimal()], default=1))
    return kept / version


def spellings(value: str) -> tuple[str, ...]:
    """What to look for where the value may show: all of it, and each line, since logs are lines."""
    return (value, *value.splitlines())


def text(path: Path) -> str:
    """The value of one version. Raises OSError, and ValueError for what no variable can hold."""
    data = content(path)
    if b"\0" in data:
        raise ValueError
    return data.decode()


def content(path: Path) -> bytes:
    """The same, byte by byte. Raises OSError, and ValueError for what is too large."""
    with path.open("rb") as file:
        data = file.read(_MAX_SECRET + 1)
    if len(data) > _MAX_SECRET:
        raise ValueError
    return data


def _versions(folder: Path) -> list[Path]:
    return [version for secret in _inside(folder / "secrets") for version in _inside(secret)]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


class Trusted:
    """The same for whoever goes on printing: ``fresh`` reads again only when something was deployed in between."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: object = None

    def fresh(self) -> tuple[str, ...]:
        """Empty while nothing has changed."""
        kept = [self._folder / part for part in ("images.json", "services", "secrets")]
        kept += [*_inside(self._folder / "secrets"), *_versions(self._folder)]
        stamp = [_changed_at(path) for path in kept]
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
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _environments(each)
