"""A copy of a folder is whole or not there, whoever writes, is killed or starts at the same time, and stays as it was made."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
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
from tests.images import Place, collect, digest
from tests.processes import until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
