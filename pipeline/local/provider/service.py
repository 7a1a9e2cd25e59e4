"""``gcp:cloudrunv2/service:Service`` of a local Cloud Run, as the real provider has it; see ``fields.py``.

The methods are those of a resource provider (check, read, diff, create, update, delete), on plain values as Pulumi
spells them. Who calls them, an engine over gRPC (``engine.py``) or one plain loop, makes no difference here. Client
errors come out as the client raises them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import grpc
from google.api_core import exceptions
from google.longrunning import operations_pb2
from google.protobuf import json_format

from pipeline.local.provider import fields
from pipeline.local.provider.fields import MAPS, PLACE, PROVIDER_ONLY, Json
from pipeline.local.provider.plain import CALL_TIMEOUT_S, PlainProvider, settle
from pipeline.model import ServiceRef
from pipeline.rpc.run import Services, run_v2

SERVICE = "gcp:cloudrunv2/service:Service"
#: Pulumi's and the API's names, where they differ. A field that the API does not know is an error, not to be left out.
_TO_API = {"traffics": "traffic", "commands": "command", "envs": "env", "dependsOns": "dependsOn"}
_TO_PULUMI = {api: pulumi for pulumi, api in _TO_API.items()}
_SINGLE = frozenset({"ports"})  # a list in the API, one object in Pulumi


class LocalProvider:
    """One local Cloud Run's services; ``plain`` has its other resources."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.plain = PlainProvider(channel)
        self._channel = channel
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

    def read(self, place: Json, last: Json | None = None) -> dict[str, Any] | None:
        """The state of the service, ``etag`` in it; None when it does not exist.

        Args:
            place: project, location and name are in it.
            last: the state before; without one, no label and no annotation is taken for the program's.
        """
        try:
            service = self._services.get_service(name=ref_of(place).name, timeout=CALL_TIMEOUT_S)
        except exceptions.NotFound:
            return None
        return fields.kept(to_outputs(service), {**(last or {}), **{key: place[key] for key in PLACE}})

    def diff(self, olds: Json, news: Json) -> tuple[str, ...]:
        """Paths at which an update would change something."""
        return fields.difference(olds, news)

    def create(self, inputs: Json) -> str:
        """Returns when the request was accepted: the operation's name. Raises AlreadyExists."""
        ref = ref_of(inputs)
        return _operation_name(self._services.create_service(
            parent=ref.parent, service=to_message(fields.sent({}, inputs)), service_id=ref.service,
            timeout=CALL_TIMEOUT_S,
        ))  # fmt: skip

    def update(self, olds: Json, news: Json) -> str:
        """Write the whole service, made of the last state and of what is declared: no mask, no etag.

        Returns when the request was accepted: the operation's name.
        """
        service = to_message(fields.sent(olds, news))
        service.name = ref_of(olds).name
        request = run_v2.UpdateServiceRequest(service=service)
        return _operation_name(self._services.update_service(request=request, timeout=CALL_TIMEOUT_S))

    def settle(self, operation: str) -> None:
        """Wait for what was accepted. Raises GoogleAPICallError as the operation ended."""
        settle(self._channel, operation)

    def delete(self, olds: Json) -> None:
        """Raises ValueError while deletion protection is on. A service that is gone already is no error."""
        if olds.get("deletionProtection", True):
            raise ValueError(
                f"{olds['name']}: deletion protection is on; switch it off, apply that, then delete"
            )
        with suppress(exceptions.NotFound):
            self._services.delete_service(name=ref_of(olds).name, timeout=CALL_TIMEOUT_S)


def ref_of(place: Json) -> ServiceRef:
    """Which service inputs or a state speak of."""
    return ServiceRef(place["project"], place["location"], place["name"])


def _operation_name(answer: bytes) -> str:
    return str(operations_pb2.Operation.FromString(answer).name)


def to_message(inputs: Json) -> run_v2.Service:
    """What to write. Raises ValueError for a field that the API does not have."""
    spec = {key: value for key, value in inputs.items() if key not in PROVIDER_ONLY}
    service = run_v2.Service()
    try:
        json_format.ParseDict(_translated(spec, _TO_API, lambda value: [value]), run_v2.Service.pb(service))
    except json_format.ParseError as error:
        raise ValueError(str(error)) from error
    return service


def to_outputs(service: run_v2.Service) -> dict[str, Any]:
    """What is there, fields at their default left out."""
    found = json_format.MessageToDict(run_v2.Service.pb(service))
    return _translated(found, _TO_PULUMI, lambda value: value[0])


def _translated(value: Any, names: Mapping[str, str], fold: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_translated(item, names, fold) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: item if key in MAPS else _translated(item, names, fold) for key, item in value.items()}
    return {names.get(key, key): fold(item) if key in _SINGLE else item for key, item in inner.items()}
