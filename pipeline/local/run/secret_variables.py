"""The variables of a container whose values are secrets: read from the state folder, which stands in for Secret Manager."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.local import state_secrets
from pipeline.local.dataplane import ContainerSpec, StartFailed
from pipeline.redact import SINK


def read(folder: Path, service: str, spec: ContainerSpec) -> Mapping[str, str]:
    """The values of a service's container, which the sink knows from then on. Raises StartFailed."""
    return {variable: _value(folder, service, *wanted) for variable, wanted in spec.secrets.items()}


def _value(folder: Path, service: str, secret: str, version: str) -> str:
    name = secret.rpartition("/")[2]
    project = secret.split("/")[1] if "/" in secret else service.split("/")[1]
    try:
        value = state_secrets.version_of(folder, name, version)
    except (OSError, ValueError) as fault:
        why = "was not found" if isinstance(fault, FileNotFoundError) else f"cannot be read ({_why(fault)})"
        raise StartFailed(
            "SECRETS_ACCESS_CHECK_FAILED",
            f"Secret projects/{project}/secrets/{name}/versions/{version} {why}. On the local Cloud Run its value is"
            f" the content of {state_secrets.place(folder, name, version)}.",
        ) from fault
    SINK.learn(*state_secrets.spellings(value))
    return value


def _why(fault: OSError | ValueError) -> str:
    """Never with a part of the value in it."""
    return (
        fault.strerror or type(fault).__name__
        if isinstance(fault, OSError)
        else "it is no text of at most 64 KiB"
    )
