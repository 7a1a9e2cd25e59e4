"""``--discover`` says what ``event-map`` could be told: dispatchers with their keys, and what clients send in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.runner import run
from checks.service.proposal import propose
from checks.settings import EventMap, Settings
from tests.checks_corpus import incident
from tests.checks_corpus.shapes import Shape, shapes
from tests.test_checks_cli import Spillway, spillway
from tests.test_checks_examples import plant

__all__ = ["spillway"]  # the fixture
_CLIENT = 'async def test_run(ws):\n    await ws.send_json({"type": "KEY", "payload": {}})\n'
_KNOWN = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


def client(key: str) -> dict[str, str]:
    return {"tests/test_run.py": _CLIENT.replace("KEY", key)}


@pytest.mark.parametrize("style", incident.DISPATCHED)
def test_a_dispatcher_is_named_with_its_keys_and_what_it_lacks(style: str, tmp_path: Path) -> None:
    name, _, text = incident.DISPATCHED[style]
    root = plant(tmp_path, {"app/dispatch.py": text, **client("execute_agent")})
    made = propose(root, root)
    assert [(d.name, d.path, d.keys) for d in made.dispatchers] == [(name, "app/dispatch.py", _KNOWN)]
    assert {kind: str(place) for kind, place in made.unhandled.items()} == {
        "execute_agent": "tests/test_run.py:2"
    }


def test_what_is_proposed_is_a_configuration_that_passes(spillway: Spillway) -> None:
    for style in incident.DISPATCHED:
        _, _, text = incident.DISPATCHED[style]
        plant(Path(), {"app/dispatch.py": text})
        said = spillway("--discover", "-o", "json")
        (row,) = said.document["event_map"]
        assert row["requires"] == list(_KNOWN)
        (line,) = (each.strip() for each in said.err.splitlines() if "- {map: " in each)
        plant(Path(), {"spillway.yaml": f"checks:\n  event-map:\n    {line}\n"})
        assert spillway("-o", "json").document["findings"] == []
        Path("spillway.yaml").unlink()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("web/src/run.ts", "socket.send(JSON.stringify({ type: 'execute_agent', id }));\n"),
        ("web/src/run.tsx", 'ws.send(\n  JSON.stringify({\n    type: "execute_agent",\n  }),\n);\n'),
        ("tests/test_a.py", 'def test_a(ws):\n    ws.send_text(\'{"type": "execute_agent"}\')\n'),
    ],
)
def test_clients_beside_the_source_are_looked_at(path: str, text: str, spillway: Spillway) -> None:
    _, _, dispatched = incident.DISPATCHED["if"]
    config = "source: server\nchecks: {json-safe-logs: }\n"
    plant(Path(), {"spillway.yaml": config, "server/dispatch.py": dispatched, path: text})
    said = spillway("--discover", "-o", "json")
    assert list(said.document["unhandled"]) == ["execute_agent"]
    assert f"{path}:" in said.err
    assert "'execute_agent' is sent here, and nothing handles it" in said.err


@pytest.mark.parametrize(
    "files",
    [
        client("agent_started"),
        {
            "web/a.ts": "// socket.send({ type: 'execute_agent' })\nsocket.send(body); const a = { type: 'x' };\n"
        },
        {"app/reply.py": _CLIENT.replace("KEY", "reply").replace("test_", "")},
    ],
)
def test_what_is_handled_or_sent_by_the_service_itself_is_not_told(
    files: dict[str, str], tmp_path: Path
) -> None:
    _, _, text = incident.DISPATCHED["if"]
    root = plant(tmp_path, {"app/dispatch.py": text, **files})
    assert propose(root, root).unhandled == {}


def test_nothing_is_proposed_where_a_map_is_configured(spillway: Spillway) -> None:
    _, _, text = incident.DISPATCHED["if"]
    config = "checks: {event-map: [{map: dispatch, in: app/dispatch.py, requires: [agent_started]}]}\n"
    plant(Path(), {"spillway.yaml": config, "app/dispatch.py": text})
    assert "event_map" not in spillway("--discover", "-o", "json").document


def test_a_tree_without_messages_proposes_nothing(tmp_path: Path) -> None:
    made = propose(plant(tmp_path, {"a.py": "x = 1\n", **client("run")}), tmp_path)
    assert (made.dispatchers, made.unhandled) == ((), {})


@pytest.mark.parametrize(
    "shape", [each for each in shapes() if each.is_discovered], ids=lambda each: each.title
)
def test_what_is_found_of_a_shape_is_what_event_map_reads(shape: Shape, tmp_path: Path) -> None:
    whole, lacking = plant(tmp_path / "whole", shape.whole), plant(tmp_path / "lacking", shape.lacking)
    found = propose(whole, whole).dispatchers
    (first, *_) = (each for each in found if set(shape.keys) <= set(each.keys))
    asked = [EventMap(each.name, each.path, dict.fromkeys(each.keys, "")) for each in found]
    assert run(whole, Settings(event_map=tuple(asked)), jobs=1, cache=False).findings == ()
    settings = Settings(event_map=(EventMap(first.name, first.path, dict.fromkeys(first.keys, "")),))
    messages = [each.message for each in run(lacking, settings, jobs=1, cache=False).findings]
    assert any(repr(shape.keys[-1]) in message for message in messages)


def test_most_shapes_are_found() -> None:
    made = list(shapes())
    assert sum(each.is_discovered for each in made) >= 0.75 * len(made)
