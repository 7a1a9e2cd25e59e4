"""What Pulumi's engine asks of one resource, request in and response out; ``engine.py`` finds whose it is.

Methods raise what the client raises; ValueError for a deletion that is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.api_core import exceptions
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from pipeline.local.provider.fields import PLACE, Json, refreshed
from pipeline.local.provider.marks import Secrets, has_unknowns, plain
from pipeline.local.provider.plain import PlainProvider
from pipeline.local.provider.service import LocalProvider, ref_of
from pipeline.model import ServiceRef

_Diff = provider_pb2.DiffResponse


class ServiceResource:
    """``gcp:cloudrunv2/service:Service``. What came as a secret, or is the nonce, is marked as one in each answer."""

    def __init__(self, services: LocalProvider) -> None:
        self._services = services

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        inputs = plain(request.news)
        problems = () if has_unknowns(inputs) else self._services.check(inputs)
        marked = Secrets(request.news).marked(inputs)
        return provider_pb2.CheckResponse(inputs=marked, failures=_failures(problems))

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        state, declared = plain(request.olds), plain(request.news)
        paths = self._services.diff(state, declared)
        moved = [key for key in PLACE if declared.get(key) != state.get(key)]
        kind = provider_pb2.PropertyDiff.Kind
        details = {
            **{path: provider_pb2.PropertyDiff(kind=kind.UPDATE) for path in paths},
            **{key: provider_pb2.PropertyDiff(kind=kind.UPDATE_REPLACE) for key in moved},
        }
        return _Diff(
            changes=_Diff.DIFF_SOME if details else _Diff.DIFF_NONE, replaces=moved, detailedDiff=details,
            hasDetailedDiff=bool(details), diffs=sorted({path.split(".")[0].split("[")[0] for path in details}),
        )  # fmt: skip

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        inputs = plain(request.properties)
        self._services.settle(self._services.create(inputs))
        state = Secrets(request.properties).marked(self._there(inputs))
        return provider_pb2.CreateResponse(id=ref_of(inputs).name, properties=state)

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        ref = ServiceRef.parse(request.id)
        if ref is None:
            raise exceptions.MethodNotImplemented(f"{request.id}: an id is projects/P/locations/L/services/S")
        place = {"project": ref.project, "location": ref.location, "name": ref.service}
        state = self._services.read(place, plain(request.properties))
        if state is None:
            return provider_pb2.ReadResponse()
        secrets = Secrets(request.properties, request.inputs)
        inputs = refreshed(plain(request.inputs), state)
        return provider_pb2.ReadResponse(
            id=request.id, properties=secrets.marked(state), inputs=secrets.marked(inputs)
        )

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        state, declared = plain(request.olds), plain(request.news)
        self._services.settle(self._services.update(state, declared))
        after = self._there(declared)
        return provider_pb2.UpdateResponse(properties=Secrets(request.news).marked(after))

    def delete(self, request: provider_pb2.DeleteRequest) -> None:
        self._services.delete(plain(request.properties))

    def _there(self, declared: Json) -> Mapping[str, Any]:
        found = self._services.read(declared, declared)
        if found is None:
            raise exceptions.NotFound(f"{ref_of(declared).name} is gone already")
        return found


class PlainResource:
    """A log-based metric, an alert policy, a job or its schedule. Nothing in it is secret."""

    def __init__(self, provider: PlainProvider, kind: str) -> None:
        self._provider, self._kind = provider, kind

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        problems = self._provider.check(self._kind, plain(request.news))
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(problems))

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        changed = self._provider.differs(self._kind, plain(request.olds), plain(request.news))
        return _Diff(changes=_Diff.DIFF_SOME if changed else _Diff.DIFF_NONE, diffs=changed)

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        """One that is there already was made in process, or by a stack that was lost."""
        name = self._provider.bring_about(self._kind, plain(request.properties))
        return provider_pb2.CreateResponse(id=name, properties=request.properties)

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        found = self._provider.read(self._kind, request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        state = struct_pb2.Struct()
        state.update(found)
        return provider_pb2.ReadResponse(id=request.id, properties=state, inputs=request.inputs)

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        self._provider.update(self._kind, request.id, plain(request.news))
        return provider_pb2.UpdateResponse(properties=request.news)

    def delete(self, request: provider_pb2.DeleteRequest) -> None:
        self._provider.delete(self._kind, request.id)


Resource = ServiceResource | PlainResource


def _failures(problems: Iterable[str]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(reason=problem) for problem in problems]
