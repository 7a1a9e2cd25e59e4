"""Modules that nobody would write, drawn at random: every way to bind, change, branch and log that the checks must follow."""

from __future__ import annotations

import ast
import re
from random import Random

_NAMES = ("x", "y", "z", "self.x", "self.d")
_VALUES = (
    "State.A", "datetime.now()", "{1, 2}", "make()", "self.given()", "here()", "Own.B", "state", "MODULE", "1", "'s'", "str(x)", "get()",
    "[{e}, {v}]", "{'k': {e}}", "({e}, {v})", "dict(a={e})", "{e} or {v}", "({e} if get() else {v})", "(y := {e})", "{v}['k']", "{v}.value",
    "{**{v}, 'k': {e}}", "list({v}.values())", "get({e})",
)  # fmt: skip
_SIMPLE = (
    "{v} = {e}", "{v}={e}", "{v}: object = {e}", "{v} = {v} = {e}", "{n}, {v} = {e}, {e}", "{n} += {e}", "{n} |= {e}", "{n} += 1", "{v}['k'] = {e}",
    "{v}[{v}] = {e}", "{v}.update(k={e})", "{v}.append({e})", "{v}.setdefault('k', []).append({e})", "{v}.pop('k')", "del {n}", "get({e})",
    "self.go()", "assert isinstance({n}, str)", "{v} = {e}; {v} = {e}", "(\n    {v},\n    {n},\n) = {e}, {e}", "{v} = (\n    # ) '''\n    {e}\n)",
    '{n} = """\n{v} = {e}\ndef f():\n"""', "if get(): {v} = {e}", "import {n}", "from a import State as {n}", "{n} = lambda x={e}: x", "({n}).update(k={e})",
    "f'{({n} := {1})}'", "{n} = 'a # b'; {v} = {e} # '", "x, y = y, x", "self.x, {n} = {e}, {e}", "helper({e})", "later({e}, k={e})", "if {v}: return",
)  # fmt: skip
_COMPOUND = (
    "if get():\n{b}\nelse:\n{b}", "if isinstance({n}, str):\n{b}\nelif hasattr({n}, 'value'):\n{b}", "for {n}, {v} in {e}:\n{b}", "while {e}:\n{b}",
    "with get() as {n}:\n{b}", "with suppress(TypeError):\n{b}", "try:\n{b}\nexcept TypeError:\n{b}", "try:\n{b}\nexcept (ValueError, KeyError) as {n}:\n{b}\nfinally:\n{b}",
    "match {e}:\n    case {'k': {n}}:\n        pass\n    case _:\n        {v} = {e}", "def {n}(a, b={e}):\n{b}", "class Inner:\n{b}", "@get(\n    {e}\n)\ndef {n}(): pass",
)  # fmt: skip
_LOGGED = (
    "logger.info('m', extra={'k': {v}})", "logger.info('m', extra={v})", "logger.info(\n    'm (',  # (\n    extra={\n        'k': {e},\n    },\n)", "json.dumps({v})",
    "x = json.dumps({'a': {e}})", "ws.send_json({e})", "log.info('m', k={e}, j={v})", "log.info('m', **{v})", "if get(): logger.info('m', extra={'k': {v}})",
    "{v} = {e}; json.dumps([{v}])", "[json.dumps(q) for q in [{e}]]",
)  # fmt: skip
_HEAD = """\
import json, logging, structlog
from contextlib import suppress
from datetime import datetime
from enum import Enum
from a import State, get, make, helper
logger = logging.getLogger(__name__)
log = structlog.get_logger()
MODULE = {1}
class Own(Enum):
    B = 1
def here():
    return {1}
def later(q, *, k):
    json.dumps({'q': k})
"""
OTHERS = {
    "a.py": "import json\nfrom enum import Enum\nclass State(Enum):\n    A = 1\ndef make():\n    return {1}\ndef helper(v):\n    return json.dumps(v)\n",
    "logs.py": "import json, logging\nclass Lines(logging.Formatter):\n    def format(self, record):\n        return json.dumps(record.__dict__)\n",
}  # fmt: skip


def written(random: Random) -> str:
    """A module that parses; what is in it is drawn."""
    while True:
        own = [_function(random, "self, x, state: State") for _ in range(3)]
        given = f"def given(self):\n    return {_filled(random, '{e}', 0)}\n"
        text = f"{_HEAD}\n{_function(random, 'x, y')}\nclass C:\n    def __init__(self):\n        self.x = 1\n{_indented(given)}\n"
        text += "\n".join(map(_indented, own))
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        return text


def _function(random: Random, parameters: str) -> str:
    body = "\n".join(_statement(random, 0) for _ in range(random.randint(3, 9)))
    return f"{random.choice(('', 'async '))}def f{random.randrange(999)}({parameters}):\n{_indented(body)}\n"


def _statement(random: Random, depth: int) -> str:
    kinds = (_SIMPLE, _LOGGED) if depth > 1 else (_SIMPLE, _LOGGED, _COMPOUND)
    return _filled(random, random.choice(random.choice(kinds)), depth)


def _filled(random: Random, template: str, depth: int) -> str:
    def fill(match: re.Match[str]) -> str:
        match match[1]:
            case "b":
                return _indented(
                    "\n".join(_statement(random, depth + 1) for _ in range(random.randint(1, 2)))
                )
            case "e":
                values = _VALUES if depth < 3 else _VALUES[:13]
                return _filled(random, random.choice(values), depth + 1)
        return random.choice(_NAMES[:3] if match[1] == "n" else _NAMES)

    return re.sub(r"\{([benv])\}", fill, template)


def _indented(text: str) -> str:
    return "\n".join("    " + row if row else row for row in text.split("\n"))
