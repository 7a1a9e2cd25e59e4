"""The secrets of a container, as variables and as files: read from the state folder, which stands in for Secret Manager."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.local import state_secrets
from pipeline.local.dataplane import ContainerSpec, StartFailed
from pipeline.redact import SINK


def read(folder: Path, service: str, spec: ContainerSpec) -> Mapping[str, str]:
    """The values of the variables of a service's container, which the sink knows from then on. Raises StartFailed."""
    return {variable: _value(folder, service, *wanted) for variable, wanted in spec.secrets.items()}


def file_of(folder: Path, service: str, secret: str, version: str) -> Path:
    """Where a version is, which the sink knows from then on if it is text. Raises StartFailed."""
    name = secret.rpartition("/")[2]
    try:
        data = state_secrets.content_of(folder, name, version)
    except (OSError, ValueError) as fault:
        raise _failed(folder, service, secret, version, fault) from fault
    SINK.learn(*state_secrets.spellings(data.decode(errors="replace")))
    return state_secrets.place(folder, name, version)


def _value(folder: Path, service: str, secret: str, version: str) -> str:
    try:
        value = state_secrets.version_of(folder, secret.rpartition("/")[2], version)
    except (OSError, ValueError) as fault:
        raise _failed(folder, service, secret, version, fault) from fault
    SINK.learn(*state_secrets.spellings(value))
    return value


def _failed(
    folder: Path, service: str, secret: str, version: str, fault: OSError | ValueError
) -> StartFailed:
    name = secret.rpartition("/")[2]
    project = secret.split("/")[1] if "/" in secret else service.split("/")[1]
    why = "was not found" if isinstance(fault, FileNotFoundError) else f"cannot be read ({_why(fault)})"
    return StartFailed(
        "SECRETS_ACCESS_CHECK_FAILED",
        f"Secret projects/{project}/secrets/{name}/versions/{version} {why}. On the local Cloud Run its value is"
        f" the content of {state_secrets.place(folder, name, version)}.",
    )


def _why(fault: OSError | ValueError) -> str:
    """Never with a part of the value in it."""
    return (
        fault.strerror or type(fault).__name__
        if isinstance(fault, OSError)
        else "it is no text of at most 64 KiB"
    )
