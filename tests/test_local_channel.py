"""Whoever drives a rollout finds a restarted local Cloud Run again, at another address and with another token."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.cloudrun.logs import LoggingSource
from pipeline.cloudrun.service import CloudRun
from pipeline.driving.restore import Cause, restore
from pipeline.errors import LocalCloudRunDown, PlatformUnavailable
from pipeline.events import RolloutEvent
from pipeline.local import daemon, endpoint
from pipeline.local.channel import FollowingChannel
from pipeline.local.images.catalogue import Image
from pipeline.local.provider.service import LocalProvider
from pipeline.model import LogLine, ServiceRef, Split, Target
from tests.processes import SERVER, until

REF = ServiceRef("local", "local", "chat")
IMAGES = {"good": Image((sys.executable, "-I", "-S", "-c", SERVER))}
INPUTS = {
    "project": REF.project, "location": REF.location, "name": REF.service,
    "template": {"revision": "chat-one", "containers": [{"image": "good"}]},
    "traffics": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "chat-one", "percent": 100.0}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "local"
    daemon.up(made, IMAGES, strict_masks=True)
    yield made
    daemon.down(made)


@contextmanager
def followed(folder: Path, tokens: list[str] | None = None) -> Iterator[FollowingChannel]:
    with FollowingChannel(folder, learn=(tokens if tokens is not None else []).append) as channel:
        yield channel


def deploy(channel: FollowingChannel) -> None:
    LocalProvider(channel).create(INPUTS)
    until(lambda: CloudRun.over(channel).read(REF).serving.serving == {"chat-one": 100})


def kill(folder: Path) -> None:
    os.kill(endpoint.read(folder).pid, signal.SIGKILL)
    until(lambda: not endpoint.is_alive(folder))


def look(
    platform: CloudRun, logs: LoggingSource, provider: LocalProvider
) -> tuple[object, object, object, list[LogLine]]:
    """What the adapters of a driver see that was opened long ago."""
    started = datetime.now(UTC) - timedelta(hours=1)
    return (
        platform.read(REF).uid,
        [r.name for r in platform.revisions(REF)],
        provider.read(INPUTS),
        list(logs.lines(REF, since=started, revisions=["chat-one"])),
    )


@pytest.mark.parametrize("end", [kill, daemon.down], ids=["killed", "down"])
def test_all_adapters_find_a_restarted_server(folder: Path, end: Callable[[Path], object]) -> None:
    tokens: list[str] = []
    with followed(folder, tokens) as channel:
        adapters = CloudRun.over(channel), LoggingSource.over(channel), LocalProvider(channel)
        deploy(channel)
        *before, lines = look(*adapters)
        end(folder)
        for call in (
            lambda: adapters[0].read(REF),
            lambda: adapters[1].lines(REF, since=datetime.now(UTC), revisions=["chat-one"]),
            lambda: adapters[2].read(INPUTS),
        ):
            with pytest.raises(PlatformUnavailable) as down:
                call()
            assert down.value.what == "the local Cloud Run is not running"
            assert down.value.fix == "Start it: spillway local up"
        daemon.up(folder, {}, strict_masks=True)
        *after, found = look(*adapters)
        assert after == before
        assert found[: len(lines)] == lines  # an instance that starts anew is a line of its own
    assert len(set(tokens)) == 2


def test_a_server_that_comes_back_on_the_same_port_has_another_token(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    try:
        first = daemon.up(folder, IMAGES, strict_masks=True)
        with followed(folder) as channel:
            deploy(channel)
            kill(folder)
            second = daemon.up(folder, {}, port=int(first.address.rpartition(":")[2]))
            assert (second.address, second.token == first.token) == (first.address, False)
            assert CloudRun.over(channel).read(REF).ref == REF
    finally:
        daemon.down(folder)


def test_a_token_that_is_no_longer_right_is_no_matter_of_gcloud(folder: Path) -> None:
    file = folder / "endpoint.json"
    right = file.read_text()
    with followed(folder) as channel:
        file.write_text(json.dumps({**json.loads(right), "token": "of another server"}))
        with pytest.raises(PlatformUnavailable) as refused:
            CloudRun.over(channel).read(REF)
        assert "gcloud" not in str(refused.value)
        assert "spillway local up" in refused.value.fix
        file.write_text(right)
        deploy(channel)


def test_an_error_of_the_service_itself_stays_what_it_is(folder: Path) -> None:
    with followed(folder) as channel:
        assert LocalProvider(channel).read(INPUTS) is None


def test_no_server_at_the_start_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(LocalCloudRunDown) as down, followed(tmp_path):
        pass
    assert (down.value.exit_code, down.value.fix) == (2, "Start it: spillway local up")


def test_a_roll_back_in_its_retries_finds_the_restarted_server(folder: Path) -> None:
    class Clock:
        """Time that passes when slept; at the third sleep somebody starts the server again."""

        def __init__(self) -> None:
            self.sleeps = 0

        def now(self) -> datetime:
            return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(milliseconds=100 * self.sleeps)

        def sleep(self, _: timedelta) -> None:
            self.sleeps += 1
            if self.sleeps == 3:
                daemon.up(folder, {}, strict_masks=True)

    with followed(folder) as channel:
        platform = CloudRun.over(channel)
        deploy(channel)
        live = platform.read(REF)
        platform.write(
            REF, etag=live.etag, annotations={}, split=Split((Target("chat-one", 100, tag="stable"),))
        )
        until(lambda: platform.read(REF).serving.tagged("stable") == "chat-one")
        kill(folder)
        said: list[RolloutEvent] = []
        clock = Clock()
        done = restore(platform, clock, REF, Cause("an operator said so", by_hand=True), listen=said.append)
    assert done.verified
    assert clock.sleeps >= 3
    assert sum("not running" in event.text for event in said) == 3
