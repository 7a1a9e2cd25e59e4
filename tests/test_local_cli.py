"""``spillway local``: what it prints, what it ends with, and that it never prints the token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.local import daemon, endpoint
from pipeline.local.images import catalogue
from pipeline.view.local_lines import entry_line, status_lines
from tests.contract.cloud import OUR_PARENT
from tests.processes import SERVER, get, until

CONFIG = f"""\
service: chat
environments: {{local: {{endpoint: local}}}}
images:
  good: {{command: {json.dumps([sys.executable, "-I", "-S", "-c", SERVER])}, env: {{A: "1"}}}}
  bare: {{command: ["{{python}}", "-V"], directory: src}}
scenarios:
  s: {{path: /ws, send: {{type: x}}, expect: [y], within: 1s}}
"""


@dataclass
class Project:
    """A folder with a spillway.yaml, and the command run in it."""

    folder: Path

    @property
    def local(self) -> Path:
        return self.folder / ".spillway" / "local"

    def run(self, *words: str, code: int = 0) -> Any:
        """The command's result; checks its exit code, and that the token is nowhere in its output."""
        result = CliRunner().invoke(app, ["local", words[0], "-C", str(self.folder), *words[1:]])
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        if endpoint.is_alive(self.local):
            assert endpoint.read(self.local).token not in result.output
        return result

    def document(self, *words: str, code: int = 0) -> dict[str, Any]:
        return dict(json.loads(self.run(*words, "-o", "json", code=code).stdout))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.delenv("SPILLWAY_LOCAL_DIR", raising=False)
    made = Project(tmp_path)
    (tmp_path / "spillway.yaml").write_text(CONFIG, encoding="utf-8")
    yield made
    daemon.down(made.local)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One local Cloud Run for the module, with one service that was asked once."""
    made = Project(tmp_path_factory.mktemp("project"))
    (made.folder / "spillway.yaml").write_text(CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPILLWAY_LOCAL_DIR", raising=False)
        first = made.document("up")
        assert (first["outcome"], first["started_now"], first["images"]) == ("up", True, ["bare", "good"])
        with endpoint.read(made.local).channel() as channel:
            client = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
            template = run_v2.RevisionTemplate(
                revision="chat-one", containers=[run_v2.Container(image="good")]
            )
            client.create_service(
                parent=OUR_PARENT, service=run_v2.Service(template=template), service_id="chat"
            )
            name = f"{OUR_PARENT}/services/chat"
            until(lambda: bool(client.get_service(name=name).latest_ready_revision))
            get(client.get_service(name=name).uri)
        yield made
    daemon.down(made.local)


def test_up_twice_is_one_and_says_so(project: Project) -> None:
    again = project.document("up")
    assert not again["started_now"]
    assert again["pid"] == daemon.status(project.local)["pid"]
    told = project.run("up")
    assert told.stdout.strip() == again["address"]
    assert "was up already" in told.stderr


def test_the_images_of_the_file_become_its_images(project: Project) -> None:
    known = catalogue.named(project.local, "bare")
    assert known.command == (sys.executable, "-V")
    assert known.directory == str(project.folder / "src")
    assert catalogue.named(project.local, "good").env == {"A": "1"}


def test_status_shows_revisions_weights_and_instances(project: Project) -> None:
    (worker,) = (pid for row in daemon.status(project.local)["processes"] for pid in row["pids"])
    text = project.run("status").stdout
    assert f"100%  chat-one  ready  image good  1 running ({worker})  0 sockets open" in text
    document = project.document("status")
    assert document["services"][0]["revisions"][0]["name"] == "chat-one"
    assert document["sockets"] == {"open": [], "closed": []}


def test_logs_shows_output_requests_and_what_the_platform_did(project: Project) -> None:
    lines = project.run("logs").stdout.splitlines()
    assert any("chat-one  stdout    listening" in line for line in lines)
    assert any("chat-one  requests  GET http://" in line and " 200 " in line for line in lines)
    assert any("chat-one  system    Starting new instance" in line for line in lines)
    assert project.run("logs", "-n", "0").stdout == ""
    assert project.run("logs", "--revision", "nobody").stdout == ""
    assert len(project.run("logs", "chat", "-n", "1").stdout.splitlines()) == 1


def test_logs_as_documents(project: Project) -> None:
    wanted = ("--filter", "httpRequest.status=200")
    (entry,) = project.document("logs", *wanted)["entries"]
    assert entry["resource"]["labels"]["revision_name"] == "chat-one"
    assert [
        json.loads(line) for line in project.run("logs", *wanted, "-o", "ndjson").stdout.splitlines()
    ] == [entry]


def test_a_filter_that_is_not_understood_is_a_users_error(project: Project) -> None:
    refused = project.run("logs", "--filter", "nonsense.field=1", code=2)
    assert "nonsense.field" in refused.stderr
    assert project.document("logs", "--filter", "severity>=", code=2)["outcome"] == "error"


def test_a_document_that_never_ends_is_refused(project: Project) -> None:
    assert "-o ndjson" in project.run("logs", "--follow", "-o", "json", code=2).stderr


def test_following_prints_what_comes_until_ctrl_c(project: Project) -> None:
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "local",
        "logs",
        "-C",
        str(project.folder),
        "-n",
        "1",
        "--follow",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    wanted = ["--filter", 'httpRequest.requestUrl:"follow"']
    with subprocess.Popen(
        [*command, *wanted], stdout=subprocess.PIPE, text=True, env=environment
    ) as following:
        assert following.stdout
        uri = daemon.status(project.local)["services"][0]["uri"]
        get(f"{uri}/follow-1")
        assert "/follow-1 200" in following.stdout.readline()
        get(f"{uri}/follow-2")
        assert "/follow-2 200" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130


def test_dry_runs_do_nothing(project: Project, empty: Project) -> None:
    assert "would end" in project.run("down", "--dry-run").stderr
    assert endpoint.is_alive(project.local)
    assert "would start" in empty.run("up", "--dry-run").stderr
    assert not endpoint.is_alive(empty.local)


def test_without_a_server_every_command_says_how_to_start_one(empty: Project) -> None:
    for words in (("status",), ("logs",), ("logs", "--follow")):
        refused = empty.run(*words, code=2)
        assert "not running" in refused.stderr
        assert "Start it: spillway local up" in refused.stderr
    for _ in range(2):
        assert empty.document("down") == {
            "outcome": "down", "exit_code": 0, "was_up": False, "folder": str(empty.local),
        }  # fmt: skip


def test_a_broken_file_starts_nothing(empty: Project) -> None:
    (empty.folder / "spillway.yaml").write_text("service: [", encoding="utf-8")
    assert "spillway.yaml:1" in empty.run("up", code=2).stderr
    assert not endpoint.is_alive(empty.local)


def test_a_named_file_that_is_not_there_is_a_users_error(empty: Project) -> None:
    assert "other.yaml" in empty.run("up", "-c", "other.yaml", code=2).stderr


SEEN: dict[str, Any] = {
    "address": "127.0.0.1:1", "rest_address": "127.0.0.1:9", "pid": 7, "started": "2030-01-01T10:20:30.5+00:00",
    "services": [{
        "name": "projects/local/locations/here/services/chat", "uri": "http://127.0.0.1:2", "generation": 3,
        "reconciling": False, "failure": "Revision 'chat-two' is not ready",
        "serving": [{"revision": "chat-one", "percent": 100, "tag": "stable", "uri": "http://127.0.0.1:3"}],
        "revisions": [
            {"name": "chat-one", "readiness": "ready", "message": "", "image": "good@sha256:0"},
            {"name": "chat-two", "readiness": "failed", "message": "it exits\n\x1b[31mboom", "image": "bad"},
        ],
    }],
    "processes": [{"service": "projects/local/locations/here/services/chat", "revision": "chat-one", "pids": [8, 9]}],
    "sockets": {
        "open": [{"service": "projects/local/locations/here/services/chat", "revision": "chat-one", "count": 4}],
        "closed": [
            {"service": "projects/local/locations/here/services/chat", "revision": "chat-one", "code": code, "count": n}
            for code, n in ((1011, 2), (1000, 5))
        ],
    },
}  # fmt: skip


def test_a_status_reads_as_a_tree() -> None:
    assert list(status_lines(SEEN)) == [
        "127.0.0.1:1  process 7, since 2030-01-01 10:20:30 UTC",
        "127.0.0.1:9  the same API over HTTP and JSON",
        "",
        "projects/local/locations/here/services/chat  failed  generation 3  http://127.0.0.1:2",
        "  tag stable     chat-one  http://127.0.0.1:3",
        "    0%  chat-two  failed  image bad  0 running  0 sockets open",
        "        it exits",
        "        boom",
        "  100%  chat-one  ready  image good  2 running (8, 9)  4 sockets open",
        "        closed: 1000 x5, 1011 x2",
    ]
    assert list(status_lines({**SEEN, "services": []}))[2:] == ["no services yet"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"textPayload": "hello \x1b[31mred\nline"}, "hello red line"),
        ({"jsonPayload": {"message": "hi", "code": 1011}}, 'hi {"code": 1011}'),
        ({"jsonPayload": {"code": 1}}, '{"code": 1}'),
        ({"jsonPayload": {"message": "alone"}}, "alone"),
        (
            {
                "httpRequest": {
                    "requestMethod": "GET",
                    "requestUrl": "http://x/",
                    "status": 101,
                    "latency": "2.5s",
                }
            },
            "GET http://x/ 101 2.5s 0 bytes",
        ),
    ],
)
def test_an_entry_reads_as_one_line(fields: dict[str, Any], text: str) -> None:
    entry = {
        "timestamp": "2030-01-01T10:20:30.123456Z", "severity": "WARNING",
        "logName": "projects/local/logs/run.googleapis.com%2Fstdout",
        "resource": {"labels": {"revision_name": "chat-one"}}, **fields,
    }  # fmt: skip
    assert entry_line(entry) == f"10:20:30.123  WARNING  chat-one  stdout    {text}"
