"""Messages of the wire as the values of ``state.py``, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from google.cloud import run_v2
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pipeline.local.control.state import Json, Refused
from pipeline.model import OUTPUT_ONLY

_SERVICE = run_v2.Service.pb().DESCRIPTOR
#: The fields of a service that its clients own; all others are the server's and are ignored in a request.
SPEC_FIELDS = frozenset(field.name for field in _SERVICE.fields if field.json_name not in OUTPUT_ONLY)
_JOB_FIELDS = frozenset(
    {"labels", "annotations", "client", "client_version", "launch_stage", "binary_authorization", "template"}
)

M = TypeVar("M", bound=Message)


def message(kind: type[M], value: Json) -> M:
    """``value`` (proto JSON, snake_case) as a message of that kind."""
    return json_format.ParseDict(dict(value), kind())


def spec_of(service: Message) -> Json:
    """The part of a (bare) ``Service`` that its client owns; fields at their default are absent. Raises Refused."""
    fields = as_json(service)
    for container in fields.get("template", {}).get("containers", ()):
        container.pop("build_info", None)  # output only, as is the name of a build
    fields.get("build_config", {}).pop("name", None)
    return {key: value for key, value in fields.items() if key in SPEC_FIELDS}


def job_spec_of(job: Message) -> Json:
    """The same of a (bare) ``Job``."""
    return {key: value for key, value in as_json(job).items() if key in _JOB_FIELDS}


def as_json(given: Message) -> Any:
    """A message of a client's as proto JSON with snake_case keys, without what is at its default. Raises Refused."""
    try:
        return json_format.MessageToDict(given, preserving_proto_field_name=True)
    except (json_format.Error, ValueError, OverflowError) as error:  # a time or duration out of range
        raise Refused("INVALID_ARGUMENT", f"{given.DESCRIPTOR.name}: {error}") from error


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
