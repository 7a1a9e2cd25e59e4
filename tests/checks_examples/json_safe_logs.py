"""Small trees for json-safe-logs; the tests are made from them."""

from __future__ import annotations

from checks.settings import JsonSafeLogs, Settings
from tests.checks_examples.example import Example

_ON = Settings(
    json_safe_logs=JsonSafeLogs(
        safe=("safe_state",), loggers=("app.logs.get_logger",), plain=("extra", "structlog", "loguru")
    )
)
_HEAD = "import json\nimport logging\nfrom datetime import datetime\nfrom app.kinds import Phase, Text, Level\nlog = logging.getLogger(__name__)\n"
_KINDS = """\
import enum


class Phase(enum.Enum):
    OPEN = 1
    SHUT = 2


class Text(str, enum.Enum):
    A = "a"


class Level(enum.IntEnum):
    LOW = 1
"""


def _case(title: str, code: str, *finds: str, **more: str) -> Example:
    """``finds`` are line numbers behind the five lines of the head."""
    files = {"app/__init__.py": "", "app/kinds.py": _KINDS, "app/user.py": _HEAD + code}
    files |= {f"app/{name}.py": text for name, text in more.items()}
    lines = ((int(f.split()[0]) + 5, f.partition(" ")[2]) for f in finds)
    return Example(
        title, files, _ON, tuple(f"app/user.py:{line}{' ' + tail if tail else ''}" for line, tail in lines)
    )


VALID = (
    _case("its value", 'def f(p: Phase):\n    log.info("x", extra={"p": p.value})\n'),
    _case("its name", 'def f(ws):\n    log.info("x", extra={"s": ws.client_state.name})\n'),
    _case("as text", 'def f(p: Phase):\n    log.info("x", extra={"p": str(p), "q": f"{p}"})\n'),
    _case("the safe helper", 'def f(p: Phase):\n    log.info("x", extra={"p": safe_state(p)})\n'),
    _case("a text enum", 'def f(t: Text):\n    print(json.dumps({"t": t, "u": Text.A}))\n'),
    _case("an int enum", "def f(t: Level):\n    print(json.dumps([t]))\n"),
    _case("a default", 'def f(p: Phase):\n    print(json.dumps({"p": p}, default=str))\n'),
    _case(
        "a record that holds values",
        "from app.box import Box\ndef f(box: Box):\n    print(json.dumps(box.model_dump()))\n",
        box="from pydantic import BaseModel, ConfigDict\nfrom app.kinds import Phase\nclass Box(BaseModel):\n"
        "    model_config: ConfigDict = ConfigDict(use_enum_values=True)\n    phase: Phase\n",
    ),
    _case("an encoder", 'def f(p: Phase):\n    print(json.dumps({"p": p}, cls=Encoder))\n'),
    _case("plain arguments", 'def f(p: Phase):\n    log.info("phase %s", p)\n'),
    _case("no log at all", "def f(p: Phase):\n    return {'extra': p}\n"),
    _case("a time as text", 'log.info("x", extra={"at": datetime.now().isoformat()})\n'),
    _case(
        "asked before",
        'def f(p: Phase):\n    q = p.value if isinstance(p, Phase) else p\n    log.info("x", extra={"q": q})\n',
    ),
    _case(
        "another field",
        'def f(p: Phase):\n    d = {"p": p, "n": 1}\n    log.info("x", extra={"n": d["n"]})\n',
    ),
)

INVALID = (
    _case("an annotated parameter", 'def f(p: Phase):\n    log.info("x", extra={"p": p})\n', "2"),
    _case("a member", 'log.info("x", extra={"p": Phase.OPEN})\n', "1"),
    _case(
        "a socket's state", 'def f(websocket):\n    log.info("x", extra={"s": websocket.client_state})\n', "2"
    ),
    _case(
        "json.dumps", 'def f(websocket):\n    log.info(json.dumps({"s": websocket.application_state}))\n', "2"
    ),
    _case(
        "through a variable", 'def f(p: Phase):\n    d = {}\n    d["p"] = p\n    print(json.dumps(d))\n', "4"
    ),
    _case(
        "google's json_fields", 'def f(p: Phase):\n    log.info("x", extra={"json_fields": {"p": p}})\n', "2"
    ),
    _case(
        "structlog",
        'import structlog\nslog = structlog.get_logger()\ndef f(p: Phase):\n    slog.info("x", p=p)\n',
        "4",
    ),
    _case("loguru", 'from loguru import logger\ndef f(p: Phase):\n    logger.info("x", p=p)\n', "3"),
    _case(
        "a configured factory",
        "from app.logs import get_logger\nout = get_logger()\ndef f(p: Phase):\n    out.info('x', p=p)\n",
        "4",
    ),
    _case("datetime", 'log.info("x", extra={"at": datetime.now()})\n', "1"),
    _case("set", 'log.info("x", extra={"ids": {1, 2}})\n', "1"),
    _case("bytes", 'print(json.dumps({"b": b"x"}))\n', "1"),
    _case(
        "exception", 'try:\n    pass\nexcept ValueError as e:\n    log.error("x", extra={"error": e})\n', "4"
    ),
    _case("Decimal", "from decimal import Decimal\nprint(json.dumps([Decimal('1')]))\n", "2"),
    _case("UUID", "import uuid\nprint(json.dumps({'id': uuid.uuid4()}))\n", "2"),
    _case("what a function returns", "def g() -> Phase: ...\ndef f():\n    print(json.dumps([g()]))\n", "3"),
    _case(
        "a field of a dataclass",
        "from app.box import Box\ndef f(box: Box):\n    print(json.dumps({'p': box.phase}))\n",
        "3",
        box="from dataclasses import dataclass\nfrom app.kinds import Phase\n@dataclass\nclass Box:\n    phase: Phase\n",
    ),
    _case(
        "one way only",
        "def f(p: Phase, yes):\n    q = p if yes else 'x'\n    print(json.dumps([q]))\n",
        "3 ?",
    ),
    _case("a key", "def f(p: Phase):\n    print(json.dumps({p: 1}))\n", "2"),
)
