"""Functions and classes that are parsed each by itself are what they are in their file, line for line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from checks.rules.event_map.messages import class_in
from checks.service.answers import handler_of
from checks.service.parts import Parts
from checks.service.source import Source
from checks.tree.body import functions, statements, walk
from tests.test_checks_examples import plant

_HERE = Path(__file__).parent.parent
_FILES = sorted(p for folder in ("checks", "bench", "pipeline/judge") for p in (_HERE / folder).rglob("*.py"))


def _alone(node: ast.AST) -> str:
    """As it is written without its decorators, with all places."""
    kept, node.decorator_list = node.decorator_list, []  # type: ignore[attr-defined]
    made = ast.dump(node, include_attributes=True)
    node.decorator_list = kept  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("part", range(4))
def test_what_is_parsed_by_itself_is_what_it_is_in_its_file(part: int) -> None:
    for path in _FILES[part::4]:
        tree, name = ast.parse(path.read_bytes()), str(path)
        parts = Parts(lambda path: Path(path).read_bytes())
        first = {node.name: (dotted, node) for dotted, node in reversed(list(functions(tree)))}
        for plain, (dotted, node) in first.items():
            found = parts.function(name, plain)
            assert found is not None, (path, plain)
            assert (found[0], _alone(found[1])) == (dotted, _alone(node))
        for each in (n for n in tree.body if isinstance(n, ast.ClassDef)):
            made, own = parts.class_in(name, each.name), class_in(tree, each.name)
            assert made is not None
            assert own is not None
            assert _alone(made) == _alone(own), (path, each.name)
        given = {
            n.target.id for n in walk(tree) if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        }
        assert all(parts.may_give(name, each) for each in given)
        assert [n for n in statements(tree) if isinstance(n, ast.stmt)] == [
            n for n in walk(tree) if isinstance(n, ast.stmt)
        ]


_OTHER = '''\
if True:
    class Müller:
        def grüßen(self): return "hello"
def grü(): return 1
class Kind: START = "start"; STOP = "stop"
class Late(
    Base,
):
    kind = """
class Inner: pass
"""
    @deco
    async def run(self,
        x): return x
'''


@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_other_alphabets_line_ends_and_single_lines_hide_nothing(coding: str, tmp_path: Path) -> None:
    text = f"# coding: {coding}\r\n" + _OTHER.replace("\n", "\r\n")
    root = plant(tmp_path, {"use.py": "def use(): ...\n"})
    (root / "m.py").write_bytes(text.encode(coding))
    made = Source.below(root, keeps_all=False)
    for name in ("grüßen", "grü", "run"):
        found = made.function(name, "use.py")
        assert found is not None
        assert found.node.name == name
    late = made.class_in("m.py", "Late")
    assert late is not None
    assert [node.lineno for node in late.body] == [10, 14]
    assert made.class_in("m.py", "Müller") is not None
    assert made.class_in("m.py", "Inner") is None
    (root / "use.py").write_text("from m import Kind\n")
    assert made.constant("use.py", ast.parse("Kind.STOP", mode="eval").body) == "stop"


def test_a_property_of_another_file_answers_nothing(tmp_path: Path) -> None:
    box = "class Box:\n    @property\n    def opened(self):\n        return 1\n\n    def shut(self):\n        return 2\n"
    table = "from box import Box\n\nbox = Box()\nTABLE = {'open': box.opened, 'shut': box.shut}\n"
    root = plant(tmp_path, {"box.py": box, "table.py": table})
    source = Source.below(root, keeps_all=False)
    opened, shut = (ast.parse(f"box.{name}", mode="eval").body for name in ("opened", "shut"))
    assert handler_of(source, opened, "table.py") is None
    assert handler_of(source, shut, "table.py") is not None
