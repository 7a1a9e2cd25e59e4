"""The parts of the local Cloud Run, put together for one state folder."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
from msgspec import Struct

from pipeline.errors import UserError
from pipeline.local.alerts.book import AlertBook
from pipeline.local.alerts.watch import AlertWatch
from pipeline.local.api import admin, alerts, entries, jobs, methods, schedule
from pipeline.local.api.answering import MAX_REQUEST, unary
from pipeline.local.api.own_service import OwnService
from pipeline.local.api.rest import RestFace
from pipeline.local.bearer import Access
from pipeline.local.control.controller import Controller
from pipeline.local.control.job_controller import JobController
from pipeline.local.endpoint import STATUS_METHOD
from pipeline.local.entries.store import LogStore
from pipeline.local.front.addresses import PortBook, in_url, listen, reachable
from pipeline.local.front.ingress import Ingress
from pipeline.local.run import inside
from pipeline.local.run.fleet import Fleet
from pipeline.local.scheduler.scheduler import Scheduler

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port in use is an error, not something to share
    ("grpc.max_receive_message_length", MAX_REQUEST),
    ("grpc.max_send_message_length", -1),
)
_LAST_CALLS_S = 0.5


class Settings(Struct, frozen=True):
    """What one server is started with.

    Args:
        port: of the Admin and Logging services over gRPC; 0 takes any.
        rest_port: of the same APIs over HTTP and JSON, but the log; 0 takes any.
        grace_s: between SIGTERM and SIGKILL of an instance.
        balancer_port: of a load balancer in front of the services; without one there is none.
        strict_masks: refuse an update mask with a path that a service does not have. The cloud drops such a path.
        schedule_speed: how many minutes pass in one for whoever waits for a schedule.
    """

    folder: Path
    bind: str = "127.0.0.1"
    port: int = 0
    trust_forwarded: bool = False
    grace_s: float = 10.0
    rest_port: int = 0
    strict_masks: bool = False
    schedule_speed: int = 1
    balancer_port: int | None = None


class LocalCloudRun:
    """``start`` it, ``close`` it; both once."""

    def __init__(self, settings: Settings, token: str) -> None:
        self._settings = settings
        folder = settings.folder
        self._logs = LogStore(folder)
        self._own = OwnService(lambda name: self._controller.annotations(name))  # noqa: PLW0108 - made below
        self._fleet = Fleet(folder, self._logs, grace_s=settings.grace_s, environment=self._own.environment)
        ports = PortBook(folder, settings.bind)
        self.ingress = Ingress(
            self._fleet, ports, self._logs, trust_forwarded=settings.trust_forwarded,
            is_inside=partial(inside.holds, folder),
        )  # fmt: skip
        self._controller = Controller(
            folder,
            self._fleet,
            self.ingress,
            also_used=lambda: self._jobs.digests(),  # noqa: PLW0108 - made below
        )
        self._jobs = JobController(folder, self._fleet, self._controller.operations)
        clock = partial(_sped_up, datetime.now(UTC), settings.schedule_speed)
        self._scheduler = Scheduler(folder, partial(schedule.start, self._jobs), clock)
        book = AlertBook(folder)
        self._watch = AlertWatch(self._logs, book)
        access = Access(token)
        offered = (
            *methods.offered(self._controller, strict_masks=settings.strict_masks),
            *jobs.offered(self._jobs),
            *alerts.offered(book),
            *schedule.offered(self._scheduler),
        )
        self._server = grpc.aio.server(interceptors=[access], options=_OPTIONS)
        self._server.add_generic_rpc_handlers(
            (
                *admin.handlers(offered),
                *entries.handlers(self._logs),
                self._status_handler(),
            )
        )
        self._rest = RestFace(offered, access, own=self._own.answer, is_public=ports.is_public)
        self.rest_address = ""

    async def start(self) -> str:
        """Take up where the folder's last server ended, and answer on both faces.

        Returns: HOST:PORT of the gRPC face for clients on this machine; that of the other is in ``rest_address``.
        Raises: UserError when it cannot listen there.
        """
        bind, port, rest_port = self._settings.bind, self._settings.port, self._settings.rest_port
        try:
            port = self._server.add_insecure_port(f"{in_url(bind)}:{port}")
        except RuntimeError as error:
            raise _cannot_listen(bind, "--port", port) from error
        listener = _listening(bind, "--rest-port", rest_port)
        self._own.address = self.rest_address = f"{reachable(bind)}:{listener.getsockname()[1]}"
        balancer = self._settings.balancer_port
        balancing = None if balancer is None else _listening(bind, "--balancer-port", balancer)
        await self._fleet.end_strays()
        await self._controller.resume()
        self._jobs.resume()
        self._scheduler.begin()
        await self._watch.start()
        await self._server.start()
        await self._rest.start(listener)
        if balancing is not None:
            await self.ingress.balance(balancing)
        return f"{reachable(bind)}:{port}"

    async def close(self) -> None:
        """Answer no more, end the instances while their sockets can still say goodbye, then close those."""
        await asyncio.gather(self._server.stop(_LAST_CALLS_S), self._rest.close())
        for close in (
            self._watch.close, self._scheduler.close, self._jobs.close, self._controller.close, self._fleet.close,
            self.ingress.close,
        ):  # fmt: skip
            await close()
        self._logs.close()

    def status(self) -> dict[str, Any]:
        """What ``local status`` shows, as plain values; ``sockets`` is what the ingress saw itself."""
        seen = self.ingress.observations
        return {
            **self._controller.snapshot(),
            "jobs": self._jobs.snapshot(),
            "alerts": list(self._watch.firing),
            "alerts_not_evaluated": list(self._watch.unevaluated),
            "processes": _rows(self._fleet.pids(), "pids"),
            "sockets": {
                "open": _rows(seen.open_sockets(), "count"),
                "closed": [
                    {"service": service, "revision": revision, "code": code, "count": count}
                    for (service, revision, code), count in seen.closes.items()
                ],
            },
        }

    def _status_handler(self) -> grpc.GenericRpcHandler:
        async def get(_: bytes, __: Any) -> bytes:
            return json.dumps(self.status()).encode()

        _, service, method = STATUS_METHOD.split("/")
        return grpc.method_handlers_generic_handler(service, {method: unary(get, bytes, bytes)})


def _rows(values: dict[tuple[str, str], Any], name: str) -> Sequence[dict[str, Any]]:
    return [
        {"service": service, "revision": revision, name: value}
        for (service, revision), value in values.items()
    ]


def _sped_up(begun: datetime, speed: int) -> datetime:
    """Now, on a clock that was right when it began."""
    return begun + (datetime.now(UTC) - begun) * speed


def _listening(bind: str, option: str, port: int) -> socket.socket:
    try:
        return listen(bind, port)
    except OSError as error:
        raise _cannot_listen(bind, option, port) from error


def _cannot_listen(bind: str, option: str, port: int) -> UserError:
    return UserError(
        f"--bind {bind} {option} {port}: cannot listen there",
        "The port is in use, or the address is not this machine's",
        f"Let it take a free port: spillway local up {option} 0",
    )
