"""Where Pulumi's CLI is on this machine: on the PATH, or in the user's cache, where ``make pulumi`` puts it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from pipeline.errors import UserError

VERSION = "3.200.0"  # that is built; and the oldest that is accepted: everything is tried with it
_OLDEST = tuple(map(int, VERSION.split(".")))
_ANSWER_WITHIN_S = 30.0
_GET = "Get one: make pulumi"


class Found(Struct, frozen=True):
    """A CLI that can be used.

    Args:
        root: ``bin/pulumi`` is in it; None is whatever the PATH names.
    """

    version: str
    root: Path | None = None

    def __str__(self) -> str:
        return f"pulumi {self.version} ({self.root / 'bin' if self.root else 'on the PATH'})"


def cache() -> Path:
    """Of the version that is built. Raises UserError where the user has no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(named) if named.startswith("/") else Path.home() / ".cache"
    except RuntimeError as error:
        raise UserError("there is no cache folder", str(error), "Name one: XDG_CACHE_HOME=FOLDER") from error
    return home / "spillway" / "pulumi" / VERSION


def found() -> Found:
    """The CLI to use. Raises UserError when there is none, or none that is new enough."""
    roots: list[Path | None] = [None]
    with suppress(UserError):  # without a home there is no cache
        roots.append(cache())
    problems = []
    for root in roots:
        command = str(root / "bin" / "pulumi") if root else shutil.which("pulumi")
        if command is None or not os.path.exists(command):
            continue
        version = version_of(command)
        if version is not None and _numbers(version) >= _OLDEST:
            return Found(version, root)
        problems.append(f"{command} is {version or 'none that tells its version'}")
    if problems:
        raise UserError(
            "the Pulumi CLI cannot be used", f"{'; '.join(problems)}; {VERSION} or newer is needed.", _GET
        )
    raise UserError(
        "the Pulumi CLI is not on this machine",
        "There is no pulumi on the PATH, and none in the cache.",
        f"{_GET}; to roll back, none is needed.",
    )


def version_of(command: str) -> str | None:
    """``3.200.0``; None when it does not tell."""
    try:
        ran = subprocess.run(
            [command, "version"], capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    told = re.fullmatch(r"v?(\d+\.\d+\.\d+\S*)", ran.stdout.strip())
    return told.group(1) if told and not ran.returncode else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
