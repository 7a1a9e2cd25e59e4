"""Volumes of an instance that one machine has: emptyDir and secrets, mounted where the kernel lets anybody do that.

A container with mounts is started by ``mounted.py``, in a mount namespace of its own. An emptyDir is a folder of the
state folder for as long as the instance lives; the files of a secret are in memory and in that namespace alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Mount
from pipeline.local.run import secret_variables

_RUN = (sys.executable, "-I", "-S", str(Path(__file__).with_name("mounted.py")))
_TRIAL = json.dumps([{"path": "/spillway-trial/secret", "files": []}])
_TRIAL_S = 30.0


@cache
def are_possible() -> bool:
    """Whether this kernel lets us mount for one process: tried once."""
    if sys.platform != "linux":
        return False
    trial = [*_RUN, _TRIAL, sys.executable, "-I", "-S", "-c", ""]
    try:
        return subprocess.run(trial, capture_output=True, timeout=_TRIAL_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def place(folder: Path, token: str = "") -> Path:
    """Where an instance has its folders; without one, where all have theirs."""
    return folder / "volumes" / token


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def runner(folder: Path, token: str, service: str, spec: ContainerSpec) -> tuple[str, ...]:
    """What the command of an instance's container is run by; empty where it mounts nothing. Raises StartFailed."""
    if not spec.mounts or not are_possible():
        return ()

    def wanted(mount: Mount) -> dict[str, Any]:
        if mount.files is None:
            return {"path": mount.path, "from": str(place(folder, token) / mount.volume)}
        return {
            "path": mount.path,
            "files": [
                {
                    "path": each.path,
                    "from": str(secret_variables.file_of(folder, service, each.secret, each.version)),
                    "mode": each.mode,
                }
                for each in mount.files
            ],
        }

    return *_RUN, json.dumps(list(map(wanted, spec.mounts)))


def not_mounted(spec: InstanceSpec) -> tuple[str, ...]:
    """The volumes that are mounted where that is possible, in words."""
    mounts = [mount for each in (spec.container, *spec.sidecars) for mount in each.mounts]
    words = (f"{'emptyDir' if m.files is None else 'secret'} volume '{m.volume}'" for m in mounts)
    return tuple(dict.fromkeys(words))
