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


_DISPATCH = "async def handle(ws, msg):\n    if msg['type'] == 'start':\n        await ws.send_json({'type': 'a'})\n    elif msg['type'] == 'stop':\n        await ws.send_json({'type': 'b'})\n"
_QUEUED = "def queued(kind):\n    def above(f):\n        async def call(*args):\n            queues[f.__name__].append((f, args))\n            return await f(*args)\n        return call\n    return above\n"
_TWO = "    async def start(ws, event): await ws.send_json({'type': 'a'})\n    HEAD\n    async def stop(ws, event): await ws.send_json({'type': 'b'})\n"
_SECOND = "@queued('two')"
_NONE = {
    "a decorator with a text that wraps": f"{_QUEUED}class Api:\n    @queued('one')\n{_TWO.replace('HEAD', _SECOND)}",
    "parts of a message": "def tell(ws_message):\n    for part in ws_message.content:\n        if part['type'] == 'intro':\n            a()\n        elif part['type'] == 'outro':\n            b()\n",
    "what language models say": "def tell(message):\n    if message['type'] == 'image_url':\n        a()\n    elif message['type'] == 'tool_use':\n        b()\n",
    "an argument that is no message's": "class Cache:\n    def save_time(self, event):\n        if event == 'start':\n            a()\n        elif event == 'end':\n            b()\n",
    "values of the object": "class WebSocketEvent:\n    @property\n    def topics(self): return send({'type': 'x'})\n    @property\n    def block(self): return send({'type': 'y'})\n    def params(self):\n        return {'topics': self.topics, 'block': self.block}\n",
    "names that are written out": "class Message:\n    def fill(self, data):\n        for each in ('author', 'member'):\n            getattr(self, f'_take_{each}')(data[each])\n    def _take_author(self, message): ...\n    def _take_member(self, message): ...\n",
    "numbers": "class Kind(Enum):\n    START = 1\n    STOP = 2\ndef run(ws, message):\n    if message.type is Kind.START:\n        a()\n    elif message.type is Kind.STOP:\n        b()\n",
    "models of HTTP": "class A:\n    type: Literal['a']\nclass B:\n    type: Literal['b']\nChatToolConfig = Union[A, B]\n",
    "a library's registry": "import altair as alt\ndef a(event): return send({'type': 'x'})\nalt.themes.register('one', a)\nalt.themes.register('two', a)\n",
    "subscriptions that are kept": "def a(ws): ...\ndef b(ws): ...\nends = [driver.once.on('one', a), driver.once.on('two', b)]\n",
}  # fmt: skip


@pytest.mark.parametrize("way", [each for each in _NONE if each != "subscriptions that are kept"])
def test_what_tells_no_messages_apart_is_not_proposed(way: str, tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/api.py": _NONE[way], "app/h.py": "def read(m): return m['type']\n"})
    assert propose(root, root).dispatchers == ()


def test_what_a_list_of_subscriptions_keeps_is_no_table(tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/api.py": _NONE["subscriptions that are kept"]})
    assert "ends" not in {each.name for each in propose(root, root).dispatchers}


def test_each_dispatcher_has_all_of_its_own_keys(tmp_path: Path) -> None:
    other = _DISPATCH.replace("'stop'", "'pause'")
    root = plant(tmp_path, {"app/a.py": _DISPATCH, "app/b.py": other})
    assert [(each.path, each.keys) for each in propose(root, root).dispatchers] == [
        ("app/a.py", ("start", "stop")),
        ("app/b.py", ("start", "pause")),
    ]


def test_of_two_things_that_are_asked_for_the_keys_of_one_are_proposed(tmp_path: Path) -> None:
    """``event-map`` holds on to one value in a function: keys of the other would be told of as lost."""
    text = f"{_DISPATCH}    for part in msg['parts']:\n        if part['type'] == 'text':\n            go()\n"
    root = plant(tmp_path, {"app/a.py": text})
    (row,) = propose(root, root).dispatchers
    assert row.keys == ("start", "stop")
    asked = (EventMap(row.name, row.path, dict.fromkeys(row.keys, "")),)
    assert run(root, Settings(event_map=asked), jobs=1, cache=False).findings == ()


@pytest.mark.parametrize(
    "kept",
    [
        "HANDLERS[kind] = f",
        "HANDLERS.append((kind, f))",
        "bus.subscribe(kind, f)",
        "f.kind = kind",
        "setattr(f, 'kind', kind)",
    ],
)
def test_a_decorator_that_keeps_what_it_stands_above_is_a_registry(kept: str, tmp_path: Path) -> None:
    maker = f"def answers(kind):\n    def above(f):\n        {kept}\n        return f\n    return above\n"
    used = "@answers('start')\nasync def start(ws): ...\n@answers('stop')\nasync def stop(ws): ...\n"
    root = plant(tmp_path, {"app/a.py": maker + used})
    assert [(each.name, each.keys) for each in propose(root, root).dispatchers] == [
        ("answers", ("start", "stop"))
    ]


@pytest.mark.parametrize(
    "text", ["class Run:\n    type: Literal[()]\n", "Message = Annotated[()]\n", "Message = Union[()]\n"]
)
def test_annotations_that_hold_nothing_are_passed_over(text: str, tmp_path: Path) -> None:
    name, _, dispatched = incident.DISPATCHED["if"]
    made = propose(plant(tmp_path, {"app/dispatch.py": dispatched + text}), tmp_path)
    assert [dispatcher.name for dispatcher in made.dispatchers] == [name]
