"""Cases of sink x value x encoder: how a tree sets up its log lines, and what of it reaches them.

Each encoder is a module that a project might have; ``configure(stream)`` sets it up. The corpus checks these texts, and
``tests/test_checks_encoders.py`` runs them: what is said here about an encoder is what the real one does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from checks.settings import JsonSafeLogs, Settings
from tests.checks_corpus.corpus import Case, marked

KINDS = """\
import enum


class Phase(enum.Enum):
    OPEN = 1


class Text(str, enum.Enum):
    A = "a"
"""
HEAD = """\
import json
import logging
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import structlog
from loguru import logger
from starlette.websockets import WebSocketState

from app.kinds import Phase, Text

log = logging.getLogger("app")
slog = structlog.get_logger("app")


@dataclass
class Row:
    name: str


"""
#: what plain json.dumps refuses as a value
VALUES = (
    "Phase.OPEN", "datetime.now()", "uuid.uuid4()", 'Decimal("1")', "{1, 2}", 'b"x"', 'ValueError("x")', "timedelta(1)",
    "date.today()", 'Path("x")', "WebSocketState.CONNECTED", 'Row("a")', "[Phase.OPEN]", '{"deep": datetime.now()}',
)  # fmt: skip
#: what every encoder refuses as a key
KEYS = ("{Phase.OPEN: 1}", "{(1, 2): 1}", "{uuid.uuid4(): 1}", "{date.today(): 1}", '{b"x": 1}')
GOOD = (
    "Phase.OPEN.value", "str(Phase.OPEN)", "datetime.now().isoformat()", "Text.A", "[1, 'a', None]", "str(uuid.uuid4())",
    "float(Decimal('1'))", "sorted({1, 2})", "repr(ValueError('x'))", "Phase.OPEN.name", "{'a': {'b': 1.5}}", "{1: 2}",
    "{Text.A: 1}", "{Phase.OPEN.name: 1}", "len(b'x')", "WebSocketState.CONNECTED.name",
)  # fmt: skip


class Encoder(NamedTuple):
    """One way to set up log lines.

    Args:
        files: module ``app/setup.py``, and others by their path.
        call: a line that logs ``VALUE``.
        values, keys: whether such a line is lost: ``refuses``, ``writes``; ``unknown`` where the tree does not show it.
        is_run: whether it is tried on the real one.
    """

    name: str
    files: dict[str, str]
    call: str
    values: str
    keys: str
    is_run: bool = True


EXTRA = 'log.info("was here", extra={"field": VALUE})'
STRUCTLOG = 'slog.info("was here", field=VALUE)'
LOGURU = 'logger.info("was here", field=VALUE)'

_HANDLER = """\
import logging
IMPORTS

CODE
def configure(stream):
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMATTER)
    top = logging.getLogger("app")
    top.handlers[:] = [handler]
    top.setLevel(logging.INFO)
    top.propagate = False
"""


def _handler(formatter: str, code: str = "", imports: str = "import json") -> dict[str, str]:
    made = _HANDLER.replace("FORMATTER", formatter).replace("IMPORTS", imports)
    return {"app/setup.py": made.replace("CODE", f"{code}\n\n" if code else "")}


_RESERVED = 'RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}\n\n\n'
_ALL = (
    _RESERVED
    + """\
class JsonLines(logging.Formatter):
    def format(self, record):
        line = {"message": record.getMessage(), "level": record.levelname}
        for key, value in record.__dict__.items():
            if key not in RESERVED:
                line[key] = VALUE_OF
        return DUMPS
"""
)


def _all(dumps: str, value: str = "value") -> str:
    return _ALL.replace("DUMPS", dumps).replace("VALUE_OF", value)


_NAMED = """\
FIELDS = ("user", "field")


class JsonLines(logging.Formatter):
    def format(self, record):
        line = {"message": record.getMessage()}
        for name in FIELDS:
            if hasattr(record, name):
                line[name] = getattr(record, name)
        return json.dumps(line)
"""
_ONE = """\
class JsonLines(logging.Formatter):
    def format(self, record):
        line = {"message": record.getMessage(), "level": record.levelname, "field": getattr(record, "field", None)}
        return json.dumps(line, ensure_ascii=False)
"""
_MESSAGE = """\
class JsonLines(logging.Formatter):
    def format(self, record):
        return json.dumps({"message": record.getMessage(), "logger": record.name, "level": record.levelname})
"""
_MERGED = (
    _RESERVED
    + """\
class JsonLines(logging.Formatter):
    def format(self, record):
        extra = {key: value for key, value in record.__dict__.items() if key not in RESERVED}
        return self.encoded({"message": record.getMessage(), **extra})

    def encoded(self, line):
        return json.dumps(line, separators=(",", ":"))
"""
)
_CAUGHT = (
    _RESERVED
    + """\
class JsonLines(logging.Formatter):
    def format(self, record):
        extra = {key: value for key, value in vars(record).items() if key not in RESERVED}
        try:
            return json.dumps({"message": record.getMessage(), **extra})
        except TypeError:
            return json.dumps({"message": record.getMessage(), "extra": str(extra)})
"""
)
_CHILD = (
    _MERGED
    + """\


class Coloured(JsonLines):
    colour = True
"""
)
_DICT_CONFIG = """\
import logging.config
IMPORTS

CODE
def configure(stream):
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": FORMATTER}, "unused": {"format": "%(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json", "stream": stream}},
        "loggers": {"app": {"handlers": ["out"], "level": "INFO", "propagate": False}},
    })
"""


def _dict_config(formatter: str, code: str = "", imports: str = "import json") -> dict[str, str]:
    made = _DICT_CONFIG.replace("FORMATTER", formatter).replace("IMPORTS", imports)
    return {"app/setup.py": made.replace("CODE", f"{code}\n\n" if code else "")}


_STRUCTLOG = """\
import json

import structlog

CODE
def configure(stream):
    structlog.configure(
        processors=[structlog.processors.add_log_level, LAST],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
"""


def _structlog(last: str, code: str = "") -> dict[str, str]:
    return {"app/setup.py": _STRUCTLOG.replace("LAST", last).replace("CODE", f"{code}\n\n" if code else "")}


_RENDER = "def render(logger, name, event_dict):\n    return json.dumps(event_dict, sort_keys=True)\n"
_ONTO = """\
import logging

import structlog


def configure(stream):
    shared = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    ))
    top = logging.getLogger("app")
    top.handlers[:] = [handler]
    top.setLevel(logging.INFO)
    top.propagate = False
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
"""
_HANDED_ON = (
    _handler("JsonLines()", _MERGED, "import json\n\nimport structlog")["app/setup.py"]
    + """\
    processors = [structlog.processors.add_log_level]
    processors.append(structlog.stdlib.render_to_log_kwargs)
    structlog.configure(
        processors=processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
"""
)
_LOGURU = """\
import json
import sys

from loguru import logger

CODE
def configure(stream):
    logger.remove()
    logger.add(GIVEN)
"""


def _loguru(given: str, code: str = "", last: str = "") -> dict[str, str]:
    made = _LOGURU.replace("GIVEN", given).replace("CODE", f"{code}\n\n" if code else "")
    return {"app/setup.py": made + last}


_SINK = """\
STREAM = [sys.stderr]


def sink(message):
    record = message.record
    line = {"message": record["message"], "extra": record["extra"]}
    STREAM[0].write(json.dumps(line) + "\\n")
"""
_LAST = '    logger.configure(handlers=[{"sink": stream, "serialize": True}])\n'
_GOOGLE = """\
import logging

from google.cloud.logging_v2.handlers import StructuredLogHandler


def configure(stream):
    top = logging.getLogger("app")
    top.handlers[:] = [StructuredLogHandler(stream=stream)]
    top.setLevel(logging.INFO)
    top.propagate = False
"""
_FIELDS = 'log.info("was here", extra={"json_fields": {"field": VALUE}})'
_BASE = "from pythonjsonlogger.json import JsonFormatter"
_OTHER = """\
class Lines(JsonFormatter):
    def add_fields(self, log_data, record, message_dict):
        super().add_fields(log_data, record, message_dict)
        log_data["service"] = "x"
"""
_TEXT = {"format": "%(levelname)s %(message)s"}

_ASSIGNED = _handler("JsonLines()", _MERGED)["app/setup.py"].replace(
    "handler.setFormatter(JsonLines())", "handler.formatter = JsonLines()"
)
_CHOSEN = _structlog("None")["app/setup.py"].replace(
    "    structlog.configure(\n        processors=[structlog.processors.add_log_level, None],",
    "    is_machine = hasattr(stream, 'getvalue')\n"
    "    renderer = structlog.processors.JSONRenderer() if is_machine else structlog.dev.ConsoleRenderer()\n"
    "    shared = [structlog.processors.add_log_level]\n"
    "    structlog.configure(\n        processors=shared + [renderer],",
)

ENCODERS = (
    Encoder("own, assigned", {"app/setup.py": _ASSIGNED}, EXTRA, "refuses", "refuses"),
    Encoder("structlog, chosen", {"app/setup.py": _CHOSEN}, STRUCTLOG, "writes", "refuses"),
    Encoder("loguru, by keyword", _loguru("sink=stream, serialize=True"), LOGURU, "writes", "refuses"),
    Encoder("own, all fields", _handler("JsonLines()", _all("json.dumps(line)")), EXTRA, "refuses", "refuses"),
    Encoder("own, all fields at once", _handler("JsonLines()", _MERGED), EXTRA, "refuses", "refuses"),
    Encoder("own, inherited", _handler("Coloured()", _CHILD), EXTRA, "refuses", "refuses"),
    Encoder("own, named fields", _handler("JsonLines()", _NAMED), EXTRA, "refuses", "refuses"),
    Encoder("own, one field", _handler("JsonLines()", _ONE), EXTRA, "refuses", "refuses"),
    Encoder("own, another field", _handler("JsonLines()", _NAMED.replace('"field"', '"other"')), EXTRA, "writes", "writes"),
    Encoder("own, message alone", _handler("JsonLines()", _MESSAGE), EXTRA, "writes", "writes"),
    Encoder("own, default", _handler("JsonLines()", _all("json.dumps(line, default=str)")), EXTRA, "writes", "refuses"),
    Encoder("own, all as text", _handler("JsonLines()", _all("json.dumps(line)", "str(value)")), EXTRA, "writes", "writes"),
    Encoder("own, caught", _handler("JsonLines()", _CAUGHT), EXTRA, "unknown", "unknown", is_run=False),
    Encoder("own, in a dictionary", _dict_config("JsonLines", _MERGED), EXTRA, "refuses", "refuses"),
    Encoder("own, by name", _dict_config('"app.setup.JsonLines"', _MERGED), EXTRA, "refuses", "refuses", is_run=False),
    Encoder("text", _handler('logging.Formatter("%(message)s")'), EXTRA, "writes", "writes"),
    Encoder("text, basicConfig", {"app/setup.py": "import logging\n\n\ndef configure(stream):\n    logging.basicConfig(stream=stream, level=10, force=True)\n"}, EXTRA, "writes", "writes", is_run=False),
    Encoder("nothing is set up", {"app/setup.py": "def configure(stream):\n    return stream\n"}, EXTRA, "unknown", "unknown", is_run=False),
    Encoder("python-json-logger", _handler("JsonFormatter()", "", _BASE), EXTRA, "writes", "refuses"),
    Encoder("python-json-logger, a subclass", _handler("Lines()", _OTHER, _BASE), EXTRA, "writes", "refuses"),
    Encoder("python-json-logger, by name", _dict_config('"pythonjsonlogger.json.JsonFormatter"'), EXTRA, "writes", "refuses"),
    Encoder("google, json_fields", {"app/setup.py": _GOOGLE}, _FIELDS, "refuses", "refuses"),
    Encoder("google, another extra", {"app/setup.py": _GOOGLE}, EXTRA, "writes", "writes"),
    Encoder("structlog, JSONRenderer", _structlog("structlog.processors.JSONRenderer()"), STRUCTLOG, "writes", "refuses"),
    Encoder("structlog, default", _structlog("structlog.processors.JSONRenderer(default=str)"), STRUCTLOG, "writes", "refuses"),
    Encoder("structlog, json.dumps", _structlog("structlog.processors.JSONRenderer(serializer=json.dumps)"), STRUCTLOG, "writes", "refuses"),
    Encoder("structlog, a lambda", _structlog("structlog.processors.JSONRenderer(serializer=lambda line, **_: json.dumps(line))"), STRUCTLOG, "refuses", "refuses"),
    Encoder("structlog, a function", _structlog("render", _RENDER), STRUCTLOG, "refuses", "refuses"),
    Encoder("structlog, key=value", _structlog("structlog.processors.KeyValueRenderer()"), STRUCTLOG, "writes", "writes"),
    Encoder("structlog, console", _structlog("structlog.dev.ConsoleRenderer(colors=False)"), STRUCTLOG, "writes", "writes"),
    Encoder("structlog over logging", {"app/setup.py": _ONTO}, STRUCTLOG, "writes", "refuses"),
    Encoder("logging through structlog", {"app/setup.py": _ONTO}, EXTRA, "writes", "refuses"),
    Encoder("structlog, handed to logging", {"app/setup.py": _HANDED_ON}, STRUCTLOG, "refuses", "refuses"),
    Encoder("structlog, nothing is set up", {"app/setup.py": "import structlog\n"}, STRUCTLOG, "unknown", "unknown", is_run=False),
    Encoder("loguru, serialize", _loguru("stream, serialize=True"), LOGURU, "writes", "refuses"),
    Encoder("loguru, handlers", _loguru("stream", "", _LAST), LOGURU, "writes", "refuses"),
    Encoder("loguru, a function", _loguru("sink, catch=False", _SINK, "    STREAM[0] = stream\n"), LOGURU, "refuses", "refuses"),
    Encoder("loguru, text", _loguru('stream, format="{message}"'), LOGURU, "writes", "writes"),
    Encoder("json.dumps", {"app/setup.py": "def configure(stream):\n    return stream\n"}, 'json.dumps({"field": VALUE})', "refuses", "refuses"),
    Encoder("json.dumps, default", {"app/setup.py": "def configure(stream):\n    return stream\n"}, 'json.dumps({"field": VALUE}, default=str)', "writes", "refuses"),
)  # fmt: skip
_MARKS = {"refuses": "  #!", "writes": "", "unknown": "  #?"}


def cases(seed: int = 14) -> Iterator[Case]:
    """Two trees for each encoder: one with what goes wrong with it, as far as anything does, and one with what does not."""
    for encoder in ENCODERS:
        rng = random.Random(f"{encoder.name} {seed}")
        values, keys, good = rng.sample(VALUES, 7), rng.sample(KEYS, 3), rng.sample(GOOD, 6)
        fine = [(each, "") for each in good]
        bad = [(each, _MARKS[encoder.values]) for each in values] + [
            (each, _MARKS[encoder.keys]) for each in keys
        ]
        lost = [pair for pair in bad if pair[1]]
        written = [pair for pair in bad if not pair[1]]
        yield _case(rng, f"{encoder.name}: all is well", encoder, [*fine, *written])
        yield _case(rng, f"{encoder.name}: what is lost", encoder, [*(lost or written), *fine[:2]])


def _case(rng: random.Random, title: str, encoder: Encoder, lines: list[tuple[str, str]]) -> Case:
    rng.shuffle(lines)
    body = "".join(f"    {encoder.call.replace('VALUE', value)}{mark}\n" for value, mark in lines)
    files = {
        "app/__init__.py": "",
        "app/kinds.py": KINDS,
        "app/user.py": f"{HEAD}def work():\n{body}",
        **encoder.files,
    }
    return marked("json-safe-logs", title, files, Settings(json_safe_logs=JsonSafeLogs()))
