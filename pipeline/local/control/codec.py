"""Messages of the wire as the values of ``state.py``, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.cloud import run_v2
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask

from pipeline.local.control.state import DEFAULT_CONCURRENCY, Json, Refused, Revision, Service
from pipeline.local.dataplane import InstanceSpec

#: The fields of a service that its clients own; all others are the server's and are ignored in a request.
SPEC_FIELDS = frozenset({
    "description", "labels", "annotations", "client", "client_version", "ingress", "launch_stage",
    "binary_authorization", "template", "traffic", "scaling", "invoker_iam_disabled", "default_uri_disabled",
    "iap_enabled", "multi_region_settings", "custom_audiences", "build_config",
})  # fmt: skip
_DEFAULT_STARTUP_S = 240.0

M = TypeVar("M", run_v2.Service, run_v2.Revision)


def message(kind: type[M], value: Json) -> M:
    """``value`` (proto JSON, snake_case) as a message of that kind."""
    found = kind()
    json_format.ParseDict(dict(value), kind.pb(found))
    return found


def spec_of(service: run_v2.Service) -> Json:
    """The part of a service that its client owns; fields at their default are absent. Raises Refused."""
    try:
        fields = json_format.MessageToDict(run_v2.Service.pb(service), preserving_proto_field_name=True)
    except (json_format.Error, ValueError, OverflowError) as error:  # a time or duration out of range
        raise Refused("INVALID_ARGUMENT", f"service: {error}") from error
    return {key: value for key, value in fields.items() if key in SPEC_FIELDS}


def paths_of(mask: FieldMask | None) -> Sequence[str] | None:
    """The fields to replace; None for all. Raises Refused for a path that a service does not have."""
    paths = tuple(mask.paths) if mask else ()
    if not paths or "*" in paths:
        return None
    descriptor = run_v2.Service.pb(run_v2.Service()).DESCRIPTOR
    for path in paths:
        if not FieldMask(paths=[path]).IsValidForDescriptor(descriptor):
            raise Refused("INVALID_ARGUMENT", f"update_mask: '{path}' is not a field of Service.")
    return tuple(path for path in paths if path.partition(".")[0] in SPEC_FIELDS)


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
        image=revision.image or container["image"],
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env={variable["name"]: variable.get("value", "") for variable in container.get("env", ())},
        concurrency=template.get("max_instance_request_concurrency", DEFAULT_CONCURRENCY),
        startup_s=_startup_s(container.get("startup_probe")),
        request_timeout_s=float(template["timeout"].removesuffix("s")),
        session_affinity=template.get("session_affinity", False),
        min_instances=low,
        max_instances=max(low, high),
    )


def _startup_s(probe: Json | None) -> float:
    if probe is None:
        return _DEFAULT_STARTUP_S
    tries: int = probe.get("failure_threshold", 3) * probe.get("period_seconds", 10)
    return float(tries + probe.get("initial_delay_seconds", 0))
