"""Messages of the wire as the values of ``state.py``, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.cloud import run_v2
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pipeline.local.control.state import DEFAULT_CONCURRENCY, Json, Refused, Revision, Service
from pipeline.local.dataplane import ContainerSpec, InstanceSpec
from pipeline.local.state_secrets import LATEST_VERSION
from pipeline.model import OUTPUT_ONLY

_SERVICE = run_v2.Service.pb().DESCRIPTOR
#: The fields of a service that its clients own; all others are the server's and are ignored in a request.
SPEC_FIELDS = frozenset(field.name for field in _SERVICE.fields if field.json_name not in OUTPUT_ONLY)
_DEFAULT_STARTUP_S = 240.0

M = TypeVar("M", bound=Message)


def message(kind: type[M], value: Json) -> M:
    """``value`` (proto JSON, snake_case) as a message of that kind."""
    return json_format.ParseDict(dict(value), kind())


def spec_of(service: Message) -> Json:
    """The part of a (bare) ``Service`` that its client owns; fields at their default are absent. Raises Refused."""
    try:
        fields = json_format.MessageToDict(service, preserving_proto_field_name=True)
    except (json_format.Error, ValueError, OverflowError) as error:  # a time or duration out of range
        raise Refused("INVALID_ARGUMENT", f"service: {error}") from error
    for container in fields.get("template", {}).get("containers", ()):
        container.pop("build_info", None)  # output only, as is the name of a build
    fields.get("build_config", {}).pop("name", None)
    return {key: value for key, value in fields.items() if key in SPEC_FIELDS}


def paths_of(mask: FieldMask, *, is_strict: bool) -> Sequence[str] | None:
    """The fields to replace; None for all.

    A path that a service does not have is dropped, as the cloud does: a mask with nothing else then replaces the whole
    service. Raises Refused for it where masks are strict.
    """
    known = tuple(path for path in mask.paths if FieldMask(paths=[path]).IsValidForDescriptor(_SERVICE))
    unknown = [path for path in mask.paths if path not in (*known, "*")]
    if is_strict and unknown:
        raise Refused("INVALID_ARGUMENT", f"update_mask: '{unknown[0]}' is not a field of Service.")
    if not known or "*" in mask.paths:
        return None
    return tuple(path for path in known if path.partition(".")[0] in SPEC_FIELDS)


def instance_spec(service: Service, revision: Revision) -> InstanceSpec:
    """How to run one revision: its first container, and scaling of its own or else of the service."""
    template = revision.template
    container = template["containers"][0]
    own, of_service = template.get("scaling", {}), service.spec.get("scaling", {})
    # Cloud Run's 100 instances are too many for one machine, so it is 1 unless a number is asked for.
    low, high = (
        own.get(key) or of_service.get(key) or fallback
        for key, fallback in (("min_instance_count", 0), ("max_instance_count", 1))
    )
    return InstanceSpec(
        service=service.name,
        revision=revision.name,
        container=_container_spec(container, revision.image or container["image"]),
        concurrency=template.get("max_instance_request_concurrency", DEFAULT_CONCURRENCY),
        request_timeout_s=float(template["timeout"].removesuffix("s")),
        session_affinity=template.get("session_affinity", False),
        min_instances=low,
        max_instances=max(low, high),
    )


def _container_spec(container: Json, image: str) -> ContainerSpec:
    env = container.get("env", ())
    return ContainerSpec(
        image=image,
        name=container.get("name", ""),
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env={each["name"]: each.get("value", "") for each in env if "value_source" not in each},
        secrets={each["name"]: _secret(each) for each in env if "value_source" in each},
        startup_s=_startup_s(container.get("startup_probe")),
    )


def _secret(variable: Json) -> tuple[str, str]:
    found = variable["value_source"].get("secret_key_ref", {})
    return found.get("secret", ""), found.get("version") or LATEST_VERSION


def _startup_s(probe: Json | None) -> float:
    if probe is None:
        return _DEFAULT_STARTUP_S
    tries: int = probe.get("failure_threshold", 3) * probe.get("period_seconds", 10)
    return float(tries + probe.get("initial_delay_seconds", 0))
