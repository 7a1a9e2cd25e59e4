"""What the corpus says of values is what ``json.dumps`` does: each expression is evaluated and written."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from checks.runner import run
from checks.settings import JsonSafeLogs, Settings
from tests.checks_corpus import encoders, values
from tests.checks_corpus.values import Kind

pytestmark = pytest.mark.filterwarnings("ignore:The `dict` method:DeprecationWarning")
RUN = [kind for kind in values.KINDS_OF_VALUES if kind.is_run]


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An expression of a kind, after its head has run."""
    for name, text in (("app", ""), ("app.kinds", encoders.KINDS)):
        made = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)
        exec(text, made.__dict__)  # our own texts

    def value(kind: Kind) -> Any:
        user = types.ModuleType("app.user")
        monkeypatch.setitem(sys.modules, "app.user", user)
        exec(values.HEAD + kind.head, user.__dict__)
        return lambda text: eval(text, user.__dict__)

    return value


@pytest.mark.parametrize("kind", RUN, ids=lambda kind: kind.name)
def test_it_refuses(kind: Kind, evaluated: Any) -> None:
    value = evaluated(kind)
    for each in kind.refused:
        with pytest.raises(TypeError):
            assert not json.dumps({"field": value(each)}), each


@pytest.mark.parametrize("kind", RUN, ids=lambda kind: kind.name)
def test_it_takes(kind: Kind, evaluated: Any) -> None:
    value = evaluated(kind)
    for each in kind.taken:
        assert json.dumps({"field": value(each)}), each


FUNCTIONS = {
    "what is not only what it seems": (
        ("beside()",),
        ("direct()", "given()", "row()", "record()", "handed()", "joined()", "in_place()"),
    ),
    "kept in the object": (
        ("Pool().told()", "Pool().told_by_update()", "Pool().told_in_rows()", "Pool().told_of_itself()"),
        ("Pool().told_well()", "Pool().told_after_another()"),
    ),
    "objects and functions": (
        ("annotated(Plain())", "packed()", "packed_densely()", "packed_with_a_lambda()"),
        ("named(Words.OPEN)", "packed_well()", "packed_without_keys()"),
    ),
    "items of dictionaries": (("merged_badly()", "extended_badly()"), ("merged()",)),
    "places of tuples": (
        ("split_badly()", "split_plainly_badly()", "paired_badly()"),
        ("split()", "split_plainly()", "paired()"),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_stands_in_functions_of_a_head_is_true_too(name: str, evaluated: Any) -> None:
    value = evaluated(next(kind for kind in RUN if kind.name == name))
    refused, taken = FUNCTIONS[name]
    for each in refused:
        with pytest.raises(TypeError):
            assert not value(each), each
    for each in taken:
        assert value(each), each


WORDED = {
    "json.dumps({'at': datetime.now()})": "datetime.now() is a datetime: ",
    "json.dumps(asdict(row))": "asdict(row) holds a datetime: ",
    "json.dumps({'at': at if at.year else 'x'})": "at if at.year else 'x' may be a datetime: ",
    "json.dumps([row.at for row in rows])": "[row.at for row in rows] holds a datetime: ",
    "json.dumps(dict(rows, at=1))": "dict(rows, at=1) may hold a datetime: ",
}


@pytest.mark.parametrize("call", WORDED)
def test_the_text_says_whether_it_is_that_or_holds_it_and_how_certain_that_is(
    call: str, tmp_path: Path
) -> None:
    head = "import json\nfrom dataclasses import asdict, dataclass\nfrom datetime import datetime\n"
    row = "@dataclass\nclass Row:\n    at: datetime\n"
    rows = "list[Row]" if " for " in call else "dict[str, datetime]"
    asked = f"def f(row: Row, rows: {rows}, at: datetime):\n    {call}\n"
    (tmp_path / "app.py").write_text(head + row + asked)
    settings = Settings(json_safe_logs=JsonSafeLogs())
    (found,) = run(tmp_path, settings, only=["json-safe-logs"], jobs=1, cache=False).findings
    assert found.message.startswith(WORDED[call])
