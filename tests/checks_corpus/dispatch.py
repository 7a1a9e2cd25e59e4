"""Cases of dispatch style x fault: the same messages, answered in all the ways that people write it; half of them whole.

Each style writes a tree in which some keys are handled. What is missing must be found where the dispatcher stands.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.checks_corpus import settings
from tests.checks_corpus.corpus import Case, marked

WORDS = "agent_completed agent_started agent_thinking execute_agent heartbeat tool_completed tool_executing user_message".split()  # noqa: SIM905
#: what a style makes of keys, with the mark that stands where the dispatcher does
Make = Callable[[list[str], str], dict[str, str]]


class Style(NamedTuple):
    """``name`` and ``home`` are what is configured."""

    title: str
    name: str
    home: str
    make: Make


def _one(head: str, row: str, tail: str = "", path: str = "app/bus.py") -> Make:
    """One file: a head with ``MARK``, a row for each key, a tail."""

    def make(keys: list[str], mark: str) -> dict[str, str]:
        rows = "".join(row.replace("KEY", key).replace("UP", key.upper()) for key in keys)
        return {path: head.replace("MARK", mark) + rows + tail}

    return make


def _two(head: str, path: str, start: str, row: str) -> Make:
    """The dispatcher in one file, its handlers in another."""

    def make(keys: list[str], mark: str) -> dict[str, str]:
        rows = "".join(row.replace("KEY", key) for key in keys)
        return {"app/bus.py": head.replace("MARK", mark), path: start + rows}

    return make


def _enum(text: str) -> Make:
    """All members of an enum, which has a member for each key."""

    def make(keys: list[str], mark: str) -> dict[str, str]:
        members = "".join(f'    {key.upper()} = "{key}"\n' for key in keys)
        kinds = f"from enum import Enum\n\n\nclass Kind(str, Enum):\n{members}"
        return {
            "app/kinds.py": kinds,
            "app/bus.py": "from app.kinds import Kind\n\n" + text.replace("MARK", mark),
        }

    return make


def _chain_of_members(keys: list[str], mark: str) -> dict[str, str]:
    made = _enum("")(WORDS, "")
    rows = "".join(
        f"    {'el' * bool(n)}if kind == Kind.{key.upper()}:\n        pass\n" for n, key in enumerate(keys)
    )
    made["app/bus.py"] += f"def handle(kind: Kind, message):{mark}\n{rows}"
    return made


def _chain(keys: list[str], mark: str) -> dict[str, str]:
    rows = "".join(
        f'    {"el" * bool(n)}if message["type"] == "{key}":\n        await answer_{key}(message)\n'
        for n, key in enumerate(keys)
    )
    rest = "    else:\n        raise ValueError(message)\n"
    return {
        "app/bus.py": f"async def handle(socket, message):{mark}\n    if socket is None:\n        return\n{rows}{rest}"
    }


def _union(keys: list[str], mark: str) -> dict[str, str]:
    names = [f"Msg{key.title().replace('_', '')}" for key in keys]
    classes = "".join(
        f'class {name}(BaseModel):\n    type: Literal["{key}"] = "{key}"\n\n\n'
        for name, key in zip(names, keys, strict=True)
    )
    text = f"from typing import Literal\n\nfrom pydantic import BaseModel\n\n\n{classes}"
    union = f'Message = Annotated[Union[{", ".join(names)}], Field(discriminator="type")]{mark}\n'
    head = f"from typing import Annotated, Union\n\nfrom pydantic import Field\n\nfrom app.models import {', '.join(names)}\n\n"
    return {"app/models.py": text, "app/bus.py": head + union}


def _plain_union(keys: list[str], mark: str) -> dict[str, str]:
    made = _union(keys, "")
    head, _, _ = made["app/bus.py"].partition("Message = ")
    names = [f"Msg{key.title().replace('_', '')}" for key in keys]
    return made | {"app/bus.py": f"{head}Message = {' | '.join(names)}{mark}\n"}


def _short_union(keys: list[str], mark: str) -> dict[str, str]:
    kinds = _enum("")(WORDS, "")["app/kinds.py"]
    head = "from typing import Literal\n\nfrom pydantic import BaseModel\n\nfrom app.kinds import Kind\n\n\n"
    rows = "".join(
        f"class M{n}(BaseModel):\n    type: Literal[Kind.{key.upper()}]\n\n\n" for n, key in enumerate(keys)
    )
    union = " | ".join(f"M{n}" for n, _ in enumerate(keys))
    return {"app/kinds.py": kinds, "app/bus.py": f"{head}{rows}Message = {union}{mark}\n"}


def _pairs(keys: list[str], mark: str) -> dict[str, str]:
    rows = "".join(f'    ("{key}", answer_{key}),\n' for key in keys)
    return {"app/bus.py": f"ROWS = (\n{rows})\nMAP = dict(ROWS){mark}\n"}


def _automatic(keys: list[str], mark: str) -> dict[str, str]:
    members = "".join(f"    {word.upper()} = auto()\n" for word in WORDS)
    kinds = f"from enum import StrEnum, auto\n\n\nclass Kind(StrEnum):\n{members}"
    rows = "".join(f"    Kind.{key.upper()}: answer_{key},\n" for key in keys)
    head = f"from app.kinds import Kind\n\nMAP = {{{mark}\n"
    return {"app/kinds.py": kinds, "app/bus.py": f"{head}{rows}}}\n"}


def _rows(keys: list[str], mark: str) -> dict[str, str]:
    """Two sets of them; one more that only says what is known, and decides nothing."""
    rows = f"KNOWN = frozenset({WORDS})\nSOME = frozenset({keys[:2]})\nOTHERS = {{{', '.join(map(repr, keys[2:]))}}}\n"
    head = f"def handle(kind):{mark}\n    if kind not in KNOWN:\n        return 0\n"
    return {
        "app/bus.py": f"{rows}\n\n{head}    if kind in SOME:\n        return 1\n    elif kind in OTHERS:\n        return 2\n"
    }


_REGISTRY = """\
HANDLERS = {}


def on(name):MARK
    def wrap(handler):
        HANDLERS[name] = handler
        return handler

    return wrap
"""
_CALLED = "HANDLERS = {}\n\n\ndef register(name, handler):MARK\n    HANDLERS[name] = handler\n"
_ROUTER = """\
class Router:
    def __init__(self):
        self.handlers = {}

    def message(self, *names):MARK
        def wrap(handler):
            self.handlers.update(dict.fromkeys(names, handler))
            return handler

        return wrap


router = Router()
"""
_LIBRARY = "from library import Router\n\nrouter = Router()MARK\n"
_HANDLER = '@on("KEY")\nasync def answer_KEY(message): ...\n\n\n'
_ROUTED = '@router.message("KEY")\nasync def answer_KEY(message): ...\n\n\n'
_GETATTR = """\
class Bus:
    async def dispatch(self, kind, message):MARK
        handler = getattr(self, f"on_{kind}", None)
        if handler:
            await handler(message)

"""
_ADDED = _GETATTR.replace('f"on_{kind}"', '"on_" + kind')
_NAMED = _GETATTR.replace(
    'handler = getattr(self, f"on_{kind}", None)',
    'name = f"on_{kind}"\n        handler = getattr(self, name, None)',
)
_BASE = "class Handler:MARK\n    def run(self, message): ...\n"

STYLES = (
    Style("a dictionary", "MAP", "app/bus.py", _one("MAP = {MARK\n", '    "KEY": answer_KEY,\n', "}\n")),
    Style("a dictionary of the object", "Bus.handlers", "app/bus.py", _one("class Bus:\n    def __init__(self):\n        self.handlers = {MARK\n", '            "KEY": self.answer_KEY,\n', "        }\n")),
    Style("a dictionary of the class", "Bus.handlers", "app/bus.py", _one("class Bus:\n    handlers = {MARK\n", '        "KEY": "answer_KEY",\n', "    }\n")),
    Style("update", "MAP", "app/bus.py", _one("MAP = {}MARK\n", 'MAP.update({"KEY": answer_KEY})\n')),
    Style("an enum's members by value", "MAP", "app/bus.py", _enum("MAP = {kind.value: kind for kind in Kind}MARK\n")),
    Style("an enum's members by name", "MAP", "app/bus.py", _enum("MAP = {kind.value: 1 for kind in Kind} | {}MARK\n")),
    Style("a decorator", "on", "app/bus.py", _two(_REGISTRY, "app/handlers.py", "from app.bus import on\n\n\n", _HANDLER)),
    Style("a decorator through its module", "on", "app/bus.py", _two(_REGISTRY, "app/handlers.py", "from app import bus\n\n\n", _HANDLER.replace("@on", "@bus.on"))),
    Style("a method as decorator", "Router.message", "app/bus.py", _two(_ROUTER, "app/handlers.py", "from app.bus import router\n\n\n", _ROUTED)),
    Style("a router made elsewhere", "Router.message", "app/bus.py", _two(_ROUTER, "app/handlers.py", "from app.bus import Router\n\nmine = Router()\n\n\n", _ROUTED.replace("@router", "@mine"))),
    Style("a library's router", "router.message", "app/bus.py", _two(_LIBRARY, "app/handlers.py", "from app.bus import router\n\n\n", _ROUTED)),
    Style("a call that registers", "register", "app/bus.py", _two(_CALLED, "app/handlers.py", "from app.bus import register\n\n", 'register("KEY", print)\n')),
    Style("a call in the same file", "register", "app/bus.py", _one(_CALLED + "\n\n", 'register("KEY", print)\n')),
    Style("a chain of if", "handle", "app/bus.py", _chain),
    Style("a chain over members", "handle", "app/bus.py", _chain_of_members),
    Style("ifs with several", "handle", "app/bus.py", _one("def handle(kind):MARK\n    if kind is None:\n        return 0\n", '    if kind in ("KEY", "other_KEY"):\n        return 1\n')),
    Style("match", "handle", "app/bus.py", _one('async def handle(message):MARK\n    match message["type"]:\n', '        case "KEY":\n            await answer(message)\n', "        case _:\n            raise ValueError(message)\n")),
    Style("match of a mapping", "Bus.handle", "app/bus.py", _one("class Bus:\n    async def handle(self, message):MARK\n        match message:\n", '            case {"type": "KEY", **rest}:\n                await self.answer(rest)\n')),
    Style("getattr", "Bus.dispatch", "app/bus.py", _one(_GETATTR, "    async def on_KEY(self, message): ...\n\n")),
    Style("getattr of a sum", "Bus.dispatch", "app/bus.py", _one(_ADDED, "    async def on_KEY(self, message): ...\n\n")),
    Style("subclasses", "Handler", "app/bus.py", _two(_BASE, "app/handlers.py", "from app.bus import Handler\n\n\n", 'class HKEY(Handler):\n    type = "KEY"\n\n\n')),
    Style("subclasses with literals", "Handler", "app/bus.py", _two(_BASE, "app/handlers.py", "from typing import Literal\n\nfrom app.bus import Handler\n\n\n", 'class HKEY(Handler):\n    type: Literal["KEY"] = "KEY"\n\n\n')),
    Style("a discriminated union", "Message", "app/bus.py", _union),
    Style("a plain union", "Message", "app/bus.py", _plain_union),
    Style("a union of short names", "Message", "app/bus.py", _short_union),
    Style("members of a StrEnum that names itself", "MAP", "app/bus.py", _automatic),
    Style("rows under names", "handle", "app/bus.py", _rows),
    Style("a function in a function", "handle", "app/bus.py", _one("def made():\n    def handle(kind):MARK\n        kind = kind.lower()\n", '        if kind == "KEY":\n            return 1\n', "    return handle\n")),
    Style("getattr of a name", "Bus.dispatch", "app/bus.py", _one(_NAMED, "    async def on_KEY(self, message): ...\n\n")),
    Style("a dictionary that the class is given", "Bus.handlers", "app/bus.py", _one("class Bus:\n    handlers: dict = {}\n\n\nBus.handlers = {MARK\n", '    "KEY": answer_KEY,\n', "}\n")),
    Style("a dictionary in the function", "handle", "app/bus.py", _one("async def handle(message):MARK\n    known = {\n", '        "KEY": answer_KEY,\n', '    }\n    await known[message["type"]](message)\n')),
    Style("pairs under a name", "MAP", "app/bus.py", _pairs),
)  # fmt: skip


def cases(seed: int = 14) -> Iterator[Case]:
    """Four trees for each style: whole, whole with more than is asked, one key missing, two missing."""
    for style in STYLES:
        rng = random.Random(f"{style.title} {seed}")
        for number, (extra, lost) in enumerate(((0, 0), (2, 0), (1, 1), (0, 2))):
            keys = rng.sample(WORDS, 5 + extra)
            wanted, left = keys[:5], keys[lost:]
            rng.shuffle(left)
            mark = "  #! not" if lost else ""
            files = {"app/__init__.py": "", **style.make(left, mark)}
            row = [style.name, style.home, *(f"{key}=" for key in wanted)]
            title = f"{style.title}, {number}: {'one of them is' if lost else 'nothing is'} missing"
            yield marked("event-map", title, files, settings.event_map({"map": [row]}))
