"""Small trees for event-map; the tests are made from them."""

from __future__ import annotations

from checks.settings import EventMap, Settings
from tests.checks_examples.example import Example

_ENUM = """\
from enum import Enum


class Kind(str, Enum):
    START = "start"
    BEGIN = "start"
    STOP = "stop"
"""
_HEAD = "from app.kinds import Kind\n"


def _on(requires: dict[str, str], messages: tuple[str, ...] = ()) -> Settings:
    return Settings(event_map=(EventMap("KINDS", "app/events.py", requires),), messages=messages)


_RUN = _on({"run": "START"})


def _case(title: str, code: str, *finds: str, settings: Settings = _RUN, **more: str) -> Example:
    files = {"app/__init__.py": "", "app/kinds.py": _ENUM, "app/events.py": code}
    files |= {f"app/{name}.py": text for name, text in more.items()}
    return Example(title, files, settings, tuple(f"app/events.py:{line}" for line in finds))


VALID = (
    _case("a literal", _HEAD + 'KINDS = {"run": Kind.START}\n'),
    _case("dict()", _HEAD + "KINDS = dict(run=Kind.START)\n"),
    _case("annotated", _HEAD + 'KINDS: dict[str, Kind] = {"run": Kind.START}\n'),
    _case("updated later", _HEAD + 'KINDS = {}\nKINDS.update({"run": Kind.START})\n'),
    _case("item later", _HEAD + 'KINDS = {}\nKINDS["run"] = Kind.START\n'),
    _case("merged", _HEAD + 'MORE = {"run": Kind.START}\nKINDS = {**MORE, "halt": Kind.STOP}\n'),
    _case("joined", _HEAD + 'MORE = {"run": Kind.START}\nKINDS = MORE | {"halt": Kind.STOP}\n'),
    _case("in a class", _HEAD + 'class Router:\n    KINDS = {"run": Kind.START}\n'),
    _case("an alias of the member", _HEAD + 'KINDS = {"run": Kind.BEGIN}\n'),
    _case("by value", _HEAD + 'KINDS = {"run": Kind("start")}\n'),
    _case("its value", _HEAD + 'KINDS = {"run": Kind.START.value}\n'),
    _case("a named key", _HEAD + 'RUN = "run"\nKINDS = {RUN: Kind.START}\n'),
    _case(
        "an imported spread",
        "from app.more import MORE\nKINDS = {**MORE}\n",
        more=_HEAD + 'MORE = {"run": Kind.START}\n',
    ),
    _case(
        "updated from afar",
        "KINDS = {}\n",
        more=_HEAD + 'from app.events import KINDS\nKINDS["run"] = Kind.START\n',
    ),
    _case("what scenarios say", _HEAD + 'KINDS = {"run": Kind.START}\n', settings=_on({}, ("run",))),
)

INVALID = (
    _case("missing", _HEAD + '\nKINDS = {"halt": Kind.STOP}\n', "3"),
    _case("wrong member", _HEAD + 'KINDS = {\n    "run": Kind.STOP,\n}\n', "3"),
    _case("no such member", _HEAD + 'KINDS = {"run": Kind.START, "go": Kind.STRAT}\n', "2"),
    _case("twice", _HEAD + 'KINDS = {\n    "run": Kind.START,\n    "run": Kind.START,\n}\n', "4"),
    _case("nearly", _HEAD + 'KINDS = {\n    "runs": Kind.START,\n}\n', "3"),
    _case("removed later", _HEAD + 'KINDS = {"run": Kind.START}\ndel KINDS["run"]\n', "2"),
    _case(
        "a scenario's message",
        _HEAD + 'KINDS = {"run": Kind.START}\n',
        "2",
        settings=_on({}, ("run", "halt")),
    ),
    _case("something unreadable", "from app.kinds import Kind\nKINDS = {**Kind.all()}\n", "2 ?"),
    _case("not there", "X = 1\n", "1"),
    Example(
        "a key is lost",
        {"app/kinds.py": _ENUM, "app/events.py": _HEAD + 'KINDS = {"run": Kind.START}\n'},
        _RUN,
        ("app/events.py:2",),
        base={
            "app/kinds.py": _ENUM,
            "app/events.py": _HEAD + 'KINDS = {"run": Kind.START, "halt": Kind.STOP}\n',
        },
    ),
    Example(
        "a key is lost with the module that it was spread from",
        {"app/kinds.py": _ENUM, "app/events.py": _HEAD + 'KINDS = {"run": Kind.START}\n'},
        _RUN,
        ("app/events.py:2",),
        base={
            "app/kinds.py": _ENUM,
            "app/more.py": _HEAD + 'MORE = {"halt": Kind.STOP}\n',
            "app/events.py": _HEAD + 'from app.more import MORE\nKINDS = {"run": Kind.START, **MORE}\n',
        },
    ),
)
