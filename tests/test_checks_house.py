"""The checks stay what they are: the standard library, griffe and msgspec, no file opened but in one place, no import of ours."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.rules import BY_NAME, RULES

HERE = Path(__file__).parent.parent / "checks"
FILES = sorted(HERE.rglob("*.py"))
#: who may read files: the checked ones are opened in files.py alone; the others read what is ours or the user's
READERS = {"files.py", "baseline.py", "cache.py", "fix.py"}
STARTERS = {"git.py", "pool.py"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def calls(path: Path) -> set[str]:
    found = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    names = {
        f.id if isinstance(f, ast.Name) else f.attr for f in found if isinstance(f, ast.Name | ast.Attribute)
    }
    return {str(name) for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HERE).as_posix())
def test_nothing_but_the_standard_library_and_griffe(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(path)}
    assert tops <= {*sys.stdlib_module_names, "checks", "griffe", "msgspec"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HERE).as_posix())
def test_checked_code_is_read_in_one_place_and_run_nowhere(path: Path) -> None:
    made = calls(path)
    assert not made & {"exec", "eval", "__import__", "import_module", "run_path", "run_module"}
    if path.name not in READERS:
        assert not made & {"open", "read_text", "read_bytes", "fdopen"}
    if path.name not in STARTERS:
        assert "subprocess" not in imports(path)


def test_every_rule_is_named_once() -> None:
    assert len(BY_NAME) == len(RULES)
    assert list(BY_NAME) == [rule.name for rule in RULES]
