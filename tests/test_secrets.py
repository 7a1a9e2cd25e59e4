"""Secrets of the configuration come out of no command, whatever a service does with them. Each command is a process of
its own: what one has learnt, the next knows nothing of."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from websockets.sync.server import ServerConnection, serve

from pipeline.local import daemon, endpoint
from tests.contract.cloud import OUR_PARENT
from tests.processes import SERVER, until

SAID, ASKED, HELD, GIVEN = "said&hunter-2", "asked-hunter-3", "held/hunter-4", "given hunter 5"
SPELT = "\n".join(
    f"print('plain', {name}); print('base64', base64.b64encode(b'u:' + {name}.encode() + b'!').decode());"
    f"print('url', urllib.parse.quote({name}, safe='')); print(json.dumps({{'message': {name}, 'level': os.environ['LEVEL']}}))"
    for name in ("os.environ['DB_PASSWORD']", "os.environ['API_KEY']")
)
TELLER = f"import base64, json, os, urllib.parse\n{SPELT}\nimport sys; sys.stdout.flush()\n{SERVER}"
CONFIG = f"""\
service: chat
environments: {{local: {{endpoint: local}}}}
images:
  teller: {{command: {json.dumps([sys.executable, "-I", "-S", "-c", TELLER])}, env: {{DB_PASSWORD: {HELD}, LEVEL: production}}}}
container: {{env: {{API_KEY: {GIVEN}}}}}
scenarios:
  s: {{path: "/ws?access_token={ASKED}", send: {{type: auth, token: "{SAID}"}}, expect: [never_comes], within: 5s}}
"""


def spillway(folder: Path, *words: str) -> str:
    """All that the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words, "-C", str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def assert_hidden(text: str, *secrets: str) -> None:
    for secret in secrets:
        inner = base64.b64encode(secret.encode()[: len(secret) // 3 * 3]).decode()
        for form in (secret, quote(secret, safe=""), inner, json.dumps(secret)[1:-1]):
            assert form not in text
    assert "[redacted]" in text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A local Cloud Run with one service that says its secrets in every way it can."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "spillway.yaml").write_text(CONFIG, encoding="utf-8")
    local = folder / ".spillway" / "local"
    spillway(folder, "local", "up", "--strict-masks")
    with endpoint.read(local).channel() as channel:
        client = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
        given = [run_v2.EnvVar(name="API_KEY", value=GIVEN)]
        template = run_v2.RevisionTemplate(
            revision="chat-one", containers=[run_v2.Container(image="teller", env=given)],
            scaling=run_v2.RevisionScaling(min_instance_count=1),
        )  # fmt: skip
        client.create_service(parent=OUR_PARENT, service=run_v2.Service(template=template), service_id="chat")
        until(lambda: bool(client.get_service(name=f"{OUR_PARENT}/services/chat").latest_ready_revision))
    yield folder
    daemon.down(local)


@pytest.mark.parametrize("form", ["text", "json", "ndjson"])
@pytest.mark.parametrize("has_config", [True, False])
def test_local_logs(project: Path, tmp_path: Path, form: str, has_config: bool) -> None:
    words = ["local", "logs", "-o", form]
    if not has_config:
        (tmp_path / "none.yaml").write_text("", encoding="utf-8")
        words += ["-c", str(tmp_path / "none.yaml")]
    text = spillway(project, *words)
    assert "plain" in text
    assert "base64" in text
    assert "production" in text
    assert_hidden(text, HELD, GIVEN)


@pytest.mark.parametrize("form", ["text", "json", "ndjson"])
def test_probe(tmp_path: Path, form: str) -> None:
    (tmp_path / "spillway.yaml").write_text(CONFIG, encoding="utf-8")

    def echo(connection: ServerConnection) -> None:
        assert connection.request
        said = json.loads(connection.recv())["token"]
        path = connection.request.path
        spelt = [said, path, base64.b64encode(said.encode()).decode(), quote(said), HELD, GIVEN]
        connection.send(json.dumps({"type": "echo", "said": spelt}))
        connection.close(1011, f"{said} {path}")

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        text = spillway(tmp_path, "probe", url, "-n", "1", "-o", form)
        server.shutdown()
        thread.join()
    assert "1011" in text
    assert_hidden(text, SAID, ASKED, HELD, GIVEN)


def test_a_broken_configuration_tells_no_secret(tmp_path: Path) -> None:
    for old, new in (
        ("within: 5s", "within: soon"),
        ("service: chat", f"service: '{HELD}'"),
        ("local}", f"'{SAID}'}}"),
    ):
        assert old in CONFIG
        (tmp_path / "spillway.yaml").write_text(CONFIG.replace(old, new), encoding="utf-8")
        text = spillway(tmp_path, "plan", "--image", "teller")
        assert "spillway.yaml:" in text
        for secret in (SAID, ASKED, HELD, GIVEN):
            assert secret not in text
