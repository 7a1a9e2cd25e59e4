"""The REST face: HTTP and JSON, for the REST transports of run_v2, curl and the google provider.

A verb and a path mean a method by Google's own rules (``http_rules.py``); the rest is the method's row (``methods.py``,
``alerts.py``). Every answer is JSON in Google's shape, errors too. A method that is not offered answers 501 with its
name.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import grpc
from aiohttp import web
from google.api_core.exceptions import exception_class_for_grpc_status
from google.protobuf import json_format

from pipeline.local import hosts
from pipeline.local.api.answering import MAX_REQUEST, as_refused, not_offered_text
from pipeline.local.api.http_rules import Rule, rules
from pipeline.local.api.json_requests import BadPayload, Pairs, request_of
from pipeline.local.api.methods import ACTOR_KEY, Caller, Method
from pipeline.local.bearer import Access
from pipeline.local.control.state import Refused, invalid, there

_IDLE_S = 75.0  # between requests of a connection, and before its first
_LAST_CALLS_S = 0.5
_NUMBERS = "json;enum-encoding=int"
#: What is answered to a verb and a path without the token; None: nothing.
Own = Callable[[str, str], Mapping[str, object] | None]
#: Parameters that every Google API has, with or without a dollar sign.
_OF_EVERY_API = frozenset({
    "alt", "prettyPrint", "key", "quotaUser", "uploadType", "upload_protocol", ".xgafv", "fields", "callback",
    "access_token", "oauth_token",
})  # fmt: skip
_CHANGE_THE_ANSWER = ("fields", "callback")


class RestFace:
    """``start`` it, ``close`` it; both once.

    Args:
        own: what instances read with keys of their own.
        is_public: other machines can reach the address that it listens on.
        body_s: seconds within which a whole body must arrive.
    """

    def __init__(
        self,
        methods: Iterable[Method],
        access: Access,
        *,
        own: Own = lambda _verb, _path: None,
        is_public: bool = False,
        body_s: float = 30.0,
    ) -> None:
        self._methods = {method.name: method for method in methods}
        self._rules = tuple(rules())
        self._access = access
        self._own = own
        self._is_public = is_public
        self._body_s = body_s
        self._port = 0
        self._running: tuple[asyncio.Server, web.Server] | None = None

    async def start(self, listener: socket.socket) -> None:
        self._port = listener.getsockname()[1]
        # A caller that goes away ends its own wait. No write is cut in two by that: none has an await in it.
        http = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            logger=_silent(),
            keepalive_timeout=_IDLE_S,
        )
        self._running = await asyncio.get_running_loop().create_server(http, sock=listener), http

    async def close(self) -> None:
        if self._running:
            listening, http = self._running
            listening.close()
            await http.shutdown(_LAST_CALLS_S)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        try:
            return _response(200, *await self._called(request))
        except Exception as fault:  # noqa: BLE001 - told as one of ours
            refused = as_refused(fault)
            return _response(http_code(refused.code), document(refused), is_pretty=True)

    async def _called(self, request: web.BaseRequest) -> tuple[Any, bool]:
        """The answer's JSON, and whether it is to be indented. Raises Refused."""
        if not hosts.is_ours(request.headers.getall("Host", ()), self._port, is_public=self._is_public):
            raise Refused("PERMISSION_DENIED", "The Host header does not name the local Cloud Run.")
        if own := self._own(request.method, request.path):
            return own, False
        if refusal := self._access.refusal({name.lower(): value for name, value in request.headers.items()}):
            raise Refused(*refusal)
        rule, path = self._rule(request.method, request.rel_url.raw_path)
        method = self._methods.get(rule.method)
        if method is None:
            raise Refused("UNIMPLEMENTED", not_offered_text(rule.method))
        of_api, query = _parameters(request.rel_url.raw_query_string)
        body = await _body(request, self._body_s)
        message = request_of(method.request, body_field=rule.body, path=path, query=query, body=body)
        answer = await method.call(message, Caller(request.headers.get(ACTOR_KEY, "local")))
        shown = json_format.MessageToDict(answer, use_integers_for_enums=of_api.get("alt") == _NUMBERS)
        return shown, of_api.get("prettyPrint", "true") != "false"

    def _rule(self, verb: str, path: str) -> tuple[Rule, Any]:
        of_verb = (rule for rule in self._rules if rule.verb == verb)
        found = next(((rule, match) for rule in of_verb if (match := rule.path.fullmatch(path))), None)
        rule, match = there(found, "Method not found.")
        return rule, rule.values(match)


def _silent() -> logging.Logger:
    """What aiohttp would log is what callers sent and is no HTTP: they were told, and our own log is JSON."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.disabled = True
    return logger


def _parameters(text: str) -> tuple[dict[str, str], Pairs]:
    """Those of every API, and those that are fields of the request. Raises Refused."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", f"The query cannot be read: {error}") from error
    of_api = {
        name.removeprefix("$"): value for name, value in pairs if name.removeprefix("$") in _OF_EVERY_API
    }
    for name in _CHANGE_THE_ANSWER:
        if name in of_api:
            raise Refused("UNIMPLEMENTED", not_offered_text(f"The parameter {name}"))
    if of_api.get("alt", "json") not in ("json", _NUMBERS):
        raise Refused("INVALID_ARGUMENT", f"alt: '{of_api['alt']}' is not json.")
    return of_api, [(name, value) for name, value in pairs if name.removeprefix("$") not in _OF_EVERY_API]


async def _body(request: web.BaseRequest, within_s: float) -> bytes:
    """All of it, unpacked; empty where there is none. Raises Refused."""
    if not request.body_exists:
        return b""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        given = request.headers.get("Content-Type", "")
        raise invalid(f"Content-Type '{given}': only application/json in UTF-8 is read.")
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(within_s):
            return await _all(request)
    except TimeoutError as error:
        raise Refused("DEADLINE_EXCEEDED", f"The body did not arrive within {within_s:g} s.") from error
    except web.RequestPayloadError as error:
        raise invalid("The body cannot be read: its length or its encoding is wrong.") from error


async def _all(request: web.BaseRequest) -> bytes:
    found = bytearray()
    async for piece in request.content.iter_any():
        found += piece
        if len(found) > MAX_REQUEST:
            raise invalid(f"Request payload size exceeds the limit: {MAX_REQUEST} bytes.")
    return bytes(found)


def http_code(code: str) -> int:
    """The HTTP code that belongs to the name of a grpc.StatusCode: the client library's own."""
    kind = exception_class_for_grpc_status(getattr(grpc.StatusCode, code))
    return int(kind.code or 500)


def document(refused: Refused) -> dict[str, Any]:
    """``{"error": {"code", "message", "status", "details"}}``."""
    details: list[dict[str, Any]] = []
    if isinstance(refused, BadPayload):
        violations = [{"field": each.field, "description": each.description} for each in refused.violations]
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
    return {
        "error": {
            "code": http_code(refused.code),
            "message": refused.message,
            "status": refused.code,
            "details": details,
        }
    }


def _response(status: int, value: Any, is_pretty: bool) -> web.Response:
    text = json.dumps(value, ensure_ascii=False, indent=2 if is_pretty else None)
    return web.Response(status=status, body=f"{text}\n".encode("utf-8", "replace"), headers={
        "Content-Type": "application/json; charset=UTF-8", "Cache-Control": "private",
        "X-Content-Type-Options": "nosniff", "Server": "local-cloud-run",
        **({"WWW-Authenticate": "Bearer"} if status == 401 else {}),
    })  # fmt: skip
