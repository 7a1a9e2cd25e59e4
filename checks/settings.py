"""What to check, as values: the one schema of the checks' settings.

Whoever calls the checks makes these from whatever it is configured with: no configuration file is read here. The
``checks:`` section of ``spillway.yaml`` is read into these classes (``pipeline/config/sections.py``), key by key: a field's
key is its name with hyphens, unless it is declared with another. Fields that are ``NOT_A_KEY`` come from elsewhere. The kinds of text are told apart by ``Annotated``; the words for what is wrong with one are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Struct, field

#: ``helper``, ``Class.method``
Name = Annotated[str, "name"]
#: a file, relative to the root
SourceFile = Annotated[str, "source file"]
#: text that is not empty
Word = Annotated[str, "word"]

NOT_A_KEY = "not a key"


class SingleSource(Struct, frozen=True):
    """One helper that must be defined once.

    Args:
        symbol: its name; ``Class.method`` for a method.
        home: the file that defines it.
        reexporters: files from which it may be imported too, such as the package's ``__init__``.
    """

    symbol: Name
    home: SourceFile
    reexporters: tuple[SourceFile, ...] = ()


class EventMap(Struct, frozen=True):
    """One mapping of event names to enum members.

    Args:
        name: of the mapping.
        home: the file that assigns it.
        requires: keys that it must have, each with the name of its enum member (any member if empty).
    """

    name: Name = field(name="map")
    home: SourceFile = field(name="in")
    requires: Mapping[Word, str] = field(default_factory=dict)


class JsonSafeLogs(Struct, frozen=True):
    """How values reach logs in this project.

    Args:
        safe: names of helpers whose result is plain JSON.
        loggers: dotted factories (``app.logs.get_logger``) whose loggers take fields as keywords.
        attributes: further attribute names that are known to hold plain enums.
        trusted: sinks whose encoder takes everything.
        plain: sinks that end in ``json.dumps`` without a fallback, where the tree does not show it.
        sinks: names of functions that write each of their arguments with ``json.dumps``.
    """

    safe: tuple[Word, ...] = ()
    loggers: tuple[Word, ...] = ()
    attributes: tuple[Word, ...] = ()
    trusted: tuple[Literal["extra", "structlog", "loguru"], ...] = ()
    plain: tuple[Literal["extra", "structlog", "loguru"], ...] = ()
    sinks: tuple[Word, ...] = ()


class Additive(Struct, frozen=True):
    """A comparison that only additions pass.

    Args:
        base: a git ref or a folder to compare with; what ``run`` is given wins over it.
    """

    base: Word


class DeclaredService(Struct, frozen=True):
    """The service as its program and configuration declare it. None: not declared.

    Args:
        timeout_s: request timeout in seconds; Cloud Run cuts a WebSocket after it.
        scenario_s: seconds that the longest scenario may take.
        candidate_min_instances: minimum instances on the revision, not on the service.
        ingress: as in the Admin API: ``all``, ``internal``, ``internal-and-cloud-load-balancing``.
        entry_point: the file that starts the service.
        declared_in: where a person changes all this, as ``(path, line)`` by field name.
    """

    timeout_s: Annotated[float | None, NOT_A_KEY] = None
    scenario_s: Annotated[float, NOT_A_KEY] = 0.0
    http2: Annotated[bool, NOT_A_KEY] = False
    session_affinity: Annotated[bool, NOT_A_KEY] = False
    candidate_min_instances: Annotated[int, NOT_A_KEY] = 0
    ingress: Annotated[str, NOT_A_KEY] = "all"
    deletion_protection: Annotated[bool | None, NOT_A_KEY] = None
    is_production: Annotated[bool, NOT_A_KEY] = False
    entry_point: SourceFile | None = None
    declared_in: Annotated[Mapping[str, tuple[str, int]], NOT_A_KEY] = field(default_factory=dict)


class Settings(Struct, frozen=True):
    """Everything a run needs to know. A rule is off where its field is None or empty.

    Args:
        single_source: helpers that must be defined once.
        event_map: mappings of message types that must hold what clients send.
        json_safe_logs: values that JSON refuses must not reach the log; the key alone switches it on.
        additive: what is there in a base must still be there.
        socket_config: what of the service's settings cuts conversations; always on, this adds to it.
        exclude: patterns of files that are left out.
        baseline: the file of known findings; empty when there is none.
        messages: the message types that scenarios send or expect; an event map must hold them.
        discover: list helpers that exist several times, configured or not.
    """

    single_source: tuple[SingleSource, ...] = ()
    event_map: tuple[EventMap, ...] = ()
    json_safe_logs: JsonSafeLogs | None = None
    additive: Additive | None = None
    socket_config: DeclaredService | None = None
    exclude: tuple[Word, ...] = ()
    baseline: str = ""
    messages: Annotated[tuple[str, ...], NOT_A_KEY] = ()
    discover: Annotated[bool, NOT_A_KEY] = False
