"""Of a function, only what decides about its lines of interest is parsed: what is found there stays the same."""

from __future__ import annotations

import ast

import pytest

from checks.rules.json_safe_logs.collect import collect, lines
from checks.rules.json_safe_logs.facts import Facts
from checks.rules.json_safe_logs.rule import brief
from checks.settings import JsonSafeLogs, Settings
from checks.tree.excerpt import parse_part
from checks.tree.parse import Parsed, parse
from checks.tree.tree import Tree
from tests.checks_corpus import cases

ASKED = brief(Settings(json_safe_logs=JsonSafeLogs()), Tree((), lambda _path: None)) or {}
HEAD = "import json, logging\nfrom a import State, get\nlogger = logging.getLogger(__name__)\n\n\n"
LONG = "def another():\n" + "    y = 1\n" * 400  # a small file is parsed whole

#: bodies of ``def asked(self, x, state: State)``, and what must be left of each
SLICED = {
    "what is not asked about": ("a = get()\nb = a + 1\nlogger.info('', extra={'x': x})", 1),
    "what decides, step by step": ("a = get()\nb = 1\nc = [a]\nlogger.info('', extra={'c': c})", 3),
    "a log line in a branch": ("a = get()\nif a:\n    logger.info('', extra={'x': x})\nreturn a", 1),
    "two in branches of their own": (
        "if get():\n    logger.info('', extra={'x': x})\nelse:\n    y = 1\n    logger.info('', extra={'x': x})",
        2,
    ),
    "a test of what is asked about": (
        "if x:\n    logger.info('', extra={'x': x})\nelse:\n    y = 1\n    logger.info('', extra={'x': x})",
        1,
    ),
    "what only looks at what is asked about": ("print(x)\nlogger.info('', extra={'x': x})", 1),
    "what may change what is asked about": ("make_plain(x)\nlogger.info('', extra={'x': x})", 2),
    "neighbours in one branch": (
        "if x:\n    y = 1\n    logger.info('', extra={'x': x})\n    logger.info('', extra={'y': 1})",
        1,
    ),
    "a log line in a loop that binds something else": (
        "for y in get():\n    logger.info('', extra={'x': x})",
        1,
    ),
    "a loop that binds what is asked": ("b = 1\nfor y in get():\n    logger.info('', extra={'y': y})", 1),
    "text over several lines": ("a = '''\nx = 1\n'''\nlogger.info('', extra={'x': x})", 1),
    "words of a text": ("a = get()\nlogger.info('a', extra={'a': x})", 1),
    "fields of a text": ("a = get()\nlogger.info(f'{a}', extra={'a': x})", 2),
    "a counter in a loop": (
        "a = x\nfor y in get():\n    a += len(y) * 2\nlogger.info('', extra={'a': a})",
        2,
    ),
    "a method of what is asked about": ("y = state.go(1)\nlogger.info('', extra={'x': state.name})", 1),
    "a call over several lines": (
        "a = get()\nlogger.info(\n    '',\n    extra={\n        'x': x,\n    },\n)",
        1,
    ),
}

#: what must be seen, whatever is left out
DECIDING = (
    "x = State.A", "x: State = get()", "x, y = get()", "x += get()", "x >>= get()", "(x := get())", "y = x = State.A",
    "if get(): x = State.A", "if get():\n    x = State.A", "try:\n    x = State.A\nexcept ValueError:\n    pass",
    "try:\n    get()\nexcept ValueError as x:\n    pass", "for x in [State.A]:\n    pass", "with get() as x:\n    pass",
    "with get(), get() as (x, y):\n    pass", "if isinstance(x, str):\n    return", "if not hasattr(x, 'value'):\n    return",
    "match get():\n    case {'x': x}:\n        pass", "import x", "from a import State as x", "del x", "def x(): pass",
    "x = {}\nx['a'] = State.A", "x = []\nx.append(State.A)", "x = {}\nx.update(a=State.A)", "x = {'a': State.A}\nx.pop('a')",
    "y = State.A\nx = y", "y = 1; x = State.A", "x = (\n    State.A\n)", "(\n    x,\n    y,\n) = get(), State.A",
    "self.y = State.A\nx = self.y", "self.y = State.A\nself.go()\nx = self.y", "while get():\n    x = State.A\n    break",
    "if get():\n    return\nx = State.A", "x = [y for y in [State.A]]", "x = lambda: State.A", "x = {1, 2}", "x = state",
    "try:\n    x = json.dumps(state)\nexcept TypeError:\n    x = json.dumps(str(state))", "global x", "async def x():\n    y = 1",
    "x = State.A\nx += 1", "x = get()\nx += len(x)", "x = y = get()\nx += int(y := State.A)\nx = y", "x.append(State.A)",
    "x = {'a': 1}\nx |= {'b': State.A}", "with get(json.dumps([x])) as y:\n    y = 1", "if get(json.dumps([x])):\n    return",
    "return", "raise get()", "def y():\n    return x", "[\n    x,\n    y,\n] = State.A, 1", "y = [\nx.append(State.A)\n]",
    "with suppress(TypeError):\n    json.dumps([x])", "with get(), suppress(\n    TypeError\n):\n    json.dumps([x])",
    "with get() as x, suppress(TypeError):\n    y = 1", "count += 1\nif get():\n    count = State.A\nx = count",
    "if x is not None:\n    return", "if not x:\n    return", "x = {'a': State.A}\nself.go(x)", "x = {'a': State.A}\nget(1, y=x)",
    "@get\ndef x(): pass", "class x:\n    pass", "assert (x := get())", "for y in get():\n    x = y\nelse:\n    x = State.A",
    "x = [state]\nhooks[0](x)", "x = [state]\nself.hooks[0].go(x)", "x = [state]\nget(json.dumps(1), x)", "x = [state]\n(get(x))",
    "x = [state]\nlog(1)(x)", "x = [state]\nlog.info(1).go(x)", "x = [state]\nhooks [\n    0\n] (x)", "x = []\nx . append(State.A)",
)  # fmt: skip


def source(body: str) -> bytes:
    inside = (
        body.replace("\n", "\n        ")
        if "'''" not in body
        else body.replace("\nlogger", "\n        logger")
    )
    return (
        f"{HEAD}class Asked:\n    def asked(self, x, state: State):\n        {inside}\n\n\n{LONG}"
    ).encode()


def part_of(data: bytes) -> Parsed:
    near = lines("a.py", data, ASKED)
    assert near
    parsed = parse_part("a.py", data, near)
    assert parsed.lines is not None
    return parsed


def facts_of(parsed: Parsed) -> list[tuple[object, ...]]:
    found = collect(parsed, ASKED) or Facts([], [], [])
    return [tuple(reach) for reach in found.reaches]


@pytest.mark.parametrize("case", SLICED)
def test_only_what_is_needed_is_left(case: str) -> None:
    body, left = SLICED[case]
    tree = part_of(source(body)).tree
    (asked,) = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "asked")
    assert len(asked.body) == left


@pytest.mark.parametrize("after", ["logger.info('', extra={'x': x})", "if get():\n    json.dumps([x])"])
@pytest.mark.parametrize("body", DECIDING)
def test_what_is_found_is_what_the_whole_shows(body: str, after: str) -> None:
    data = source(f"{body}\n{after}")
    assert facts_of(part_of(data)) == facts_of(parse("a.py", data))


#: what gives the object something
GIVING = (
    "self.y = State.A", "self.y: State = get()", "y = self.y = State.A", "z, self.y = 1, State.A", "[z, self.y] = 1, State.A",
    "*self.y, z = [State.A]", "(\n    z,\n    self.y,\n) = 1, State.A", "for self.y in [State.A]:\n    pass",
    "for z, self.y in [(1, State.A)]:\n    pass", "with get() as self.y:\n    pass", "self.y.append(State.A)",
    "self.y.update(a=State.A)", "self.y['a'] = State.A", "self.y = State.A\nself.go()", "self.y.append(State.A)\nself.go()", "if get():\n    self.y = State.A",
)  # fmt: skip


#: names whose spelling words of ASCII do not show, and names that a string binds
UNSEEN = (
    "\uff58 = State.A", "gr\u00f6\u00dfe = State.A\nx = gr\u00f6\u00dfe", "\u72b6\u614b = State.A\nx = \u72b6\u614b", "y = State.\uff21\nx = y",
    "f'{(x := State.A)}'", "get(f'{get(x := State.A)}')",
)  # fmt: skip


@pytest.mark.parametrize("body", UNSEEN)
def test_a_file_whose_names_are_not_all_words_is_read_whole(body: str) -> None:
    data = source(f"{body}\nlogger.info('', extra={{'x': x}})")
    part = parse_part("a.py", data, lines("a.py", data, ASKED) or [])
    assert facts_of(part) == facts_of(parse("a.py", data))
    assert "'a.State'" in str(facts_of(part)) or "'a.State.A'" in str(facts_of(part))


@pytest.mark.parametrize(
    "body", ["get(x := State.A)", "y = (x := State.A)", "y = [x := State.A]", "assert (x := State.A)"]
)
def test_what_an_expression_binds_on_its_way_is_seen(body: str) -> None:
    data = source(f"{body}\nlogger.info('', extra={{'x': x}})")
    assert "a.State" in str(facts_of(part_of(data)))


def test_what_stands_behind_a_return_that_may_be_suppressed_is_seen() -> None:
    data = source("with suppress(ValueError):\n    return get()\nlogger.info('', extra={'x': State.A})")
    assert "a.State" in str(facts_of(part_of(data)))
    assert "a.State" in str(facts_of(parse("a.py", data)))


@pytest.mark.parametrize("after", GIVING)
def test_what_an_object_is_given_below_the_last_line_of_interest_is_seen(after: str) -> None:
    first = "class Asked:\n    def first(self):\n        self.y = 1\n\n"
    data = source(f"logger.info('', extra={{'y': self.y}})\n{after}").replace(
        b"class Asked:\n", first.encode()
    )
    assert facts_of(part_of(data)) == facts_of(parse("a.py", data))


@pytest.mark.parametrize("body", GIVING)
def test_what_an_object_is_given_is_seen(body: str) -> None:
    data = source(f"{body}\nlogger.info('', extra={{'y': self.y, 'a': state}})")
    part, whole = facts_of(part_of(data)), facts_of(parse("a.py", data))
    assert [reach for reach in part if reach[3] == "y"] == [reach for reach in whole if reach[3] == "y"]


def test_no_case_of_the_corpus_is_seen_otherwise() -> None:
    seen = 0
    for case in cases("json-safe-logs"):
        for path, text in case.files.items():
            data = f"{text}\n\n\n{LONG}".encode()
            if path.endswith(".py") and lines(path, data, ASKED):
                whole, part = parse(path, data), parse_part(path, data, lines(path, data, ASKED) or [])
                assert set(map(str, facts_of(whole))) <= set(map(str, facts_of(part))), text
                seen += part.lines is not None
    assert seen > 100


def test_a_function_that_is_cut_short_is_not_taken_for_harmless() -> None:
    given = "    def given(self) -> dict:\n        logger.info('', extra={'x': get()})\n        return {'a': {1}}\n"
    data = f"{HEAD}class Asked:\n{given}\n    def asked(self):\n        json.dumps(self.given())\n\n\n{LONG}"
    assert [reach[4] for reach in facts_of(part_of(data.encode()))] == ["x", ""]


#: as much of it as ``define`` sees
GIVEN = (
    "self.y = State.A", "self.y: State = get()", "y = self.y = State.A", "self.y['a'] = State.A",
    "if get():\n            self.y = State.A", "self.y = (\n            State.A\n        )", "y = 1\n        self.y = State.A",
)  # fmt: skip


@pytest.mark.parametrize("before", ["json.dumps([x])", "if x:\n            json.dumps([x])", "y = x"])
@pytest.mark.parametrize("body", GIVEN)
def test_what_an_object_is_given_behind_a_log_line_is_seen_by_its_other_methods(
    body: str, before: str
) -> None:
    """A class of the library is no reason to take what is not there for harmless."""
    head = HEAD.replace("from a", "from threading import Thread\nfrom a")
    give = f"    def give(self, x=1):\n        {before}\n        {body}\n"
    data = f"{head}class Asked(Thread):\n{give}\n    def asked(self):\n        json.dumps([self.y])\n\n\n{LONG}".encode()
    assert [reach for reach in facts_of(part_of(data)) if reach[5] == "self.y"] == [
        reach for reach in facts_of(parse("a.py", data)) if reach[5] == "self.y"
    ]


def test_what_an_object_is_given_behind_a_log_line_is_added_to_what_it_is_given_before() -> None:
    give = "    def give(self, x=1):\n        json.dumps([x])\n        self.y = State.A\n"
    more = "    def more(self):\n        self.y = 1\n"
    data = (
        f"{HEAD}class Asked:\n{give}\n{more}\n    def asked(self):\n        json.dumps([self.y])\n\n\n{LONG}"
    )
    assert "self.y" in [reach[5] for reach in facts_of(part_of(data.encode()))]
