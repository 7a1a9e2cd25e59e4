"""A part of a file is parsed in place of the whole: what is asked about is there as it was, and nothing else costs."""

from __future__ import annotations

import ast

import pytest

from checks.tree.excerpt import parse_part, whole_function
from checks.tree.parse import Parsed, Unparsable

LONG = "    x = 1\n" * 300  # a small file is parsed whole
LONG_METHOD = LONG.replace("    ", "        ")
TEXT = f'''\
"""A module."""

import os
from a import b

LIMIT = {{
    "a": 1,
}}


@b.route("/")
def asked(x):
    return os.sep


def unasked(
    x,
) -> None:
    """def inner(): """
{LONG}

class Asked:
    kind = 1

    def __init__(self):
        self.limit = 1

    def given(self):
        self.rows[1] = 2

    async def other(self):
{LONG_METHOD}
    @property
    def asked_too(self):
        return self.limit


class Unasked:
{LONG}
'''


def lines_of(*words: str) -> list[int]:
    return [number for number, row in enumerate(TEXT.split("\n"), 1) if any(word in row for word in words)]


def names(parsed: Parsed) -> dict[str, int]:
    """By name, how many statements are in each function and class."""
    found = (node for node in ast.walk(parsed.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef))  # fmt: skip
    return {node.name: len(node.body) for node in found}


def test_what_is_asked_about_stays_and_the_rest_is_a_name() -> None:
    parsed = parse_part("a.py", TEXT.encode(), lines_of("os.sep", "return self.limit"))
    assert names(parsed) == {
        "asked": 1, "unasked": 1, "Asked": 5, "__init__": 1, "given": 1, "other": 1, "asked_too": 1, "Unasked": 1,
    }  # fmt: skip
    assert parsed.lines == tuple(lines_of("os.sep", "return self.limit"))
    assert len(list(ast.walk(parsed.tree))) < 100


def test_classes_that_hold_no_line_stay_whole_where_they_are_asked_for() -> None:
    parsed = parse_part("a.py", TEXT.encode(), lines_of("os.sep"), with_classes=True)
    assert names(parsed) == names(Parsed("a.py", b"", ast.parse(TEXT))) | {"unasked": 1}
    assert parsed.left_out == {"asked", "unasked"}
    parsed = parse_part("a.py", TEXT.encode(), lines_of("return self.limit"), with_classes=True)
    assert parsed.left_out == {"asked", "unasked", "Asked"}


def test_lines_and_columns_stay_what_they_are() -> None:
    whole = {ast.dump(node, include_attributes=True) for node in ast.walk(ast.parse(TEXT))}
    part = parse_part("a.py", TEXT.encode(), lines_of("os.sep", "return self.limit")).tree
    for node in ast.walk(part):
        if isinstance(node, ast.Return | ast.Import | ast.ImportFrom):
            assert ast.dump(node, include_attributes=True) in whole


GIVEN = (
    "self.limit = 1", "self.limit: int = 1", "self.rows['a'] = 1", "a, (self.b, c) = x", "(self.a, self.b) = x",
    "if x: self.limit = 1", "a = self.limit = 1", "x = 1; self.limit = 1", "if x: ...\n        else: self.rows[x] = 1",
    "self.limit \\\n= 1", "self.rows[x] \\\n  |= y", "a, \\\nself.b = x", "self.a, \\\n  self.b = x", "x = 1; self.rows[x], y = x",
    "x = 1; (self.limit) = 1", "if x: self.rows[\n            x\n        ] = 1", "if x: \\\nself.limit = 1",
)  # fmt: skip
NOT_GIVEN = (
    "x = self.limit", "f(self.limit, 1)", "if x: self.limit()", "f(a=self.limit == 1)", "return self.limit",
    ", ".join(f"name_{n}" for n in range(60)) + " = x",
)  # fmt: skip


@pytest.mark.parametrize("row", [*GIVEN, *NOT_GIVEN])
def test_of_a_method_that_gives_the_object_something_that_alone_stays(row: str) -> None:
    text = f"class Asked:\n    def other(self, x):\n        {row}\n{LONG_METHOD}\n    def asked(self):\n        os.sep\n"
    line = text.count("\n")
    parsed = parse_part("a.py", text.encode(), [line])
    assert parsed.lines == (line,)
    other, whole = (method_of(tree) for tree in (parsed.tree, ast.parse(text)))
    if row in GIVEN:
        assert len(other.body) < len(whole.body)
        assert list(map(ast.dump, other.body)) == list(map(ast.dump, whole.body[: len(other.body)]))
    else:
        assert ast.unparse(other.body[0]) == "pass"


def method_of(tree: ast.Module) -> ast.FunctionDef:
    return next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


BEHIND_A_BACKSLASH = (
    "x = 1 + \\\n2", "x = 1 + \\\n    2", "assert x, \\\n    'why'", "with x as y, \\\n        y as z:\n        pass",
    "x = '''\\\na'''", "if x and \\\n    y:\n        pass", "from a \\\n    import b",
)  # fmt: skip


@pytest.mark.parametrize("row", BEHIND_A_BACKSLASH)
def test_what_goes_on_behind_a_backslash_is_one_statement(row: str) -> None:
    text = f"def other(x, y):\n    {row}\n{LONG}\n\ndef asked(x, y):\n    {row}\n    os.sep\n"
    line = text.count("\n")
    parsed = parse_part("a.py", text.encode(), [line])
    assert parsed.lines == (line,)
    other, asked = parsed.tree.body
    assert ast.unparse(other) == "def other():\n    pass"
    assert "os.sep" in ast.unparse(asked)


def test_a_function_may_go_on_behind_a_backslash() -> None:
    text = f"def other(): \\\n    return 1\n\n\ndef asked(): \\\n    return os.sep\n\n\ndef third():\n{LONG}"
    other, asked, third = parse_part("a.py", text.encode(), [6]).tree.body
    assert [ast.unparse(each).split()[-1] for each in (other, asked, third)] == ["pass", "os.sep", "pass"]


IN_STRINGS = {
    "inside a string": f"TEXT = '''\ndef asked():\n    os.sep\n'''\n\n\ndef other():\n{LONG}",
    "a string that a line ends in": f"def other():\n    '''\n    a\nwith text\ndef asked(): os.sep\n'''\n{LONG}",
    "a function that seems to end in a string": "".join(
        f'def {name}():\n    return """\nimport a\n"""\n\n\n{between}'
        for name, between in (("other", f"def asked():\n    os.sep\n{LONG}"), ("third", ""))
    ),
}


@pytest.mark.parametrize("case", IN_STRINGS)
def test_what_stands_in_a_string_begins_and_ends_no_function(case: str) -> None:
    text = IN_STRINGS[case]
    line = next(number for number, row in enumerate(text.split("\n"), 1) if "os.sep" in row)
    parsed = parse_part("a.py", text.encode(), [line])
    assert parsed.lines == (line,)
    for mine, whole in zip(parsed.tree.body, ast.parse(text).body, strict=True):
        is_cut = isinstance(mine, ast.FunctionDef) and isinstance(mine.body[0], ast.Pass)
        is_asked = whole.lineno <= line <= (whole.end_lineno or 0)
        assert is_cut != is_asked
        if is_asked:
            assert {ast.dump(node) for node in ast.walk(mine)} <= {
                ast.dump(node) for node in ast.walk(whole)
            } | {ast.dump(mine)}
            assert "os.sep" in ast.unparse(mine)


WHOLE = {
    "a string that goes on": f"def other():\n    return 'a\\\nb'\n\n\ndef third():\n{LONG}    return os.sep\n",
    "other line ends": f"def other():\n{LONG}    return os.sep\n".replace("\n", "\r\n"),
    "a dot apart from the object": f"class A:\n    def a(self):\n        self\\\n        .x = 1\n\n    def b(self):\n        os.sep\n\n\ndef c():\n{LONG}",
    "the object apart from a dot": f"class A:\n    def a(self):\n        self . x = 1\n\n    def b(self):\n        os.sep\n\n\ndef c():\n{LONG}",
    "small": "def other():\n    return 1\n\n\ndef asked():\n    return os.sep\n",
}


@pytest.mark.parametrize("case", WHOLE)
def test_where_lines_do_not_tell_the_whole_is_parsed(case: str) -> None:
    text = WHOLE[case]
    line = next(number for number, row in enumerate(text.split("\n"), 1) if "os.sep" in row)
    parsed = parse_part("a.py", text.encode(), [line])
    assert ast.dump(parsed.tree) == ast.dump(ast.parse(text))
    assert parsed.lines is None


def test_what_does_not_parse_says_so_in_its_own_line() -> None:
    with pytest.raises(Unparsable) as caught:
        parse_part("a.py", f"{TEXT}\nbroken = [:\n".encode(), lines_of("os.sep"))
    assert caught.value.line == TEXT.count("\n") + 2


TOLD = f'''\
class Outer:
    def asked(
        self, x
    ) -> None:
        if x:
            return x
        text = """
not the end
"""
# nor this
        return text

    def other(self):
{LONG_METHOD}
'''


def test_a_whole_function_is_read_again_from_a_part() -> None:
    part = parse_part("a.py", TOLD.encode(), [11])
    assert part.lines is not None
    found = whole_function(part, 2)
    assert found is not None
    assert (found.name, found.lineno, found.end_lineno, len(found.body)) == ("asked", 2, 11, 3)
    assert isinstance(found.body[-1], ast.Return)
    assert found.body[-1].col_offset == 8
    unending = Parsed("a.py", b"def f(:\n    pass\n", ast.Module([], []), (2,))
    assert whole_function(unending, 1) is None
