"""What is newer than the interpreter is blanked, what is not stays as it is, and no line moves."""

from __future__ import annotations

import ast

import pytest

from checks.tree.new_syntax import without_new_syntax


@pytest.mark.parametrize(
    "source",
    [
        "x = rf'[{a}](@\\{{b\\}}){c}' + f'\\N{EN DASH}{a}'\n",
        "x = f'{a}' f\"{b['c']}\" rf'\\d{a}' F'''{a['b']}'''\n",
        "x = f'{a:#x} {b!r:>{w}} {{}} {c:{d}.{e}} {f[1:2]} {g({1: 2}[1])}'\n",
        'x = f"""{a}\n{\n  b\n} "quoted" {c("d")}"""\n',
        "x = '# no comment {' # 'no string\ny = 'it\\'s' + \"a\\\\\"\n",
        "x = '''f'{'''  # f'{\ny = r'\\'\nz = b'{' + rb\"{\"\n".replace("r'\\'", "r'\\d'"),
        "typed = 1\ntype = 2\ntype(x)\nexcept_ = t = 3\nprint(t, 'it' if t else \"t\")\n",
    ],
)
def test_what_is_old_stays(source: str) -> None:
    ast.parse(source)
    assert without_new_syntax(source.encode()) == source.encode()


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        pytest.param("x = f'{a['b']}'; y = 1\n", "x = ''\ny = 1", id="own quotes"),
        pytest.param('x = f"{f"{1}"}" + z\n', "x = '' + z", id="string in string"),
        pytest.param("x = f'{\"\\n\".join(a)}'\n", "x = ''", id="backslash"),
        pytest.param("x = f'{\n  a\n}'\ny = 1\n", "x = ''\ny = 1", id="line end"),
        pytest.param('x = f"""{a  # why\n}"""\n', "x = ''", id="comment"),
        pytest.param("def f[T: int](x: T) -> T: ...\n", "def f(x: T) -> T:\n    ...", id="type parameters"),
        pytest.param("type Pair[T] = tuple[T, T]\n", "Pair = tuple[T, T]", id="type statement"),
        pytest.param("x = t'{a}'\n", "x = f'{a}'", id="template"),
        pytest.param("try: x\nexcept A, b.C: y\n", "try:\n    x\nexcept (A, b.C):\n    y", id="bare except"),
    ],
)
def test_what_is_new_is_blanked(source: str, seen: str) -> None:
    older = without_new_syntax(source.encode())
    assert ast.unparse(ast.parse(older)) == seen
    assert older.count(b"\n") == source.count("\n")


@pytest.mark.parametrize("source", ["x = f'{a", "x = f'{a['", "x = '''", 'x = f"{a:{', "f'{(]}'", "f'{a}\n"])
def test_what_has_no_end_is_left_alone(source: str) -> None:
    assert len(without_new_syntax(source.encode())) == len(source)
