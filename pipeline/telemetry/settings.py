"""What the middleware knows of a service's conversations: which message asks for a run, and what must come of it.  PURE.

Theory of operation. The deploy hands it over in the environment, made of the scenarios that the probes hold, so that
probes and users are measured by the same words:

    SPILLWAY_TELEMETRY  {"runs": {"execute_agent": ["agent_started", "agent_completed"]}, "start_field": "type",
                         "event_field": "type", "within_s": 10}
    SPILLWAY_CLIENT     {"header": "x-user"} or {"forwarded-for": 2}

and beside ``within_s``, where frames are no plain JSON, ``"framing": {"name": "socket.io", "namespace": "/chat"}``.
What is not there, or is not readable, is at its default. Standard library only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

TELEMETRY_VARIABLE = "SPILLWAY_TELEMETRY"
CLIENT_VARIABLE = "SPILLWAY_CLIENT"
FIVE_EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


@dataclass(frozen=True, slots=True)
class Known:
    """What a run is.

    Args:
        runs: what a client asks for to what the service sends until the run is done: all of it, in any order.
        start_field, event_field: dotted paths of the fields that hold these words, in a client's message and in ours.
        within_s: D, seconds from the request to the last of them.
        framing: how messages stand in frames: a name of ``pipeline.framing.names``, or a class, and options; empty: plain JSON.
    """

    runs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"execute_agent": FIVE_EVENTS})
    start_field: str = "type"
    event_field: str = "type"
    within_s: float = 10.0
    framing: Mapping[str, object] = field(default_factory=dict)

    @property
    def starts(self) -> str:
        """What a client may ask for, in words."""
        return ", ".join(self.runs)

    def encode(self) -> str:
        """The value of SPILLWAY_TELEMETRY."""
        values = {
            "runs": {start: list(events) for start, events in self.runs.items()},
            "start_field": self.start_field, "event_field": self.event_field, "within_s": self.within_s,
        }  # fmt: skip
        framing = {"framing": self.framing} if self.framing else {}
        return json.dumps({**values, **framing}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Known:
        """Raises ValueError for what is no such value."""
        values, known = object_of(json.loads(text)), cls()
        runs = values.get("runs", {})
        if not isinstance(runs, dict) or not all(_are_words(events) for events in runs.values()):
            raise ValueError("runs: not lists of words by the word that asks for them")
        fields = {name: values.get(name, "type") for name in ("start_field", "event_field")}
        within = values.get("within_s", known.within_s)
        if not _are_words(list(fields.values())):
            raise ValueError("a field's name is no word")
        if type(within) not in (int, float) or not (math.isfinite(within) and within > 0):
            raise ValueError("within_s: not a number of seconds")
        framing = values.get("framing", {})
        if not isinstance(framing, dict) or not (framing == {} or _are_words([framing.get("name")])):
            raise ValueError("framing: no name")
        said = {start: tuple(events) for start, events in runs.items()}
        return replace(known, runs=said or known.runs, within_s=float(within), framing=framing, **fields)

    def with_arguments(
        self,
        starts: Iterable[str] | None,
        expects: Iterable[str] | None,
        within_s: float | None,
        type_field: str | None,
    ) -> Known:
        """What code says wins; what it leaves out (None) stays as it is."""
        events = None if expects is None else tuple(expects)
        names = tuple(self.runs) if starts is None else tuple(starts)
        return Known(
            {name: self.runs.get(name, FIVE_EVENTS) if events is None else events for name in names},
            self.start_field if type_field is None else type_field,
            self.event_field if type_field is None else type_field,
            self.within_s if within_s is None else within_s,
            self.framing,
        )


@dataclass(frozen=True, slots=True)
class ClientRule:
    """Who a socket's client is.

    Args:
        header: that names it; empty: its address, which is the entry of X-Forwarded-For that is so many from the end.
            1 is the last, Cloud Run's own; behind a load balancer that one is the balancer's, and 2 the client's.
    """

    header: bytes = b""
    from_end: int = 1

    @classmethod
    def decode(cls, text: str) -> ClientRule:
        """Raises ValueError for what is no such value."""
        match object_of(json.loads(text)):
            case {"header": str(name)} if name:
                return cls(header=name.lower().encode("latin-1"))
            case {"forwarded-for": int(number)} if type(number) is int and number > 0:
                return cls(from_end=number)
        raise ValueError('neither {"header": NAME} nor {"forwarded-for": N}')

    def client_of(self, headers: Iterable[tuple[bytes, bytes]], peer: object) -> str:
        """The client's name; where the header is not there, its address. Headers have lower-case names."""
        headers = list(headers)
        named = [value for name, value in headers if name == self.header] if self.header else []
        if named and named[-1]:
            return named[-1].decode("latin-1")
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        entries = [each.strip() for each in forwarded.decode("latin-1").split(",") if each.strip()]
        if entries:
            return entries[-min(self.from_end, len(entries))]
        return str(peer[0]) if isinstance(peer, tuple | list) and peer else ""


def object_of(value: object) -> dict[str, Any]:
    """Raises ValueError for any other value of JSON."""
    if isinstance(value, dict):
        return value
    raise ValueError("not a JSON object")


def _are_words(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) and each for each in values)
