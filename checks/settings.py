"""What to check, as values; each rule has its own section, and None switches a rule off.

Whoever calls the checks makes these from whatever it is configured with: no configuration file is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Symbol:
    """One helper that must be defined once.

    Args:
        symbol: its name; ``Class.method`` for a method.
        home: the file that defines it, relative to the root.
        reexporters: files from which it may be imported too, such as the package's ``__init__``.
    """

    symbol: str
    home: str
    reexporters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SingleSource:
    symbols: tuple[Symbol, ...] = ()


@dataclass(frozen=True, slots=True)
class EventMap:
    """One mapping of event names to enum members: ``requires`` maps keys to member names (any member if empty)."""

    name: str
    home: str
    requires: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventMaps:
    """Maps that must be complete; ``messages`` are the types that scenarios send or expect."""

    maps: tuple[EventMap, ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JsonSafeLogs:
    """How values reach logs in this project.

    Args:
        safe: names of helpers whose result is plain JSON.
        loggers: dotted factories (``app.logs.get_logger``) whose loggers take fields as keywords.
        attributes: further attribute names that are known to hold plain enums.
        trusted: sinks whose encoder takes everything: ``extra``, ``structlog``, ``loguru``.
    """

    safe: tuple[str, ...] = ()
    loggers: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Additive:
    """``base`` is a git ref or a folder; what ``run`` is given wins over it."""

    base: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """The service as its program and configuration declare it. None: not declared.

    Args:
        timeout_s: request timeout in seconds; Cloud Run cuts a WebSocket after it.
        scenario_s: seconds that the longest scenario may take.
        candidate_min_instances: minimum instances on the revision, not on the service.
        ingress: as in the Admin API: ``all``, ``internal``, ``internal-and-cloud-load-balancing``.
        entry_point: the file that starts the service, relative to the root.
        declared_in: where a person changes all this, as ``(path, line)`` by field name.
    """

    timeout_s: float | None = None
    scenario_s: float = 0.0
    http2: bool = False
    session_affinity: bool = False
    candidate_min_instances: int = 0
    ingress: str = "all"
    deletion_protection: bool | None = None
    is_production: bool = False
    entry_point: str = ""
    declared_in: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run needs to know. ``discover`` lists helpers that exist several times, configured or not."""

    single_source: SingleSource | None = None
    event_map: EventMaps | None = None
    json_safe_logs: JsonSafeLogs | None = None
    additive: Additive | None = None
    socket_config: DeclaredService | None = None
    discover: bool = False
    exclude: tuple[str, ...] = ()
    baseline: Path | None = None
