"""One method of a Google API, called as the generated client calls it: headers, deadline, retries, errors.

``tests/test_rpc.py`` holds both to each other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import EllipsisType
from typing import Any
from urllib.parse import urlencode

import google.protobuf
import grpc
from msgspec import Struct

from pipeline.budget import PROCESS
from pipeline.rpc.deferred import defer

defer("google.api_core", "client_info")
from google.api_core.client_info import ClientInfo  # noqa: E402 - only now it is deferred

_LOCATION = re.compile("^projects/[^/]+/locations/(?P<location>[^/]+)(?:/.*)?$")  # Google's, to the letter


class Retries(Struct, frozen=True):
    """What is tried again, and for how long (seconds)."""

    codes: tuple[grpc.StatusCode, ...]
    initial: float
    maximum: float
    multiplier: float
    within: float


class Call(Struct, frozen=True):
    """One method on one channel.

    Args:
        path: ``/package.Service/Method``.
        request: the message class. ``answer``: what makes an answer of bytes.
        library: version of the library that the messages are of.
        place: of a request, the resource name whose location Google routes by.
    """

    channel: grpc.Channel
    path: str
    request: Any
    answer: Callable[[bytes], Any]
    library: str
    place: Callable[[Any], str] | None = None
    retries: Retries | None = None

    def __call__(
        self, request: Any = None, *, timeout: float, retry: EllipsisType | None = ..., **fields: Any
    ) -> Any:
        """The answer.

        Args:
            request: or its fields by name.
            timeout: seconds; with retries, of all tries together.
            retry: None: never.

        Raises: google.api_core.exceptions.GoogleAPICallError; RetryError when it was tried again in vain.
        """
        given = self.request(**fields) if request is None else request
        began = time.monotonic()
        try:
            return self._ask(given, timeout)
        except grpc.RpcError as error:
            if retry is None or self.retries is None or error.code() not in self.retries.codes:
                raise _client_error(error) from error
            failed = error
        return self._again(given, timeout, self.retries, began, failed)

    def _ask(self, request: Any, timeout: float) -> Any:
        PROCESS.spend(self.path)
        method = self.channel.unary_unary(
            self.path, request_serializer=self.request.serialize, response_deserializer=self.answer
        )
        return method(request, timeout=timeout, metadata=self._metadata(request))

    def _again(
        self, request: Any, timeout: float, retries: Retries, began: float, failed: grpc.RpcError
    ) -> Any:
        """The answer after a first try that failed, with Google's own pauses."""
        from google.api_core.retry import Retry

        tried = [failed]

        def try_once() -> Any:
            try:
                if tried:
                    raise tried.pop()
                left = timeout - (time.monotonic() - began)
                return self._ask(request, left if left >= 1 else timeout)  # as google.api_core.timeout has it
            except grpc.RpcError as error:
                raise _client_error(error) from error

        return Retry(
            predicate=lambda error: getattr(error, "grpc_status_code", None) in retries.codes,
            initial=retries.initial, maximum=retries.maximum, multiplier=retries.multiplier,
            timeout=max(0.0, retries.within - (time.monotonic() - began)),
        )(try_once)()  # fmt: skip

    def _metadata(self, request: Any) -> list[tuple[str, str]]:
        info = ClientInfo(gapic_version=self.library, protobuf_runtime_version=google.protobuf.__version__)
        found = _LOCATION.match(self.place(request)) if self.place is not None else None
        routed = [("x-goog-request-params", urlencode(found.groupdict(), safe="/"))] if found else []
        return [("x-goog-api-client", info.to_user_agent()), *routed]


class Pages(Struct, frozen=True):
    """A method that answers in pages, whose field ``items`` holds what was asked for."""

    call: Call
    items: str

    def __call__(
        self, request: Any = None, *, timeout: float, retry: EllipsisType | None = ..., **fields: Any
    ) -> Pager:
        """All of it. Time-out and errors are of each page's call."""
        given = self.call.request(request, **fields)
        return Pager(partial(self.call, timeout=timeout, retry=retry), given, self.items)


class Pager(Struct, frozen=True):
    """Iterates over the items; ``pages`` over the answers. Each is asked for when it is wanted."""

    ask: Callable[[Any], Any]
    request: Any
    items: str

    @property
    def pages(self) -> Iterator[Any]:
        while True:
            page = self.ask(self.request)
            yield page
            if not page.next_page_token:
                return
            self.request.page_token = page.next_page_token

    def __iter__(self) -> Iterator[Any]:
        for page in self.pages:
            yield from getattr(page, self.items)


def _client_error(error: grpc.RpcError) -> Exception:
    """As Google's clients raise it. Imported here: most calls are answered."""
    from google.api_core import exceptions

    return exceptions.from_grpc_error(error)
