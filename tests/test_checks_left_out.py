"""What lies in a tree and is not looked at: links, repositories of their own, what is ignored; each is told or rightly left."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.finding import Report
from checks.runner import run
from checks.settings import JsonSafeLogs, Settings
from checks.tree.ignored import kept
from tests.test_checks_base import git
from tests.test_checks_cli import SAFE, UNSAFE
from tests.test_checks_examples import plant

OUT = "a link out of the tree: its target is not checked"


def looked_at(root: Path) -> Report:
    return run(root, Settings(json_safe_logs=JsonSafeLogs()), cache=False, jobs=1)


@pytest.mark.parametrize("is_repository", [True, False])
def test_a_folder_that_is_a_link_out_of_the_tree_is_told(is_repository: bool, tmp_path: Path) -> None:
    plant(tmp_path / "out", {"b.py": UNSAFE})
    plant(tmp_path / "papers", {"b.txt": ""})
    root = plant(tmp_path / "root", {"app/a.py": SAFE})
    (root / "app/shared").symlink_to("../../out")
    (root / "papers").symlink_to("../papers")
    (root / "again").symlink_to("app")
    (root / "app/loop").symlink_to("loop")
    if is_repository:
        git(root, "init", "-q")
    report = looked_at(root)
    assert [(each.path, each.reason) for each in report.skipped] == [("app/shared", OUT)]
    assert (report.files, report.findings) == (1, ())


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_repository_inside_is_named(is_committed: bool, tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/a.py": SAFE, "lib/inner/b.py": UNSAFE, "lib/c.py": SAFE})
    git(root, "init", "-q")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        git(root / "lib/inner", *arguments)
    if is_committed:
        git(root, "add", ".")
    report = looked_at(root)
    assert (report.files, report.folders) == (2, ("lib/inner",))


def test_a_worktree_is_looked_at(tmp_path: Path) -> None:
    root = plant(tmp_path / "main", {"a.py": UNSAFE})
    for arguments in (
        ("init", "-q"),
        ("add", "."),
        ("commit", "-qm", "one"),
        ("worktree", "add", "-q", "../two"),
    ):
        git(root, *arguments)
    report = looked_at(tmp_path / "two")
    assert (report.files, len(report.findings), report.folders) == (1, 1, ())


NAMES = (
    "a.py", "made/a.py", "app/made/b.py", "app/old_c.py", "app/old_kept.py", "app/gen/d.py", "app/gen/deep/e.py", "x/y/z.py",
    "x/z.py", "f1.py", "f2.py", "app/inner/g.py", "ä b.py",
)  # fmt: skip
RULES = (
    "/made/\n", "made/\n", "made\n", "old_*\n!old_kept.py\n", "app/gen/**\n", "**/gen/\n", "x/**/z.py\n", "f[12].py\n",
    "f[!1].py\n", "f?.py\n", "*.py\n!a.py\n", "app/\n!app/old_kept.py\n", "# made/\n\\#x\n", "/a.py  \n", "app/*.py\n",
    "made/\r\nold_c.py\r\n", "\u00e4 b.py\n", "[\n", "!\n", "/\n", "x/*/z.py\n",
)  # fmt: skip


@pytest.mark.parametrize("rules", RULES)
def test_without_git_the_same_is_ignored(rules: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {".gitignore": rules, "app/.gitignore": "inner/\n"}
    root = plant(tmp_path / "root", {**texts, **dict.fromkeys(NAMES, SAFE)})
    git(root, "init", "-q")
    listed = git(
        root, "-c", "core.quotePath=false", "ls-files", "--others", "--exclude-standard", "--", "*.py"
    )
    read = {path.rpartition("/")[0]: text for path, text in texts.items()}
    assert kept(sorted(NAMES), lambda folder: read.get(folder, "")) == sorted(listed.splitlines())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert looked_at(root).files == len(listed.splitlines())


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert kept(["a" * 60 + ".py"], lambda folder: "" if folder else "*a" * 20 + "b\n" + "**/" * 30 + "b\n")
