"""Which files of a folder belong to an image, and which folders cannot be one."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.local.images import builds
from pipeline.local.images.selection import Limits, select
from tests.images import Place, git


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_in_a_checkout_what_git_would_track(place: Place) -> None:
    git(place.source, "init", "-q")
    for name in (
        "app/tracked.py",
        "app/new.py",
        "build/out.js",
        "secret.env",
        ".venv/bin/python",
        "gone.py",
        "ü\n.txt",
    ):
        place.write(name, name)
    place.write(".gitignore", "build/\n*.env\n.venv/\n")
    git(place.source, "add", "app/tracked.py", "gone.py", ".gitignore")
    git(place.source, "commit", "-qm", "one")
    (place.source / "gone.py").unlink()
    assert place.copied(place.pin()) == [".gitignore", "app/new.py", "app/tracked.py", "server.py", "ü\n.txt"]


def test_a_folder_within_a_checkout_a_repository_within_it_and_what_git_ignores_as_a_whole(
    place: Place,
) -> None:
    git(place.source, "init", "-q")
    place.write("app/main.py")
    place.write("app/inner/file.py")
    git(place.source / "app" / "inner", "init", "-q")
    place.write("ignored/main.py")
    place.write("ignored/__pycache__/x.pyc")
    place.write(".gitignore", "ignored/\n")
    for name, expected in {"app": ["inner/file.py", "main.py"], "ignored": ["main.py"]}.items():
        entries = select(place.source / name, without=place.state)
        assert [entry.path for entry in entries] == expected


def test_another_branch_is_another_image_and_changes_none_that_is(place: Place) -> None:
    git(place.source, "init", "-q", "-b", "main")
    git(place.source, "add", ".")
    git(place.source, "commit", "-qm", "one")
    first = place.pin()
    git(place.source, "checkout", "-q", "-b", "feature")
    place.write("server.py", "feature")
    git(place.source, "commit", "-qam", "two")
    second = place.pin()
    git(place.source, "checkout", "-q", "main")
    assert place.pin() == first != second
    assert (builds.find(place.state, second).directory / "server.py").read_text() == "feature"


def test_elsewhere_everything_but_what_is_never_meant_and_what_dockerignore_names(place: Place) -> None:
    for name in (
        "app/a.py", "app/__pycache__/a.pyc", ".venv/bin/python", "node_modules/ws/index.js", "web/node_modules/x/i.js",
        ".spillway/rollouts/x.json", "data/big.bin", "data/keep/small.bin", "notes.md", "README.md",
    ):  # fmt: skip
        place.write(name, name)
    place.write(".dockerignore", "# what is not needed\n\ndata\n!data/keep\n*.md\n!README.md\n")
    assert place.copied(place.pin()) == [
        ".dockerignore", "README.md", "app/a.py", "data/keep/small.bin", "server.py",
    ]  # fmt: skip


@pytest.mark.parametrize("is_checkout", [False, True])
def test_what_is_left_out_can_be_brought_back(place: Place, is_checkout: bool) -> None:
    if is_checkout:
        git(place.source, "init", "-q")
        place.write(".gitignore", "node_modules\n")
    place.write("node_modules/ws/index.js")
    place.write("node_modules/ws/node_modules/y/index.js")
    place.write(".dockerignore", "!node_modules\n!../state\n!.\n")
    found = place.copied(place.pin())
    assert {"node_modules/ws/index.js", "node_modules/ws/node_modules/y/index.js", "server.py"} <= set(found)


def test_the_state_folder_is_never_part_of_an_image(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.state = place.source / "local"
    first = place.pin()
    assert place.pin() == first
    assert place.copied(first) == ["server.py"]


def test_a_bad_dockerignore_names_its_line(place: Place) -> None:
    place.write(".dockerignore", "ok\n[a-\n")
    with pytest.raises(UserError, match=r"\.dockerignore") as refused:
        place.pin()
    assert "line 2" in refused.value.why


def test_without_git_a_checkout_is_a_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    git(place.source, "init", "-q")
    place.write(".gitignore", "*.env\n")
    place.write("x.env")
    monkeypatch.setenv("PATH", str(place.state))
    assert place.copied(place.pin()) == [".gitignore", "server.py", "x.env"]


def test_links_that_stay_inside_are_kept(place: Place) -> None:
    place.write("deep/er/file")
    links = {"a": "server.py", "deep/up": "../server.py", "folder": "deep/er", "dangling": "not/there"}
    for name, target in links.items():
        (place.source / name).symlink_to(target)
    root = builds.find(place.state, place.pin()).directory
    assert {name: str((root / name).readlink()) for name in links} == links


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("out", "../outside"),
        ("absolute", "/etc/hostname"),
        ("inside-but-absolute", "{source}/server.py"),
        ("by/way/of/a-link", "../../../up/../../outside"),
    ],
)
def test_links_that_lead_outside_are_refused(place: Place, name: str, target: str) -> None:
    place.write("by/way/of/here")
    (place.source / "up").symlink_to("by/way")
    (place.source.parent / "outside").write_text("secret")
    (place.source / name).symlink_to(target.format(source=place.source))
    if name.startswith("by/"):
        (place.source / name).unlink()
        (place.source / "by/way/of/jump").symlink_to("../../../lib")
        place.write("lib/x")
        (place.source / name).symlink_to("jump/../../outside")
    with pytest.raises(UserError, match=Path(name).name) as refused:
        place.pin()
    assert ".dockerignore" in refused.value.fix


@pytest.mark.parametrize("kind", ["a named pipe", "a socket"])
def test_what_is_no_file_is_refused(place: Place, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.source)  # a socket's path has 108 characters
    if kind == "a named pipe":
        os.mkfifo("special")
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("special")
    with pytest.raises(UserError, match=f"special: it is {kind}"):
        place.pin()


def test_too_many_files_and_too_many_bytes_are_told_with_both_numbers(place: Place) -> None:
    for n in range(5):
        place.write(f"data/{n}")
    with (place.source / "model.bin").open("wb") as sparse:
        sparse.truncate(700 * 1024 * 1024)
    with pytest.raises(UserError, match=r"700\.0 MiB are too much for an image; 512\.0 MiB") as refused:
        place.pin()
    assert refused.value.why.startswith("Most is in model.bin (700.0 MiB)")
    assert ".gitignore" in refused.value.fix
    with pytest.raises(UserError, match="7 files are too much for an image; 4 files") as refused:
        select(place.source, without=place.state, limits=Limits(files=4))
    assert "data (5 files)" in refused.value.why
    assert not place.copies()


def test_a_program_that_is_left_out_is_named_by_its_path(place: Place) -> None:
    program = place.write(".venv/bin/python")
    with pytest.raises(UserError, match=r"\.venv/bin/python") as refused:
        builds.pin(place.state, "good", place.image(".venv/bin/python", "server.py"))
    assert str(program) in refused.value.fix


@pytest.mark.parametrize("spoil", [shutil.rmtree, lambda p: (shutil.rmtree(p), p.write_text("a file"))])
def test_no_folder_is_told(place: Place, spoil: Callable[[Path], object]) -> None:
    spoil(place.source)
    with pytest.raises(UserError, match="no such folder"):
        place.pin()
