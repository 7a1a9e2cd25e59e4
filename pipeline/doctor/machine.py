"""What this machine has: Pulumi's CLI, its plugin and its state, ports, the commands of the local images."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from pipeline.doctor.answer import Answer, note, ok, wrong
from pipeline.errors import UserError
from pipeline.local.images.catalogue import Image

_TIMEOUT_S = 2.0


def pulumi(*, is_local: bool) -> Sequence[Answer]:
    """The CLI; locally it may be missing, since the program is then evaluated in this process."""
    from pipeline.cloudrun.pulumi.found import found

    try:
        return [ok("pulumi", str(found()))]
    except UserError as error:
        if is_local:
            return [note("pulumi", f"{error.what}: locally the program runs in this process", error.fix)]
        return [wrong("pulumi", f"{error.what}: {error.why}", error.fix)]


def plugin(environ: Mapping[str, str]) -> Sequence[Answer]:
    """The provider that Pulumi's engine loads; the engine fetches it where it is not there."""
    version = metadata.version("pulumi_gcp")
    home = Path(environ.get("PULUMI_HOME") or f"{environ.get('HOME', '')}/.pulumi")
    there = home / "plugins" / f"resource-gcp-v{version}"
    if os.path.isdir(there):
        return [ok("pulumi plugin", f"gcp {version}")]
    fix = f"pulumi plugin install resource gcp {version}"
    return [
        note("pulumi plugin", f"gcp {version} is not in {home / 'plugins'}; the first apply fetches it", fix)
    ]


def backend(environ: Mapping[str, str]) -> Sequence[Answer]:
    """Where Pulumi's state lies, and what its secrets are kept with."""
    home = Path(environ.get("PULUMI_HOME") or f"{environ.get('HOME', '')}/.pulumi")
    url = environ.get("PULUMI_BACKEND_URL", "")
    has_token = bool(environ.get("PULUMI_ACCESS_TOKEN")) or (home / "credentials.json").is_file()
    if not url and not has_token:
        fix = "Log in: pulumi login gs://BUCKET, or set PULUMI_BACKEND_URL"
        return [wrong("pulumi state", "no backend: neither PULUMI_BACKEND_URL nor a login", fix)]
    is_own = url and not url.startswith("https://")
    if is_own and not (
        environ.get("PULUMI_CONFIG_PASSPHRASE") or environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    ):
        fix = "Set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE, unless Pulumi.STACK.yaml names a key"
        return [note("pulumi state", f"{re.sub(r'//[^@/]*@', '//', url)}, and no passphrase is set", fix)]
    return [ok("pulumi state", re.sub(r"//[^@/]*@", "//", url) or "as pulumi login says")]


def listening(places: Mapping[str, str]) -> Sequence[Answer]:
    """Args: places: what listens there, by HOST:PORT."""
    return [_listening(name, place) for name, place in places.items()]


def _listening(name: str, place: str) -> Answer:
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S):
            return ok("port", f"{name} answers at {place}")
    except (OSError, ValueError) as error:
        fix = "Start it anew: spillway local down && spillway local up"
        return wrong("port", f"{name} does not answer at {place}: {error}", fix)


def can_listen() -> Sequence[Answer]:
    """Whether this machine lets a process listen on loopback, and finds itself by name."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return [ok("ports", f"a free one is to be had: {server.getsockname()[1]}")]
    except OSError as error:
        return [wrong("ports", f"nobody may listen on 127.0.0.1: {error}", "Allow it, or leave the sandbox.")]


def commands(images: Mapping[str, Image]) -> Sequence[Answer]:
    """Whether each image of the local Cloud Run can be started: its command and its folder are there."""
    if not images:
        fix = "Name a command: images: {app: {command: [...], directory: .}}"
        return [note("image", "images: has none, so the local Cloud Run can start nothing", fix)]
    return [_command(name, image) for name, image in images.items()]


def _command(name: str, image: Image) -> Answer:
    if image.directory is not None and not os.path.isdir(image.directory):
        return wrong(
            "image", f"{name}: no folder {image.directory}", "Name one that exists: images.NAME.directory"
        )
    first = image.command[0]
    if shutil.which(first if "/" not in first else str(Path(image.directory or "") / first)) is None:
        return wrong(
            "image", f"{name}: no command {first}", f"Install it, or name another: images.{name}.command"
        )
    missing = [word for word in _paths(image.command) if not os.path.exists(word)]
    if missing:
        return wrong(
            "image", f"{name}: no file {missing[0]}", f"Make it, or name another: images.{name}.command"
        )
    return ok("image", f"{name}: {' '.join(image.command)[:80]}")


def _paths(command: Sequence[str]) -> list[str]:
    """Absolute paths of interpreters inside the words of a shell."""
    return [path for word in command for path in re.findall(r'"(/[^"$]+/bin/[^"$]+)"', word)]
