"""``spillway.yaml`` as a tree of values, before anything is validated; its secrets are known to the sink from here on."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline import credentials, regular_file
from pipeline.config import yamltree
from pipeline.errors import ConfigError
from pipeline.probe import secret_file
from pipeline.redact import SINK

MAX_BYTES = 1 << 20


def read(path: Path) -> yamltree.Document:
    """Raises ConfigError."""
    document = yamltree.parse(text_of(path), str(path))
    SINK.learn(*credentials.of_config(document.value, os.environ))
    files = (path.parent / each for each in credentials.files_of(document.value))
    SINK.learn(*filter(None, map(_secret_of, files)))
    return document


def _secret_of(path: Path) -> str:
    """Of a secret's file; empty where there is none: whoever needs it says so."""
    try:
        return secret_file.read(path)
    except (OSError, ValueError):
        return ""


def text_of(path: Path) -> str:
    """The file's text, without a byte order mark. Raises ConfigError, with the place of what is not text."""
    return _decoded(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file (or what a link leads to) of at most ``MAX_BYTES``. Raises ConfigError."""
    try:
        data = regular_file.read(path, MAX_BYTES)
    except regular_file.NotAFile as error:
        raise ConfigError(f"{path}: {error}", fix="Name a regular file: -c FILE") from error
    except FileNotFoundError as error:
        if path.suffix == ".yaml" and (other := path.with_suffix(".yml")).is_file():
            raise ConfigError(
                f"{path}: not there",
                f"{other.name} is, and is looked for by that name alone.",
                f"Name it: -c {other.name}",
            ) from error
        raise ConfigError(
            f"{path}: not there",
            "No command that needs a configuration can go on without it.",
            "Write one: spillway init; or name one with -c FILE, or stand in its folder: -C FOLDER",
        ) from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{path}: cannot be read", f"{why}.") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{path}:1:1: too large", f"It has more than {MAX_BYTES:,} bytes, which is the most that is read."
        )
    return data


def _decoded(path: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{path}:1:1: UTF-16", fix="Save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise ConfigError(f"{path}:{_place(data, error.start)}: {found}", fix="Save it as UTF-8.") from error
    if (at := data.find(b"\0")) >= 0:
        raise ConfigError(
            f"{path}:{_place(data, at)}: a NUL byte", "It is not a text file, or was cut short by a crash."
        )
    return text


def _place(data: bytes, at: int) -> str:
    before = data[:at]
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace"))
    return f"{before.count(10) + 1}:{column + 1}"
