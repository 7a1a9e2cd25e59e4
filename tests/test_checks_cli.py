"""``spillway check`` as a person and a CI job meet it: what it reads, what it prints, how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from checks.rules import BY_NAME
from pipeline.cli.app import app
from tests.checks_corpus import incident
from tests.test_checks_base import git
from tests.test_checks_examples import plant

SAFE = "def tell(x):\n    return x\n"
UNSAFE = "import json\n\n\ndef tell(websocket):\n    return json.dumps({'s': websocket.client_state})\n"
CONFIG = """\
service: agent-chat
source: SOURCE
environments: {local: {endpoint: local}}
images: {good: {command: [python, -m, server]}}
scenarios:
  agent-run:
    path: /ws
    send: {type: execute_agent}
    expect: [agent_started, [agent_thinking, tool_executing], tool_completed, agent_completed]
checks:
  single-source: [{symbol: _safe_websocket_state_for_logging, home: websocket_core/utils.py}]
  event-map: [{map: LEGACY_MESSAGE_TYPE_MAP, in: websocket_core/types.py, requires: {execute_agent: START_AGENT}}]
  json-safe-logs:
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Spillway = Callable[..., Done]


@pytest.fixture
def spillway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spillway:
    """The command, in an empty folder of its own, with nothing of the machine's around it."""
    monkeypatch.setenv("SPILLWAY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(plant(tmp_path / "here", {}))

    def run(*arguments: str | Path) -> Done:
        done = CliRunner().invoke(app, ["check", *map(str, arguments)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """The incident's project: configuration at the top, source below."""
    incident.plant(tmp_path / "project/src")
    plant(tmp_path / "project", {"spillway.yaml": CONFIG.replace("SOURCE", "src")})
    return tmp_path / "project"


def test_the_incident_fails_the_gate(spillway: Spillway, backend: Path) -> None:
    done = spillway(backend, "-o", "json")
    assert done.code == 10
    assert done.document["outcome"] == "checks_failed"
    assert done.document["exit_code"] == 10
    found = {(f["rule"], f["path"], f["line"]) for f in done.document["findings"]}
    assert found == {
        (rule, path, line) for rule, places in incident.EXPECTED.items() for path, line in places
    }
    assert all((f["severity"], f["confidence"]) == ("error", "high") for f in done.document["findings"])


def test_fix_leaves_what_needs_a_person(spillway: Spillway, backend: Path) -> None:
    done = spillway(backend, "--fix", "-o", "json")
    assert done.code == 10
    assert {f["rule"] for f in done.document["findings"]} == {"json-safe-logs"}
    assert done.document["mended"] == sorted([*incident.COPIES, "websocket_core/types.py"])
    assert "mended 5 files" in done.err
    again = spillway(backend, "--fix", "-o", "json")
    assert again.document["mended"] == []
    assert again.document["findings"] == done.document["findings"]


def test_a_dry_run_shows_the_change_and_makes_none(spillway: Spillway, backend: Path) -> None:
    before = {path: path.read_bytes() for path in backend.rglob("*.py")}
    done = spillway(backend, "--fix", "--dry-run")
    assert '+    "execute_agent": MessageType.START_AGENT,' in done.err
    assert "would mend 5 files" in done.err
    assert {path: path.read_bytes() for path in backend.rglob("*.py")} == before


def test_a_clean_tree_passes(spillway: Spillway) -> None:
    plant(Path(), {"app.py": SAFE})
    done = spillway("-o", "json")
    assert (done.code, done.document["outcome"], done.document["findings"]) == (0, "checks_passed", [])


def test_without_a_configuration(spillway: Spillway) -> None:
    long = "def tell(state):\n    if hasattr(state, 'name') and hasattr(state, 'value'):\n        return str(state.name).lower()\n    return str(state)\n"
    plant(Path(), {"a.py": long, "b.py": long, "c.py": UNSAFE})
    done = spillway()
    assert done.code == 10
    assert "no spillway.yaml: looking for unsafe log lines and repeated helpers alone" in done.err
    assert "c.py:5:29: error[json-safe-logs]" in done.out
    assert "a.py:1:1: note[repeated]" in done.out


@pytest.mark.parametrize(
    ("where", "found"),
    [
        pytest.param(["project"], True, id="the project's folder"),
        pytest.param(["project/src"], True, id="the source, configured above it"),
        pytest.param(["-C", "project/src"], True, id="standing in the source"),
        pytest.param(["project/src", "-c", "project/spillway.yaml"], True, id="the source, named file"),
        pytest.param(["-c", "project/spillway.yaml"], True, id="the file alone"),
        pytest.param(["-C", "project"], True, id="standing in it"),
        pytest.param(["-C", "project", "src"], True, id="standing in it, naming the source"),
        pytest.param(["-C", "project", "."], True, id="standing in it, naming it"),
    ],
)
def test_which_configuration_speaks(where: list[str], found: bool, spillway: Spillway, backend: Path) -> None:
    os.chdir(backend.parent)
    rules = {f["rule"] for f in spillway(*where, "-o", "json").document["findings"]}
    assert ("event-map" in rules) == found
    assert ("repeated" in rules) != found


def test_a_part_is_told_and_the_whole_is_read(spillway: Spillway, backend: Path) -> None:
    done = spillway("-C", backend, "src/services", "-o", "json")
    paths = {f["path"] for f in done.document["findings"]}
    assert paths == {"services/websocket_connection_pool.py", "services/unified_authentication_service.py"}
    assert {f["rule"] for f in done.document["findings"]} == {"single-source", "json-safe-logs"}


def test_one_rule(spillway: Spillway, backend: Path) -> None:
    done = spillway(backend, "--rule", "event-map", "--rule", "single-source", "-o", "json")
    assert done.document["rules"] == ["single-source", "event-map"]
    assert {f["rule"] for f in done.document["findings"]} == {"single-source", "event-map"}


def test_a_file_for_the_checks_alone(spillway: Spillway) -> None:
    alone = "checks:\n  single-source: [{symbol: tell, home: a.py}]\n"
    plant(Path(), {"spillway.yaml": alone, "a.py": SAFE, "b.py": SAFE})
    done = spillway("-o", "json")
    assert [(f["rule"], f["path"]) for f in done.document["findings"]] == [("single-source", "b.py")]


def test_against_a_commit(spillway: Spillway) -> None:
    root = plant(
        Path(),
        {
            "src/app.py": "def f(x, y=1):\n    return x\n",
            "spillway.yaml": CONFIG.replace("SOURCE", "src").partition("checks:")[0],
        },
    )
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        git(root, *command)
    assert spillway("--base", "HEAD", "-o", "json").document["additive_only"] is True
    plant(root, {"src/app.py": "def f(x):\n    return x\n"})
    done = spillway("--base", "HEAD")
    assert done.code == 10
    assert "src/app.py:1:1: error[additive] parameter y of f was removed" in done.out
    assert done.out.endswith("additive only: no\n")
    assert spillway("-o", "json").document["additive_only"] is None


FORMS: dict[str, Callable[[str], bool]] = {
    "text": lambda text: "src/routes/websocket.py:13:1: error[single-source]" in text,
    "json": lambda text: json.loads(text)["findings"][0]["path"] == "routes/websocket.py",
    "sarif": lambda text: (
        json.loads(text)["version"] == "2.1.0" and '"uri": "src/routes/websocket.py"' in text
    ),
    "github": lambda text: text.startswith(
        "::error file=src/routes/websocket.py,line=13,col=1,title=single-source::"
    ),
    "junit": lambda text: ET.fromstring(text)[0].get("failures") == "12",
}


@pytest.mark.parametrize("form", FORMS)
def test_formats(form: str, spillway: Spillway, backend: Path) -> None:
    """People get paths from where they stand, machines from the repository's top, JSON from the root."""
    git(backend, "init", "-q")
    os.chdir(backend)
    done = spillway("--format", form)
    assert done.code == 10
    assert FORMS[form](done.out)


def test_ndjson_is_one_line(spillway: Spillway, backend: Path) -> None:
    (line,) = spillway(backend, "-o", "ndjson").out.splitlines()
    assert json.loads(line)["outcome"] == "checks_failed"


@pytest.mark.parametrize("rule", BY_NAME)
def test_every_rule_explains_itself(rule: str, spillway: Spillway) -> None:
    done = spillway("--explain", rule)
    assert done.code == 0
    assert done.out.startswith(f"{rule}: {BY_NAME[rule].summary}\n\n")
    assert spillway("--explain", rule, "-o", "json").document["name"] == rule


def test_a_baseline(spillway: Spillway, backend: Path) -> None:
    written = spillway(backend, "--baseline", "known.json", "--write-baseline")
    assert (written.code, "12 findings are known from now on" in written.out) == (0, True)
    done = spillway(backend, "--baseline", "known.json", "-o", "json")
    assert (done.code, done.document["findings"], done.document["baselined"]) == (0, [], 12)
    incident_copy = f"def {incident.HELPER}(state):\n    return 'one more'\n"
    plant(backend / "src", {"agents/more.py": incident_copy})
    assert spillway(backend, "--baseline", "known.json").code == 10


def test_the_configuration_s_baseline_lies_beside_it(spillway: Spillway, backend: Path) -> None:
    file = backend / "spillway.yaml"
    file.write_text(file.read_text() + "  baseline: known.json\n")
    assert spillway(backend).code == 2
    assert spillway(backend, "--write-baseline").code == 0
    assert (backend / "known.json").is_file()
    assert spillway(backend).code == 0


WRONG: dict[str, tuple[list[str], str]] = {
    "no such folder": (["nowhere"], "nowhere: not a folder"),
    "a file": (["a.py"], "a.py: not a folder"),
    "no such configuration": (["-c", "other.yaml"], "other.yaml: not there"),
    "no such rule": (["--rule", "single-sauce"], "no rule 'single-sauce'"),
    "a rule that is not configured": (["--rule", "event-map"], "--rule event-map: has nothing to go by"),
    "additive against nothing": (["--rule", "additive"], "--rule additive: has nothing to go by"),
    "no such page": (["--explain", "nothing"], "no rule 'nothing'"),
    "no such commit": (
        ["--base", "origin/nowhere"],
        "base origin/nowhere: no such folder and no such commit",
    ),
    "no baseline": (["--baseline", "known.json"], "known.json: not there"),
    "no name for a baseline": (["--write-baseline"], "--write-baseline: to which file?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_question_is_told_in_three_lines(case: str, spillway: Spillway) -> None:
    plant(Path(), {"a.py": SAFE})
    arguments, what = WRONG[case]
    done = spillway(*arguments, "-q")
    assert done.code == 2
    assert done.out == ""
    assert what in done.err.splitlines()[0]
    assert 2 <= len(done.err.splitlines()) <= 3


def test_a_wrong_question_is_a_document_for_machines(spillway: Spillway) -> None:
    done = spillway("nowhere", "-o", "json")
    assert (done.code, done.document["exit_code"], done.document["error"]) == (2, 2, "UserError")


def test_a_wrong_configuration_names_its_place(spillway: Spillway) -> None:
    plant(Path(), {"spillway.yaml": "checks:\n  single-source: [{symbol: tell, home: ../up.py}]\n"})
    done = spillway()
    assert done.code == 2
    assert (
        "spillway.yaml:2:34: checks.single-source.0.home: '../up.py' is not a file below the source"
        in done.err
    )


def test_source_that_is_no_folder(spillway: Spillway) -> None:
    plant(Path(), {"spillway.yaml": "source: nowhere\nchecks:\n"})
    done = spillway()
    assert done.code == 2
    assert "spillway.yaml:1:1: source: 'nowhere' is not a folder" in done.err


def test_it_starts_without_clouds() -> None:
    """Modules that the command loads, as Python itself reports them: no cloud, no Pulumi, no server."""
    heavy = (
        "google",
        "grpc",
        "pulumi",
        "pulumi_gcp",
        "starlette",
        "uvicorn",
        "aiohttp",
        "websockets",
        "griffe",
        "jinja2",
    )
    code = (
        "import sys\nfrom pipeline.cli.main import run\n"
        "run(['check', *sys.argv[1:]])\n"
        f"print(sorted({heavy} & sys.modules.keys()), file=sys.stderr)\n"
    ).replace(str(heavy), f"set({heavy})")
    for arguments in (["--help"], ["--explain", "event-map"], ["-q"]):
        command = [sys.executable, "-c", code, *arguments]
        here = Path(__file__).parent / "checks_corpus"
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=here, timeout=60)
        assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("where", [[], ["."], ["src"], ["src/app"], ["other"]])
def test_a_missing_home_fails_the_gate_whichever_folder_is_named(
    spillway: Spillway, where: list[str]
) -> None:
    checks = (
        "checks:\n"
        "  single-source: [{symbol: tell, home: lib/utils.py}]\n"
        "  event-map: [{map: TYPES, in: lib/types.py, requires: [run]}]\n"
    )
    plant(Path(), {"src/app/a.py": SAFE, "other/b.py": SAFE, "spillway.yaml": checks})
    done = spillway(*where, "-o", "json")
    assert done.code == 10
    found = {f["path"]: f["message"] for f in done.document["findings"]}
    assert set(found) >= {"lib/types.py", "lib/utils.py"}
    assert found["lib/utils.py"] == "the home of tell is missing: there is no lib/utils.py"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nowhere", "round"])
@pytest.mark.parametrize("where", [[], ["."]])
def test_a_configuration_that_is_no_file_is_told(spillway: Spillway, kind: str, where: list[str]) -> None:
    plant(Path(), {"a.py": SAFE})
    config = Path("spillway.yaml")
    if kind == "folder":
        config.mkdir()
    elif kind == "pipe":
        os.mkfifo(config)
    else:
        config.symlink_to({"device": "/dev/zero", "nowhere": "nothing", "round": "spillway.yaml"}[kind])
    done = spillway(*where)
    assert done.code == 2
    assert "spillway.yaml: " in done.err


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "nothing"])
def test_a_folder_that_cannot_be_is_told(spillway: Spillway, name: str) -> None:
    for arguments in ([name], ["-C", name]):
        assert spillway(*arguments).code == 2
    plant(
        Path(), {"a.py": SAFE, "spillway.yaml": f"source: {name}\nchecks: {{additive: {{base: {name}}}}}\n"}
    )
    assert spillway().code == 2
    plant(Path(), {"a.py": SAFE, "spillway.yaml": f"checks: {{additive: {{base: {name}}}}}\n"})
    assert spillway().code == 2


def test_what_a_configuration_trusts_us_with_is_in_no_finding(spillway: Spillway) -> None:
    secret = "correct-horse-battery"
    config = (
        f"checks: {{json-safe-logs: }}\nimages: {{a: {{command: [run], env: {{DB_PASSWORD: {secret}}}}}}}\n"
    )
    whole = (
        CONFIG.replace("SOURCE", ".")
        .partition("checks:")[0]
        .replace("[python, -m, server]}", f"[python], env: {{DB_PASSWORD: {secret}}}}}")
    )
    source = UNSAFE.replace("'s':", f"'{secret}':")
    for text in (config, whole + "checks: {json-safe-logs: }\n"):
        plant(Path(), {"a.py": source, "spillway.yaml": text})
        for form in (
            [],
            ["-o", "json"],
            ["--format", "sarif"],
            ["--format", "github"],
            ["--format", "junit"],
        ):
            done = spillway(*form)
            assert secret not in done.out + done.err
