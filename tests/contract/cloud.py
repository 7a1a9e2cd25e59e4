"""A Cloud Run under test: what every target of the contract suite offers its cases."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import pytest
from google.api_core import exceptions
from google.api_core.future import polling
from google.auth.credentials import Credentials
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import (
    RevisionsGrpcAsyncIOTransport,
    RevisionsGrpcTransport,
    RevisionsRestTransport,
)
from google.cloud.run_v2.services.services.transports import (
    ServicesGrpcAsyncIOTransport,
    ServicesGrpcTransport,
    ServicesRestTransport,
)
from google.longrunning import operations_pb2

OUR_PARENT = "projects/local/locations/here"
LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
BY_NAME = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_OFTEN = polling.DEFAULT_POLLING.with_delay(initial=0.01, maximum=1.0, multiplier=1.5).with_timeout(300)

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, for servers and asynchronous clients beside synchronous tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=300)

    def close(self) -> None:
        """As ``asyncio.run`` does: what is under way is cancelled and comes to its end before the loop does."""
        self.run(self._end_of_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    @staticmethod
    async def _end_of_all() -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@dataclass(frozen=True)
class Rest:
    """The REST face of a target: where it is, and as whom to come. None are the environment's own credentials."""

    url: str
    credentials: Credentials | None = None


@dataclass
class Cloud:
    """One target.

    Args:
        channel: to its gRPC face.
        parent: ``projects/P/locations/L`` in which cases may create and delete services.
        containers: by what they do: ``good``, ``never-listens``, ``missing``.
        aio_channel: opens a channel for asynchronous clients; called inside ``loop``.
        rest: what ``services`` and ``revisions`` talk to, if not to ``channel``.
    """

    channel: grpc.Channel
    parent: str
    containers: Mapping[str, run_v2.Container]
    loop: LoopThread
    aio_channel: Callable[[], grpc.aio.Channel]
    rest: Rest | None = None
    _made: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        services, revisions = self._over_rest(self.rest) if self.rest else self._over_grpc()
        self.services = run_v2.ServicesClient(transport=services)
        self.revisions = run_v2.RevisionsClient(transport=revisions)

    def _over_grpc(self) -> tuple[ServicesGrpcTransport, RevisionsGrpcTransport]:
        return ServicesGrpcTransport(channel=self.channel), RevisionsGrpcTransport(channel=self.channel)

    @staticmethod
    def _over_rest(rest: Rest) -> tuple[ServicesRestTransport, RevisionsRestTransport]:
        return (
            ServicesRestTransport(host=rest.url, credentials=rest.credentials),
            RevisionsRestTransport(host=rest.url, credentials=rest.credentials),
        )

    @property
    def is_ours(self) -> bool:
        """Whether it is the local Cloud Run, over whatever data plane."""
        return self.parent == OUR_PARENT

    def fresh_id(self) -> str:
        """A service name that nobody used; it is deleted at the end of the case."""
        service_id = f"c{next(self._numbers)}-{uuid.uuid4().hex[:8]}"
        self._made.append(f"{self.parent}/services/{service_id}")
        return service_id

    def template(self, does: str = "good", **fields: Any) -> run_v2.RevisionTemplate:
        return run_v2.RevisionTemplate(containers=[run_v2.Container(self.containers[does])], **fields)

    def create(self, does: str = "good", *, revision: str = "", **fields: Any) -> run_v2.Service:
        """A service that runs. ``revision`` is the part of its first revision's name after ``SERVICE-``."""
        service_id = self.fresh_id()
        name = f"{service_id}-{revision}" if revision else ""
        service = run_v2.Service(template=self.template(does, revision=name), **fields)
        operation = self.services.create_service(parent=self.parent, service=service, service_id=service_id)
        return self.result(operation)

    def put(self, service: run_v2.Service, *mask: str, **fields: Any) -> Any:
        """Update; waits for nothing."""
        request = run_v2.UpdateServiceRequest(service=service, update_mask={"paths": mask}, **fields)
        return self.services.update_service(request=request)

    def update(self, service: run_v2.Service, *mask: str, **fields: Any) -> run_v2.Service:
        return self.result(self.put(service, *mask, **fields))

    def add_revision(self, service: run_v2.Service, suffix: str, does: str = "good", **fields: Any) -> str:
        """A further revision through its template alone; its short name. Waits until it is judged."""
        name = f"{short(service.name)}-{suffix}"
        change = run_v2.Service(name=service.name, template=self.template(does, revision=name, **fields))
        self.fault(self.put(change, "template"))
        return name

    def split(self, service: run_v2.Service, *targets: run_v2.TrafficTarget) -> run_v2.Service:
        """Move traffic and read the service back."""
        change = run_v2.Service(name=service.name, traffic=list(targets))
        self.fault(self.put(change, "traffic"))
        return self.get(service)

    def get(self, service: run_v2.Service) -> run_v2.Service:
        return self.services.get_service(name=service.name)

    def start(self, service_id: str, does: str = "good", **fields: Any) -> Any:
        """Ask for a service; its operation, not waited for."""
        service = run_v2.Service(template=self.template(does), **fields)
        return self.services.create_service(parent=self.parent, service=service, service_id=service_id)

    def revision(self, service: run_v2.Service, name: str) -> run_v2.Revision:
        return self.revisions.get_revision(name=f"{service.name}/revisions/{name}")

    def result(self, operation: Any) -> Any:
        return operation.result(timeout=300, polling=_OFTEN)

    def fault(self, operation: Any) -> exceptions.GoogleAPICallError | None:
        """How the operation failed, when it is over; None if it succeeded."""
        try:
            self.result(operation)
        except exceptions.GoogleAPICallError as error:
            return error
        return None

    def failure(self, operation: Any) -> exceptions.GoogleAPICallError:
        found = self.fault(operation)
        assert found is not None, "the operation succeeded"
        return found

    @contextmanager
    def refused(self, code: str, match: str = "") -> Iterator[None]:
        """Holds when the call inside is refused with this code and such a message.

        Over REST several codes are one HTTP code, and so one exception of the client; the answer names the code.
        """
        with pytest.raises(exceptions.GoogleAPICallError) as refused:
            yield
        error = refused.value
        if self.rest:
            said = error.response.json()["error"]
            found, message = said["status"], said["message"]
            assert (said["code"], error.code) == (error.response.status_code,) * 2
        else:
            found, message = error.grpc_status_code.name, error.message
        assert found == code, error
        assert re.search(match, message), message

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """One asynchronous case."""
        return self.loop.run(work)

    @contextmanager
    def case(self) -> Iterator[Cloud]:
        """Deletes afterwards what the case made."""
        try:
            yield self
        finally:
            here = {s.name for s in self.services.list_services(parent=self.parent)}
            pending = [self.services.delete_service(name=n) for n in self._made if n in here]
            self._made.clear()
            for operation in pending:
                self.result(operation)

    def aio_services(self, channel: grpc.aio.Channel) -> run_v2.ServicesAsyncClient:
        return run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel))

    def aio_revisions(self, channel: grpc.aio.Channel) -> run_v2.RevisionsAsyncClient:
        return run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel))


def waited(answer: operations_pb2.Operation | bytes) -> operations_pb2.Operation:
    """What ``wait_operation`` answered: some versions of the client hand on its bytes as they came."""
    return operations_pb2.Operation.FromString(answer) if isinstance(answer, bytes) else answer


def short(name: str) -> str:
    return name.rpartition("/")[2]


def target(revision: str, percent: int = 0, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=BY_NAME, revision=revision, percent=percent, tag=tag)


def latest(percent: int = 100, tag: str = "") -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(type_=LATEST, percent=percent, tag=tag)


def shares(service: run_v2.Service) -> dict[str, int]:
    """Status traffic by revision; LATEST is ``""``."""
    found: dict[str, int] = {}
    for line in service.traffic_statuses:
        found[line.revision] = found.get(line.revision, 0) + line.percent
    return found


def ready_condition(revision: run_v2.Revision) -> run_v2.Condition:
    return next(c for c in revision.conditions if c.type_ == "Ready")
