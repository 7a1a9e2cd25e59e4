"""What the middleware is told of a run is what the scenarios say, and nothing that they leave open."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from pipeline.config import schema
from pipeline.config.known_runs import known_runs
from pipeline.config.scenarios_section import ScenarioConfig
from pipeline.telemetry.settings import Known

D = timedelta(seconds=7)
ASK = {"type": "execute_agent", "payload": {"text": "hello"}}


def known(*scenarios: dict[str, Any]) -> Known | None:
    built = [ScenarioConfig(path="/ws", **each).build(f"s{n}") for n, each in enumerate(scenarios)]
    return known_runs(built, D)


@pytest.mark.parametrize(
    ("scenarios", "runs", "fields"),
    [
        pytest.param([{"send": ASK, "expect": ["a", ["b", "c"]]}], {"execute_agent": ("a", "b", "c")}, ("type", "type"),
                     id="events-in-and-out-of-order"),
        pytest.param([{"send": [ASK], "expect": ["a", {"type": "a", "n": 2}]}], {"execute_agent": ("a",)}, ("type", "type"), id="twice-is-once"),
        pytest.param([{"send": {"action": "run", "text": "x"}, "expect": [{"event": "done"}]}], None, None, id="which-word-asks-is-open"),
        pytest.param([{"send": {"action": "run", "n": 1}, "expect": [{"event": "done"}]}], {"run": ("done",)}, ("action", "event"),
                     id="other-fields"),
        pytest.param([{"send": {"event": "run", "text": "x"}, "expect": [{"event": "done", "n": 1}]}], {"run": ("done",)}, ("event", "event"),
                     id="one-other-field"),
        pytest.param([{"send": {"head": {"kind": "run"}}, "expect": [{"head.kind": "done"}]}], {"run": ("done",)}, ("head.kind", "head.kind"),
                     id="a-field-inside-of-another"),
        pytest.param([{"send": ASK, "expect": ["a", "b"]}, {"send": ASK, "expect": ["b", "c"]}], {"execute_agent": ("b",)}, ("type", "type"),
                     id="two-kinds-of-one-request"),
        pytest.param([{"send": ASK, "expect": ["a"]}, {"send": ASK, "expect": ["b"]}], None, None, id="nothing-in-common"),
        pytest.param([{"send": ASK, "expect": ["a"]}, {"send": {"type": "ping"}, "expect": ["pong"]}],
                     {"execute_agent": ("a",), "ping": ("pong",)}, ("type", "type"), id="two-requests"),
        pytest.param([{"send": [{"type": "auth"}, ASK], "expect": ["ok", "a"]}], None, None, id="which-of-two-messages-is-open"),
        pytest.param([{"expect": ["welcome"]}], None, None, id="nobody-asks"),
        pytest.param([{"send": "hello", "expect": ["a"]}], None, None, id="no-object"),
        pytest.param([{"send": ASK, "expect": [{"n": 1}]}], None, None, id="events-without-words"),
    ],
)  # fmt: skip
def test_what_a_run_is(
    scenarios: list[dict[str, Any]], runs: dict[str, tuple[str, ...]] | None, fields: tuple[str, str] | None
) -> None:
    found = known(*scenarios)
    if runs is None or fields is None:
        assert found is None
    else:
        assert found == Known(runs, *fields, 7.0)


LOGIN = [{"send": {"type": "auth"}}, {"expect": [{"type": "auth_ok", "save": {"user": "u"}}]}]
RUN = {"send": {"type": "run", "user": "${user}", "id": "${uuid:run}"}}


@pytest.mark.parametrize(
    ("steps", "runs"),
    [
        pytest.param([*LOGIN, RUN, {"expect": ["started", {"type": "done", "id": "${run}"}]}], {"run": ("started", "done")}, id="login-and-run"),
        pytest.param([*LOGIN, RUN, {"expect": ["done"]}], {"run": ("done",)}, id="as-many-events-in-both"),
        pytest.param([*LOGIN, RUN, {"expect": ["started"]}, {"expect": ["done"]}], {"run": ("started", "done")}, id="events-in-two-steps"),
        pytest.param([*LOGIN, RUN, {"expect": ["started", "done"]}, {"send": {"type": "bye"}}, {"expect": ["bye_ok"]}],
                     {"run": ("started", "done")}, id="a-farewell"),
        pytest.param([*LOGIN, RUN, {"expect": [{"type": "token", "repeats": {"min": 0}}, "done"]}], {"run": ("done",)}, id="what-need-not-come"),
        pytest.param([*LOGIN, {"send": {"type": "${user}"}}, {"expect": ["a", "b"]}], None, id="a-word-that-is-filled-in"),
        pytest.param([{"expect": ["welcome"]}, {"stay": "10s"}], None, id="nobody-asks"),
    ],
)  # fmt: skip
def test_what_a_run_is_in_a_conversation_of_steps(
    steps: list[dict[str, Any]], runs: dict[str, tuple[str, ...]] | None
) -> None:
    head = {"service": "s", "environments": {"l": {"endpoint": "local"}}}
    text = json.dumps({**head, "scenarios": {"s": {"path": "/ws", "steps": steps}}})
    found = known_runs(schema.parse(text).build_scenarios(), D)
    assert found == (runs and Known(runs, "type", "type", 7.0))


def test_steps_of_plain_http_say_nothing() -> None:
    config = schema.parse(
        "service: s\nenvironments: {l: {endpoint: local}}\nscenarios: {h: {http: [{path: /healthz}]}}\n"
    )
    assert known_runs(config.build_scenarios(), D) is None
