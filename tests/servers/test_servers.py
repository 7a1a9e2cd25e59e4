"""Real servers, each with a good and a broken revision: deployed, probed and judged by a ``spillway.yaml`` alone.

Those that need nothing but what this repository's environment has are part of every run; the others are installed by
``make test-servers``, which runs them all.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.local import daemon
from tests.e2e.project import Project

HERE = Path(__file__).parent
SERVICES = HERE / "services"
ROOT = HERE.parent.parent
CACHE = Path.home() / ".cache" / "spillway"
PYTHON = CACHE / "servers" / "bin" / "python"
CENTRIFUGO = CACHE / "bin" / "centrifugo"
NODE_PATH = CACHE / "servers" / "node" / "node_modules"
_NUMBERS = itertools.count()

CONFIG = """\
service: {service}
environments: {{local: {{endpoint: local, evidence: probes}}}}
images:
  good: {{command: [{command}], directory: "{directory}", env: {{{env}}}}}
  broken: {{command: [{command}], directory: "{directory}", env: {{{env}, BROKEN: "1"}}}}
container: {{startup: 60s, deletion-protection: false}}
scenarios:
  conversation:
    within: 5s
{scenario}
stages: [{{percent: 0}}, {{percent: 100, soak: 500ms}}]
probes: {{every: 1s, sessions: 2}}
heartbeat: 2s
"""


@dataclass(frozen=True, slots=True)
class Server:
    """One server.

    Args:
        command: as a YAML list has it, without brackets.
        scenario: what its ``spillway.yaml`` says of it.
        fault: what the probe says of the broken one.
    """

    command: str
    scenario: str
    fault: str


def here(file: str) -> str:
    return f'"{sys.executable}", {file}'


def installed(file: str) -> str:
    return f'"{PYTHON}", {file}'


MSGPACK = Server(
    here("msgpack_service.py"),
    """
    path: /ws
    framing: msgpack
    type: event.kind
    send: {event: {kind: run}}
    expect: [started, token, {event.kind: done, event.of: run}]
    """,
    'server closed with 1011 "no room left"; still awaited: event.kind=token',
)
SSE = Server(
    here("sse_service.py"),
    """
    path: /complete
    framing: sse
    send: {prompt: hello dear world}
    expect: [{type: token, data.text: hello}, {type: token, data.text: world}, {type: done, data: "[DONE]"}]
    """,
    'server closed with 1000 "the response ended"',
)
RELAY = Server(
    here("relay_service.py"),
    """
    path: /v1/realtime
    framing: json-lines
    steps:
      - send: {type: session.login, user: ann, token: let-me-in}
      - expect: [{type: session.created, session.user: ann}]
      - send: {type: response.create, id: "${uuid:run}"}
      - when: {type: tool.call, tool: weather}
        reply: {type: tool.result, id: "${message.id}", output: cold and dry}
      - expect: [response.created, {type: response.delta, id: "${run}", repeats: true}, {type: response.done, id: "${run}"}]
    never: [error]
    """,
    'server closed with 1011 "tool failed"; still awaited: response.delta, response.done',
)
SOCKET_IO = Server(
    installed("socketio_service.py"),
    """
    path: /socket.io/
    framing: {name: socket.io, namespace: /chat, auth: {token: let-me-in}}
    send: {type: run, data: {text: hello}, id: 1}
    expect: [{type: started, data.of: hello}, picture, [{type: done, data.of: hello}, {type: ack, id: 1, data.ok: true}]]
    """,
    "done",
)
SOCKET_IO_ON_NODE = Server(
    "node, socketio_service.cjs",
    """
    path: /socket.io/
    framing: {name: socket.io, namespace: /jobs}
    steps:
      - send: {type: run, data: {text: hello}, id: 7}
      - when: {type: confirm}
        reply: {type: ack, id: "${message.id}", data: "yes"}
      - expect: [started, {type: done, data.answer: "yes"}, {type: ack, id: 7, data: thanks}]
    """,
    "still awaited: done, ack",
)
NICEGUI = Server(
    installed("nicegui_service.py"),
    """
    path: /_nicegui_ws/socket.io/
    framing: socket.io
    http:
      - path: /
        save: {page: "text:'client_id': '([^']+)'", click: 'text:"listener_id":"([^"]+)","type":"click"'}
    steps:
      - send: {type: handshake, id: 1, data: {client_id: "${page}", tab_id: "${uuid}", document_id: "${uuid}", next_message_id: 0}}
      - expect: [{type: ack, id: 1, data: true}]
      - send: {type: event, data: {client_id: "${page}", id: 5, listener_id: "${click}", args: []}}
      - expect: [{type: update, data.4.text: done}]
    """,
    "update came, but data.4.text is 'running', expected 'done'",
)
GRAPHQL = Server(
    installed("graphql_service.py"),
    """
    path: /
    framing: graphql-transport-ws
    send: {payload: {query: "subscription { count(to: 3) }"}}
    expect: [{type: next, payload.data.count: 1}, {type: next, payload.data.count: 2}, {type: next, payload.data.count: 3}, complete]
    """,
    "next",
)
CENTRIFUGO_ROOM = Server(
    "sh, run_centrifugo.sh",
    """
    path: /connection/websocket
    framing: centrifugo
    send: [{subscribe: {channel: room}}, {publish: {channel: room, data: {type: done}}}]
    expect: [{id: 1}, {id: 2}, [{id: 3}, done]]
    """,
    "still awaited: push.pub.data.type=done",
)
NODE = Server(
    "node, server.mjs",
    """
    path: /ws
    send: {type: execute_agent, payload: {text: hello}}
    expect: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]
    """,
    'server closed with 1011 "boom"; still awaited: tool_completed',
)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("servers") / "state"
    daemon.up(folder, {}, strict_masks=True)
    yield folder
    daemon.down(folder)


@pytest.fixture
def project(tmp_path: Path, local: Path) -> Project:
    return Project(tmp_path, local, f"server-{next(_NUMBERS)}")


def configure(project: Project, server: Server, folder: Path = SERVICES) -> None:
    env = f'PYTHONPATH: "{ROOT}", CENTRIFUGO: "{CENTRIFUGO}", NODE_PATH: "{NODE_PATH}", HOME: "{Path.home()}"'
    text = CONFIG.format(
        service=project.service,
        command=server.command,
        directory=folder,
        env=env,
        scenario=server.scenario.strip("\n"),
    )
    project.file.write_text(text, encoding="utf-8")


def judged(project: Project, server: Server) -> None:
    """The good revision is deployed and probed, the broken one is stopped before anybody reaches it."""
    first = project.run_here("rollout", "--image", "good", "-o", "json")
    assert (first.code, first.document["outcome"]) == (0, "first_deployment"), first.stderr
    stable = project.live().serving.serving
    probed = project.run_here("probe", project.live().uri, "-n", "3", "-o", "json")
    assert (probed.code, probed.document["outcome"]) == (0, "ok"), probed.stdout
    bad = project.run_here("rollout", "--image", "broken", "-o", "json")
    assert (bad.code, bad.document["outcome"]) == (11, "stopped_at_zero"), bad.stderr
    assert server.fault in bad.stderr + bad.stdout
    assert project.live().serving.serving == stable


@pytest.mark.parametrize("server", [MSGPACK, SSE, RELAY], ids=["msgpack", "sse", "relay"])
def test_a_server_that_needs_no_download(project: Project, server: Server) -> None:
    configure(project, server)
    judged(project, server)


WANTED = pytest.mark.skipif(
    "SPILLWAY_SERVERS" not in os.environ, reason="not part of every run: make test-servers"
)


@WANTED
@pytest.mark.parametrize(
    ("server", "needs"),
    [
        (SOCKET_IO, PYTHON),
        (SOCKET_IO_ON_NODE, NODE_PATH / "socket.io"),
        (GRAPHQL, PYTHON),
        (NICEGUI, PYTHON),
        (CENTRIFUGO_ROOM, CENTRIFUGO),
    ],
    ids=["socket.io", "socket.io-node", "graphql", "nicegui", "centrifugo"],
)
def test_a_server_that_is_installed(project: Project, server: Server, needs: Path) -> None:
    if not needs.exists():
        pytest.skip(f"{needs} is not here: make test-servers installs it")
    configure(project, server)
    judged(project, server)


@WANTED
def test_node(project: Project, foreign: Path) -> None:
    (foreign / ".dockerignore").write_text("!node_modules\n")
    configure(project, NODE, foreign)
    judged(project, NODE)


@WANTED
def test_runs_of_socket_io_are_counted(project: Project) -> None:
    """Its telemetry was told the framing by the scenarios: the probes' runs stand in its log, done."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not here: make test-servers installs it")
    configure(project, SOCKET_IO)
    assert project.run_here("rollout", "--image", "good").code == 0
    logs = project.run("local", "logs", project.service, "-n", "1000", "-o", "ndjson")
    payloads = [json.loads(line).get("jsonPayload", {}) for line in logs.stdout.splitlines()]
    runs = [payload for payload in payloads if payload.get("event") == "agent_run"]
    assert runs, logs.stdout[-2000:]
    assert {(run["outcome"], run["probe"]) for run in runs} == {("ok", True)}
