"""What Pulumi drives on the local Cloud Run: ``gcp:cloudrunv2/service:Service``.

The methods are those of a resource provider (check, read, diff, create, update, delete), on plain values as Pulumi
spells them. Who calls them, an engine over gRPC or one plain loop, makes no difference here. Client errors come out as
the client raises them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.api_core.exceptions import NotFound

from pipeline.local.provider.spelling import PLACE, Json, to_message, to_outputs
from pipeline.model import ServiceRef
from pipeline.rpc import masks
from pipeline.rpc.run import Services, run_v2

SERVICE = "gcp:cloudrunv2/service:Service"
_CALL_TIMEOUT_S = 15.0
#: Declared field -> field of the API's update mask; all others are the server's or other people's.
_UPDATABLE = {
    "annotations": "annotations", "labels": "labels", "ingress": "ingress", "template": "template",
    "traffics": "traffic", "scaling": "scaling", "description": "description", "customAudiences": "custom_audiences",
    "defaultUriDisabled": "default_uri_disabled", "invokerIamDisabled": "invoker_iam_disabled",
    "launchStage": "launch_stage",
}  # fmt: skip
masks.checked(_UPDATABLE.values())


class LocalProvider:
    """One local Cloud Run's services."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._services = Services(channel)

    def check(self, inputs: Json) -> tuple[str, ...]:
        """What is wrong with these inputs, before anything is sent; empty if nothing is."""
        missing = tuple(f"{key}: must be set" for key in (*PLACE, "template") if not inputs.get(key))
        if missing:
            return missing
        try:
            to_message(inputs)
        except ValueError as error:
            return (str(error),)
        return ()

    def read(self, inputs: Json) -> dict[str, Any] | None:
        """The service as outputs, ``etag`` among them; None when it does not exist."""
        try:
            service = self._services.get_service(name=_ref(inputs).name, timeout=_CALL_TIMEOUT_S)
        except NotFound:
            return None
        return to_outputs(service)

    def diff(self, olds: Json, news: Json) -> tuple[str, ...]:
        """The declared fields that are not as declared. What is not declared is somebody else's."""
        wanted = to_outputs(to_message(news))
        return tuple(
            key for key in _UPDATABLE if key in news and not _agrees(key, wanted.get(key), olds.get(key))
        )

    def create(self, inputs: Json) -> None:
        """Returns when the request was accepted. Raises AlreadyExists."""
        ref = _ref(inputs)
        self._services.create_service(
            parent=ref.parent, service=to_message(inputs), service_id=ref.service, timeout=_CALL_TIMEOUT_S
        )

    def update(self, olds: Json, news: Json) -> tuple[str, ...]:
        """Write what differs, under the etag of ``olds``, and return its names; nothing differs: nothing is written.

        Returns when the request was accepted. Raises Aborted when the service changed since ``olds`` was read.
        """
        changed = self.diff(olds, news)
        if changed:
            service = to_message(news)
            service.name, service.etag = _ref(news).name, olds["etag"]
            mask = masks.checked(_UPDATABLE[key] for key in changed)
            request = run_v2.UpdateServiceRequest(service=service, update_mask=mask)
            self._services.update_service(request=request, timeout=_CALL_TIMEOUT_S)
        return changed

    def delete(self, olds: Json) -> None:
        """Raises ValueError while deletion protection is on. A service that is gone already is no error."""
        if olds.get("deletionProtection", True):
            raise ValueError(
                f"{olds['name']}: deletion protection is on; switch it off, apply that, then delete"
            )
        try:
            self._services.delete_service(name=_ref(olds).name, timeout=_CALL_TIMEOUT_S)
        except NotFound:
            return


def _ref(inputs: Json) -> ServiceRef:
    return ServiceRef(inputs["project"], inputs["location"], inputs["name"])


def _agrees(key: str, wanted: Any, found: Any) -> bool:
    """Templates have fields that the server fills in; split and annotations are compared whole."""
    if key == "template":
        return _is_part_of(wanted, found)
    return bool(wanted or None) == bool(found or None) and (wanted or None) == (found or None)


def _is_part_of(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is found; objects may have more, lists may not."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_is_part_of(v, found.get(k)) for k, v in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(_is_part_of, wanted, found))
    return bool(wanted == found)
