"""Every call that a command makes to the API, counted where it leaves the process; the command may be killed at each.

The counting stands below everything of ours, on the channel itself: a call that the product does not make yet will be
counted as well. A call's name says who made it, so that two places with the same method are two names.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import grpc

#: not sent | sent, no answer awaited | answered, which nobody got to know | the program went on, to its next trace
Moment = Literal["before", "sent", "applied", "after"]
READ_MOMENTS: tuple[Moment, ...] = ("before", "after")  # it applies nothing, so the two between are no others
WRITE_MOMENTS: tuple[Moment, ...] = ("before", "sent", "applied", "after")
_READS = ("Get", "List")
_OURS = ("pipeline.", "infra.")
_CARRIERS = (
    "pipeline.local.channel",
    "pipeline.local.bearer",
    "pipeline.cloudrun.",
    "pipeline.local.provider.service",
)
_CALLERS = 3  # so many of the functions behind a call are its name


@dataclass(frozen=True, slots=True)
class Point:
    """One boundary of one call: the n-th of its name."""

    name: str
    number: int
    moment: Moment


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it went. ``code`` is gRPC's; empty when the process died first."""

    name: str
    number: int
    began: float
    ended: float = 0.0
    code: str = ""

    @property
    def method(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def is_write(self) -> bool:
        return not self.method.startswith(_READS)

    @property
    def points(self) -> Iterator[Point]:
        for moment in WRITE_MOMENTS if self.is_write else READ_MOMENTS:
            yield Point(self.name, self.number, moment)


@dataclass(slots=True)
class Counting(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Tells each call twice, as it begins and as it ended, and kills the process at a point.

    Args:
        seen: called with each request that was granted and its answer, before anybody may die of it.
        refused: methods that begin so get no answer.
    """

    tell: Callable[[Call], None]
    kill_at: Point | None = None
    seen: Callable[[Any, Any], None] = lambda _request, _answer: None
    refused: str = "nothing"
    counts: Counter[str] = field(default_factory=Counter)
    past: tuple[str, int] | None = None

    def install(self) -> None:
        """All channels that this process opens from now on are counted."""
        make = grpc.insecure_channel
        grpc.insecure_channel = lambda *args, **options: grpc.intercept_channel(make(*args, **options), self)
        sys.addaudithook(self._audit)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.traced()
        name = name_of(details.method)
        self.counts[name] += 1
        number, began = self.counts[name], time.monotonic()
        self._at(name, number, "before")
        self.tell(Call(name, number, began))
        if details.method.startswith(self.refused):
            raise Refused
        call = continuation(details, request)
        self._at(name, number, "sent")
        code = call.code()  # waits for it
        self.tell(Call(name, number, began, time.monotonic(), code.name))
        if code is grpc.StatusCode.OK:
            self.seen(request, call.result())
        self._at(name, number, "applied")
        self.past = name, number
        return call

    def _not_counted(self, continuation: Any, details: Any, _requests: Any) -> Any:
        raise AssertionError(f"{details.method}: a kind of call that the harness does not count yet")

    intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _not_counted

    def traced(self) -> None:
        """The program does something that others can see: what its last call answered has had its effect."""
        if self.past is not None:
            self._at(*self.past, "after")

    def _at(self, name: str, number: int, moment: Moment) -> None:
        if self.kill_at == Point(name, number, moment):
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in {"os.rename", "os.remove"} or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)):
            self.traced()


class Refused(grpc.RpcError):
    """No way to this service."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "refused by the test"


def name_of(method: str) -> str:
    """The method, and the innermost of our functions that ask for it."""
    frame, callers = sys._getframe(1), []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS) and not module.startswith(_CARRIERS):
            callers.append(f"{module.rpartition('.')[2]}.{frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join([method.rpartition("/")[2], *callers[:_CALLERS]])


def answered_writes(calls: Mapping[tuple[str, int], Call]) -> tuple[int, int]:
    """How many writes were accepted, and how many may have been: sent, and the process died."""
    codes = [call.code for call in calls.values() if call.is_write]
    return codes.count("OK"), codes.count("")
