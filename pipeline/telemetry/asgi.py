"""ASGI middleware that tells, in structured log lines, what each WebSocket and each agent run came to.

    app = SpillwayTelemetry(app)

What asks for a run, and what must come of it, the deploy says in the environment (``settings.py``); arguments win.

Standard library only: it runs inside other people's services, and nothing that goes wrong in here may reach them. One
line of JSON on stdout at accept, one when an agent run is asked for, one when it is *decided* (all events sent, deadline
passed, or the socket ended first), one at close; one for a socket that the service failed to accept. An accept after
which nobody asks for a run within the deadline gets a line too, so that silence in the logs means one thing only: the
service or its logger died.

Lines are enum-safe: what JSON cannot hold becomes its name or its repr. (Logging a plain ``Enum`` through
``json.dumps`` is the very bug that started all this.)

A request header ``X-Spillway-Probe`` that matches the revision's nonce marks the socket as a probe's: shown, and never
counted among users; the answer to it proves which revision it is (``proof.py``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TypeVar

from pipeline.telemetry.book import Book, Write, say, to_stdout
from pipeline.telemetry.draining import EVERY_S, Draining
from pipeline.telemetry.proof import PROBE_HEADER, Proving, Send, probe_key, proving
from pipeline.telemetry.settings import CLIENT_VARIABLE, TELEMETRY_VARIABLE, ClientRule, Known
from pipeline.telemetry.stopping import Stopping
from pipeline.telemetry.watch import Receive, Watch

__all__ = ["PROBE_HEADER", "SpillwayTelemetry", "probe_key"]

App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
_Read = TypeVar("_Read")


class SpillwayTelemetry:
    """Wraps an ASGI app; only its WebSockets are watched.

    Args:
        starts: values of ``type_field`` with which a client asks for a run.
        expects: values of ``type_field`` that the service sends during a run, all of them, in any order.
        within_s: seconds from the request to the last of them.
        type_field: dotted path. What of these four is not given is as the environment says, which the deploy makes of
            the scenarios.
        write: takes one line; default: one write to stdout.
        clock: seconds since the epoch.
        environ: see ``book.py`` and ``settings.py``.
        stop_over_s: seconds in which sockets are closed when the server is told to stop (``stopping.py``); Cloud Run
            gives ten. 0 leaves them to the server.
        drain_every_s: how often a drain order is looked for, where the environment says where (``draining.py``).
    """

    def __init__(
        self,
        app: App,
        *,
        starts: Iterable[str] | None = None,
        expects: Iterable[str] | None = None,
        within_s: float | None = None,
        type_field: str | None = None,
        write: Write | None = None,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
        stop_over_s: float = 7.0,
        drain_every_s: float = EVERY_S,
    ) -> None:
        self.app = app
        told = _read(environ, TELEMETRY_VARIABLE, Known.decode, Known())
        known = told.with_arguments(starts, expects, within_s, type_field)
        if known != told and TELEMETRY_VARIABLE in environ:
            say(f"the code says {known.encode()}, the deploy says {told.encode()}; the code's is used")
        client = _read(environ, CLIENT_VARIABLE, ClientRule.decode, ClientRule())
        self.book = Book(known, environ, client, write or to_stdout, clock)
        self._stopping = Stopping(self.book, stop_over_s)
        self._draining = Draining(self.book, drain_every_s)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.book.guarded(self._stopping.install)
        self.book.guarded(self._draining.install)
        is_socket = scope.get("type") == "websocket"
        proof: Proving | None = self.book.guarded(proving, scope, send, self.book.nonce)
        send = proof or send
        watch: Watch | None = self.book.guarded(Watch, self.book, scope) if is_socket else None
        if watch is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, watch.receiving(receive), watch.sending(send))
        except BaseException as error:
            self.book.guarded(watch.broke)
            if proof is not None and isinstance(error, Exception):
                with suppress(Exception):
                    await proof.failed()
            raise
        self.book.guarded(watch.left)


def _read(environ: Mapping[str, str], name: str, decode: Callable[[str], _Read], default: _Read) -> _Read:
    text = environ.get(name)
    if not text:
        return default
    try:
        return decode(text)
    except (ValueError, RecursionError) as error:
        say(f"{name} cannot be read ({error}); it is taken as not set")
        return default
