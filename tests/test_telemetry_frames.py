"""The middleware counts the runs of a service that speaks no plain JSON, told how by the scenarios alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from pipeline.config.known_runs import known_runs
from pipeline.config.scenarios_section import ScenarioConfig
from pipeline.probe.scenario import Scenario
from pipeline.telemetry.settings import Known
from tests.test_telemetry import ACCEPT, ENVIRON, LEAVE, Hand

D = timedelta(seconds=5)
GOOD = [("ws_accept",), ("agent_start", 1), ("agent_run", 1, "ok"), ("ws_close", 1000, "client")]


def hand(scenario: Scenario) -> Hand:
    known = known_runs([scenario], D)
    assert known
    assert Known.decode(known.encode()) == known
    environ = {**ENVIRON, "SPILLWAY_TELEMETRY": known.encode()}
    return Hand(expects=None, within_s=None, environ=environ)


def frame(kind: str, data: str | bytes | bytearray) -> Mapping[str, object]:
    return {"type": f"websocket.{kind}", "text" if isinstance(data, str) else "bytes": data}


def summary(lines: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    names = {"agent_start": ("run",), "agent_run": ("run", "outcome"), "ws_close": ("code", "closed_by")}
    return [(line["event"], *(line[name] for name in names.get(line["event"], ()))) for line in lines]


@pytest.mark.parametrize(
    ("config", "answers"),
    [
        ({"framing": "json-array", "send": {"type": "run"}, "expect": ["a", "b"]}, ['[{"type":"x"},{"type":"a"},{"type":"b"}]']),
        ({"framing": "json-lines", "send": {"type": "run"}, "expect": ["a", "b"]}, ['{"type":"a"}\n{"type":"b"}\n']),
        ({"framing": {"name": "json", "binary": True}, "send": {"type": "run"}, "expect": ["a"]}, [b'{"type":"a"}']),
        ({"framing": "json", "type": "d.kind", "send": {"d": {"kind": "run"}}, "expect": ["a"]}, ['{"d":{"kind":"a"}}']),
        ({"framing": {"name": "text", "pattern": r"^(?P<type>\w+)"}, "type": "type", "send": "RUN 1", "expect": ["DONE"]}, ["DONE 2"]),
        ({"framing": "text", "send": "RUN", "expect": ["DONE"]}, ["other", "DONE"]),
        ({"framing": "msgpack", "send": {"type": "run"}, "expect": ["a", "b"]}, [b"\x81\xa4type\xa1a\x81\xa4type\xa1b"]),
        ({"framing": "msgpack", "send": {"type": "run"}, "expect": ["a"]}, [bytearray(b"\x81\xa4type\xa1a")]),
        ({"framing": "socket.io", "send": {"type": "run", "data": 1}, "expect": ["a", "b"]},
         ['0{"sid":"x"}', '40{"sid":"y"}', "2", '451-["a",{"_placeholder":true,"num":0}]', b"x", '42["b"]']),
        ({"framing": {"name": "socket.io", "namespace": "/c", "auth": {"token": "s3cr3t"}}, "send": {"type": "run"}, "expect": ["a"]},
         ['42["a"]', '42/c,["a"]']),
        ({"framing": "graphql-transport-ws", "send": {"payload": {"query": "subscription {x}"}}, "expect": ["next", "complete"]},
         ['{"type":"connection_ack"}', '{"type":"next","id":"1"}', '{"type":"complete","id":"1"}']),
        ({"framing": "signalr", "send": {"target": "Run"}, "expect": ["a", "b"]}, ['{}\x1e{"type":6}\x1e', '{"type":1,"target":"a"}\x1e{"type":1,"target":"b"}\x1e']),
        ({"framing": "centrifugo", "send": {"rpc": {"method": "run"}}, "expect": [{"rpc.data.kind": "done"}]}, None),
    ],
)  # fmt: skip
async def test_runs_are_counted(
    config: dict[str, Any], answers: list[str | bytes | bytearray] | None
) -> None:
    fields = {**config, "type_path": config.get("type", "")}
    fields.pop("type", None)
    scenario = ScenarioConfig(path="/ws", **fields).build("s")
    if answers is None:  # its requests have no word of their own
        assert known_runs([scenario], D) is None
        return
    playing = hand(scenario)
    assert "s3cr3t" not in str(playing.options)
    framing = scenario.framing.connect()
    asked = [frame("receive", each) for each in (*framing.opening(), *framing.encode(scenario.sent[0]))]
    await playing.play(ACCEPT, *asked, *(frame("send", each) for each in answers), LEAVE)
    assert summary(playing.lines) == GOOD


@pytest.mark.parametrize("rubbish", ["", "x", "42", "4", "[", b"\xff", "45999-[1]", "x" * (2 << 20)])
async def test_a_frame_that_is_not_of_the_framing_is_no_event(rubbish: str | bytes) -> None:
    playing = hand(
        ScenarioConfig(path="/ws", framing="socket.io", send={"type": "run"}, expect=["a"]).build("s")
    )
    asked = frame("receive", '42["run"]')
    await playing.play(
        ACCEPT, frame("receive", rubbish), asked, frame("send", rubbish), frame("send", '42["a"]'), LEAVE
    )
    assert summary(playing.lines) == GOOD


@pytest.mark.parametrize(
    ("framing", "words"),
    [
        ('{"name": "morse"}', "cannot be imported"),
        ('{"name": "no_such_place:Framing"}', "cannot be imported"),
        ('{"name": "text", "patern": "x"}', "TypeError"),
        ('{"name": ["json"]}', "framing: no name"),
        ('"socket.io"', "framing: no name"),
    ],
)
async def test_a_framing_that_cannot_be_spoken_leaves_the_service_alone(
    framing: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told_so = f'{{"runs": {{"run": ["a"]}}, "framing": {framing}}}'
    playing = Hand(expects=None, within_s=None, environ={**ENVIRON, "SPILLWAY_TELEMETRY": told_so})
    await playing.play(ACCEPT, frame("receive", '42["run"]'), frame("send", '42["a"]'), LEAVE)
    assert [line["event"] for line in playing.lines] == ["ws_accept", "ws_close"]
    assert words in capsys.readouterr().err
