"""The ``checks:`` section: what is accepted, what becomes of it, and that every complaint names its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import settings as asked
from pipeline.app import static_checks
from pipeline.config import schema, yamltree
from pipeline.errors import ConfigError
from tests.test_checks_examples import plant

HEAD = """\
service: agent-chat
environments:
  local: {endpoint: local}
  staging: {project: acme-stg, region: us-central1}
  production: {project: acme-prd, region: us-central1}
scenarios:
  agent-run:
    path: /ws
    send: [{type: hello}, {type: execute_agent, payload: {type: inner}}, text]
    expect: [agent_started, [agent_thinking, {type: tool_executing, repeats: true}], {payload.status: done}]
    within: 30s
  health: {http: [{path: /health}]}
"""
CHECKS = """\
checks:
  single-source: [{symbol: tell_state, home: ./app/core/utils.py, reexporters: [app/core/__init__.py]}]
  event-map:
    - {map: TYPES, in: app/types.py, requires: {execute_agent: START_AGENT}}
    - {map: Router.EVENTS, in: app/router.py, requires: [agent_started]}
  json-safe-logs: {safe: [plain], loggers: [app.logs.get_logger], attributes: [phase], trusted: [loguru], plain: [extra], sinks: [publish]}
  additive: {base: origin/main}
  socket-config: {entry-point: app/main.py}
  exclude: ["migrations/*"]
  baseline: known.json
"""


def settings(text: str, folder: Path, environment: str | None = None) -> asked.Settings:
    file = plant(folder, {"spillway.yaml": text}) / "spillway.yaml"
    document = yamltree.parse(text, str(file))
    return static_checks.settings_for(schema.validate_checked(document), file, document, environment)


def test_the_section_becomes_settings(tmp_path: Path) -> None:
    made = settings(HEAD + CHECKS, tmp_path)
    assert made.single_source == (
        asked.SingleSource("tell_state", "app/core/utils.py", ("app/core/__init__.py",)),
    )
    assert made.event_map == (
        asked.EventMap("TYPES", "app/types.py", {"execute_agent": "START_AGENT"}),
        asked.EventMap("Router.EVENTS", "app/router.py", {"agent_started": ""}),
    )
    assert made.messages == (
        "hello",
        "execute_agent",
        "agent_started",
        "agent_thinking",
        "tool_executing",
    )
    assert made.json_safe_logs == asked.JsonSafeLogs(
        ("plain", "tell_state"), ("app.logs.get_logger",), ("phase",), ("loguru",), ("extra",), ("publish",)
    )
    assert made.additive == asked.Additive("origin/main")
    assert (made.exclude, made.baseline) == (("migrations/*",), str(tmp_path / "known.json"))
    assert not made.discover


@pytest.mark.parametrize("nothing", ["", " {}", " null", " ~"])
def test_a_section_with_nothing_in_it_is_on(nothing: str, tmp_path: Path) -> None:
    made = settings(f"{HEAD}checks:\n  json-safe-logs:{nothing}\n", tmp_path)
    assert made.json_safe_logs == asked.JsonSafeLogs()
    assert (made.single_source, made.event_map, made.additive) == ((), (), None)


def test_a_base_that_is_a_folder_lies_beside_the_file(tmp_path: Path) -> None:
    plant(tmp_path, {"before/a.py": ""})
    made = settings(f"{HEAD}checks: {{additive: {{base: before}}}}\n", tmp_path)
    assert made.additive == asked.Additive(str(tmp_path / "before"))


def test_the_declared_service(tmp_path: Path) -> None:
    container = "container:\n  timeout: 20s\n  min-instances: 2\n  deletion-protection: false\n"
    service = settings(container + HEAD + CHECKS, tmp_path).socket_config
    assert service == asked.DeclaredService(
        timeout_s=20.0,
        scenario_s=30.0,
        candidate_min_instances=2,
        deletion_protection=False,
        is_production=True,
        entry_point="app/main.py",
        declared_in={
            "timeout_s": ("spillway.yaml", 2),
            "candidate_min_instances": ("spillway.yaml", 3),
            "deletion_protection": ("spillway.yaml", 4),
        },
    )


def test_the_declared_service_in_the_apis_words(tmp_path: Path) -> None:
    container = "container: {template: {timeout: 20s, scaling: {min_instance_count: 2}}}\n"
    service = settings(container + HEAD + CHECKS, tmp_path).socket_config
    assert service is not None
    assert (service.timeout_s, service.candidate_min_instances) == (20, 2)


def test_findings_about_the_file_name_it_from_the_root(tmp_path: Path) -> None:
    plant(tmp_path, {"src/app/main.py": ""})
    service = settings(f"source: src\n{HEAD}{CHECKS}", tmp_path).socket_config
    assert service is not None
    assert service.declared_in["timeout_s"] == ("../spillway.yaml", 1)


@pytest.mark.parametrize(
    ("environment", "strict"), [(None, True), ("local", False), ("staging", False), ("production", True)]
)
def test_production_is_where_it_goes(environment: str | None, strict: bool, tmp_path: Path) -> None:
    service = settings(HEAD + CHECKS, tmp_path, environment).socket_config
    assert service is not None
    assert service.is_production is strict


def test_what_needs_no_section(tmp_path: Path) -> None:
    made = settings(HEAD, tmp_path)
    assert (made.json_safe_logs, made.discover) == (asked.JsonSafeLogs(), True)
    assert made.socket_config is not None


def test_a_file_for_the_checks_alone_declares_no_service(tmp_path: Path) -> None:
    assert settings(CHECKS, tmp_path).socket_config is None


def test_the_checks_do_not_make_another_rollout() -> None:
    """Mending them while a rollout is under way must resume it, not supersede it."""
    prints = {schema.parse(HEAD + checks).fingerprint() for checks in ("", CHECKS, "checks: {}\n")}
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        pytest.param("event-map:", "event-maps:", "15:3", "did you mean event-map?", id="misspelt rule"),
        pytest.param("in: app/types.py", "file: app/types.py", "16:20", "unknown key", id="misspelt key"),
        pytest.param("symbol: tell_state", "symbol: tell-state", "14:20", "symbol", id="no name"),
        pytest.param(
            "symbol: tell_state",
            "symbol: 3",
            "14:20",
            "must be text, got 3: write it in quotes",
            id="a number",
        ),
        pytest.param(
            "./app/core/utils.py", "../utils.py", "14:40", "not a file below", id="above the source"
        ),
        pytest.param("./app/core/utils.py", "/etc/passwd", "14:40", "not a file below", id="absolute"),
        pytest.param("./app/core/utils.py", ".", "14:40", "not a file below", id="the folder itself"),
        pytest.param("app/main.py", "a/../../x.py", "20:19", "not a file below", id="roundabout"),
        pytest.param(
            "{execute_agent: START_AGENT}",
            "execute_agent",
            "16:38",
            "must be a mapping, got 'execute_agent'",
            id="one word",
        ),
        pytest.param(
            "{execute_agent: START_AGENT}",
            "{execute_agent: [A]}",
            "16:49",
            "must be text, got a list",
            id="a list",
        ),
        pytest.param(
            "[loguru]",
            "[logru]",
            "18:98",
            "must be extra, structlog or loguru, got 'logru'",
            id="unknown sink",
        ),
        pytest.param("{safe: [plain]", "{safe: plain", "18:20", "must be a list", id="not a list"),
        pytest.param("{base: origin/main}", "{}", "19:3", "missing key checks.additive.base", id="no base"),
        pytest.param("{base: origin/main}", "{base: ''}", "19:14", "must not be empty", id="empty base"),
        pytest.param('["migrations/*"]', "migrations", "21:3", "must be a list", id="one pattern"),
    ],
)
def test_complaints_name_their_place(old: str, new: str, place: str, words: str) -> None:
    assert old in CHECKS
    with pytest.raises(ConfigError) as caught:
        schema.parse(HEAD + CHECKS.replace(old, new))
    assert f"spillway.yaml:{place}: " in str(caught.value)
    assert words in str(caught.value)
