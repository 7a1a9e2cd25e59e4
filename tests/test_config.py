"""spillway.yaml: what is accepted, and that every complaint names its place, its key and its value."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config import raw, schema
from pipeline.errors import ConfigError, UserError
from pipeline.model import ServiceRef
from pipeline.probe.steps import Expect

GOOD = """\
service: agent-chat
environments:
  local: {endpoint: local}
images:
  good: {command: [python, -m, server]}
scenarios:
  agent-run:
    path: /ws
    send: {type: execute_agent, payload: {agent: triage}}
    expect: [agent_started, [agent_thinking, tool_executing], {type: agent_completed, payload.status: done}]
    within: 10s
stages: [{percent: 0}, {percent: 5, soak: 5m}, {percent: 100, soak: 1h30m}]
criteria:
  server_error_1011: {limit: 0.1%, certify: 1%}
  first_event: {slower-than: 500ms, limit: 5%}
false-rollbacks: 1 in 1000
"""


def broken(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_file_becomes_typed_values() -> None:
    made = schema.parse(GOOD)
    assert made.false_rollbacks == 0.001
    assert made.terms().stages[2].soak == timedelta(minutes=90)
    _, expect = made.build_scenarios()[0].steps
    assert isinstance(expect, Expect)
    assert [[e.name for e in group] for group in expect.groups] == [
        ["agent_started"], ["agent_thinking", "tool_executing"], ["agent_completed"],
    ]  # fmt: skip
    assert made.terms().criteria[1].slower_than == timedelta(milliseconds=500)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        pytest.param(broken("service:", "servcie:"), "1:1", "unknown key servcie, did you mean service?", id="unknown-key"),
        pytest.param(broken("soak: 5m", "soak: 5"), "12:37", "5 is not a duration: write 5s or 5m", id="bare-number"),
        pytest.param(broken("soak: 5m", "soak: 12:30"), "12:37", "12:30 is a number in base 60 to YAML 1.1 and text to YAML 1.2", id="sexagesimal"),
        pytest.param(broken("limit: 0.1%", "limit: 0.1"), "14:23", "0.1 is not a rate", id="bare-rate"),
        pytest.param(broken("limit: 5%", "limt: 5%"), "15:37", "unknown key criteria.first_event.limt", id="nested-key"),
        pytest.param(broken("slower-than: 500ms, ", ""), "15:3", "first_event", id="latency-without-bound"),
        pytest.param(broken("certify: 1%", "certify: 0.01%"), "14:36", "below what can be certified, 0.05%", id="too-little"),
        pytest.param(broken("slower-than: 500ms, ", 'slower-than: 500ms, ignore-reasons: ["x"], '), "15:3", "belongs to abnormal_1006 and server_error_1011", id="no-reasons"),
        pytest.param(broken("server_error_1011", "server_error_1012"), "13:1", "did you mean server_error_1011", id="metric"),
        pytest.param(broken("{percent: 5, soak: 5m}, ", "{percent: 150}, "), "12:25", "150", id="percent"),
        pytest.param(broken("{percent: 0}, ", ""), "12:1", "must rise from 0 to 100", id="no-stage-zero"),
        pytest.param(broken("service: agent-chat", "service: Agent_Chat"), "1:1", "'Agent_Chat'", id="service-name"),
        pytest.param(broken("endpoint: local", "project: p"), "3:3", "needs project and region", id="nowhere"),
        pytest.param(broken("1 in 1000", "sometimes"), "16:1", "'sometimes' is not a bound", id="odds"),
        pytest.param(broken("service: agent-chat", "service: a\nservice: b"), "2:1", "duplicate key 'service', first on line 1", id="duplicate"),
        pytest.param(broken("expect: [", "expect: [{}, "), "10:14", "is not an event", id="empty-event"),
        pytest.param(GOOD + "verify: {smoke: {command: [a], percents: [0, 50]}}", "17:32", "no stage has 50%: stages has 0, 5, 100", id="no-such-stage"),
        pytest.param(GOOD + "verify: {smoke: {command: []}}", "17:18", "must not be empty", id="no-command"),
        pytest.param("service: [", "1:11", "not valid YAML", id="syntax"),
        pytest.param("- a", "1:1", "must be a mapping", id="list"),
        pytest.param("", "1:1", "must be a mapping", id="empty"),
        pytest.param("a: !!python/object:os.system x", "1:4", "is not read", id="tag"),
        pytest.param("a: " + "[" * 3000, "1:1", "nested too deep", id="3000-deep"),
        pytest.param("a: " + "[" * 60 + "]" * 60, "1:", "nested too deep", id="60-deep"),
        pytest.param("x: &x [1,2,3,4,5,6,7,8,9]\n" + "".join(
            f"{chr(97 + i)}: &{chr(97 + i)} [{', '.join(['*' + (chr(96 + i) if i else 'x')] * 9)}]\n" for i in range(8)
        ), "", "too large once its aliases are followed", id="alias-bomb"),
    ],
)  # fmt: skip
def test_complaints(text: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schema.parse(text)
    assert caught.value.what.startswith(f"spillway.yaml:{place}")
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_complaints_are_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        schema.parse(broken("soak: 5m", "soak: 5").replace("0.1%", "0.1"))
    assert "12:37" in caught.value.what
    assert "14:23" in caught.value.why


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="-c FILE"):
        schema.validate(raw.read(tmp_path / "spillway.yaml"))


def test_a_local_image_is_a_known_name_or_a_digest() -> None:
    made = schema.parse(GOOD)
    _, local = made.environment(None)
    assert made.image_reference("good", local) == "good"
    pinned = "an-older-one@sha256:" + "0" * 64
    assert made.image_reference(pinned, local) == pinned
    with pytest.raises(UserError, match="Did you mean --image good"):
        made.image_reference("godo", local)
    with pytest.raises(UserError, match="not pinned by digest"):
        made.image_reference("good@sha256:abc", local)


def test_a_cloud_image_needs_a_digest() -> None:
    made = schema.parse(broken("{endpoint: local}", "{project: p, region: r}"))
    _, cloud = made.environment("local")
    with pytest.raises(UserError, match="not pinned by digest"):
        made.image_reference("gcr.io/p/app:latest", cloud)


def test_the_fingerprint_sees_meaning_not_spelling() -> None:
    plain = schema.parse(GOOD).fingerprint()
    assert schema.parse("# a comment\n" + GOOD).fingerprint() == plain
    assert schema.parse(broken("5m", "300s")).fingerprint() == plain
    assert schema.parse(broken("5m", "6m")).fingerprint() != plain


def test_the_fingerprint_is_of_what_decides_how_a_rollout_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tokened = GOOD.replace("    send: {", '    headers: {X-Token: "${env:WS_TOKEN}"}\n    send: {', 1)
    assert tokened != GOOD
    monkeypatch.setenv("WS_TOKEN", "one-of-them")
    plain = schema.parse(tokened).fingerprint()
    monkeypatch.setenv("WS_TOKEN", "another-one")
    assert schema.parse(tokened).fingerprint() == plain
    assert schema.parse(tokened.replace("WS_TOKEN", "TOKEN")).fingerprint() != plain
    assert schema.parse(tokened).fingerprint("probes") != plain
    for same in (
        "probes: {every: 3s, sessions: 9}",
        "heartbeat: 3s",
        "webhook: {url: 'https://example.test'}",
    ):
        assert schema.parse(f"{tokened}{same}\n").fingerprint() == plain
    for other in ("bad-promotions: 1 in 30", "container: {env: {A: b}}", "evidence: {within: 99s}"):
        assert schema.parse(f"{tokened}{other}\n").fingerprint() != plain


@pytest.mark.parametrize(
    ("environment", "fix"),
    [
        ("{endpoint: local, project: acme}", "Leave out project and region; for the cloud, leave out endpoint: local."),
        ("{project: local, region: r}", "Name the project, or write endpoint: local in place of project and region."),
    ],
)  # fmt: skip
def test_a_project_in_the_wrong_place_is_told_in_three_lines(environment: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schema.parse(broken("{endpoint: local}", environment))
    assert caught.value.what.startswith("spillway.yaml:3:")
    assert len(str(caught.value).splitlines()) == 3
    assert caught.value.fix == fix


@pytest.mark.parametrize(
    ("environment", "is_local"), [("{endpoint: local}", True), ("{project: acme, region: r}", False)]
)
def test_where_a_service_is_follows_from_its_name(environment: str, is_local: bool) -> None:
    """The name is all that a record, a report and a roll-back without a configuration have."""
    made = schema.parse(broken("{endpoint: local}", environment))
    ref = made.ref(made.environment(None)[1])
    assert ref.is_local is is_local
    assert ServiceRef.parse(ref.name) == ref


def test_an_unknown_environment_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"spillway\.yaml has: local"):
        schema.parse(GOOD).environment("prod")


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        pytest.param("soak: 5m", "soak: 99999999999999h", "12:37", "is too long: a duration is at most 366d", id="overflow"),
        pytest.param("soak: 5m", "soak: -5m", "12:37", "it cannot be negative", id="negative"),
        pytest.param("soak: 5m", "soak: 1e400s", "12:37", "is not a duration", id="infinite"),
        pytest.param("soak: 5m", "soak: yes", "12:37", "true is not a duration", id="a switch for a duration"),
        pytest.param("within: 10s", "within: 0s", "11:5", "must lie between 1ms and 1h", id="no time at all"),
        pytest.param("limit: 0.1%", "limit: .nan", "14:23", "a number that cannot be kept", id="not a number"),
        pytest.param("limit: 0.1%", "limit: 1_0%", "14:23", "is not a rate", id="underscore"),
        pytest.param("percent: 5,", "percent: 5.0,", "12:25", "must be a whole number, got 5.0", id="a fraction"),
        pytest.param("percent: 5,", 'percent: "5",', "12:25", "must be a whole number, got '5': write it without quotes", id="quoted"),
        pytest.param("percent: 5,", "percent: 05,", "12:25", "octal in YAML 1.1", id="octal"),
        pytest.param("percent: 5,", "percent: true,", "12:25", "must be a whole number, got true", id="a switch"),
        pytest.param("soak: 5m", "hold: 'yes'", "12:37", "must be true or false, got 'yes'", id="quoted switch"),
        pytest.param("soak: 5m", "hold: 'true'", "12:37", "write it without quotes", id="quoted true"),
        pytest.param("soak: 5m", "hold: 1", "12:37", "must be true or false, got 1", id="1 for true"),
        pytest.param("agent: triage", "agent: no", "9:43", 'Write "no" for the text, or true or false.', id="no in a message"),
        pytest.param("payload.status: done", "payload.status: on", "10:87", "on is true or false to YAML 1.1", id="on in an event"),
        pytest.param("server]}", "server], env: {DEBUG: yes}}", "5:47", "got yes, which YAML reads as true: write it in quotes", id="yes for text"),
        pytest.param("server]}", "server], env: {PORT: 8080}}", "5:47", "must be text: write it in quotes", id="number for text"),
        pytest.param("service: agent-chat", "service: yes", "1:1", "must be text, got yes, which YAML reads as true", id="a name"),
        pytest.param("service: agent-chat", "service: 12", "1:1", "must be text, got 12: write it in quotes", id="a numeric name"),
        pytest.param("service: agent-chat", "service: -x-", "1:1", "must be at most 49 small letters, digits and hyphens", id="pattern"),
        pytest.param("path: /ws", "path: ws", "8:5", "must be a path that starts with a slash", id="path"),
        pytest.param("type: agent_completed,", "type: agent_completed, repeat: true,", "10:63", "did you mean repeats?", id="repeat"),
        pytest.param("within: 10s", "Within: 10s", "11:5", "unknown key scenarios.agent-run.Within, did you mean within?", id="capital"),
        pytest.param("soak: 1h30m", "dead_line: 1h", "12:63", "did you mean deadline?", id="underscore in a key"),
        pytest.param("false-rollbacks: 1 in 1000", "evidence: {block: 0s}", "16:12", "must lie between 100ms and 1d", id="block"),
        pytest.param("false-rollbacks: 1 in 1000", "drain: evict", "16:1", "drain.how: must be keep, ask or delete, got 'evict'", id="drain"),
        pytest.param("false-rollbacks: 1 in 1000", "drain: [keep]", "16:1", "must be a mapping", id="drain, a list"),
        pytest.param("false-rollbacks: 1 in 1000", "drain: {how: ask, max: 5s}", "16:19", "5s must lie between 10s and 1h", id="drain too soon"),
        pytest.param("false-rollbacks: 1 in 1000", "drain: {promoted: delete}", "16:9", "must be keep or ask, got 'delete'", id="drain of stable"),
        pytest.param("false-rollbacks: 1 in 1000", "drain: {how: ask, url: ftp://h/x}", "16:19", "must be an address that starts with https://", id="drain by ftp"),
        pytest.param("false-rollbacks: 1 in 1000", "drain: {how: delete, url: https://h/x}", "16:22", "nobody looks there", id="drain, nobody asks"),
        pytest.param("false-rollbacks: 1 in 1000", "container: 5", "16:1", "must be a mapping, got 5", id="a section"),
        pytest.param("false-rollbacks: 1 in 1000", "container: {cpu: 2}", "16:13", "must be text, got 2", id="cpu"),
        pytest.param("false-rollbacks: 1 in 1000", "container: {port: 70000}", "16:13", "must be at most 65535, got 70000", id="port"),
        pytest.param("{endpoint: local}", "{endpoint: moon}", "3:11", "must be local or cloud, got 'moon'", id="choice"),
        pytest.param("{endpoint: local}", "{endpoint: local, project: acme, region: us-central1}", "3:28",
                     "environments.local.project: 'acme' stands beside endpoint: local", id="a project for the local one"),
        pytest.param("{endpoint: local}", "{region: us-central1, endpoint: local}", "3:11",
                     "environments.local.region: 'us-central1' stands beside endpoint: local", id="a region for it"),
        pytest.param("{endpoint: local}", "{endpoint: local, project: local}", "3:28",
                     "environments.local.project: 'local' stands beside", id="its own project for it"),
        pytest.param("{endpoint: local}", "{project: local, region: us-central1}", "3:11",
                     "environments.local.project: local is the local Cloud Run's own project", id="its project in the cloud"),
        pytest.param("{endpoint: local}", "{endpoint: cloud, region: r, project: local}", "3:39",
                     "environments.local.project: local is the local Cloud Run's own project", id="the same, said twice"),
        pytest.param("false-rollbacks: 1 in 1000", "stages: []", "16:1", "duplicate key", id="twice"),
        pytest.param("expect: [agent_started, ", "expect: [[], ", "10:14", "an empty list expects nothing", id="empty group"),
    ],
)  # fmt: skip
def test_complaints_are_in_our_words(old: str, new: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schema.parse(broken(old, new))
    text = str(caught.value)
    assert text.startswith(f"spillway.yaml:{place}: ")
    assert words in text
    for theirs in (
        "Input should",
        "Value error",
        "valid ",
        "ValidationError",
        "pattern",
        "Error",
        "^",
        "type=",
    ):
        assert theirs not in text.replace("not valid YAML", "")


def test_a_complaint_does_not_repeat_what_may_be_secret() -> None:
    for new in (
        "env: {API_TOKEN: 123456789}",
        "env: {X: 123456789}",
        "env: {X: [123456789]}",
        "env: 123456789",
    ):
        with pytest.raises(ConfigError) as caught:
            schema.parse(broken("server]}", f"server], {new}}}"))
        assert "123456789" not in str(caught.value)


def test_a_long_key_and_a_long_value_are_cut() -> None:
    for new in (f"{'k' * 5000}: 1", f"drain: {'v' * 5000}"):
        with pytest.raises(ConfigError) as caught:
            schema.parse(broken("false-rollbacks: 1 in 1000", new))
        assert len(str(caught.value)) < 400


def test_switches_may_be_spelt_as_yaml_has_them() -> None:
    assert schema.parse(broken("soak: 5m", "soak: 5m, hold: yes")).stages[1].hold


def test_events_without_a_path_would_silently_not_be_expected() -> None:
    for said in ("expect: [done]", "send: {type: hello}"):
        text = f"service: chat\nenvironments: {{here: {{endpoint: local}}}}\nscenarios:\n  run: {{{said}, http: [{{path: /x}}]}}\n"
        with pytest.raises(ConfigError) as caught:
            schema.parse(text)
        assert caught.value.what.startswith("spillway.yaml:4:3: scenarios.run: send and expect need")
