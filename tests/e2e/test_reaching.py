"""A service that only a load balancer leads to: rolled out, and a bad revision stopped before any user met it."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect

from pipeline.cloudrun.logs import LoggingSource
from pipeline.local import daemon, endpoint
from pipeline.local.front.addresses import listen
from pipeline.telemetry.lines import is_telemetry
from tests.e2e.project import Project, image

USERS = 5


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[tuple[Project, int]]:
    """A project whose service has internal ingress, and the port of the load balancer in front of it."""
    project = Project(tmp_path, tmp_path / ".spillway" / "local", engine="in-process")
    with listen("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    led = "header: {name: X-Revision, stable: stable, candidate: candidate}"
    project.configure(
        {"good": image(), "bad": image("unmapped")},
        **{
            "probes: {every: 1s, sessions: 2}": (
                f"probes: {{every: 1s, sessions: 2, address: {{stable: '{url}', candidate: '{url}', {led}}}}}\n"
                "evidence: {client: {forwarded-for: 2}}"
            ),
            "container: {": "container: {service: {ingress: INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER}, ",
        },
    )
    daemon.up(project.local, {}, trust_forwarded=True, balancer_port=port)
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
    users = [line.payload for line in lines if is_telemetry(line.payload) and not line.payload.get("probe")]
    assert len({line["client"] for line in users if line["event"] == "ws_accept"}) == USERS
