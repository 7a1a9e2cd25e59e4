"""What all sockets of a process share in the telemetry: what is known, who writes, and which sockets are open."""

from __future__ import annotations

import asyncio
import enum
import json
import math
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.telemetry.lines import VERSION, Line, Unasked, to_payload
from pipeline.telemetry.settings import ClientRule, Known
from pipeline.telemetry.words import Wanted, wanted

if TYPE_CHECKING:
    from pipeline.telemetry.frames import Reader

Write = Callable[[str], object]

_MAX_DEPTH = 5
_FEW_UNASKED = 10  # of which one might have asked


class OpenSocket(Protocol):
    """A socket that is open, as far as closing it needs to know it.

    Args:
        when_idle: called each time that no run is under way any more.
    """

    when_idle: Callable[[], None] | None

    @property
    def is_busy(self) -> bool:
        """Whether a run is under way on it."""

    def stop(self, reason: str = "") -> Coroutine[Any, Any, None]:
        """Close it with 1012. From the call on nothing that its client asks is heard."""


def to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass(slots=True)
class Book:
    """Args:
    environ: K_SERVICE, K_REVISION, SPILLWAY_NONCE, SPILLWAY_INSTANCE (if there is one); SPILLWAY_SALT, the same for
        all revisions, keeps client hashes from being guessed (without it they are salted with the service's name).
    client: who a socket's client is.
    write: takes one line.
    clock: seconds since the epoch.
    """

    known: Known
    environ: Mapping[str, str]
    client: ClientRule = field(default_factory=ClientRule)
    write: Write = to_stdout
    clock: Callable[[], float] = time.time
    nonce: str = field(init=False)
    salt: str = field(init=False)
    origin: Mapping[str, object] = field(init=False)
    open: dict[OpenSocket, None] = field(default_factory=dict)  # in order of accept
    newest: float = 0.0  # when the last socket of a user was accepted
    starts: Wanted = field(init=False)
    event_path: tuple[str, ...] = field(init=False)
    reader: Callable[[], Reader] | None = field(init=False)  # None: plain JSON, mostly read without parsing
    was_asked: bool = False  # somebody asked for a run
    _unasked: int = 0
    _told_unasked: int = 0
    _complaints: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(
        default_factory=set
    )  # that are under way: nobody else holds on to them

    def __post_init__(self) -> None:
        environ, known = self.environ, self.known
        self.nonce = environ.get("SPILLWAY_NONCE", "")
        self.salt = environ.get("SPILLWAY_SALT") or environ.get("K_SERVICE", "")
        origin = {"revision": environ.get("K_REVISION", ""), "nonce": self.nonce}
        if instance := environ.get("SPILLWAY_INSTANCE"):
            origin["instance"] = instance
        self.origin = {"spillway": VERSION, "severity": "INFO", **origin}
        self.starts = wanted(tuple(known.start_field.split(".")), tuple(known.runs))
        self.event_path = tuple(known.event_field.split("."))
        self.reader = _reader(known.framing)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run on this loop, on its own: a client that reads nothing keeps nobody waiting but itself."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def tell(self, line: Line, shared: Mapping[str, object]) -> None:
        self.write(json.dumps(_plain({**self.origin, **shared, **to_payload(line)}), allow_nan=False))

    def left_unasked(self) -> None:
        """A user's socket was there for D, or ended, without asking. Told for ten of them, then each time they double."""
        self._unasked += 1
        if self.was_asked or self._unasked < max(_FEW_UNASKED, 2 * self._told_unasked):
            return
        fresh, self._told_unasked = self._unasked - self._told_unasked, self._unasked
        say(
            f"{self._unasked} sockets, none asked for {self.known.starts} (in the field {self.known.start_field}): "
            "their runs are not counted. Set starts=, expects= and type_field= of SpillwayTelemetry, or name them in a scenario"
        )
        self.tell(Unasked(self.clock(), fresh, tuple(self.known.runs)), {})

    def guarded(self, note: Callable[..., Any], *args: object) -> Any:
        """Note something; whatever fails is told on stderr and forgotten: None."""
        try:
            return note(*args)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
            self.complain(error)
            return None

    def complain(self, error: Exception) -> None:
        """Each kind of failure once, so that one that comes with every message does not fill the logs."""
        kind = type(error).__name__
        if kind not in self._complaints:
            self._complaints.add(kind)
            try:
                say(f"{kind}: {error}")
            except Exception:  # noqa: BLE001 - an error whose text cannot be had
                say(kind)


def _reader(told: Mapping[str, object]) -> Callable[[], Reader] | None:
    if not told:
        return None
    from pipeline.telemetry.frames import reader

    try:
        return reader(told)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
        say(
            f"{type(error).__name__}: {error}; frames of {told['name']} cannot be read, so runs are not counted"
        )
        return None


def say(words: str) -> None:
    """On stderr, if there is one."""
    try:
        print(f"spillway telemetry: {words}", file=sys.stderr)  # noqa: T201
    except (OSError, ValueError):  # it is full, gone or closed, and there is nobody else to tell
        return


def _plain(value: object, depth: int = 0) -> object:
    """The value as JSON can hold it: an enum by its name, anything strange by its repr."""
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    return repr(value)
