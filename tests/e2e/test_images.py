"""A revision runs what its digest says, whatever happens to the source, the name and the server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from pipeline.local import endpoint
from tests.e2e.project import STAGES, Project
from tests.processes import get, until

SERVER = """
import http.server, os
from version import VERSION
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", str(len(VERSION))); self.end_headers()
        self.wfile.write(VERSION.encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SCENARIO = """\
  agent-run:
    path: /ws
    send: {type: execute_agent, payload: {agent: triage, text: hello}}
    expect: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]
    within: 20s
"""
HEALTH = "  health:\n    http: [{path: /}]\n    within: 20s\n"


def source(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "server.py").write_text(SERVER)
    (folder / "version.py").write_text(f"VERSION = {version!r}\n")
    return folder


def configured(project: Project, folder: Path) -> Project:
    image = f'{{command: ["{sys.executable}", server.py], directory: {json.dumps(str(folder))}}}'
    project.configure({"app": image}, STAGES, **{SCENARIO: HEALTH})
    return project


def rollout(project: Project, image: str = "app") -> dict[str, object]:
    done = project.run("rollout", "--image", image, "-o", "json")
    return {"code": done.code, "stderr": done.stderr, **done.document}


def copies(project: Project) -> int:
    return len(list((project.local / "images" / "content").iterdir()))


def test_an_edit_a_deletion_and_a_killed_server_change_no_revision(lonely: Project, tmp_path: Path) -> None:
    folder = source(tmp_path / "app", "one")
    lonely.service = "versions"
    configured(lonely, folder)
    first = rollout(lonely)
    assert first["outcome"] == "first_deployment", first
    source(folder, "two")
    os.kill(endpoint.read(lonely.local).pid, signal.SIGKILL)
    assert lonely.run("local", "up", "--strict-masks").code == 0
    assert get(lonely.live().uri) == "one"
    second = rollout(lonely)
    assert second["outcome"] == "promoted", second
    assert get(lonely.live().uri) == "two"
    shutil.rmtree(folder)
    assert lonely.run("local", "down").code == 0
    assert lonely.run("local", "up", "--strict-masks").code == 0
    assert get(lonely.live().uri) == "two"
    assert lonely.run("rollback", lonely.ref.name).code == 0
    assert get(lonely.live().uri) == "one"


def test_two_projects_with_one_image_name_keep_their_own(lonely: Project, tmp_path: Path) -> None:
    others = Project(tmp_path / "two", lonely.local, "others")
    others.folder.mkdir()
    lonely.service = "ours"
    configured(lonely, source(tmp_path / "app", "ours"))
    configured(others, source(others.folder / "app", "theirs"))
    for project in (lonely, others):
        assert rollout(project)["outcome"] == "first_deployment"
    assert lonely.run("local", "down").code == 0
    assert lonely.run("local", "up", "--strict-masks").code == 0
    assert (get(lonely.live().uri), get(others.live().uri)) == ("ours", "theirs")


def test_a_digest_that_nobody_made_is_a_missing_container(project: Project) -> None:
    unknown = "good@sha256:" + "0" * 64
    before = project.live().serving.serving
    done = rollout(project, unknown)
    assert (done["code"], done["outcome"]) == (11, "stopped_at_zero"), done
    assert f"Image '{unknown}' not found" in str(done["reason"])
    assert project.live().serving.serving == before


def test_the_same_source_is_the_same_rollout_and_a_folder_too_large_touches_nothing(
    empty: Project, tmp_path: Path
) -> None:
    folder = source(tmp_path / "app", "one")
    configured(empty, folder)
    first, again = rollout(empty), rollout(empty)
    assert (first["candidate"], first["code"]) == (again["candidate"], again["code"])
    with (folder / "model.bin").open("wb") as sparse:
        sparse.truncate(600 * 1024 * 1024)
    before = empty.live().etag
    refused = empty.run("rollout", "--image", "app")
    assert refused.code == 2
    assert "600.0 MiB are too much for an image; 512.0 MiB may be copied" in refused.stderr
    assert ".gitignore" in refused.stderr
    assert empty.live().etag == before


def test_the_copy_of_a_deleted_revision_goes(lonely: Project, tmp_path: Path) -> None:
    from google.cloud import run_v2
    from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

    lonely.service = "versions"
    configured(lonely, source(tmp_path / "app", "one"))
    assert rollout(lonely)["outcome"] == "first_deployment"
    assert copies(lonely) == 1
    with endpoint.read(lonely.local).channel() as channel:
        client = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
        client.delete_service(name=lonely.ref.name)
    until(lambda: copies(lonely) == 0)
