"""Functions by their text: they are where the parser has them, and what has one normal form has one key."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.tree import body
from checks.tree.texts import FunctionText, function_texts, parsed_function

_HERE = Path(__file__).parent.parent
_FILES = sorted(
    p
    for folder in ("checks", "bench", "pipeline/judge", "pipeline/framing")
    for p in (_HERE / folder).rglob("*.py")
)
MIN_NODES = 20
#: fields of strings, and exponents
_WRITTEN_OTHERWISE = re.compile(r"""[fF][rR]?["']|\d[eE][-+]?\d""")


def _texts(data: bytes) -> dict[tuple[str, int], FunctionText]:
    return {(text.name, text.first): text for text in function_texts(data)}


def _nodes(data: bytes) -> dict[tuple[str, int], body.Function]:
    return {(name, node.lineno): node for name, node in body.functions(ast.parse(data))}


@pytest.mark.parametrize("part", range(4))
def test_functions_are_where_the_parser_has_them(part: int) -> None:
    for path in _FILES[part::4]:
        data = path.read_bytes()
        texts, nodes = _texts(data), _nodes(data)
        assert texts.keys() == nodes.keys(), path
        for at, text in texts.items():
            words = text.words
            assert not (text.is_smaller(MIN_NODES, words) and body.has_size(nodes[at], MIN_NODES)), (path, at)


@pytest.mark.parametrize("part", range(4))
def test_a_function_parsed_alone_is_what_it_is_in_its_file(part: int) -> None:
    for path in _FILES[part::8]:
        data = path.read_bytes()
        nodes = _nodes(data)
        for at, text in _texts(data).items():
            alone = parsed_function(data.split(b"\n"), text.name, text.first, text.last)
            assert body.normal_form(alone) == body.normal_form(nodes[at]), (path, at)


@pytest.mark.parametrize("part", range(4))
def test_a_function_that_is_written_anew_has_the_same_key(part: int) -> None:
    """``ast.unparse`` changes quotes, line breaks, brackets and comments of all functions of this repository."""
    for path in _FILES[part::4]:
        tree = ast.parse(path.read_bytes())
        again = ast.unparse(tree).encode()
        before, after = _texts(path.read_bytes()), _texts(again)
        for (name, old), (other, new) in zip(before.items(), after.items(), strict=True):
            assert name[0] == other[0]
            if _WRITTEN_OTHERWISE.search(_source(again, new)):
                continue
            assert old.key(old.words) == new.key(new.words), (path, name)


def _source(data: bytes, text: FunctionText) -> str:
    return b"\n".join(data.split(b"\n")[text.first - 1 : text.last]).decode()


_ONE = '''\
def tell(state, rows=(), *, deep: "bool" = False) -> "str | None":
    """Text of a state."""
    total: int = 0
    for number, row in enumerate(rows):
        if not row.seen and (number % 2 == 0 or row.kind in ("open", 'half "open"')):
            total += row.size * 2
        elif deep:
            continue
    def inner(value: list) -> int:
        return value.get("a" "b", total)
    try:
        names = [each.name.lower() for each in rows if each.name != "x\\ny"]
    except (TypeError, ValueError) as error:
        raise RuntimeError(f"{state} of {total}") from error
    return {"total": total, "names": ", ".join(names), "inner": inner(state)}
'''
_CHANGES: dict[str, Callable[[str], str]] = {
    "variables": lambda t: t.replace("total", "summed").replace('"summed"', '"total"').replace("row.", "line.")
    .replace("number, row ", "number, line ").replace("not row", "not line").replace("error", "problem"),
    "comments": lambda t: t.replace("\n    for", "  # if it's so\n    # def not_here():\n    for"),
    "line breaks": lambda t: t.replace("(number % 2", "(\n\n  number\n% 2").replace("{\"total\"", "{\n\"total\"\n"),
    "quotes": lambda t: t.replace('"total"', "'total'").replace("'half \"open\"'", '"half \\"open\\""'),
    "three quotes": lambda t: t.replace('"x\\ny"', '"""x\ny"""'),
    "annotations": lambda t: t.replace("value: list", "value: dict[str, int]").replace("total: int", "total: float")
    .replace(') -> "str | None"', ")").replace(' -> int', ""),
    "docstring": lambda t: t.replace('"""Text of a state."""', '"""Another text,\n\n    if of\nmore."""'),
    "no docstring": lambda t: t.replace('    """Text of a state."""\n', ""),
    "brackets": lambda t: t.replace("row.size * 2", "(row.size) * (2)").replace("not row.seen", "(not (row.seen))"),
    "split strings": lambda t: t.replace('"a" "b"', '"ab"').replace('", ".join', '("," " ").join'),
    "else": lambda t: t.replace("        elif deep:\n            continue", "        else:\n            if deep:\n                continue"),
    "decorators inside": lambda t: t.replace("    def inner", "    @app.get('/', deep.of(1))\n    def inner"),
    "name": lambda t: t.replace("def tell", "async def say").replace("async ", ""),
    "a method": lambda t: "class A:\n" + "".join(f"    {line}\n" for line in t.splitlines()),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_what_the_normal_form_ignores_changes_no_key(seed: int) -> None:
    rng = random.Random(seed)
    names = (
        rng.sample(sorted(_CHANGES), rng.randint(1, 5)) if seed >= len(_CHANGES) else [sorted(_CHANGES)[seed]]
    )
    if "a method" in names:  # its lines stand further in, those of a string too
        names = [name for name in names if name != "three quotes"]
    text = _ONE
    for name in sorted(names, key=lambda name: (name == "a method", name != "variables", rng.random())):
        text = _CHANGES[name](text)
    forms = {body.normal_form(next(n for _, n in body.functions(ast.parse(t)))) for t in (_ONE, text)}
    assert len(forms) == 1, names
    (one, *_), (other, *_) = function_texts(_ONE.encode()), function_texts(text.encode())
    assert one.key(one.words) == other.key(other.words), names


@pytest.mark.parametrize(
    ("old", "new"),
    [('"names"', '"name"'), ("lower()", "upper()"), ("!=", "=="), ("continue", "pass"), ("* 2", "+ 2")],
)
def test_what_makes_another_function_makes_another_key(old: str, new: str) -> None:
    (one, *_), (other, *_) = (tuple(function_texts(t.encode())) for t in (_ONE, _ONE.replace(old, new)))
    assert one.key(one.words) != other.key(other.words)


def test_what_is_called_like_a_variable_is_what_it_says() -> None:
    forms = {
        body.normal_form(next(n for _, n in body.functions(ast.parse(f"def f(x):\n    {w} = x.get('{w}')\n    return {w} or x.{w}\n"))))
        for w in ("text", "kind")
    }  # fmt: skip
    assert len(forms) == 2


def test_lines_in_brackets_that_stand_further_out_end_no_function() -> None:
    data = b"def f():\n    x = [\n1, 2,\n]\n    return x\n\n\ny = 1\n"
    assert [(t.first, t.last) for t in function_texts(data)] == [(1, 7)]


def test_a_file_of_open_brackets_takes_no_time() -> None:
    data = b"def f(:\n    x = (\n" * 3000
    assert len(list(function_texts(data))) == 3000
