"""The local Cloud Run's provider as Pulumi's engine calls it: ``pulumirpc.ResourceProvider`` over gRPC.

The engine finds it by ``PULUMI_DEBUG_PROVIDERS=gcp:PORT``, so no plugin is started and none is downloaded. The port is
any of loopback's, and open only while one command of Pulumi runs. Secrets come marked; what was one, or is the nonce,
is marked again in every answer, so that the state holds it encrypted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NoReturn

import grpc
from google.api_core import exceptions
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from pipeline.local.provider import alerts
from pipeline.local.provider.fields import PLACE, Json, refreshed
from pipeline.local.provider.marks import Secrets, has_unknowns, plain
from pipeline.local.provider.service import SERVICE, LocalProvider, ref_of
from pipeline.model import ServiceRef

PACKAGE = "gcp"
Context = Any  # a grpc.ServicerContext


@contextmanager
def serving(channel: grpc.Channel) -> Iterator[int]:
    """The provider of the local Cloud Run behind ``channel``, on a port of loopback, as long as the block lasts."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8, thread_name_prefix="pulumi-provider"))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(LocalProvider(channel)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """``gcp`` with one resource. What the local Cloud Run does not have is refused by its name."""

    def __init__(self, services: LocalProvider) -> None:
        self._services = services

    def Handshake(self, request: Any, context: Context) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: Context) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Context) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=version("pulumi-gcp"))

    def GetSchema(self, request: Any, context: Context) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: Context) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Context) -> provider_pb2.DiffResponse:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Context) -> provider_pb2.ConfigureResponse:
        return provider_pb2.ConfigureResponse(acceptSecrets=True)

    def Invoke(self, request: Any, context: Context) -> NoReturn:
        _refuse(context, f"{request.tok}: the local Cloud Run's provider has no functions")

    def Call(self, request: Any, context: Context) -> NoReturn:
        _refuse(context, f"{request.tok}: the local Cloud Run's provider has no methods")

    def Cancel(self, request: Any, context: Context) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:
        kind = _must_be_ours(request.urn, context)
        if kind in alerts.TYPES:
            inputs = plain(request.news)
            problems = self._services.alerts.check(kind, inputs)
            failures = [provider_pb2.CheckFailure(reason=problem) for problem in problems]
            return provider_pb2.CheckResponse(inputs=request.news, failures=failures)
        inputs = plain(request.news)
        problems = () if has_unknowns(inputs) else self._services.check(inputs)
        failures = [provider_pb2.CheckFailure(reason=problem) for problem in problems]
        return provider_pb2.CheckResponse(inputs=Secrets(request.news).marked(inputs), failures=failures)

    def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        state, declared = plain(request.olds), plain(request.news)
        type_ = _must_be_ours(request.urn, context)
        if type_ in alerts.TYPES:
            changed = self._services.alerts.differs(type_, state, declared)
            answer = provider_pb2.DiffResponse
            return answer(changes=answer.DIFF_SOME if changed else answer.DIFF_NONE, diffs=changed)
        paths = self._services.diff(state, declared)
        moved = [key for key in PLACE if declared.get(key) != state.get(key)]
        kind = provider_pb2.PropertyDiff.Kind
        details = {
            **{path: provider_pb2.PropertyDiff(kind=kind.UPDATE) for path in paths},
            **{key: provider_pb2.PropertyDiff(kind=kind.UPDATE_REPLACE) for key in moved},
        }
        answer = provider_pb2.DiffResponse
        return answer(
            changes=answer.DIFF_SOME if details else answer.DIFF_NONE, replaces=moved, detailedDiff=details,
            hasDetailedDiff=bool(details), diffs=sorted({path.split(".")[0].split("[")[0] for path in details}),
        )  # fmt: skip

    def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        inputs, kind = plain(request.properties), _must_be_ours(request.urn, context)
        if kind in alerts.TYPES:
            with _told(context):
                name = self._services.alerts.find(kind, inputs)
                if name is None:
                    name = self._services.alerts.create(kind, inputs)
                else:  # made in process, or by a stack that was lost
                    self._services.alerts.update(kind, name, inputs)
            return provider_pb2.CreateResponse(id=name, properties=request.properties)
        with _told(context):
            self._services.settle(self._services.create(inputs))
            state = self._read(inputs, inputs)
        secrets = Secrets(request.properties)
        return provider_pb2.CreateResponse(id=ref_of(inputs).name, properties=secrets.marked(state))

    def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        kind = _must_be_ours(request.urn, context)
        if kind in alerts.TYPES:
            with _told(context):
                found = self._services.alerts.read(kind, request.id)
            if found is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(id=request.id, properties=_struct(found), inputs=request.inputs)
        ref = ServiceRef.parse(request.id)
        if ref is None:
            _refuse(context, f"{request.id}: an id is projects/P/locations/L/services/S")
        place = {"project": ref.project, "location": ref.location, "name": ref.service}
        with _told(context):
            state = self._services.read(place, plain(request.properties))
        if state is None:
            return provider_pb2.ReadResponse()
        secrets = Secrets(request.properties, request.inputs)
        inputs = refreshed(plain(request.inputs), state)
        return provider_pb2.ReadResponse(
            id=request.id, properties=secrets.marked(state), inputs=secrets.marked(inputs)
        )

    def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        if request.preview:  # asked after an import, even of those who said that they cannot tell
            return provider_pb2.UpdateResponse(properties=request.olds)
        state, declared = plain(request.olds), plain(request.news)
        kind = _must_be_ours(request.urn, context)
        if kind in alerts.TYPES:
            with _told(context):
                self._services.alerts.update(kind, request.id, declared)
            return provider_pb2.UpdateResponse(properties=request.news)
        with _told(context):
            self._services.settle(self._services.update(state, declared))
            after = self._read(declared, declared)
        return provider_pb2.UpdateResponse(properties=Secrets(request.news).marked(after))

    def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        kind = _must_be_ours(request.urn, context)
        try:
            with _told(context):
                if kind in alerts.TYPES:
                    self._services.alerts.delete(kind, request.id)
                else:
                    self._services.delete(plain(request.properties))
        except ValueError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return empty_pb2.Empty()

    def _read(self, place: Json, last: Json) -> Mapping[str, Any]:
        found = self._services.read(place, last)
        if found is None:
            raise exceptions.NotFound(f"{ref_of(place).name} is gone already")
        return found


def _struct(values: Json) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(dict(values))
    return made


@contextmanager
def _told(context: Context) -> Iterator[None]:
    """Client errors, as the engine prints them."""
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        context.abort(error.grpc_status_code or grpc.StatusCode.UNKNOWN, f"{error.message}")
    except grpc.RpcError as error:
        context.abort(error.code(), error.details())


def _must_be_ours(urn: str, context: Context) -> str:
    """The type."""
    kind = urn.split("::")[-2].rsplit("$", maxsplit=1)[-1] if urn.count("::") > 1 else ""
    if kind != SERVICE and kind not in alerts.TYPES:
        _refuse(
            context,
            f"{kind or urn}: the local Cloud Run has {SERVICE}, {', '.join(sorted(alerts.TYPES))} alone",
        )
    return kind


def _refuse(context: Context, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, why)
    raise AssertionError("abort raises")
