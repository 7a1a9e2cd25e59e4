"""Pulumi's own CLI on the local Cloud Run, for a person at a shell: ``spillway local pulumi preview --diff``."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.app.images import pinned
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.wiring import open_place
from pipeline.cloudrun.pulumi.found import found
from pipeline.cloudrun.pulumi.home import LocalHome
from pipeline.errors import PlatformError, UserError

_LOOK_S = 0.05


def run_pulumi(session: Session, words: Sequence[str], image: str | None) -> int:
    """Run it where ``spillway.yaml`` is, with the local Cloud Run's backend, secrets and provider; its exit code.

    Args:
        image: first let the stack of this image's service be selected, and its configuration be what a rollout of the
            image would hand over.

    Raises: UserError without a CLI, without a ``Pulumi.yaml``, without a local Cloud Run; PlatformError when the stack
        cannot be selected.
    """
    cli, folder = found(), session.config_file.parent
    if not (folder / "Pulumi.yaml").is_file():
        raise UserError(
            f"{folder}: no Pulumi.yaml", "Pulumi needs a project to stand in.", "Stand in it: -C FOLDER"
        )
    command = str(cli.root / "bin" / "pulumi") if cli.root else "pulumi"
    request = Request.of(session, "local")
    with ExitStack() as stack:
        place = stack.enter_context(open_place(session, request.ref))
        assert place.channel is not None, "the environment is local"
        home = LocalHome(session.local_folder, place.channel)
        name = f"{request.ref.project}.{request.ref.location}.{request.ref.service}"
        _, added = stack.enter_context(home.opened(name))
        env = {**os.environ, **added, "SPILLWAY_LOCAL_DIR": str(session.local_folder)}
        env["PATH"] = os.pathsep.join(
            [*([str(cli.root / "bin")] if cli.root else []), env.get("PATH", os.defpath)]
        )
        if image is not None:
            settings = stack.enter_context(pinned(request, image)).settings
            _quietly([command, "stack", "select", "--create", settings.stack], folder, env)
            _quietly(
                [command, "config", "set", "--secret", "spillway:service"], folder, env, settings.encode()
            )
        return _waited(session, [command, *words], folder, env)


def _quietly(words: Sequence[str], folder: Path, env: Mapping[str, str], given: str = "") -> None:
    ran = subprocess.run(
        [*words, "--non-interactive"],
        cwd=folder,
        env=env,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise PlatformError(
            f"pulumi {' '.join(words[1:3])} failed", ran.stderr.strip()[-500:], "Look: pulumi stack ls"
        )


def _waited(session: Session, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> int:
    """It has the terminal. Ctrl-C reaches it by itself; any other signal to us is handed on as one."""
    process = subprocess.Popen(words, cwd=folder, env=env)
    was_told = False
    while process.poll() is None:
        if session.stopped.is_set() and not was_told:
            process.send_signal(signal.SIGINT)
            was_told = True
        time.sleep(_LOOK_S)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode
