"""What to check, as values; each rule has its own section, and None switches a rule off.

The caller reads its configuration file and hands the section over as a plain mapping: no file is read here.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from checks.errors import CheckError


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


def from_mapping(
    section: Mapping[str, object],
    *,
    messages: tuple[str, ...] = (),
    service: DeclaredService | None = None,
    discover: bool = False,
) -> Settings:
    """The ``checks`` section of a configuration. Raises CheckError that names the key.

    Args:
        messages: message types that the scenarios send or expect.
        service: what the caller knows of the declared service; switches socket-config on.
    """
    _known(
        "checks", section, ("single-source", "event-map", "json-safe-logs", "additive", "exclude", "baseline")
    )
    symbols = tuple(
        _symbol(where, item) for where, item in _items("single-source", section.get("single-source"))
    )
    maps = tuple(_event_map(where, item) for where, item in _items("event-map", section.get("event-map")))
    logs = _json_safe_logs(section["json-safe-logs"], symbols) if "json-safe-logs" in section else None
    baseline = _text("baseline", section.get("baseline", ""))
    return Settings(
        single_source=SingleSource(symbols) if symbols else None,
        event_map=EventMaps(maps, messages) if maps else None,
        json_safe_logs=logs,
        additive=_additive(section["additive"]) if "additive" in section else None,
        socket_config=service,
        discover=discover,
        exclude=_texts("exclude", section.get("exclude", ())),
        baseline=Path(baseline) if baseline else None,
    )


def _symbol(where: str, item: Mapping[str, object]) -> Symbol:
    _known(where, item, ("symbol", "home", "reexporters"))
    return Symbol(
        _text(f"{where}.symbol", item.get("symbol")),
        _text(f"{where}.home", item.get("home")),
        _texts(f"{where}.reexporters", item.get("reexporters", ())),
    )


def _event_map(where: str, item: Mapping[str, object]) -> EventMap:
    _known(where, item, ("map", "in", "requires"))
    required = item.get("requires", {})
    if isinstance(required, list | tuple):
        required = dict.fromkeys(_texts(f"{where}.requires", required), "")
    if not isinstance(required, Mapping):
        raise CheckError(f"checks.{where}.requires: must map event names to members")
    pairs = {
        _text(f"{where}.requires", k): _text(f"{where}.requires.{k}", v, empty=True)
        for k, v in required.items()
    }
    return EventMap(_text(f"{where}.map", item.get("map")), _text(f"{where}.in", item.get("in")), pairs)


def _json_safe_logs(section: object, symbols: tuple[Symbol, ...]) -> JsonSafeLogs:
    names = ("safe", "loggers", "attributes", "trusted")
    values = _mapping("json-safe-logs", section)
    _known("json-safe-logs", values, names)
    safe, loggers, attributes, trusted = (_texts(f"json-safe-logs.{n}", values.get(n, ())) for n in names)
    return JsonSafeLogs((*safe, *(s.symbol for s in symbols)), loggers, attributes, trusted)


def _additive(section: object) -> Additive:
    values = _mapping("additive", section)
    _known("additive", values, ("base",))
    return Additive(_text("additive.base", values.get("base", ""), empty=True))


def _mapping(where: str, value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise CheckError(f"checks.{where}: must be a mapping, not {value!r}")
    return value


def _items(where: str, value: object) -> list[tuple[str, Mapping[str, object]]]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise CheckError(f"checks.{where}: must be a list, not {value!r}")
    return [(f"{where}[{i}]", _mapping(f"{where}[{i}]", item)) for i, item in enumerate(value)]


def _text(where: str, value: object, *, empty: bool = False) -> str:
    if isinstance(value, str) and (value or empty or where == "baseline"):
        return value
    raise CheckError(f"checks.{where}: must be a text, not {value!r}")


def _texts(where: str, value: object) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, list | tuple):
        raise CheckError(f"checks.{where}: must be a list of texts, not {value!r}")
    return tuple(_text(where, each) for each in values)


def _known(where: str, section: Mapping[str, object], names: tuple[str, ...]) -> None:
    for key in section:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names)}."
            raise CheckError(f"checks: unknown key {key!r} in {where}", fix=hint)
