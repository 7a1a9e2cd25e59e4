"""What a ``spillway.yaml`` came to the last time it was read, so that the next check need not read it again.

Reading it costs more than checking two thousand files: the schema of the whole file is built first. One JSON file per
configuration below the user's cache folder, under the hash of its path and bytes; it holds the settings of the checks
and nothing of services or secrets. Losing it costs time, nothing else: whatever is absent, unreadable or from another
version is answered with None.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from checks import settings as asked
from checks.run.cache import default_folder, digest
from pipeline import private
from pipeline.app.check_subject import Subject
from pipeline.config import bounded_file
from pipeline.errors import ConfigError


def store(subject: Subject) -> None:
    """Keep what a configuration came to; one without a ``checks`` section is read anew each time."""
    if subject.file is None or not subject.is_configured:
        return
    with suppress(OSError, ConfigError):
        kept = _kept(subject.file)
        private.make_folder(kept.parent)
        row: dict[str, Any] = {"root": str(subject.root), "settings": asdict(subject.settings)}
        additive = subject.settings.additive
        row["is_folder"] = additive is not None and os.path.isdir(additive.base)
        text = json.dumps(row, default=str)
        private.write(kept, text)


def load(file: Path) -> Subject | None:
    """The subject of this configuration as it stands now."""
    try:
        document = json.loads(_kept(file).read_text(encoding="utf-8"))
        root, settings, was_folder = (
            Path(document["root"]),
            asked.build(asked.Settings, document["settings"]),
            bool(document["is_folder"]),
        )
    except (OSError, ConfigError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    base = settings.additive.base if settings.additive else ""
    # whether a base is a folder or a ref depends on what stands beside the file today
    is_folder = bool(base) and (os.path.isdir(base) or os.path.isdir(file.parent / base))
    is_same = os.path.isdir(root) and is_folder == was_folder
    return Subject(root, settings, "", True, file) if is_same else None


def _kept(file: Path) -> Path:
    """Raises ConfigError when the configuration cannot be read."""
    key = digest(os.fsencode(file.absolute()), os.fsencode(file), bounded_file.read_bytes(file), _version())
    return default_folder().parent / "settings" / f"{key}.json"


def _version() -> bytes:
    """Changes with the interpreter and with every edit of what reads the file."""
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in read_by()]
    return f"{sys.version} {stamps}".encode()


def read_by() -> list[Path]:
    """The files of the program that decide what a configuration comes to: all of ours that reading it may import."""
    root = Path(__file__).parents[2]
    return sorted((*(root / "pipeline").rglob("*.py"), root / "checks" / "settings.py"))
