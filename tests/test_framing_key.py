"""``framing``, ``type``, ``ignore`` and ``max-message`` of a scenario: what they make, and what is said of a wrong one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from pipeline import credentials
from pipeline.config import json_schema, schema, yamltree
from pipeline.errors import ConfigError, UserError
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from pipeline.probe.speech import framing_of

FILE = """\
service: s
environments: {{l: {{endpoint: local}}}}
scenarios:
  a:
    path: {path}
    send: {{type: x}}
    expect: [done]
    {line}
"""


@cache
def validator() -> Draft7Validator:
    return Draft7Validator(json_schema.schema())


def built(line: str, path: str = "/ws", file: str = "spillway.yaml") -> Scenario:
    text = FILE.format(path=path, line=line)
    (scenario,) = schema.parse(text, file).build_scenarios()
    assert list(validator().iter_errors(yamltree.parse(text, file).value)) == []
    return scenario


def test_without_a_word_it_is_json() -> None:
    made = built("")
    assert (made.framing.name, made.framing.type_path, made.max_message_bytes) == ("json", "type", 1 << 20)


def test_an_event_of_one_word_is_looked_for_where_messages_say_what_they_are() -> None:
    assert built("type: data.kind").expected == (Expectation({"data.kind": "done"}),)
    assert built("framing: signalr").expected == (Expectation({"target": "done"}),)
    assert built("framing: signalr\n    type: arguments.0.kind").expected == (
        Expectation({"arguments.0.kind": "done"}),
    )


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/socket.io/", "/socket.io/?EIO=4&transport=websocket"),
        ("/socket.io/?room=1", "/socket.io/?room=1&EIO=4&transport=websocket"),
        ("/socket.io/?EIO=4&transport=websocket&x=1", "/socket.io/?EIO=4&transport=websocket&x=1"),
    ],
)
def test_an_address_has_what_the_framing_wants(path: str, wanted: str) -> None:
    assert built("framing: socket.io", path=path).path == wanted


def test_a_handshake_asks_for_the_framings_subprotocol_unless_others_are_named() -> None:
    assert built("framing: graphql-transport-ws").subprotocols == ("graphql-transport-ws",)
    other = built("framing: graphql-transport-ws\n    subprotocols: [own.v1]")
    assert other.subprotocols == ("own.v1",)


def test_options_limits_and_heartbeats() -> None:
    made = built("framing: {name: socket.io, namespace: /chat}\n    ignore: [ping]\n    max-message: 4MiB")
    assert (made.framing.name, made.framing.options, made.framing.ignore, made.max_message_bytes) == (
        "socket.io", {"namespace": "/chat", "most": 4 << 20}, ("ping",), 4 << 20,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("framing: soketio", 5, "no framing 'soketio', did you mean socket.io?; known: json, "),
        ("framing: xml", 5, "no framing 'xml'; known: json, "),
        ("framing: 7", 5, "must be a framing's name, or a mapping with it, got 7"),
        ("framing: {namespace: /chat}", 5, "needs the framing's name"),
        ("framing: {name: json, nam: 1}", 27, "framing json has no option nam; it has binary"),
        ("framing: {name: msgpack, binary: true}", 30, "framing msgpack has no option binary; it has none"),
        ("framing: {name: json, binary: 1}", 27, "must be true or false"),
        ("framing: {name: socket.io, namespace: chat}", 32, "must be a name that begins with a slash"),
        ("framing: {name: text, pattern: '('}", 27, "must be a regular expression"),
        ("framing: {name: json-lines, separator: ','}", 33, "must be newline or 0x1e"),
        ("framing: 'a b:C'", 5, "no framing 'a b:C'"),
        ("type: a..b", 5, "must be a dotted path"),
        ("ignore: ['']", 14, "must not be empty"),
        ("max-message: 5", 5, "5 is not a size: write for example 64KiB or 4MiB"),
        ("max-message: 1GB", 5, "'1GB' is not a size"),
        ("max-message: 65MiB", 5, "'65MiB' is more than 64MiB"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(line: str, column: int, words: str) -> None:
    with pytest.raises(ConfigError) as told:
        built(line)
    assert told.value.what.startswith(f"spillway.yaml:8:{column}: ")
    assert words in told.value.what


def test_an_options_value_is_never_repeated() -> None:
    with pytest.raises(ConfigError) as told:
        built("framing: {name: centrifugo, token: [hunter2]}")
    assert "hunter2" not in str(told.value)


def test_the_sink_learns_what_a_framing_is_opened_with() -> None:
    line = "framing: {name: socket.io, auth: {token: tr0ub4dor}}"
    tree = yamltree.parse(FILE.format(path="/", line=line), "f").value
    assert credentials.of_config(tree, {}) == ("tr0ub4dor",)


def test_a_class_stands_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("class Said:\n    is_ready = True\n")
    made = built("framing: beside_it:Said", file=str(tmp_path / "spillway.yaml"))
    assert framing_of(made).is_ready
    missing = built("framing: not_beside_it:Said", file=str(tmp_path / "spillway.yaml"))
    with pytest.raises(UserError) as told:
        framing_of(missing)
    what, why, fix = str(told.value).split("\n")
    assert what == "scenario a cannot be held"
    assert why.startswith("framing not_beside_it:Said cannot be imported: ModuleNotFoundError")
    assert str(tmp_path) in fix
