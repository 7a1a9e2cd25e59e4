"""The local Cloud Run as a process of its own: started once, found again, ended whole, and taken up after a kill."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from rich.pretty import pretty_repr

from pipeline.errors import LocalCloudRunDown, UserError
from pipeline.local import daemon, endpoint
from pipeline.local.images.catalogue import Image
from tests.contract.cloud import OUR_PARENT, shares, target
from tests.processes import SERVER, exists, get, until

IMAGES = {"good": Image((sys.executable, "-I", "-S", "-c", SERVER))}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "local"
    yield made
    daemon.down(made)


def services(folder: Path) -> tuple[object, run_v2.ServicesClient]:
    channel = endpoint.read(folder).channel()
    return channel, run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))


def deploy(folder: Path) -> run_v2.Service:
    """A service ``chat`` with a tag; read back when it is ready."""
    channel, client = services(folder)
    with channel:  # type: ignore[attr-defined]
        template = run_v2.RevisionTemplate(revision="chat-one", containers=[run_v2.Container(image="good")])
        service = run_v2.Service(template=template)
        client.create_service(parent=OUR_PARENT, service=service, service_id="chat")
        name = f"{OUR_PARENT}/services/chat"
        until(lambda: bool(client.get_service(name=name).latest_ready_revision))
        change = run_v2.Service(
            name=name,
            traffic=[target("chat-one", 100, "stable")],
            annotations={"spillway.rollout/record": '{"v": 1}'},
        )
        client.update_service(
            request=run_v2.UpdateServiceRequest(
                service=change, update_mask={"paths": ["traffic", "annotations"]}
            )
        )
        until(lambda: not client.get_service(name=name).reconciling)
        return client.get_service(name=name)


def kill(folder: Path) -> int:
    """kill -9 of the server. Returns when its lock is free."""
    pid = endpoint.read(folder).pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not endpoint.is_alive(folder))
    return pid


def instances(folder: Path) -> list[int]:
    return [pid for row in daemon.status(folder)["processes"] for pid in row["pids"]]


def test_it_outlives_its_starter_is_found_again_and_ends_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grpc.py").write_text(
        "raise SystemExit('the folder one stands in is not where modules come from')"
    )
    monkeypatch.chdir(tmp_path)
    first = daemon.up(folder, IMAGES)
    assert daemon.up(folder, IMAGES) == first
    service = deploy(folder)
    worker = int(get(service.uri).split()[1])
    supervisors = instances(folder)

    file = folder / "endpoint.json"
    assert file.stat().st_mode & 0o077 == 0
    others = [p for p in folder.rglob("*") if p.is_file() and p != file]
    assert not any(first.token.encode() in p.read_bytes() for p in others)
    assert first.token not in repr(first) + pretty_repr(first)

    second = subprocess.run(
        [sys.executable, "-m", "pipeline.local.server", "--dir", str(folder)],
        capture_output=True, timeout=60, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert second.returncode == 75
    assert daemon.status(folder)["pid"] == first.pid

    assert daemon.down(folder)
    until(lambda: not any(map(exists, [first.pid, worker, *supervisors])))
    assert not file.exists()
    assert not daemon.down(folder)
    with pytest.raises(LocalCloudRunDown, match="not running"):
        daemon.status(folder)


def test_after_kill_9_nothing_is_left_running_and_everything_is_kept(folder: Path) -> None:
    daemon.up(folder, IMAGES)
    before = deploy(folder)
    worker = int(get(before.uri).split()[1])
    supervisors = instances(folder)

    kill(folder)

    until(lambda: not any(map(exists, [worker, *supervisors])))
    with pytest.raises(LocalCloudRunDown) as dead:
        daemon.status(folder)
    assert "was killed" in dead.value.why
    assert dead.value.fix == "Start it: spillway local up"

    daemon.up(folder, {})
    channel, client = services(folder)
    with channel:  # type: ignore[attr-defined]
        after = client.get_service(name=before.name)
    assert (after.uid, after.etag, after.uri, after.generation) == (
        before.uid, before.etag, before.uri, before.generation,
    )  # fmt: skip
    assert after.traffic_statuses == before.traffic_statuses
    assert shares(after) == {"chat-one": 100}
    assert after.annotations["spillway.rollout/record"] == '{"v": 1}'
    tag = after.traffic_statuses[0].uri
    assert {get(uri).split()[0] for uri in (after.uri, tag)} == {"chat-one"}
    assert int(get(tag).split()[1]) != worker

    kill(folder)
    assert not daemon.down(folder)
    with pytest.raises(LocalCloudRunDown) as gone:
        endpoint.read(folder)
    assert "was killed" not in gone.value.why


def test_a_server_whose_folder_was_deleted_ends_with_all_it_runs(folder: Path) -> None:
    daemon.up(folder, IMAGES)
    worker = int(get(deploy(folder).uri).split()[1])
    left = [endpoint.read(folder).pid, worker, *instances(folder)]
    shutil.rmtree(folder)
    again = daemon.up(folder, IMAGES)
    until(lambda: not any(map(exists, left)))
    assert endpoint.read(folder) == again, "the one before takes nothing of it away"


@pytest.mark.parametrize("put", [None, Path.touch, lambda place: place.symlink_to(place)])
def test_a_server_whose_folder_was_moved_away_ends_with_all_it_runs(
    put: Callable[[Path], None] | None, folder: Path
) -> None:
    daemon.up(folder, IMAGES)
    worker = int(get(deploy(folder).uri).split()[1])
    left = [endpoint.read(folder).pid, worker, *instances(folder)]
    away = folder.rename(folder.with_name("away"))
    if put is not None:
        put(folder)
    until(lambda: not any(map(exists, left)))
    assert not endpoint.is_alive(away)
    if put is not None:
        folder.unlink()


def test_a_folder_that_cannot_be_looked_at_just_now_is_still_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    lock = endpoint.hold(tmp_path)
    assert lock is not None
    with lock:
        monkeypatch.setattr(Path, "stat", refused)
        assert endpoint.is_of(tmp_path, lock)


def test_three_at_once_end_with_one_server(folder: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: daemon.up(folder, IMAGES), range(3)))
    assert len({made.pid for made in found}) == 1
    assert daemon.status(folder)["pid"] == found[0].pid


def test_a_port_in_use_is_told_and_starts_nothing(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as refused:
            daemon.up(folder, {}, port=port)
    assert str(port) in refused.value.what
    assert "in use" in refused.value.why
    assert refused.value.fix == "Let it take a free port: spillway local up --port 0"
    assert not endpoint.is_alive(folder)


def test_where_both_faces_are_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = daemon.up(folder, {}, rest_port=port)
    assert found.rest_address == f"127.0.0.1:{port}" == endpoint.read(folder).rest_address
    assert daemon.status(folder)["rest_address"] == found.rest_address
    headers = {"Authorization": f"Bearer {found.token}"}
    url = f"http://{found.rest_address}/v2/{OUR_PARENT}/services"
    assert requests.get(url, headers=headers, timeout=60).json() == {}
    daemon.down(folder)
    with pytest.raises(requests.ConnectionError):
        requests.get(url, headers=headers, timeout=60)


@pytest.mark.parametrize("bind", ["nonsense", "localhost", "300.1.1.1"])
def test_a_bind_that_is_no_address_is_told(folder: Path, bind: str) -> None:
    with pytest.raises(UserError, match=bind):
        daemon.up(folder, {}, bind=bind)
    assert not endpoint.is_alive(folder)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no folder for the local Cloud Run"):
        daemon.up(tmp_path / "file" / "local", {})


def test_a_held_folder_without_an_answer_is_told_apart_from_none(folder: Path) -> None:
    lock = endpoint.hold(folder)
    assert lock
    with lock:
        assert endpoint.hold(folder) is None
        assert endpoint.is_alive(folder)
        assert endpoint.holder(folder) is None
        with pytest.raises(LocalCloudRunDown, match="does not answer yet"):
            endpoint.read(folder)
        endpoint.sign(lock)
        assert endpoint.holder(folder) == os.getpid()
    assert not endpoint.is_alive(folder)
    assert endpoint.holder(folder) is None
