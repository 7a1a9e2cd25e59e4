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
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from pipeline.local.provider.resources import PlainResource, Resource, ServiceResource
from pipeline.local.provider.service import SERVICE, LocalProvider

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
