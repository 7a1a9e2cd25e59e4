"""A disk that takes nothing: traffic can be given back, is told to be unsaved, and is saved when there is room."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from pipeline.app.wiring import SystemClock
from pipeline.cloudrun.service import CloudRun
from pipeline.driving.restore import Cause, restore
from pipeline.errors import PlatformUnavailable
from pipeline.local import daemon, endpoint
from pipeline.local.channel import FollowingChannel
from pipeline.local.control.operations import SERVICE, Operation, Operations
from pipeline.local.control.state import Refused, Service, Stamp
from pipeline.local.control.store import Registry, Shelf
from pipeline.local.control.writes import create, only_gives_back, update, with_defaults
from pipeline.local.images.catalogue import Image
from pipeline.local.provider.service import LocalProvider
from pipeline.model import RECORD_ANNOTATION, STABLE_TAG, ServiceRef, Split
from pipeline.view.local_lines import status_lines
from tests.processes import SERVER, get, until

REF = ServiceRef("local", "local", "chat")
BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
AT = datetime(2030, 1, 1, tzinfo=UTC)


def service(*templates: str, **percents: int) -> Service:
    """Revisions in this order, and spec traffic by the last letters of their names."""
    ids = itertools.count()
    stamp = Stamp("me", AT, lambda: f"id-{next(ids)}")
    made: Service | None = None
    for name in templates:
        template = {"revision": f"chat-{name}", "containers": [{"image": name}]}
        latest = {"template": template, "traffic": [{"type_": BY_NAME, "revision": f"chat-{templates[0]}", "percent": 100}]}  # fmt: skip
        spec = with_defaults(REF, latest)
        made = update(made, spec, stamp) if made else create(REF, spec, stamp)
    assert made
    return split(made, **percents)


def split(made: Service, **percents: int) -> Service:
    traffic = [
        {"type_": BY_NAME, "revision": f"chat-{name}", "percent": percent}
        for name, percent in percents.items()
    ]
    return replace(made, spec={**made.spec, "traffic": traffic})


TWO = service("a", "b", a=50, b=50)
THREE = service("a", "b", "c", b=50, c=50)


@pytest.mark.parametrize(
    ("before", "after", "gives_back"),
    [
        (TWO, split(TWO, a=100), True),
        (TWO, split(TWO, a=75, b=25), True),
        (TWO, split(TWO, a=50, b=50), True),
        (TWO, split(TWO, b=100), False),
        (TWO, split(TWO, a=49, b=51), False),
        (THREE, split(THREE, a=10, b=60, c=30), True),
        (THREE, split(THREE, a=60, b=40), True),
        (THREE, split(THREE, a=20, b=20, c=60), False),
        (THREE, split(THREE, a=60, c=40), True),
        (split(THREE, a=50, b=50), split(THREE, a=60, c=40), False),
        (split(THREE, c=100), split(THREE, b=100), True),
        (split(TWO, a=100), replace(split(service("a", "b", "c", a=100), a=100)), False),
        (TWO, replace(split(TWO, a=100), spec={**split(TWO, a=100).spec, "labels": {"x": "y"}}), True),
        (split(THREE, b=100), replace(split(THREE, b=100), revisions=THREE.revisions[1:]), True),
        (split(TWO, a=100), replace(split(TWO, a=100), revisions=TWO.revisions[::-1]), False),
    ],
)
def test_what_gives_traffic_back(before: Service, after: Service, gives_back: bool) -> None:
    assert only_gives_back(before, after) is gives_back


class FullShelf(Shelf[Service]):
    """A folder whose disk takes nothing while ``is_full``."""

    is_full = False

    def save(self, name: str, value: Service) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().save(name, value)


def test_a_registry_that_cannot_save_takes_only_what_gives_back(tmp_path: Path) -> None:
    shelf = FullShelf(tmp_path, Service)
    registry = Registry(shelf)
    registry.accept(TWO)
    shelf.is_full = True
    for raise_ in (split(TWO, b=100), service("a", "b", "c", a=50, b=50)):
        with pytest.raises(Refused, match="No space left") as refused:
            registry.accept(raise_)
        assert refused.value.code == "RESOURCE_EXHAUSTED"
        assert registry[REF.name] == TWO
    back = split(TWO, a=100)
    registry.accept(back)
    assert registry[REF.name] == back
    assert list(registry.unsaved) == [REF.name]
    assert list(Registry(Shelf(tmp_path, Service))) == [TWO]

    shelf.is_full = False
    registry.save_again()
    assert not registry.unsaved
    assert list(Registry(Shelf(tmp_path, Service))) == [back]


def test_what_the_control_plane_finds_out_is_never_refused(tmp_path: Path) -> None:
    shelf = FullShelf(tmp_path, Service)
    shelf.is_full = True
    registry = Registry(shelf)
    registry.publish(TWO)
    assert registry[REF.name] == TWO


def test_a_draft_that_did_not_fit_leaves_nothing(tmp_path: Path) -> None:
    services = Shelf(tmp_path / "services", Service)
    (tmp_path / "services").rename(tmp_path / "gone")
    with pytest.raises(OSError, match="No such file"):
        services.save(TWO.name, TWO)
    operations = Operations(Shelf(tmp_path / "operations", Operation))
    (tmp_path / "operations").rename(tmp_path / "also gone")
    name = operations.begin(Operation(f"{REF.parent}/operations/o", SERVICE, REF.name, AT, {})).name
    operations.finish(name)
    assert operations.get(name).is_done
    operations.delete(name)


# The real one: a server that may write no byte into any file.


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "local"
    command = (sys.executable, "-I", "-S", "-c", SERVER)
    daemon.up(made, {"good": Image(command), "next": Image(command)})
    yield made
    daemon.down(made)


@contextmanager
def full(pid: int) -> Iterator[None]:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


def two_revisions(channel: FollowingChannel, platform: CloudRun) -> None:
    """chat-one and chat-two at 50 % each."""
    provider = LocalProvider(channel)
    inputs = {
        "project": REF.project, "location": REF.location, "name": REF.service,
        "template": {"revision": "chat-one", "containers": [{"image": "good"}]},
        "traffics": [{"type": BY_NAME, "revision": "chat-one", "percent": 100.0, "tag": STABLE_TAG}],
    }  # fmt: skip
    provider.create(inputs)
    until(lambda: platform.read(REF).serving.serving == {"chat-one": 100})
    olds = provider.read(inputs)
    assert olds
    provider.update(olds, {**inputs, "template": {"revision": "chat-two", "containers": [{"image": "next"}]}})
    until(lambda: platform.revision(REF, "chat-two").is_ready)
    shift(platform, 50)
    until(lambda: platform.read(REF).serving.serving == {"chat-one": 50, "chat-two": 50})


def shift(platform: CloudRun, percent: int) -> None:
    live = platform.read(REF)
    new = Split.between("chat-one", "chat-two", percent, live.wanted.targets)
    platform.write(REF, etag=live.etag, annotations={RECORD_ANNOTATION: f"at {percent}"}, split=new)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_on_a_full_disk_traffic_is_given_back_and_saved_later(folder: Path) -> None:
    pid = endpoint.read(folder).pid
    with FollowingChannel(folder) as channel:
        platform = CloudRun.over(channel)
        two_revisions(channel, platform)
        with full(pid):
            with pytest.raises(PlatformUnavailable) as refused:
                shift(platform, 75)
            assert "cannot save its state" in refused.value.why
            assert platform.read(REF).wanted.serving == {"chat-one": 50, "chat-two": 50}
            done = restore(platform, SystemClock(), REF, Cause("an operator said so", by_hand=True))
            assert (done.verified, done.target) == (True, "chat-one")
            assert {get(platform.read(REF).uri).split()[0] for _ in range(10)} == {"chat-one"}
            seen = daemon.status(folder)
            assert list(seen["unsaved"]) == [REF.name]
            assert any(line.startswith("NOT SAVED") for line in status_lines(seen))
        until(lambda: not daemon.status(folder)["unsaved"])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not endpoint.is_alive(folder))
        daemon.up(folder, {})
        live = platform.read(REF)
        assert live.serving.serving == {"chat-one": 100}
        assert live.wanted.tagged(STABLE_TAG) == "chat-one"
