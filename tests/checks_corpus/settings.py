"""What each rule's cases configure: the words behind ``@`` to settings."""

from __future__ import annotations

from msgspec.structs import replace

from checks.settings import (
    Additive,
    DeclaredService,
    EventMap,
    JsonSafeLogs,
    Settings,
    SingleSource,
)
from tests.checks_corpus.corpus import Case, Options, load


def _words(options: Options, key: str) -> tuple[str, ...]:
    return tuple(word for words in options.get(key, []) for word in words)


def single_source(options: Options) -> Settings:
    """``@ symbol NAME HOME REEXPORTER...``"""
    rows = options["symbol"]
    return Settings(single_source=tuple(SingleSource(n, home, tuple(more)) for n, home, *more in rows))


def event_map(options: Options) -> Settings:
    """``@ map NAME HOME KEY=MEMBER...`` and ``@ messages NAME...``"""
    maps = tuple(
        EventMap(name, home, {key: member for key, _, member in (each.partition("=") for each in pairs)})
        for name, home, *pairs in options.get("map", [])
    )
    return Settings(event_map=maps, messages=_words(options, "messages"))


def json_safe_logs(options: Options) -> Settings:
    """``@ safe``, ``@ loggers``, ``@ attributes``, ``@ trusted``, ``@ plain``, ``@ sinks``, each with names."""
    names = ("safe", "loggers", "attributes", "trusted", "plain", "sinks")
    return Settings(json_safe_logs=JsonSafeLogs(*(_words(options, name) for name in names)))


def additive(options: Options) -> Settings:
    """``@ map NAME HOME`` and ``@ messages NAME...``"""
    return replace(event_map(options), additive=Additive(""))


def socket_config(options: Options) -> Settings:
    """``@ FIELD VALUE``, as ``DeclaredService`` has them; each is declared in spillway.yaml, in the line of its field."""
    fields = DeclaredService.__struct_fields__
    values = {name: _value(rows[0][0]) for name, rows in options.items() if name in fields}
    lines = {name: ("spillway.yaml", line) for line, name in enumerate(fields, 1)}
    return Settings(socket_config=DeclaredService(**values, declared_in=lines))  # type: ignore[arg-type]


def _value(word: str) -> object:
    plain = {"yes": True, "no": False, "none": None}
    if word in plain:
        return plain[word]
    return float(word) if word.replace(".", "").isdigit() else word


def repeated(_options: Options) -> Settings:
    return Settings(discover=True)


_SETTINGS = {
    "single-source": single_source,
    "event-map": event_map,
    "json-safe-logs": json_safe_logs,
    "additive": additive,
    "socket-config": socket_config,
    "repeated": repeated,
}
RULES = tuple(_SETTINGS)


def cases(rule: str) -> list[Case]:
    """The cases written by hand for one rule."""
    return load(rule, _SETTINGS[rule])
