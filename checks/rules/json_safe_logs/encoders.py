"""What becomes of a value at the end: encoders, as this tree configures them, and what each of them refuses.

Theory of operation. Each kind of logger (``logging``, ``structlog``, ``loguru``) ends in the encoders that some file of
the tree sets up (``installs.py`` finds where). ``gathered`` names them all; ``Ending.of`` says for one value whether
none, some or all of them refuse it. Text for people beside JSON for machines does not count: the JSON is what is lost.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from checks.rules.json_safe_logs.installs import Install
from checks.rules.json_safe_logs.own_code import Written, written_by
from checks.rules.json_safe_logs.sinks import GUESSED, HALVES, RAISING
from checks.settings import JsonSafeLogs
from checks.tree.definitions import Function
from checks.tree.symbols import Symbol
from checks.tree.things import Thing
from checks.tree.tree import Tree

#: kinds of loggers; sinks that end in one of them by the word for it in the settings
FAMILIES = {"logging": "extra", "structlog": "structlog", "loguru": "loguru"}
#: sinks of plain ``json.dumps`` that may be given another encoder; ``json``: all that call it
CHANGED = ("json", "json=", "emit")
#: Formatters, renderers and handlers outside of the tree, by the last part of their name
_OUTSIDE: Mapping[str, str] = {
    "logging.Formatter": "text",
    "logging.BufferingFormatter": "text",
    "pythonjsonlogger": "default",
    "json_log_formatter": "default",
    "ecs_logging": "default",
    "logstash_formatter": "default",
    "colorlog": "text",
    "coloredlogs": "text",
    "rich": "text",
    "uvicorn": "text",
    "click": "text",
    "google.cloud.logging": "google",
    "google.cloud.logging_v2": "google",
    "structlog.processors.JSONRenderer": "default",
    "structlog.dev": "text",
    "structlog.processors.KeyValueRenderer": "text",
    "structlog.processors.LogfmtRenderer": "text",
}

Answer = Literal["refuses", "writes", "unknown"]


class Encoder(NamedTuple):
    """One encoder that is set up somewhere.

    Args:
        kind: ``plain`` (``json.dumps`` alone), ``default`` (with a fallback for values), ``google`` (plain, for
            ``json_fields`` and dictionaries), ``text``, ``unknown``.
        name: of what was set up, as a person would say it.
        path, line: where it is set up.
        is_all: whether it writes every field, not only those in ``fields``; ``msg`` is a dictionary as message.
    """

    kind: str
    name: str
    path: str
    line: int
    is_all: bool = True
    fields: tuple[str, ...] = ()

    def answer(self, sink: str, top: str, *, is_key: bool) -> Answer:
        """What it does with something that plain ``json.dumps`` refuses.

        Args:
            top: the field itself, however deep inside of it the thing is; empty where that is unknown.
            is_key: the thing is a key, which no fallback is asked about.
        """
        if self.kind == "google":
            return "refuses" if sink == "message" or top == "json_fields" else "writes"
        if self.kind == "text" or (self.kind == "default" and not is_key):
            return "writes"
        if self.kind == "unknown":
            return "unknown"
        if sink == "message":
            return "refuses" if "msg" in self.fields else "writes"
        if self.is_all or top in self.fields:
            return "refuses"
        return "unknown" if not top and self.fields else "writes"


class Ending(NamedTuple):
    """What a value meets at the end of a sink: whether it is lost there, and what decides that."""

    answer: Answer
    encoder: Encoder | None = None


def gathered(
    tree: Tree, asked: JsonSafeLogs, found: Iterable[tuple[str, Install]]
) -> dict[str, list[Encoder]]:
    """By kind of logger, its encoders. What the settings say wins over what is found."""
    made: dict[str, list[Encoder]] = {family: [] for family in (*FAMILIES, *CHANGED)}
    for path, install in found:
        for encoder in _encoders(tree, path, install):
            if encoder not in made[install.family]:
                made[install.family].append(encoder)
    if any(e.kind == "logging" for e in made["structlog"]):  # structlog hands its fields to logging
        made["structlog"] = [e for e in made["structlog"] if e.kind != "logging"] + made["logging"]
    for family, word in FAMILIES.items():
        if word in asked.plain:
            made[family] = [Encoder("plain", "json.dumps", "", 0, fields=("msg",))]
    return {family: _of_json(encoders) for family, encoders in made.items()}


def encoders_of(rows: Mapping[str, Any]) -> dict[str, list[Encoder]]:
    """As JSON gives them back."""
    return {family: [_encoder_of(*each) for each in rows[family]] for family in rows}


def _encoder_of(kind: str, name: str, path: str, line: int, is_all: bool, fields: Iterable[str]) -> Encoder:
    return Encoder(kind, name, path, line, is_all, tuple(fields))


def _of_json(encoders: list[Encoder]) -> list[Encoder]:
    return [each for each in encoders if each.kind != "text"] or encoders


def ending(encoders: Mapping[str, list[Encoder]], sink: str, top: str, *, is_key: bool) -> Ending:
    """What becomes of something that plain ``json.dumps`` refuses."""
    if sink in GUESSED:
        return Ending("unknown")
    own = encoders.get(sink, ()) if sink in CHANGED else ()
    changed = next(iter((*encoders.get("json", ()), *own)), None)
    if changed is not None and not is_key:
        return Ending("unknown", changed)
    if sink in HALVES:
        return Ending("refuses" if is_key == (HALVES[sink] == "keys") else "writes")
    if sink == "log_struct" or sink in RAISING:
        return Ending("refuses")
    family = sink if sink in FAMILIES else "logging"
    answers = [(each.answer(sink, top, is_key=is_key), each) for each in encoders.get(family, ())]
    refusing = next((each for answer, each in answers if answer == "refuses"), None)
    if answers and all(answer == "refuses" for answer, _ in answers):
        return Ending("refuses", refusing)
    if answers and all(answer == "writes" for answer, _ in answers):
        return Ending("writes")
    return Ending("unknown", refusing or (answers[0][1] if answers else None))


def _encoders(tree: Tree, path: str, install: Install) -> Iterator[Encoder]:
    if install.written is not None:
        yield _of(install.written, install.name, path, install)
    elif install.kind:
        yield Encoder(install.kind, install.name, path, install.line)
    else:
        yield _followed(tree, install.made_by, path, install)


def _of(written: Written, name: str, path: str, install: Install) -> Encoder:
    is_all = (
        written.is_all or install.family == "structlog"
    )  # a processor is given the fields and nothing else
    return Encoder(written.kind, name, path, install.line, is_all, tuple(written.fields))


def _followed(tree: Tree, made_by: Symbol | None, path: str, install: Install) -> Encoder:
    """What a name that is set up as an encoder is: code of the tree, or something known outside of it."""
    unknown = Encoder("unknown", install.name, path, install.line, fields=("msg",))
    thing = tree.resolver.what(made_by, path)
    if thing is None:
        return unknown
    if thing.what == "outside":
        return unknown._replace(kind=outside(thing.name))
    if thing.what == "function":
        return _written(tree, thing, install, path) or unknown
    for above in tree.resolver.ancestors(thing) if thing.what == "class" else ():
        if above.what == "outside":
            return unknown._replace(kind=outside(above.name))
        found = _written(tree, above, install, path)
        if found is not None:
            return found
    return unknown


def _written(tree: Tree, thing: Thing, install: Install, path: str) -> Encoder | None:
    """How a class or function of the tree writes; None where it leaves that to what it inherits from."""
    parsed = tree.parsed(thing.path)
    tree.definitions(thing.path)  # so that what was found is looked at again when this file changes
    body = parsed.tree.body if parsed else []
    node: Any = None
    for name in thing.name.split("."):
        named = (n for n in body if isinstance(n, Function | ast.ClassDef) and n.name == name)
        node = next(named, None)
        body = node.body if node is not None else []
    if node is None or parsed is None:
        return None
    written = written_by(parsed.tree, node)
    return _of(written, thing.name, path, install) if written is not None else None


def outside(name: str) -> str:
    """The kind of an encoder that is not of the tree, by its dotted name."""
    parts = name.split(".")
    if parts[-1] in ("JSONRenderer", "KeyValueRenderer", "LogfmtRenderer", "ConsoleRenderer"):
        return "default" if parts[-1] == "JSONRenderer" else "text"
    for end in range(len(parts), 0, -1):
        kind = _OUTSIDE.get(".".join(parts[:end]))
        if kind:
            return kind
    return "unknown"
