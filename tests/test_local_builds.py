"""What a digest means stays: copies of folders, made once, in one step, and taken away when nobody needs them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline.local.dataplane import StartFailed
from pipeline.local.images import builds
from pipeline.local.images.catalogue import Image
from tests.images import Place, collect, digest


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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


def test_a_build_whose_command_was_changed_is_not_run(place: Place) -> None:
    reference = place.pin()
    (file,) = (place.state / "images" / "builds").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "command": ["another"]}))
    with pytest.raises(StartFailed, match="was changed"):
        builds.find(place.state, reference)


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
