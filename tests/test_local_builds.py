"""What a digest means stays: copies of folders, made once, in one step, and taken away when nobody needs them."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.local.dataplane import StartFailed
from pipeline.local.images import builds
from pipeline.local.images.catalogue import Image
from pipeline.local.images.selection import Limits, select
from tests.processes import until


class Place:
    """A source folder, and a state folder that pins it."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.state = folder / "state"
        self.source.mkdir()
        self.write("server.py", "one")

    def write(self, path: str, text: str = "") -> Path:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def image(self, *command: str, **env: str) -> Image:
        return Image(command or ("python", "server.py"), str(self.source), env)

    def reference(self, **env: str) -> str:
        return builds.reference(self.state, "good", self.image(**env))

    def pin(self, name: str = "good") -> str:
        with builds.pin(self.state, name, self.image()) as reference:
            return reference

    def copied(self, reference: str) -> list[str]:
        """Paths of the copy."""
        root = builds.find(self.state, reference).directory
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir() or p.is_symlink())

    def copies(self) -> list[Path]:
        return list((self.state / "images" / "content").glob("*"))


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def digest(reference: str) -> str:
    return reference.partition("@sha256:")[2]


def test_what_was_pinned_outlives_every_change_of_its_source(place: Place) -> None:
    place.write("lib/util.py", "util")
    first = place.pin()
    place.write("server.py", "two")
    second = place.pin()
    shutil.rmtree(place.source)
    assert first != second
    root = builds.find(place.state, first).directory
    assert (root / "server.py").read_text() == "one"
    assert (root / "lib" / "util.py").read_text() == "util"
    assert (builds.find(place.state, second).directory / "server.py").read_text() == "two"


def test_the_digest_is_of_everything_that_decides_what_runs_and_of_nothing_else(place: Place) -> None:
    before = place.reference()
    assert place.reference() == before == place.pin()
    os.utime(place.source / "server.py", (1, 1))
    (place.source / "empty").mkdir()
    assert place.reference() == before
    seen = {
        before,
        place.reference(A="1"),
        builds.reference(place.state, "good", place.image("python", "other.py")),
    }
    (place.source / "server.py").chmod(0o755)
    seen.add(place.reference())
    place.write("server.py", "two")
    seen.add(place.reference())
    (place.source / "server.py").rename(place.source / "server2.py")
    seen.add(place.reference())
    (place.source / "link").symlink_to("server2.py")
    seen.add(place.reference())
    (place.source / "link").unlink()
    (place.source / "link").symlink_to("elsewhere")
    seen.add(place.reference())
    assert len(seen) == 8


def test_an_edit_that_keeps_size_and_time_is_seen(place: Place) -> None:
    file = place.write("server.py", "one")
    os.utime(file, ns=(1, 10**18))
    before = place.reference()
    file.write_text("two")
    os.utime(file, ns=(1, 10**18))
    assert place.reference() != before


def test_a_read_only_disk_refuses_no_digest(place: Place) -> None:
    (place.state).mkdir()
    (place.state / "images").write_text("in the way of every cache")
    assert digest(place.reference())


def test_the_same_folder_elsewhere_is_the_same_image_and_one_copy(place: Place, tmp_path: Path) -> None:
    first = place.pin()
    shutil.copytree(place.source, tmp_path / "clone")
    with builds.pin(place.state, "good", Image(("python", "server.py"), str(tmp_path / "clone"))) as second:
        assert second == first
    assert len(place.copies()) == 1


def test_two_projects_with_one_name_on_one_state_folder_keep_their_own(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "server.py").write_text("of the other project")
    ours = place.pin()
    with builds.pin(place.state, "good", Image(("python", "server.py"), str(other))) as theirs:
        pass
    assert ours.partition("@")[0] == theirs.partition("@")[0]
    assert (builds.find(place.state, ours).directory / "server.py").read_text() == "one"
    assert (builds.find(place.state, theirs).directory / "server.py").read_text() == "of the other project"


def test_a_command_alone_is_pinned_too_and_runs_where_nothing_is(place: Place) -> None:
    image = Image(("python", "-V"), None, {"A": "1"})
    with builds.pin(place.state, "bare", image) as reference:
        found = builds.find(place.state, reference)
    assert (found.command, found.env, found.is_copy) == (("python", "-V"), {"A": "1"}, False)
    assert list(found.directory.iterdir()) == []


@pytest.mark.parametrize("reference", ["good", "good@sha256:" + "0" * 64, "good@sha256:../../images"])
def test_a_digest_that_nobody_made_is_missing(place: Place, reference: str) -> None:
    place.pin()
    with pytest.raises(StartFailed, match="not found") as missing:
        builds.find(place.state, reference)
    assert missing.value.reason == "CONTAINER_MISSING"


# --- what is copied


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


# --- copies


def test_copies_are_private_and_read_only(place: Place) -> None:
    place.write("bin/run").chmod(0o755)
    root = builds.find(place.state, place.pin()).directory
    assert (root / "bin" / "run").stat().st_mode & 0o777 == 0o500
    assert (root / "server.py").stat().st_mode & 0o777 == 0o400
    images = place.state / "images"
    folders = [images, *(p for p in images.rglob("*") if p.is_dir())]
    assert {p.stat().st_mode & 0o077 for p in folders} == {0}
    assert {p.stat().st_mode & 0o077 for p in (images / "builds").iterdir()} == {0}


def _append(file: Path) -> None:
    file.chmod(0o600)
    was = file.stat()
    file.write_text("two")
    file.chmod(0o400)
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: _append(root / "server.py"),
        lambda root: (root / "server.py").unlink(),
        lambda root: (root / "server.py").chmod(0o500),
        lambda root: ((root / "server.py").unlink(), (root / "server.py").symlink_to("/etc/hostname")),
        lambda root: (root.parent / "manifest.json").write_text("[]"),
        lambda root: (root.parent / "manifest.json").unlink(),
        shutil.rmtree,
    ],
)
def test_a_copy_that_was_changed_is_not_run_and_made_anew_by_the_next(
    place: Place, spoil: Callable[[Path], object]
) -> None:
    reference = place.pin()
    spoil(builds.find(place.state, reference).directory)
    with pytest.raises(StartFailed, match="not what its digest says") as failed:
        builds.find(place.state, reference)
    assert failed.value.reason == "CONTAINER_MISSING"
    assert place.pin() == reference
    assert (builds.find(place.state, reference).directory / "server.py").read_text() == "one"


def test_what_an_instance_wrote_beside_the_files_is_gone_after_a_restart(place: Place) -> None:
    place.write("app/main.py")
    (place.source / "link").symlink_to("app")
    reference = place.pin()
    root = builds.find(place.state, reference).directory
    for name in ("app/__pycache__/main.pyc", "data.db"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    assert place.copied(reference) == ["app/main.py", "link", "server.py"]
    assert not (root / "app" / "__pycache__").exists()


def test_a_build_whose_command_was_changed_is_not_run(place: Place) -> None:
    reference = place.pin()
    (file,) = (place.state / "images" / "builds").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "command": ["another"]}))
    with pytest.raises(StartFailed, match="was changed"):
        builds.find(place.state, reference)


def collect(place: Place, *used: str) -> None:
    for left in builds.collect(place.state, [digest(reference) for reference in used]):
        shutil.rmtree(left)


def test_copies_that_nobody_needs_are_taken_away(place: Place) -> None:
    first = place.pin()
    place.write("server.py", "two")
    with builds.pin(place.state, "good", place.image()) as second:
        collect(place, first)
        assert builds.find(place.state, second)
    assert builds.find(place.state, first)
    collect(place, first)
    assert builds.find(place.state, first)
    with pytest.raises(StartFailed):
        builds.find(place.state, second)
    collect(place)
    assert not place.copies()
    assert not list((place.state / "images").glob("tmp-*"))


def test_a_digest_that_is_asked_for_again_is_held_meanwhile(place: Place) -> None:
    reference = place.pin()
    with builds.hold(place.state, reference):
        collect(place)
        assert builds.find(place.state, reference)
    collect(place)
    with builds.hold(place.state, reference) as unknown:
        assert unknown == reference


def test_many_at_once_make_one_copy(place: Place) -> None:
    for n in range(50):
        place.write(f"f{n}", str(n))
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: place.pin(f"name{n}"), range(16)))
    assert len({digest(reference) for reference in made}) == 1
    assert len(place.copies()) == 1
    assert not list((place.state / "images").glob("tmp-*"))
    assert len(place.copied(made[0])) == 51


def _pin(source: str, state: str) -> None:
    builds.pin(Path(state), "good", Image(("python", "server.py"), source))


def test_a_process_that_is_killed_midway_leaves_nothing_that_counts(place: Place) -> None:
    for n in range(3000):
        place.write(f"f{n}", str(n))
    images = place.state / "images"
    process = multiprocessing.get_context("spawn").Process(
        target=_pin, args=(str(place.source), str(place.state))
    )
    process.start()
    until(lambda: any(images.glob("tmp-*/files/f*")))
    collect(place)  # a copy under way is nobody's rubbish
    assert list(images.glob("tmp-*"))
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not place.copies()
    reference = place.pin()
    assert len(place.copied(reference)) == 3001
    collect(place, reference)
    assert not list(images.glob("tmp-*"))


@contextmanager
def writing(place: Place, until_copied: int, *, only_then: bool = False) -> Iterator[None]:
    """Something that writes into the source until so many copies were begun: all the time, or only then."""
    seen: set[str] = set()
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set() and len(seen) < until_copied:
            if not only_then:
                place.write("server.py", os.urandom(4).hex())
            seen.update(p.name for p in (place.state / "images").glob("tmp-*"))
        place.write("server.py", "in the end")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_source_that_is_written_while_it_is_copied_gives_no_mixture(place: Place) -> None:
    for n in range(300):
        place.write(f"f{n}", str(n))
    with writing(place, until_copied=1, only_then=True):
        reference = place.pin()
    root = builds.find(place.state, reference).directory
    place.write("server.py", (root / "server.py").read_text())
    assert place.reference() == reference


def test_a_source_that_never_rests_is_told(place: Place) -> None:
    for n in range(300):
        place.write(f"f{n}", str(n))
    with writing(place, until_copied=1000), pytest.raises(UserError, match="cannot be copied") as refused:
        place.pin()
    assert "3 times" in refused.value.why


def test_python_itself_runs_from_a_copy(place: Place) -> None:
    place.write("server.py", "import helper; print(helper.NAME)")
    place.write("helper.py", "NAME = 'helper'")
    reference = place.pin()
    shutil.rmtree(place.source)
    found = builds.find(place.state, reference)
    done = subprocess.run(
        [sys.executable, "server.py"], cwd=found.directory, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "helper"
