"""The local Cloud Run's provider as Pulumi's engine calls it: ``pulumirpc.ResourceProvider`` over gRPC.

The engine finds it by ``PULUMI_DEBUG_PROVIDERS=gcp:PORT``, so no plugin is started and none is downloaded. The port is
any of loopback's, and open only while one command of Pulumi runs. Secrets come marked; what was one, or is the nonce,
is marked again in every answer, so that the state holds it encrypted.

What is asked of one resource raises what the client raises; ValueError for a deletion that is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, NoReturn

import grpc
from google.api_core import exceptions
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from pipeline.local.provider.fields import PLACE, Json, refreshed
from pipeline.local.provider.marks import Secrets, has_unknowns, plain
from pipeline.local.provider.plain import PlainProvider
from pipeline.local.provider.service import SERVICE, LocalProvider, ref_of
from pipeline.model import ServiceRef

PACKAGE = "gcp"
Context = Any  # a grpc.ServicerContext
_Diff = provider_pb2.DiffResponse


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
        moved = [key for key in PLACE if declared.get(key) != state.get(key)]
        kind = provider_pb2.PropertyDiff.Kind
        details = {
            **{
                path: provider_pb2.PropertyDiff(kind=kind.UPDATE)
                for path in self._services.diff(state, declared)
            },
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
        return provider_pb2.UpdateResponse(properties=Secrets(request.news).marked(self._there(declared)))

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
        state = json_format.ParseDict(found, struct_pb2.Struct())
        return provider_pb2.ReadResponse(id=request.id, properties=state, inputs=request.inputs)

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        self._provider.update(self._kind, request.id, plain(request.news))
        return provider_pb2.UpdateResponse(properties=request.news)

    def delete(self, request: provider_pb2.DeleteRequest) -> None:
        self._provider.delete(self._kind, request.id)


Resource = ServiceResource | PlainResource


def _failures(problems: Iterable[str]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(reason=problem) for problem in problems]


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """``gcp`` with what the local Cloud Run has. What it has not is refused by its name."""

    def __init__(self, services: LocalProvider) -> None:
        self._resources: Mapping[str, Resource] = {
            SERVICE: ServiceResource(services),
            **{kind: PlainResource(services.plain, kind) for kind in services.plain.kinds},
        }

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
        return self._of(request, context).check(request)

    def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:
        return self._of(request, context).diff(request)

    def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        with _told(context):
            return self._of(request, context).create(request)

    def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:
        with _told(context):
            return self._of(request, context).read(request)

    def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:
        if request.preview:  # asked after an import, even of those who said that they cannot tell
            return provider_pb2.UpdateResponse(properties=request.olds)
        with _told(context):
            return self._of(request, context).update(request)

    def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        with _told(context):
            self._of(request, context).delete(request)
        return empty_pb2.Empty()

    def _of(self, request: Any, context: Context) -> Resource:
        """The resource that a request is about, by the type in its name."""
        kind = request.urn.split("::")[-2].rsplit("$", maxsplit=1)[-1] if request.urn.count("::") > 1 else ""
        if kind not in self._resources:
            has = ", ".join(sorted(self._resources))
            _refuse(context, f"{kind or request.urn}: the local Cloud Run has {has} alone")
        return self._resources[kind]


@contextmanager
def _told(context: Context) -> Iterator[None]:
    """Client errors, as the engine prints them."""
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        context.abort(error.grpc_status_code or grpc.StatusCode.UNKNOWN, f"{error.message}")
    except grpc.RpcError as error:
        context.abort(error.code(), error.details())
    except ValueError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


def _refuse(context: Context, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, why)
    raise AssertionError("abort raises")
