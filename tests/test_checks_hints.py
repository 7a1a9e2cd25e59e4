"""A call that may write JSON is found in a file's bytes however it is spelt, and a log line without fields is none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from checks.rules.json_safe_logs.collect import lines
from checks.rules.json_safe_logs.rule import brief
from checks.settings import JsonSafeLogs, Settings
from checks.tree.tree import Tree
from tests.checks_corpus.corpus import findings, marked

SETTINGS = Settings(json_safe_logs=JsonSafeLogs(plain=("structlog", "extra"), sinks=("publish",)))
ASKED = brief(SETTINGS, Tree((), lambda _path: None)) or {}
STATE = "from enum import Enum\n\n\nclass State(Enum):\n    A = 1\n"

#: ways to import or name what writes JSON
NAMES = {
    "json.dumps": "import json", "j.dumps": "import json as j", "dumps": "from json import dumps", "enc": "from json import loads, dumps as enc",
    "enc_in": "from json import (\n    loads,\n    dumps as enc_in,\n)", "tabbed": "from json import dumps\tas\ttabbed",
    "j.dump": "import json as j", "dump": "from json import dump", "write": "from json import dump as write",
    "own": "import json\nown = json.dumps", "_own": "from json import dumps\n_own = dumps", "twice": "import json\nonce = json.dumps\ntwice = once",
    "JSON": "from fastapi.responses import JSONResponse as JSON", "reply": "from aiohttp.web import json_response as reply",
    "bind_contextvars": "from structlog.contextvars import bind_contextvars", "publish": "from app import publish",
}  # fmt: skip
CALLS = (
    "{}(State.A)", "{} (State.A)", "({})(State.A)", "{}\\\n        (State.A)", "{}(\n        # (a)\n        State.A,\n    )",
    "x = lambda: {}(State.A)", "x = [{}(y) for y in [State.A]]", "print(f'{{{}(State.A)}}')", "x = 1; {}(State.A)",
)  # fmt: skip
#: argument lists of log calls
FIELDS = (
    "'m', k=State.A", "'m', **{'k': State.A}", "'m', *args, k=State.A", "'m',  # see run()\n        k=State.A,\n    ",
    "\n        # (a)\n        'm',\n        k=State.A", f"{'m' * 700!r}, k=State.A", "'m' if x else get()\n        , k=State.A",
    "'m', k\\\n        =State.A", '"""\n        m (a)\n        """, k=State.A', "'a)\\n', k = State.A", "get(\n        1\n    )\n    , k=State.A",
    "'m', gr\u00f6\u00dfe=State.A", "'m', exc_info=True, k=State.A", "{'k': State.A}", "\n        {'k': State.A}", "'m', x == 1, x != 2, k=State.A",
    "'m', f(g(h(i(1)))), k=State.A", "'m', extra={'k': State.A}", "'m', extra\\\n        ={'k': State.A}", "'\\'', \"\\\"(\", k=State.A",
)  # fmt: skip
LOGGERS = ("log", "self._logger", "app.LOG", "(log)", "log ", "log\\\n        ")
#: what log calls say without a field
TEXTS = (
    "'m'", "'m %s', x", "'m (a', f(x)", "'m', x == 1, x >= 2, x != 3", "'m %s', f(g(x), (1, 2)), exc_info=True, stacklevel=2",
    "f'{x} a=b {{y}}'", '"it\'s = {x}"', '"""\n        a = {b}\n        """', "'m',  # k=1\n        x", "'%d' % (x * 2), *args", "msg[x]",
)  # fmt: skip


def found(head: str, body: str, folder: Path) -> list[str]:
    text = f"from app import State, get\n{head}\n\n\ndef asked(self, app, x, args):\n    {body}\n"
    files = {"app.py": STATE, "m.py": text}
    return [each.path for each in findings(marked("json-safe-logs", "hints", files, SETTINGS), folder)]


@pytest.mark.parametrize("name", NAMES)
def test_what_writes_json_is_looked_at_by_any_name(name: str) -> None:
    for call in CALLS:
        data = f"{NAMES[name]}\n\n\ndef asked(x):\n    {call.format(name)}\n".encode()
        first = NAMES[name].count("\n") + 5
        assert [line for line in lines("m.py", data, ASKED) or () if line >= first] == [first], call


@pytest.mark.parametrize("name", ["enc", "enc_in", "own", "_own", "twice", "write", "JSON", "reply"])
def test_a_value_that_is_given_to_it_by_another_name_is_judged(name: str, tmp_path: Path) -> None:
    assert found(NAMES[name], f"{name}(State.A)", tmp_path) == ["m.py"]


@pytest.mark.parametrize("fields", FIELDS)
def test_a_log_call_with_fields_is_looked_at_however_it_is_spelt(fields: str) -> None:
    for logger in LOGGERS:
        data = f"def asked(self, app, x, args):\n    {logger}.info({fields})\n".encode()
        ast.parse(data)
        assert lines("m.py", data, ASKED), data.decode()


@pytest.mark.parametrize("text", TEXTS)
def test_a_log_call_without_fields_is_not_looked_at(text: str) -> None:
    data = f"import structlog\n\n\ndef asked(x, args):\n    log.info({text})\n".encode()
    ast.parse(data)
    assert lines("m.py", data, ASKED) == []


def test_a_message_that_is_a_dictionary_is_looked_at_whatever_the_logger_is_called(tmp_path: Path) -> None:
    head = "import logging\naudit = logging.getLogger()"
    assert found(head, "audit.log(20, {'k': State.A})", tmp_path / "a") == ["m.py"]
    assert found(head, "audit.info({'k': State.A})", tmp_path / "b") == ["m.py"]
    assert found(head + "\nother = audit", "other.info({'k': State.A})", tmp_path / "c") == ["m.py"]


def test_argument_lists_without_an_end_are_left_at_once() -> None:
    for text in (
        "(" * 30_000,
        "'a' " * 30_000,
        "(a" * 20_000 + ")" * 20_000,
        "*" * 30_000,
        "'''" + "\\'" * 20_000,
    ):
        data = f"log.info({text}\nlog.info(k=1)\n".encode() * 5
        assert len(lines("m.py", data, ASKED) or ()) >= 5
