"""A channel to a Google API with the default credentials of the environment, as Google's client for it opens one."""

from __future__ import annotations

import os
from importlib import import_module

import grpc
from msgspec import Struct

from pipeline.rpc import login
from pipeline.rpc.deferred import defer

_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_ELSEWHERE = ("GOOGLE_API_USE_MTLS_ENDPOINT", "GOOGLE_CLOUD_UNIVERSE_DOMAIN")  # these name another host


class Api(Struct, frozen=True):
    """Args: client: module and class of Google's client. ``scopes``: of the credentials that it asks for."""

    host: str
    scopes: tuple[str, ...]
    client: tuple[str, str]

    def channel(self) -> grpc.Channel:
        """Raises: google.auth.exceptions.GoogleAuthError; among other things, when there are no credentials."""
        defer("google.api_core", "grpc_helpers")
        from google.api_core import grpc_helpers
        from google.auth.transport import mtls
        from google.oauth2.service_account import Credentials

        has_certificate = getattr(mtls, "should_use_client_cert", lambda: True)
        login.must_be_readable()
        if has_certificate() or any(map(os.environ.get, _ELSEWHERE)):
            return self._by_client()
        credentials = login.default(default_scopes=self.scopes)
        if isinstance(credentials, Credentials):
            credentials = credentials.with_always_use_jwt_access(True)  # type: ignore[no-untyped-call]
        elif hasattr(credentials, "with_gdch_audience"):
            credentials = credentials.with_gdch_audience(self.host)
        channel: grpc.Channel = grpc_helpers.create_channel(
            f"{self.host}:443", credentials=credentials, default_scopes=self.scopes, default_host=self.host,
            options=_OPTIONS,
        )  # fmt: skip
        return channel

    def _by_client(self) -> grpc.Channel:
        """By the client itself where certificates or another universe are asked for. It takes a second to load."""
        module, name = self.client
        channel: grpc.Channel = getattr(import_module(module), name)().transport.grpc_channel
        return channel
