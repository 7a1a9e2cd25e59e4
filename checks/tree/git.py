"""Git, asked so that nothing in the checked repository runs and nothing is fetched: no hooks, monitors or prompts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
_TIMEOUT_S = 60.0


class GitRefused(Exception):
    """Git is missing, refuses, or does not answer; the text says so, or is its own last line."""


def run_git(root: Path, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Standard output of one git command in ``root``. Raises GitRefused."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {
        "GIT_ALLOW_PROTOCOL": "none",  # a partial clone would fetch what is missing, by the repository's own command
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    command: Sequence[str] = ("git", "-C", str(root), *_SAFE, *arguments)
    try:
        done = subprocess.run(
            command, input=stdin or b"", capture_output=True, env=environment, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise GitRefused("git is not installed, or not on PATH") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise GitRefused(str(error)) from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitRefused(lines[-1] if lines else f"git {arguments[0]} ended with {done.returncode}")
    return done.stdout
