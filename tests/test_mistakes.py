"""The commonest mistakes, one a row: each ends with the right code and with three lines, what, why, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app

DIGEST = f"app@sha256:{'0' * 64}"
GOOD = """\
service: chat
environments:
  local: {endpoint: local}
  production: {project: acme, region: us-central1}
images: {good: {command: [python, app.py]}}
scenarios: {run: {path: /ws, send: {type: hello}, expect: [done]}}
"""


@dataclass(frozen=True)
class Mistake:
    """Args: config: of ``spillway.yaml``; None: there is none. ``told``: words of the three lines, in this order."""

    line: str
    told: tuple[str, ...]
    config: str | None = GOOD
    code: int = 2
    env: dict[str, str] = field(default_factory=dict)
    yml: str = ""


def wrong(config: str, *told: str) -> Mistake:
    """A mistake in the file, met by whoever reads it."""
    return Mistake("plan --image good --env local", told, GOOD + config)


def elsewhere(old: str, new: str, *told: str) -> Mistake:
    """The same with something else in the good file's place."""
    assert old in GOOD
    return Mistake("plan --image good --env local", told, GOOD.replace(old, new))


MISTAKES = {
    "no file": Mistake("plan --image good", ("spillway.yaml", "spillway init"), None),
    "another file that is not there": Mistake("status -c other.yaml", ("other.yaml",)),
    "a file of another ending": Mistake(
        "plan --image good", ("spillway.yaml: not there", "-c spillway.yml"), None, yml=GOOD
    ),
    "not YAML": Mistake("status", ("spillway.yaml:1:",), "service: [chat\n"),
    "a misspelt key": wrong("stage: []\n", "spillway.yaml:7:1", "stage"),
    "a key twice": wrong("service: chat\n", "spillway.yaml:7:1", "service"),
    "a duration without a unit": wrong(
        "stages: [{percent: 0}, {percent: 100, soak: 5}]\n", "spillway.yaml:7:", "soak", "5s or 5m"
    ),
    "a rate without a percent sign": wrong(
        "criteria: {agent_completed: {limit: 0.1}}\n", "spillway.yaml:7:", "0.1", "percentage"
    ),
    "a misspelt metric": wrong(
        "criteria: {agent_complete: {limit: 1%}}\n", "spillway.yaml:7:", "agent_complete"
    ),
    "odds that are none": wrong("false-rollbacks: 1%\n", "spillway.yaml:7:", "1 in 1000"),
    "stages that go down": wrong(
        "stages: [{percent: 50}, {percent: 5}, {percent: 100}]\n", "spillway.yaml:7:", "stages"
    ),
    "stages that do not end at 100": wrong(
        "stages: [{percent: 0}, {percent: 50}]\n", "spillway.yaml:7:", "100"
    ),
    "a zone": elsewhere("us-central1", "us-central1-a", "spillway.yaml:4:", "region", "no zone"),
    "a region in words": elsewhere("us-central1", "US Central", "spillway.yaml:4:", "region", "us-central1"),
    "a project by its title": elsewhere("acme,", "ACME Corp,", "spillway.yaml:4:", "project", "id"),
    "a tab": elsewhere("  local:", "\tlocal:", "spillway.yaml:3:", "not valid YAML", "tab"),
    "the port as a variable": wrong(
        "container: {env: {PORT: '8080'}}\n", "spillway.yaml:7:", "PORT is set by Cloud Run", "port:"
    ),
    "what no variable can be called": wrong(
        "container: {env: {'A=B': x}}\n", "spillway.yaml:7:", "A=B", "without ="
    ),
    "memory without a unit": wrong("container: {memory: '512'}\n", "spillway.yaml:7:", "memory", "512Mi"),
    "CPUs that are none": wrong("container: {cpu: lots}\n", "spillway.yaml:7:", "cpu", "500m"),
    "no scenario": Mistake(
        "plan --image good", ("scenarios",), "service: chat\nenvironments: {local: {endpoint: local}}\n"
    ),
    "a scenario that expects nothing": Mistake(
        "plan --image good --env local", ("expect",), GOOD.replace(", expect: [done]", "")
    ),
    "an environment that there is not": Mistake("status --env prod", ("prod", "local, production")),
    "which environment": Mistake("status", ("environment", "--env")),
    "an image that there is not": Mistake("rollout --image goood --env local", ("goood", "good")),
    "an image by tag": Mistake(
        "rollout --image registry/chat:latest --env production", ("registry/chat:latest", "digest")
    ),
    "no local Cloud Run": Mistake("status --env local", ("local Cloud Run", "spillway local up")),
    "a rollout on no local Cloud Run": Mistake(
        "rollout --image good --env local", ("local Cloud Run", "spillway local up")
    ),
    "a report of no local Cloud Run": Mistake("report --env local", ("local Cloud Run", "spillway local up")),
    "no credentials": Mistake(
        "status --env production",
        ("not allowed", "/nowhere.json", "gcloud auth application-default login"),
        code=3,
        env={"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"},
    ),
    "credentials that are a folder": Mistake(
        "status --env production",
        ("not allowed", "/proc: a folder, not a file", "GOOGLE_APPLICATION_CREDENTIALS names, or unset that"),
        code=3,
        env={"GOOGLE_APPLICATION_CREDENTIALS": "/proc"},
    ),
    "credentials that are a device": Mistake(
        "tick --env production",
        ("/dev/zero: a device, not a file",),
        code=3,
        env={"GOOGLE_APPLICATION_CREDENTIALS": "/dev/zero"},
    ),
    "credentials that are no JSON": Mistake(
        "rollback projects/p/locations/l/services/s",
        ("not allowed", "is not a valid json file: ", "unset that"),
        code=3,
        env={"GOOGLE_APPLICATION_CREDENTIALS": __file__},
    ),
    "half of a service's name": Mistake(
        "rollback chat --project acme", ("--project", "projects/acme/locations")
    ),
    "not a service's name": Mistake(
        "rollback acme/chat", ("acme/chat", "projects/P/locations/L/services/S", "four parts")
    ),
    "an empty revision": Mistake("rollback --to= --env local", ("--to is empty", "--to")),
    "a time-out that is none": Mistake("promote --env local --timeout soon", ("--timeout", "soon")),
    "a folder that there is not": Mistake("status -C nowhere", ("nowhere", "folder"), code=2),
    "quiet and loud": Mistake("status -q -v", ("-q with -v",)),
    "waiting and not waiting": Mistake("promote --no-wait --timeout 5m", ("--timeout", "--no-wait")),
    "an address that is none": Mistake(
        "probe localhost:8080", ("cannot probe", "spillway probe http://HOST:PORT")
    ),
    "a scenario that there is not": Mistake("probe http://127.0.0.1:1 --scenario runn", ("runn", "run")),
    "a rule that there is not": Mistake("check --explain event-mapp", ("event-mapp", "event-map")),
    "a base that there is not": Mistake("check --base origin/nowhere", ("origin/nowhere",)),
    "a document without an end": Mistake("local logs -f -o json", ("-o json", "ndjson")),
    "a chapter that there is not": Mistake("demo --only z", ("z", "a, b and c")),
    "a live service that is none": Mistake(
        "init --from chat", ("chat", "projects/P/locations/L/services/S"), None
    ),
    "a commit that is none": Mistake(
        "rollout --image good --env local --commit HEAD", ("--commit HEAD", "git rev-parse HEAD")
    ),
    "a commit that there is not": Mistake("report --env local --since nowhere", ("local Cloud Run",)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_in_three_lines(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    if mistake.config is not None:
        (tmp_path / "spillway.yaml").write_text(mistake.config)
    if mistake.yml:
        (tmp_path / "spillway.yml").write_text(mistake.yml)
    env = {"SPILLWAY_LOCAL_DIR": str(tmp_path / "none"), "CI": "true", **mistake.env}
    words = mistake.line.split()
    where = [] if "-C" in words else ["-C", str(tmp_path)]
    done = CliRunner().invoke(app, [*words, *where], env=env)
    told = [line for line in done.stderr.splitlines() if line.strip()]
    start = next((n for n, line in enumerate(told) if line.startswith("spillway: ")), None)
    assert start is not None, done.output
    assert done.exit_code == mistake.code, done.output
    assert len(told[start:]) == 3, done.stderr
    assert "Traceback" not in done.stderr
    text = "\n".join(told[start:])
    for word in mistake.told:
        assert word in text, (word, text)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("deploy", "No such command 'deploy'"),
        ("local pulumi", "Missing argument 'words'"),
        ("rollout --img x", "No such option: --img"),
        ("status -o xml", "'text', 'json', 'ndjson'"),
        ("promote --to-percent 101", "less than or equal to 100"),
    ],
)
def test_what_is_no_word_of_the_command_line_names_the_help(line: str, told: str) -> None:
    done = CliRunner().invoke(app, line.split())
    lines = [each for each in done.stderr.splitlines() if each.strip()]
    assert done.exit_code == 2
    assert len(lines) == 3, lines
    assert lines[1].startswith("Try 'spillway")
    assert told in lines[2]
