"""The files that changed since stable's commit, as git has them, and what cannot be asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.app import changes
from pipeline.errors import UserError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits: one file changed, one was added, one went."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init", "-q")
    for name in ("a.py", "gone.py"):
        (tmp_path / name).write_text("x = 1\n")
    git("add", ".")
    git("commit", "-qm", "one")
    (tmp_path / "a.py").write_text("x = 2\n")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "new file.py").write_text("y = 1\n")
    git("add", ".")
    git("commit", "-qm", "two")
    return tmp_path


def test_each_file_is_told_with_what_became_of_it(repository: Path) -> None:
    assert changes.since(repository, "HEAD~1") == ("M a.py", "D gone.py", "A new file.py")
    assert changes.since(repository, "HEAD") == ()


@pytest.mark.parametrize("commit", ["0000000", "--output=x", "-h", "HEAD~9", "a b"])
def test_a_commit_that_is_none_is_usage(repository: Path, commit: str) -> None:
    with pytest.raises(UserError, match="no such commit") as refused:
        changes.since(repository, commit)
    assert "git fetch --unshallow" in refused.value.fix
    assert sorted(path.name for path in repository.iterdir()) == [".git", "a.py", "new file.py"]


def test_where_there_is_no_repository_it_is_usage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such commit"):
        changes.since(tmp_path, "HEAD")


def test_until_another_commit_where_the_clone_has_it(repository: Path) -> None:
    first = changes.since(repository, "HEAD~1")
    assert changes.since(repository, "HEAD~1", "HEAD~1") == ()
    assert changes.since(repository, "HEAD~1", "0" * 40) == first, "not in this clone: up to HEAD"


@pytest.mark.parametrize(
    ("option", "variable", "built"),
    [
        ("", "", ""),
        ("", "a" * 40, "a" * 40),
        ("b" * 7, "a" * 40, "b" * 7),
        ("", "refs/heads/main", ""),
        ("", "--output=x", ""),
    ],
)
def test_what_an_image_was_built_from(
    option: str, variable: str, built: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SHA", variable)
    assert changes.built_from(option) == built


@pytest.mark.parametrize("option", ["HEAD", "abc", "-h", "main", "A" * 40, "0" * 65, "0000000\n"])
def test_a_name_that_may_mean_another_tomorrow_is_refused(option: str) -> None:
    with pytest.raises(UserError, match="not a commit"):
        changes.built_from(option)
