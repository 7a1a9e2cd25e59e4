"""Planted bugs: every patch applies, five of them are planted and found, and the hunt itself tells the truth."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.hunt import Broken, Copy
from tests.mutants.mutant import ROOT, DoesNotApply, Mutant, chosen, load, place_of, sources

MUTANTS = load()
SAMPLE = 5


def _commit() -> str:
    """So that each commit plants others; the same for every process of one run."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_each_patch_applies_once_and_is_python(mutant: Mutant) -> None:
    code = sources()
    text = code[place_of(mutant, code)]
    planted = text.replace(mutant.old, mutant.new)
    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(text)), "the slip changes nothing"


def test_there_are_enough_of_them_and_each_is_told_apart() -> None:
    assert len({str(mutant) for mutant in MUTANTS}) == len(MUTANTS) >= 60


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("mutants"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", chosen(MUTANTS, SAMPLE, _commit()), ids=str)
def test_a_planted_bug_is_found(mutant: Mutant, copy: Copy) -> None:
    with copy.planted(mutant):
        assert copy.first_failure(mutant.tests), f"{mutant} survives {', '.join(mutant.tests)}"


# -- the hunt, on a tree of two files ----------------------------------------------------------------------------------

SLIP = Mutant("one", "equal is below", "pipeline/one.py", "a < 3", "a <= 3", ("tests/test_one.py",))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    files = {
        "pipeline/one.py": "def is_low(a: int) -> bool:\n    return a < 3\n",
        "tests/test_one.py": "from pipeline.one import is_low\n\n\ndef test_border():\n    assert not is_low(3)\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    return root


def test_a_slip_is_found_while_it_is_planted_and_only_then(tree: Path, tmp_path: Path) -> None:
    small = Copy(tmp_path, tree)
    same_size = replace(SLIP, new="a < 4")
    for mutant in (SLIP, same_size):
        assert small.first_failure(mutant.tests) is None
        with small.planted(mutant):
            assert small.first_failure(mutant.tests) == "tests/test_one.py::test_border"
    assert small.first_failure(SLIP.tests) is None
    assert "a < 3" in (tree / "pipeline/one.py").read_text()


def test_a_slip_that_no_test_notices_survives(tree: Path, tmp_path: Path) -> None:
    small = Copy(tmp_path, tree)
    with small.planted(replace(SLIP, new="a < 2")):
        assert small.first_failure(SLIP.tests) is None


@pytest.mark.parametrize("new", ["a < (", "missing.a < 3\n\n\nimport nothing_of_that_name"])
def test_code_that_does_not_even_load_kills_no_mutant(tree: Path, tmp_path: Path, new: str) -> None:
    small = Copy(tmp_path, tree)
    with small.planted(replace(SLIP, new=new)), pytest.raises(Broken, match="exit 2"):
        small.first_failure(SLIP.tests)


def test_a_test_that_is_not_there_finds_nothing(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(Broken, match="exit 4"):
        Copy(tmp_path, tree).first_failure(["tests/test_two.py"])


@pytest.mark.parametrize("old", ["a < 5", "a"])
def test_a_patch_that_does_not_apply_once_is_refused(tree: Path, tmp_path: Path, old: str) -> None:
    with (
        pytest.raises(DoesNotApply, match="the old text is found"),
        Copy(tmp_path, tree).planted(replace(SLIP, old=old)),
    ):
        pass


def test_a_file_may_move(tree: Path) -> None:
    (tree / "pipeline/core").mkdir()
    (tree / "pipeline/one.py").rename(tree / "pipeline/core/two.py")
    assert place_of(SLIP, sources(tree)) == "pipeline/core/two.py"


def test_the_choice_is_the_commits_and_no_other() -> None:
    one, other = chosen(MUTANTS, SAMPLE, "abc"), chosen(MUTANTS, SAMPLE, "abd")
    assert one == chosen(reversed(MUTANTS), SAMPLE, "abc")
    assert len(set(one)) == len(one) == SAMPLE
    assert one != other
