"""What the tree was before: a commit or a folder, or a clear word why it cannot be had."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from checks.errors import CheckError
from checks.finding import Report
from checks.runner import run
from checks.settings import Settings
from checks.tree.base_tree import FolderBase, open_base
from tests.test_checks_examples import plant

IDENTITY = (
    "-c",
    "user.name=t",
    "-c",
    "user.email=t@t",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "init.defaultBranch=main",
)
V1 = {"app/api.py": "def f(x, y=1):\n    return x\n", "app/same.py": "def g():\n    return 1\n"}


def git(root: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    command = ("git", *IDENTITY, *arguments)
    return subprocess.run(
        command, cwd=root, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = plant(tmp_path / "repository", V1)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


def compare(root: Path, base: str) -> Report:
    return run(root, Settings(), base=base, jobs=1, cache=False)


def told(report: Report) -> list[tuple[str, str]]:
    return [(f.path, f.message) for f in report.findings]


def test_a_commit(repository: Path) -> None:
    plant(repository, {"app/api.py": "def f(x):\n    return x\n", "app/new.py": "def h():\n    return 1\n"})
    report = compare(repository, "HEAD")
    assert report.additive_only is False
    assert told(report) == [("app/api.py", "parameter y of f was removed: calls that pass it fail")]


def test_only_added(repository: Path) -> None:
    plant(
        repository,
        {"app/api.py": V1["app/api.py"] + "\n\ndef more():\n    return 1\n", "app/new.py": "X = 1\n"},
    )
    report = compare(repository, "HEAD")
    assert (report.findings, report.additive_only) == ((), True)


@pytest.mark.parametrize("is_staged", [False, True], ids=["deleted", "git rm"])
def test_a_file_that_is_gone(repository: Path, is_staged: bool) -> None:
    if is_staged:
        git(repository, "rm", "-q", "app/api.py")
    else:
        (repository / "app/api.py").unlink()
    report = compare(repository, "HEAD")
    assert told(report) == [("app/api.py", "the module is gone, and with it f: whoever imports it fails")]
    assert report.skipped == ()
    assert report.files == 1


def test_a_folder_below_the_top_of_the_repository(repository: Path) -> None:
    plant(repository, {"app/api.py": "def f(x):\n    return x\n"})
    report = compare(repository / "app", "HEAD")
    assert [f.path for f in report.findings] == ["api.py"]


def test_a_folder(tmp_path: Path) -> None:
    before, now = plant(tmp_path / "before", V1), plant(tmp_path / "now", {"app/same.py": V1["app/same.py"]})
    report = compare(now, str(before))
    assert [f.path for f in report.findings] == ["app/api.py"]


def test_odd_names_are_read_back(repository: Path) -> None:
    odd = "app/ä b\tc.py"
    plant(repository, {odd: "def f(x):\n    return x\n"})
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "two")
    plant(repository, {odd: "def f():\n    return 1\n"})
    assert [f.path for f in compare(repository, "HEAD").findings] == [odd]


def test_a_ref_that_does_not_exist(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    git(repository, "remote", "add", "origin", "file:///nowhere")
    with pytest.raises(CheckError, match="base origin/main: no such folder and no such commit") as caught:
        open_base(repository, "origin/main")
    assert caught.value.why == "The repository does not hold it."
    assert caught.value.fix == "Try: git fetch origin main:refs/remotes/origin/main"


def test_where_there_is_no_remote_nothing_is_fetched(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    with pytest.raises(CheckError) as caught:
        open_base(repository, "origin/main")
    command, _, _ = caught.value.fix.removeprefix("Try: git ").partition("  #")
    assert "main" in git(repository, *command.split())


def test_a_repository_without_commits_says_so(tmp_path: Path) -> None:
    git(plant(tmp_path, V1), "init", "-q")
    with pytest.raises(CheckError, match="base HEAD") as caught:
        open_base(tmp_path, "HEAD")
    assert caught.value.why == "The repository holds no commit yet."


def test_a_shallow_clone_says_so(repository: Path, tmp_path: Path) -> None:
    plant(repository, {"app/api.py": "def f(x):\n    return x\n"})
    git(repository, "commit", "-qam", "two")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    with pytest.raises(CheckError, match="base HEAD~1") as caught:
        open_base(tmp_path / "shallow", "HEAD~1")
    assert caught.value.why == "This is a shallow clone."


@pytest.mark.parametrize(
    ("ref", "then"),
    [
        ("HEAD~1", "HEAD~1"),
        ("other", "FETCH_HEAD"),
        ("origin/other", "origin/other"),
        ("a/b", "FETCH_HEAD"),
        ("HASH", "HASH"),
    ],
)
@pytest.mark.parametrize("stands", ["inside", "outside"])
def test_what_a_shallow_clone_is_told_to_do_works(
    ref: str, then: str, stands: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(repository, "branch", "other")
    git(repository, "branch", "a/b")
    plant(repository, {"app/api.py": "def f(x):\n    return x\n"})
    git(repository, "commit", "-qam", "two")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    if stands == "inside":
        monkeypatch.chdir(shallow)
    ref, then = (
        each.replace("HASH", git(repository, "rev-parse", "--short", "HEAD~1").strip())
        for each in (ref, then)
    )
    with pytest.raises(CheckError) as caught:
        open_base(shallow, ref)
    command, _, after = caught.value.fix.removeprefix("Try: git ").partition(" && ")
    git(Path.cwd(), *command.split())
    named = "" if stands == "inside" else f"{shallow} "
    assert after in ("", f"spillway check {named}--base {then}")
    assert open_base(shallow, then).changed == ("app/api.py",)


def test_no_repository_at_all(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="base main") as caught:
        open_base(plant(tmp_path, V1), "main")
    assert "not a git repository" in caught.value.why
    assert caught.value.fix == "Name a folder: --base DIR"


def test_no_git_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    root = plant(tmp_path / "tree", V1)
    assert run(root, Settings(discover=True), jobs=1, cache=False).files == 2
    with pytest.raises(CheckError, match="base main") as caught:
        open_base(root, "main")
    assert caught.value.why == "git is not installed, or not on PATH"


@pytest.mark.parametrize("ref", ["--help", "-x", "HEAD:app", "\n", "HEAD\x00"])
def test_a_ref_is_never_an_option(repository: Path, ref: str) -> None:
    with pytest.raises(CheckError):
        open_base(repository, ref)


def test_a_name_that_is_both_must_be_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plant(repository, {"main/old.py": "x = 1\n"}))
    with pytest.raises(CheckError, match="a folder and a commit") as caught:
        open_base(repository, "main")
    assert "./main" in caught.value.fix
    assert isinstance(open_base(repository, "./main"), FolderBase)


def test_nothing_of_the_repository_runs(repository: Path, tmp_path: Path) -> None:
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "diff.external", "core.pager", "core.sshCommand", "diff.python.textconv"):
        git(repository, "config", key, str(trap))
    git(repository, "config", "core.hooksPath", str(tmp_path))
    plant(repository, {".gitattributes": "*.py diff=python\n", "app/api.py": "def f(x):\n    return x\n"})
    assert compare(repository, "HEAD").additive_only is False
    assert not sprung.exists()
