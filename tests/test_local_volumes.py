"""Volumes of an instance: an emptyDir that its containers share, secrets as files; at their paths, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.cloud import run_v2
from msgspec.structs import replace

from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Mount, SecretFile, StartFailed
from pipeline.local.run import volumes
from pipeline.redact import REDACTED, SINK
from tests.ingress import SERVICE, until
from tests.test_local_containers import MAIN, WAIT, Pod, planned
from tests.test_local_instances import FOREVER, LISTEN
from tests.test_local_secrets import keep

mounting = pytest.mark.skipif(
    not volumes.are_possible(), reason="nothing can be mounted for one process on this machine"
)
EMPTY = Mount("/spillway-cache/of/all", "cache")


def key(*files: SecretFile, path: str = "/etc/spillway-key") -> Mount:
    return Mount(path, "key", files)


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    made = Pod(tmp_path, backoff_s=0.01)
    yield made
    await made.fleet.close()


def kept(pod: Pod) -> list[Path]:
    folder = volumes.place(pod.folder)
    return list(folder.iterdir()) if folder.is_dir() else []


@mounting
async def test_the_containers_of_an_instance_share_an_empty_dir_and_nobody_else_sees_it(pod: Pod) -> None:
    pod.images(
        main=f"{LISTEN}open('/spillway-cache/of/all/note', 'w').write('from main'){FOREVER}",
        other=f"""
import os, time
while not os.path.exists('/there/note') or not open('/there/note').read():
    time.sleep(0.01)
print(open('/there/note').read(), os.listdir('/there'), flush=True){WAIT}""",
        without="import os; print(os.path.exists('/spillway-cache'), flush=True)" + f"\nimport time{WAIT}",
    )
    await pod.run(
        replace(MAIN, mounts=(EMPTY,)),
        ContainerSpec("other", "reader", mounts=(Mount("/there", "cache"),)),
        ContainerSpec("without", "without"),
        max_instances=2,
        concurrency=1,
    )
    await until(lambda: pod.lines("reader") and pod.lines("without"))
    assert pod.lines("reader") == ["from main ['note']"]
    assert pod.lines("without") == ["False"]
    assert not Path("/spillway-cache").exists()
    leases = [await pod.fleet.acquire(SERVICE, "one") for _ in range(2)]
    assert len(kept(pod)) == 2
    for lease in leases:
        lease.release()
    await pod.fleet.stop(SERVICE, "one")
    assert not kept(pod)


@mounting
async def test_a_secret_is_files_of_its_versions_which_cannot_be_written(pod: Pod) -> None:
    for version, value in {"1": b"of-the-first", "2": b"\xff\0of-the-second"}.items():
        keep(pod.folder, "tls", version, value)
    pod.images(
        main=f"""{LISTEN}
import json, stat
found = {{}}
for top, _, names in os.walk('/etc/spillway-key'):
    for name in names:
        path = os.path.join(top, name)
        found[path] = [open(path, 'rb').read().hex(), oct(stat.S_IMODE(os.stat(path).st_mode))]
try:
    open('/etc/spillway-key/more', 'w')
except OSError as error:
    found['more'] = error.strerror
found['others'] = os.path.exists('/etc/passwd')
print(json.dumps(found), flush=True){FOREVER}"""
    )
    files = (SecretFile("old/key.pem", "tls", "1", 0o400), SecretFile("new", "tls", "latest", 0o444))
    await pod.run(replace(MAIN, mounts=(key(*files),)))
    await until(lambda: pod.lines("chat"))
    assert json.loads(pod.lines("chat")[0]) == {
        "/etc/spillway-key/old/key.pem": [b"of-the-first".hex(), "0o400"],
        "/etc/spillway-key/new": [b"\xff\0of-the-second".hex(), "0o444"],
        "more": "Read-only file system",
        "others": True,
    }
    assert not Path("/etc/spillway-key").exists()
    assert SINK.text("of-the-first") == REDACTED


@mounting
async def test_a_volume_may_lie_over_what_is_there_and_inside_of_another(pod: Pod, tmp_path: Path) -> None:
    """Here over the folder of the image and of the state itself."""
    keep(pod.folder, "tls", "1", "of-the-inner")
    over = str(tmp_path)
    pod.images(
        main=f"""{LISTEN}
print(sorted(os.listdir({over!r})), open({over + "/in/key"!r}).read(), flush=True)
open({over + "/mine"!r}, 'w').write('x'){FOREVER}"""
    )
    mounts = (key(SecretFile("key", "tls", "1", 0o444), path=f"{over}/in"), Mount(over, "cache"))
    await pod.run(replace(MAIN, mounts=mounts))
    await until(lambda: pod.lines("chat"))
    assert pod.lines("chat") == ["['in'] of-the-inner"]
    assert not (tmp_path / "mine").exists()
    assert not (tmp_path / "in").exists()


@mounting
async def test_volumes_inside_of_a_secret_which_still_cannot_be_written(pod: Pod) -> None:
    keep(pod.folder, "tls", "1", "of-the-tests")
    pod.images(
        main=f"""{LISTEN}
def can_write(folder):
    try:
        return bool(open(folder + '/more', 'w'))
    except OSError:
        return False
print(*map(can_write, ('/spillway-key', '/spillway-key/in', '/spillway-key/cache')), flush=True)
print(open('/spillway-key/key').read(), open('/spillway-key/in/key').read(), flush=True){FOREVER}"""
    )
    file = SecretFile("key", "tls", "1", 0o444)
    within = (key(file, path="/spillway-key/in"), Mount("/spillway-key/cache", "cache"))
    await pod.run(replace(MAIN, mounts=(key(file, path="/spillway-key"), *within)))
    await until(lambda: len(pod.lines("chat")) == 2)
    assert pod.lines("chat")[0] == "False False True"


@mounting
def test_a_command_with_volumes_ignores_no_signal_that_it_would_not_without(tmp_path: Path) -> None:
    command = ("grep", "SigIgn", "/proc/self/status")
    mounted = volumes.runner(tmp_path, "token", SERVICE, replace(MAIN, mounts=(EMPTY,)))
    found = [
        subprocess.run((*how, *command), capture_output=True, check=True).stdout for how in ((), mounted)
    ]
    assert mounted
    assert found[0] == found[1]


@mounting
@pytest.mark.parametrize(
    ("mount", "why"),
    [
        (key(SecretFile("key", "nobodys", "latest", 0o444)), "secrets/nobodys/versions/latest was not found"),
        (key(SecretFile("../passwd", "tls", "1", 0o444)), "leads out of its volume"),
        (Mount("/etc/passwd/x", "cache"), "cannot start"),
    ],
)
async def test_what_cannot_be_mounted_fails_the_revision(pod: Pod, mount: Mount, why: str) -> None:
    keep(pod.folder, "tls", "1", "of-the-tests")
    pod.images(main=f"{LISTEN}{FOREVER}")
    with pytest.raises(StartFailed, match=why):
        await pod.run(replace(MAIN, mounts=(mount,)))
    assert not kept(pod)
    assert not Path("/etc/passwd").is_dir()


@mounting
async def test_its_whole_family_ends_with_it(pod: Pod) -> None:
    pod.images(
        main=f"""{LISTEN}
import subprocess
child = subprocess.Popen(['sleep', '1000'], start_new_session=True, env={{}})
print(child.pid, flush=True){FOREVER}"""
    )
    await pod.run(replace(MAIN, mounts=(EMPTY,)))
    await until(lambda: pod.lines("chat"))
    await pod.fleet.stop(SERVICE, "one")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pod.lines("chat")[0]), 0)


async def test_a_server_that_starts_removes_what_an_earlier_one_left(pod: Pod) -> None:
    left = volumes.place(pod.folder, "of-an-earlier-one") / "cache"
    left.mkdir(parents=True)
    await pod.fleet.end_strays()
    assert not kept(pod)


@pytest.mark.skipif(volumes.are_possible(), reason="here it can be mounted")
async def test_where_nothing_can_be_mounted_that_is_said_once(pod: Pod) -> None:
    pod.images(main=f"{LISTEN}{FOREVER}")
    for _ in range(2):
        await pod.run(replace(MAIN, mounts=(EMPTY,)))
    told = [text for _, _, text in pod.logs.events if "emptyDir volume 'cache'" in text]
    assert len(told) == 1


def test_how_a_template_says_it() -> None:
    template = run_v2.RevisionTemplate(
        volumes=[
            run_v2.Volume(name="cache", empty_dir=run_v2.EmptyDirVolumeSource(size_limit="1Mi")),
            run_v2.Volume(name="key", secret={"secret": "projects/q/secrets/tls"}),
            run_v2.Volume(
                name="some",
                secret={
                    "secret": "tls",
                    "default_mode": 0o440,
                    "items": [{"path": "a", "version": "3", "mode": 0o400}, {"path": "b/c"}],
                },
            ),
            run_v2.Volume(name="disk", gcs={"bucket": "b"}),
        ],
        containers=[
            run_v2.Container(
                image="good",
                volume_mounts=[
                    {"name": "cache", "mount_path": "/cache"},
                    {"name": "key", "mount_path": "/key"},
                    {"name": "some", "mount_path": "/some"},
                    {"name": "disk", "mount_path": "/disk"},
                ],
            )
        ],
    )
    found = planned(template)
    assert found.container.mounts == (
        Mount("/cache", "cache"),
        Mount("/key", "key", (SecretFile("tls", "projects/q/secrets/tls", "latest", 0o444),)),
        Mount(
            "/some", "some", (SecretFile("a", "tls", "3", 0o400), SecretFile("b/c", "tls", "latest", 0o440))
        ),
    )
    assert found.left_out == ("Cloud Storage volume 'disk'",)
    assert volumes.not_mounted(InstanceSpec("s", "r", found.container)) == (
        "emptyDir volume 'cache'", "secret volume 'key'", "secret volume 'some'",
    )  # fmt: skip
