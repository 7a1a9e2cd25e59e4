"""What was collected from a file, by the hash of its path and bytes; losing it costs time and nothing else.

One JSON file per checked root below the user's cache folder. Entries that a whole run did not meet are dropped, so it
never outgrows the tree. Whatever is unreadable, half-written or from another version counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from checks.rules.protocol import Brief
from checks.tree.files import replace

#: by rule: the hash of the brief it was collected with, followed by the facts, as text until they are asked for
Kept = dict[str, str]

_MOST_STALE = 1000


def digest(*parts: bytes) -> str:
    hasher = hashlib.sha256()  # the one that processors help with
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()[:32]


def digest_of(brief: Brief) -> str:
    return digest(json.dumps(brief, sort_keys=True).encode())[:12]


def default_folder() -> Path:
    """Below the user's cache folder, unless ``SPILLWAY_CACHE_DIR`` names another."""
    if "SPILLWAY_CACHE_DIR" in os.environ:
        return Path(os.environ["SPILLWAY_CACHE_DIR"])
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - must not raise
    return Path(home) / "spillway" / "checks"


class Cache:
    """The entries of one root."""

    def __init__(self, root: Path, folder: Path | None = None) -> None:
        self._file = (folder or default_folder()) / f"{digest(os.fsencode(root))}.json"
        self._version = _version()
        self._before = self._load()
        self._now: dict[str, Kept] = {}
        self._is_changed = False

    def _load(self) -> dict[str, Kept]:
        try:
            document = json.loads(self._file.read_bytes())
            entries = document["entries"] if document["version"] == self._version else {}
            return entries if isinstance(entries, dict) else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def get(self, key: str, rule: str, brief: str) -> tuple[bool, Any]:
        """Whether there is an answer, and the answer."""
        kept = self._now.get(key) or self._before.get(key)
        text = kept.get(rule) if isinstance(kept, dict) else None
        if kept is None or not isinstance(text, str) or not text.startswith(brief):
            return False, None
        self._now[key] = kept
        facts = text[len(brief) :]
        try:
            return True, None if facts == "null" else json.loads(facts)
        except (ValueError, RecursionError):
            return False, None

    def put(self, key: str, rule: str, brief: str, facts: Any) -> None:
        """Keep an answer; one that nests too deeply to be written is asked again next time."""
        with suppress(RecursionError):
            text = json.dumps(facts, separators=(",", ":"))
            kept = self._now.setdefault(key, dict(self._before.get(key) or {}))
            kept[rule] = brief + text
            self._is_changed = True

    def save(self, *, is_whole: bool) -> None:
        """Write what this run met; of a run of some rules only, keep what it did not meet too, within reason."""
        is_bounded = len(self._before) <= _MOST_STALE + 2 * len(self._now)
        entries = self._before | self._now if not is_whole and is_bounded else self._now
        if not self._is_changed and len(entries) == len(self._before):
            return
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            text = json.dumps({"version": self._version, "entries": entries}, separators=(",", ":"))
            replace(self._file, text.encode("ascii"), 0o600)


def _version() -> str:
    """Changes with the interpreter and with every edit of the checks themselves."""
    here = Path(__file__).parent.parent
    stamps = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(here.rglob("*.py"))]
    return digest(sys.version.encode(), repr(stamps).encode())
