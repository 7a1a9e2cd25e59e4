"""Small trees, before and now, for additive; the tests are made from them."""

from __future__ import annotations

from checks.settings import Additive, EventMap, Settings
from tests.checks_examples.example import Example

_ON = Settings(additive=Additive(""), event_map=(EventMap("KINDS", "m.py"),), messages=("run",))
_MODEL = "from pydantic import BaseModel\nclass M(BaseModel):\n    a: int\n    b: str | None = None\n"
_ENUM = "from enum import Enum\nclass K(Enum):\n    A = 1\n    B = 2\n"


def _case(title: str, before: str, now: str, *finds: str) -> Example:
    return Example(title, {"m.py": now}, _ON, tuple(f"m.py:{line}" for line in finds), base={"m.py": before})


VALID = (
    _case("nothing changed", _MODEL, _MODEL),
    _case("a function more", "def f(): ...\n", "def f(): ...\ndef g(): ...\n"),
    _case("a parameter with a default", "def f(a): ...\n", "def f(a, b=1): ...\n"),
    _case("a member more", _ENUM, _ENUM + "    C = 3\n"),
    _case("an optional field more", _MODEL, _MODEL + "    c: int = 0\n"),
    _case("a wider type", _MODEL, _MODEL.replace("a: int", "a: int | str")),
    _case("a key more", 'KINDS = {"a": 1}\n', 'KINDS = {"a": 1, "b": 2}\n'),
    _case("a private helper gone", "def _f(): ...\nX = 1\n", "X = 1\n"),
    _case("moved, still importable", "def f(): ...\n", "from n import f\n"),
    _case("another body", "def f():\n    return 1\n", "def f():\n    return 2\n"),
    Example("a new file", {"m.py": "def f(): ...\n"}, _ON, base={}),
)

INVALID = (
    _case("a function gone", "def f(): ...\ndef g(): ...\n", "def f(): ...\n", "1"),
    _case("a method gone", "class A:\n    def f(self): ...\n", "\nclass A:\n    x = 1\n", "2"),
    _case("a parameter gone", "def f(a, b): ...\n", "def f(a): ...\n", "1"),
    _case("a required parameter more", "def f(a): ...\n", "def f(a, b): ...\n", "1"),
    _case("a default gone", "def f(a=1): ...\n", "def f(a): ...\n", "1"),
    _case("a member gone", _ENUM, _ENUM.replace("    B = 2\n", ""), "2"),
    _case("a member renamed", _ENUM, _ENUM.replace("B", "C"), "2"),
    _case("another value", _ENUM, _ENUM.replace("2", "3"), "4"),
    _case("a field gone", _MODEL, _MODEL.replace("    a: int\n", ""), "2"),
    _case("made required", _MODEL, _MODEL.replace(" = None", ""), "4"),
    _case("a required field more", _MODEL, _MODEL + "    c: int\n", "5"),
    _case("narrowed", _MODEL, _MODEL.replace("str | None", "str").replace("None", "''"), "4"),
    _case("a key gone", 'KINDS = {"a": 1, "b": 2}\n', 'KINDS = {"a": 1}\n', "1"),
    _case("an event gone", 'EVENTS = ("run", "b")\n', 'EVENTS = ("b",)\n', "1"),
    Example(
        "a file gone",
        {"n.py": "X = 1\n"},
        _ON,
        ("m.py:1",),
        base={"m.py": "def f(): ...\n", "n.py": "X = 1\n"},
    ),
)
