"""One session's lines, put together: a socket, from its accept to its end.  PURE."""

from __future__ import annotations

from msgspec import Struct, field

from pipeline.judging.instances import Instance
from pipeline.probe.close_class import CloseClass, close_class
from pipeline.telemetry.lines import Run

#: (seconds since the epoch, float) is how lines tell time; evidence keeps it so and never mixes in arrival times.
Seconds = float

_NOTHING: frozenset[str] = frozenset()
ERROR_CLOSES = frozenset({CloseClass.SERVER_ERROR_1011, CloseClass.ABNORMAL_1006})


class Socket(Struct):
    """The lines of one session."""

    session: str
    client: str = ""
    instance: str = ""
    accepted: Seconds | None = None  # by the line of it
    told: Seconds | None = None  # the same, as each line of a socket says since version 2
    refused: Seconds | None = None
    starts: dict[int, Seconds] = field(default_factory=dict)  # by the run's number
    runs: list[Run] = field(default_factory=list)
    was_idle: bool = False
    closed: Seconds | None = None
    code: int = 0
    reason: str = ""
    closed_by: str = ""

    @property
    def close_class(self) -> CloseClass:
        return close_class(self.code, self.reason)

    @property
    def is_broken(self) -> bool:
        """The server closed it with 1011, or dropped it."""
        return self.closed_by == "server" and self.close_class in ERROR_CLOSES

    @property
    def since(self) -> Seconds | None:
        """When it was accepted, whichever line says so."""
        return self.accepted if self.told is None else self.told

    @property
    def was_left(self) -> bool:
        """Its user closed it, or vanished."""
        return self.closed_by in ("client", "lost")

    def left_before(self, deadline: Seconds) -> bool:
        """Its user left by then."""
        return self.was_left and self.closed is not None and self.closed <= deadline

    def server_broke_it(self, start: Seconds, within_s: float) -> frozenset[str]:
        """The metric of an error close by the server inside [start, start + D]; empty when there was none."""
        is_inside = self.closed is not None and start <= self.closed <= start + within_s
        return frozenset({self.close_class.value}) if self.is_broken and is_inside else _NOTHING

    def died_with(self, instance: Instance) -> None:
        """Its process is gone, so it ended; unless it had said before how."""
        exited, begun = instance.exited, self.since
        if exited is None or begun is None or begun > exited:
            return
        if self.closed is None:
            self.closed, self.code, self.reason, self.closed_by = exited, 1006, "", "server"
