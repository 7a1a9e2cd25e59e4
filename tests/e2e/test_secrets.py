"""Secrets of a scenario, in each place that they may be used in: in no byte that a rollout leaves, whatever the service says."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.model import RECORD_ANNOTATION
from tests.e2e.project import Done, Project
from tests.receiver import receiving

FILE = "in-a-file/hunter+1"
GIVEN = {"WS_TOKEN": "said&hunter-2", "WS_KEY": "asked/hunter=3", "API_KEY": "Zm9v+held-hunter-4"}
SEND = "send: {type: execute_agent, payload: {agent: triage, text: hello}}"
EXPECT = "expect: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]"
STEPS = """headers: {X-Api-Key: "${env:API_KEY}"}
    steps:
      - send: {type: auth, token: "${env:WS_TOKEN}", file: "${file:keys/token}"}
      - expect: [{type: ack, save: {said: said.0}}]
      - send: {type: run, again: "${said}"}
      - expect: [done]"""


def command(build: str, *words: str) -> str:
    row = [sys.executable, str(Path(__file__).parent / "echoing.py"), *words]
    return f"{{command: {json.dumps(row)}, env: {{BUILD: '{build}'}}}}"


@pytest.fixture
def echoing(empty: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    images = {"good": command("1"), "next": command("2"), "bad": command("3", "--bad")}
    changes = {SEND: STEPS, EXPECT: "", "path: /ws": 'path: "/ws?key=${env:WS_KEY}"'}
    empty.configure(images, ("{percent: 0}", "{percent: 100, soak: 500ms}"), **changes)
    (empty.folder / "keys").mkdir()
    (empty.folder / "keys" / "token").write_text(f"{FILE}\n", encoding="utf-8")
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    return empty


def spellings(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    yield quote(secret, safe="").encode()
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret.encode())
        inner = encoded[4 * (before > 0) : -4]
        yield inner
        yield base64.urlsafe_b64encode(b"x" * before + secret.encode())[4 * (before > 0) : -4]


def written(project: Project, *done: Done) -> dict[str, bytes]:
    """All that is left: what was printed, each file but the secret's own, and the record on the service."""
    left = {f"{n}": (each.stdout + each.stderr).encode() for n, each in enumerate(done)}
    own = project.folder / "keys" / "token"
    files = [path for path in project.folder.rglob("*") if path.is_file() and path != own]
    left |= {str(path): path.read_bytes() for path in files}
    left["record"] = project.live().annotations[RECORD_ANNOTATION].encode()
    return left


def test_no_secret_is_left_anywhere(echoing: Project) -> None:
    with receiving() as receiver:
        text = echoing.file.read_text(encoding="utf-8")
        echoing.file.write_text(f"{text}webhook: {{url: '{receiver.url}'}}\n", encoding="utf-8")
        first = echoing.run("rollout", "--image", "good", "-o", "json", "-v")
        assert first.document["outcome"] == "first_deployment", first.stderr
        bad = echoing.run("rollout", "--image", "bad", "-o", "ndjson", "-vv")
        assert bad.document["outcome"] == "stopped_at_zero", bad.stderr
    assert "step 4: server closed with 1011" in bad.stderr
    report = echoing.run("report", "-o", "json")
    assert "closed with 1011" in report.stdout
    junit = echoing.run_here("report", "--format", "junit")
    assert "<testcase" in junit.stdout
    left = written(echoing, first, bad, report, junit)
    posted = b"".join(body for body, _ in receiver.raw)
    assert b"rollback" in posted
    left["webhook"] = posted
    assert {Path(place).suffix for place in left} > {".html", ".md", ".jsonl"}
    assert any(b"[redacted]" in text for text in left.values())
    for place, text in left.items():
        for secret in (FILE, *GIVEN.values()):
            assert not [form for form in spellings(secret) if form in text], place


def test_a_token_that_was_renewed_midway_makes_no_other_rollout(
    echoing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = echoing.run_here("rollout", "--image", "good", "-o", "json")
    assert first.document["outcome"] == "first_deployment", first.stderr
    begun = echoing.run_here("rollout", "--image", "next", "--no-wait", "-o", "json")
    assert begun.document["outcome"] == "under_way", begun.stderr
    monkeypatch.setenv("WS_TOKEN", "another-hunter-9")
    (echoing.folder / "keys" / "token").write_text("renewed-hunter-8", encoding="utf-8")
    text = echoing.file.read_text(encoding="utf-8")
    echoing.file.write_text(f"{text}webhook: {{url: 'http://127.0.0.1:1/x'}}\n", encoding="utf-8")
    ended = echoing.run_here("rollout", "--image", "next", "-o", "json")
    assert ended.document["outcome"] == "promoted", ended.stderr
    assert ended.document["rollout"] == begun.document["rollout"]
    assert "hunter" not in ended.stdout + ended.stderr


def test_one_that_is_missing_is_told_before_anything_is_touched(
    echoing: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WS_KEY")
    for words in (["plan", "--image", "good"], ["rollout", "--image", "good"]):
        done = echoing.run_here(*words)
        assert (done.code, "WS_KEY is not set" in done.stderr) == (2, True), done.stderr
        assert "export WS_KEY=" in done.stderr
    (echoing.folder / "keys" / "token").unlink()
    monkeypatch.setenv("WS_KEY", "back-hunter-1")
    done = echoing.run_here("plan", "--image", "good")
    assert (done.code, "${file:keys/token} cannot be read" in done.stderr) == (2, True), done.stderr
