"""The secrets of a container, as variables and as files: read from the state folder, which stands in for Secret Manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.local import state_secrets
from pipeline.local.dataplane import ContainerSpec, StartFailed
from pipeline.redact import SINK


def read(folder: Path, service: str, spec: ContainerSpec) -> Mapping[str, str]:
    """The values of the variables of a service's container, which the sink knows from then on. Raises StartFailed."""
    return {
        variable: _learned(folder, service, *wanted, state_secrets.text)[1]
        for variable, wanted in spec.secrets.items()
    }


def file_of(folder: Path, service: str, secret: str, version: str) -> Path:
    """Where a version is, which the sink knows from then on if it is text. Raises StartFailed."""
    return _learned(
        folder, service, secret, version, lambda path: state_secrets.content(path).decode(errors="replace")
    )[0]


def _learned(
    folder: Path, service: str, secret: str, version: str, read: Callable[[Path], str]
) -> tuple[Path, str]:
    """Where a version is, and its text, which the sink knows from then on. Raises StartFailed."""
    name = secret.rpartition("/")[2]
    path = state_secrets.place(folder, name, version)
    try:
        value = read(path)
    except (OSError, ValueError) as fault:
        project = secret.split("/")[1] if "/" in secret else service.split("/")[1]
        raise StartFailed(
            "SECRETS_ACCESS_CHECK_FAILED",
            f"Secret projects/{project}/secrets/{name}/versions/{version} {_why(fault)}. On the local Cloud Run its value"
            f" is the content of {path}.",
        ) from fault
    SINK.learn(*state_secrets.spellings(value))
    return path, value


def _why(fault: OSError | ValueError) -> str:
    """Never with a part of the value in it."""
    if isinstance(fault, FileNotFoundError):
        return "was not found"
    if isinstance(fault, OSError):
        return f"cannot be read ({fault.strerror or type(fault).__name__})"
    return "cannot be read (it is no text of at most 64 KiB)"
