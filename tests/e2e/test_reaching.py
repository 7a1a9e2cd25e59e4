"""A service that only a load balancer and its network lead to: a bad revision is stopped before any user met it."""

from __future__ import annotations

import asyncio
import http.client
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from google.api_core.exceptions import NotFound
from google.cloud import run_v2
from google.cloud.run_v2.services.executions.transports import ExecutionsGrpcTransport
from websockets.asyncio.client import connect

from pipeline.app.images import images_of
from pipeline.cloudrun.logs import LoggingSource
from pipeline.config import schema
from pipeline.local import daemon, endpoint
from pipeline.local.front.addresses import listen
from pipeline.telemetry.lines import is_telemetry
from tests.e2e.project import Project, image

USERS = 5


@pytest.fixture(params=["address", "job"])
def balanced(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Project, int]]:
    """A project whose service has internal ingress, and the port of the load balancer in front of it.

    Its probes go by the load balancer's address, or are held by a job inside the network.
    """
    project = Project(tmp_path, tmp_path / ".spillway" / "local", engine="in-process")
    with listen("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    led = "header: {name: X-Revision, stable: stable, candidate: candidate}"
    ways = {
        "address": f"address: {{stable: '{url}', candidate: '{url}', {led}}}",
        "job": "from: job, job: {image: probe, network: default}",
    }
    probe = f'{{command: ["{sys.executable}", -m, pipeline], env: {{SPILLWAY_DIRECTORY: "{tmp_path}", CI: "true"}}}}'
    project.configure(
        {"good": image(), "bad": image("unmapped"), "probe": probe},
        **{
            "probes: {every: 1s, sessions: 2}": (
                f"probes: {{every: 1s, sessions: 2, {ways[request.param]}}}\n"
                "evidence: {client: {forwarded-for: 2}}"
            ),
            "container: {": "container: {service: {ingress: INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER}, ",
        },
    )
    images = images_of(schema.parse(project.file.read_text(encoding="utf-8")), tmp_path)
    daemon.up(project.local, images, trust_forwarded=True, balancer_port=port)
    try:
        yield project, port
    finally:
        project.down()


async def _visit(port: int, number: int) -> None:
    headers = {"X-Forwarded-For": f"10.7.0.{number}"}
    async with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, proxy=None):
        pass


def _status(url: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    connection.request("GET", "/healthz")
    status = connection.getresponse().status
    connection.close()
    return status


def _executions(channel: grpc.Channel, project: Project) -> list[run_v2.Execution]:
    """Of the probes' job; none where there is no such job."""
    client = run_v2.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))
    try:
        return list(client.list_executions(parent=project.ref.probe_job))
    except NotFound:
        return []


def test_a_bad_revision_behind_a_load_balancer_is_stopped_at_zero(balanced: tuple[Project, int]) -> None:
    project, port = balanced
    first = project.run("rollout", "--image", "good", "-o", "json")
    assert first.document["outcome"] == "first_deployment", first.stderr
    assert _status(project.live().uri) == 404
    assert _status(f"http://127.0.0.1:{port}") == 200
    done = project.run("rollout", "--image", "bad", "-o", "json")
    assert done.document["outcome"] == "stopped_at_zero", done.stderr
    for number in range(USERS):
        asyncio.run(_visit(port, number))
    with endpoint.read(project.local).channel() as channel:
        update = project.live().update_time
        assert update is not None
        lines = LoggingSource.over(channel).lines(
            project.ref, since=update - timedelta(hours=1), revisions=[r.name for r in project.revisions()]
        )
        give_up = time.monotonic() + 60  # what was begun in the look of the verdict is cancelled
        while any(not each.completion_time for each in _executions(channel, project)):
            assert time.monotonic() < give_up
            time.sleep(0.1)
    users = [line.payload for line in lines if is_telemetry(line.payload) and not line.payload.get("probe")]
    assert len({line["client"] for line in users if line["event"] == "ws_accept"}) == USERS
