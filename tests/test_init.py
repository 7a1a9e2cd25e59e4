"""``spillway init``: what it writes loads and goes through plan and check; it asks little, runs and edits nothing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from pipeline.app import initialise
from pipeline.cli.app import app
from pipeline.config import json_schema, schema
from pipeline.model import LiveService, ServiceRef, Split
from pipeline.scaffold import action, advice, configuration, dockerfile, watchdog
from pipeline.scaffold.configuration import Answers
from pipeline.scaffold.repository import see, service_name
from tests import repositories
from tests.repositories import ALL, FASTAPI, NODE, STARLETTE, Repository
from tests.test_checks_examples import plant
from tests.test_json_schema import faults

ROOT = Path(__file__).parents[1]
PACKAGE_DATA = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
    "pipeline"
]
WRITTEN = [
    "spillway.yaml", "spillway.schema.json", "watchdog.Dockerfile", ".github/workflows/spillway.yml",
    *(f".github/actions/spillway/{name}" for name in ("action.yml", "run.sh", "stands.sh")),
]  # fmt: skip


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app, [words[0], "-C", str(folder), *words[1:]], env={"SPILLWAY_LOCAL_DIR": None}
    )


@pytest.mark.parametrize("repository", ALL, ids=lambda each: each.name)
def test_what_is_written_loads_and_says_what_was_seen(repository: Repository, tmp_path: Path) -> None:
    folder = repositories.plant(repository, tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = run(folder, "init", "-y", "-o", "json")
    assert done.exit_code == 0, done.output
    assert sorted(json.loads(done.stdout)["files"]) == sorted(WRITTEN)
    text = (folder / "spillway.yaml").read_text(encoding="utf-8")
    config = schema.parse(text)
    assert config.service == repository.service
    (scenario,) = config.build_scenarios()
    assert (scenario.path, repository.start in str(scenario.sent)) == (repository.path, True)
    assert len(scenario.expected) >= 3
    assert config.images["app"].command
    assert text.startswith("# yaml-language-server: $schema=spillway.schema.json\n")
    assert json.loads((folder / "spillway.schema.json").read_text()) == json_schema.schema()
    assert faults(yaml.safe_load(text)) == []
    assert {path: path.read_bytes() for path in before} == before, "the service's own files stay as they are"
    assert run(folder, "check").exit_code == 0


def test_it_refuses_to_overwrite_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    folder = repositories.plant(STARLETTE, tmp_path)
    shown = run(folder, "init", "-y", "--dry-run")
    assert schema.parse(shown.stdout).service == "questions"
    assert not (folder / "spillway.yaml").exists()
    (folder / "spillway.yaml").write_text("mine: true\n")
    refused = run(folder, "init", "-y")
    assert refused.exit_code == 2
    assert len(refused.stderr.strip().splitlines()) == 3
    assert "--force" in refused.stderr
    assert [path.name for path in folder.iterdir() if path.name != "server.py"] == ["spillway.yaml"]
    assert (folder / "spillway.yaml").read_text() == "mine: true\n"
    assert run(folder, "init", "-y", "--force", "--no-ci").exit_code == 0
    assert not (folder / ".github").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("mine")
    folder = plant(tmp_path / "repo", {"notes.txt": ""})
    (folder / "spillway.yaml").symlink_to(outside / "precious.txt")
    assert run(folder, "init", "-y").exit_code == 2
    assert run(folder, "init", "-y", "--force", "--no-ci").exit_code == 0
    assert not (folder / "spillway.yaml").is_symlink()
    assert (outside / "precious.txt").read_text() == "mine"
    (folder / ".github").symlink_to(outside)
    refused = run(folder, "init", "-y", "--force")
    assert (refused.exit_code, "leads out of this folder" in refused.stderr) == (2, True), refused.stderr
    assert [path.name for path in outside.iterdir()] == ["precious.txt"]


def test_where_one_cannot_be_written_none_is_left(tmp_path: Path) -> None:
    folder = plant(tmp_path, {".github/actions": "a file", "Dockerfile": "FROM x\n"})
    before = sorted(path.name for path in folder.rglob("*") if path.is_file())
    refused = run(folder, "init", "-y")
    assert (refused.exit_code, len(refused.stderr.strip().splitlines()[-3:])) == (2, 3)
    assert ".github/actions/spillway/action.yml: cannot be written" in refused.stderr
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == before


def test_a_start_script_is_a_line_of_shell(tmp_path: Path) -> None:
    package = {"scripts": {"start": "node 'src/my file.js'"}, "dependencies": {"ws": "8"}}
    folder = plant(tmp_path, {"package.json": json.dumps(package), "src/my file.js": "require('ws')"})
    assert see(folder).command == ("node", "src/my file.js")


def test_names_of_the_source_stay_on_their_line(tmp_path: Path) -> None:
    types = ["a\\nservice: evil", "b\\u2028c", "d\\x85e", "\\ud800", "\\U0001f600"]
    rows = ", ".join(f'"{name}": go' for name in types)
    text = f'async def go(ws):\n    await ws.send_json({{"type": "x\\ny: 1"}})\nHANDLERS = {{{rows}}}\n'
    text += "from fastapi import FastAPI\napp = FastAPI()\n@app.websocket('/ws')\nasync def s(ws): ...\n"
    folder = plant(tmp_path, {"chat.py": text})
    assert run(folder, "init", "-y", "--service", "chat").exit_code == 0
    made = schema.parse((folder / "spillway.yaml").read_text(encoding="utf-8"))
    assert made.service == "chat"
    (scenario,) = made.build_scenarios()
    assert scenario.expected[0].match == {"type": "x\ny: 1"}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": "nothing here"},
        {"main.go": "package main"},
        {"app.py": "from fastapi import FastAPI\napp = FastAPI()\n@app.websocket('/ws')\nasync def echo(ws): ...\n"},
        {"pyproject.toml": "[project\n", "package.json": "[1]", "Dockerfile": "CMD [broken\n"},
        {"pyproject.toml": "[project]\nname = 'The Chat_Service 2'\n", "app.py": "def (:\n"},
        {"app.py": "HANDLERS = {'on': go, 'a: b': go, '1.5': go}\nasync def go(ws): await ws.send_json({'type': 'yes'})\n"},
    ],
    ids=["empty", "no-code", "another-language", "no-types", "broken", "named", "words-of-yaml"],
)  # fmt: skip
def test_whatever_stands_there_what_is_written_loads(files: dict[str, str], tmp_path: Path) -> None:
    folder = plant(tmp_path / "a-repo", {**files, ".gitkeep": ""})
    done = run(folder, "init", "-y")
    assert done.exit_code == 0, done.output
    text = (folder / "spillway.yaml").read_text(encoding="utf-8")
    assert schema.parse(text).scenarios
    assert faults(yaml.safe_load(text)) == []
    assert run(folder, "check").exit_code == 0


def test_a_rule_that_fails_today_is_a_comment(tmp_path: Path) -> None:
    bad = "import json, logging\nfrom enum import Enum\nfrom fastapi import FastAPI\napp = FastAPI()\nclass S(Enum):\n    A = 1\n"
    bad += "def tell(state: S):\n    logging.info(json.dumps({'state': state}))\n"
    folder = plant(tmp_path, {"app.py": bad})
    done = run(folder, "init", "-y")
    assert "json-safe-logs finds" in done.stderr
    assert re.search(
        r"^  # json-safe-logs: \{\}    # \d+ finding", (folder / "spillway.yaml").read_text(), re.MULTILINE
    )
    assert run(folder, "check").exit_code == 0


def test_only_what_cannot_be_seen_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(question: str, default: str) -> str:
        asked.append(question)
        given = {"Path": "/live", "Type ": "begin", "Types": "begun, done", "Google": "acme-prd"}
        return next((answer for start, answer in given.items() if question.startswith(start)), default)

    seen = see(repositories.plant(FASTAPI, tmp_path))
    initialise.answers(seen, ask)
    assert [words.split()[0] for words in asked] == ["Google", "Cloud"]
    asked.clear()
    empty = see(plant(tmp_path / "empty", {"notes.txt": ""}))
    said = initialise.answers(empty, ask)
    assert len(asked) == 5
    made = schema.parse(configuration.text(empty, said))
    assert made.environments["production"].project == "acme-prd"
    (scenario,) = made.build_scenarios()
    assert (scenario.path, scenario.sent) == ("/live", ({"type": "begin"},))
    assert [event.name for event in scenario.expected] == ["begun", "done"]


def test_where_it_is_deployed_is_seen_in_what_deploys_it(tmp_path: Path) -> None:
    deploy = "run: gcloud run deploy chat-prod --image x --region europe-west1 --project acme-prd-1\n"
    folder = plant(tmp_path, {".github/workflows/deploy.yml": deploy, "Pulumi.yaml": "name: x\n"})
    seen = see(folder)
    assert (seen.name, seen.project, seen.region) == ("chat-prod", "acme-prd-1", "europe-west1")
    made = schema.parse(configuration.text(seen, Answers()))
    assert made.environment("production")[1].region == "europe-west1"
    assert any(line.startswith("pulumi ") for line in advice.seen(seen))


def test_another_ci_gets_no_workflow_of_github(tmp_path: Path) -> None:
    folder = plant(tmp_path, {".gitlab-ci.yml": "stages: [test]\n"})
    done = run(folder, "init", "-y", "-o", "json")
    assert ".github/workflows/spillway.yml" in json.loads(done.stdout)["left"]
    assert not (folder / ".github").exists()


def test_a_part_of_a_larger_repository_gets_no_workflow_that_nobody_would_read(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = repositories.plant(STARLETTE, tmp_path / "services")
    done = run(folder, "init", "-y", "-o", "json")
    where = folder.relative_to(tmp_path).as_posix()
    assert f"working-directory: {where}" in json.loads(done.stdout)["left"][".github/workflows/spillway.yml"]
    assert not (folder / ".github").exists()


def test_a_live_service_gives_its_place_and_what_matters() -> None:
    ref = ServiceRef("acme-prd", "us-east1", "chat")
    live = LiveService(
        ref, "uid", "etag", 1, Split(), Split(), {}, "https://chat", session_affinity=True, ingress_all=False
    )
    said = initialise.of_live(Answers(), ref, live)
    text = configuration.text(see(Path(repositories.HERE / "starlette_registry")), said)
    made = schema.parse(text)
    assert (made.service, made.ref(made.environment("production")[1])) == ("chat", ref)
    assert "tag addresses answer 404" in text
    assert "Session affinity is on" in text


def test_a_name_that_is_no_service_is_told_in_three_lines(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "-y", "--from", "chat")
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 3)


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        (FASTAPI, ["app/main.py:24", "app.add_middleware(SpillwayTelemetry)"]),
        (STARLETTE, ["server.py:46", "app.add_middleware(SpillwayTelemetry)"]),
        (NODE, ["server.js:8", "spillwayTelemetry(wss);"]),
    ],
)
def test_the_telemetrys_lines_are_told_with_their_place(
    repository: Repository, words: list[str], tmp_path: Path
) -> None:
    told = "\n".join(advice.telemetry(see(repositories.plant(repository, tmp_path))))
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('CMD ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "8080"]',
         'exec "{python}" -m uvicorn app:app --host 127.0.0.1 --port "$PORT"'),
        ("CMD exec uvicorn app:app --port ${PORT:-8080}", 'exec "{python}" -m uvicorn app:app --port "$PORT"'),
        ('ENTRYPOINT ["python", "-m"]\nCMD ["server"]', ["{python}", "-m", "server"]),
        ('CMD ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "--bind", "0.0.0.0:8000", "app:app"]',
         'exec "{python}" -m gunicorn -k uvicorn.workers.UvicornWorker --bind "127.0.0.1:$PORT" app:app'),
        ('FROM a\nCMD ["old"]\nFROM b\nCMD ["node", "server.js"]', ["node", "server.js"]),
        ('CMD ["sh", "-c", "node server.js --port $PORT"]', 'exec node server.js --port "$PORT"'),
        ("RUN true", []),
    ],
)  # fmt: skip
def test_a_dockerfiles_command_on_this_machine(text: str, command: str | list[str]) -> None:
    words = dockerfile.command(text)
    made = list(dockerfile.for_this_machine(words, "{python}")) if words else []
    assert made == (["sh", "-c", command] if isinstance(command, str) else command)


@pytest.mark.parametrize(
    ("text", "name"),
    [("@acme/Chat_Node", "chat-node"), ("2 chats!", "chats"), ("", "service"), ("x" * 80, "x" * 49)],
)
def test_a_name_that_cloud_run_takes(text: str, name: str) -> None:
    assert service_name(text) == name


def test_the_workflow_is_one(tmp_path: Path) -> None:
    folder = repositories.plant(STARLETTE, tmp_path)
    assert run(folder, "init", "-y").exit_code == 0
    file = folder / ".github" / "workflows" / "spillway.yml"
    text = file.read_text(encoding="utf-8")
    made = yaml.safe_load(text)
    assert made["concurrency"]["cancel-in-progress"] is False
    assert made["permissions"] == {"contents": "read", "id-token": "write"}
    steps = [step for job in made["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert {use for use in used if not re.search(r"@[0-9a-f]{40}$", use)} == {"./.github/actions/spillway"}
    assert not any("${{" in step.get("run", "") for step in steps), (
        "what comes from outside goes in by a variable"
    )
    ours = [step["with"] for step in steps if step.get("uses", "").startswith("./")]
    there = yaml.safe_load((folder / ".github/actions/spillway/action.yml").read_text(encoding="utf-8"))
    assert all(given.keys() <= there["inputs"].keys() for given in ours)
    assert [given.get("install") for given in ours] == ["false"] * 2, (
        "what is installed is a variable's to say"
    )
    assert {given["env"] for given in ours} == {"production"}


def test_the_action_is_the_one_that_is_published_and_the_package_has_it() -> None:
    ours = {path.name: path.read_text() for path in (ROOT / ".github/actions/rollout").iterdir()}
    assert {path.rpartition("/")[2]: text for path, text in action.files().items()} == ours
    (pattern,) = [each for each in PACKAGE_DATA if each.startswith("scaffold/")]
    assert {path.name for path in (ROOT / "pipeline").glob(pattern)} == ours.keys()


def test_the_watchdogs_image_is_the_one_in_the_docs_and_does_what_the_job_asks(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "watchdog.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    assert [line for line in watchdog.TEXT.splitlines() if not line.startswith("#")] == shown.splitlines()
    assert dockerfile.command(watchdog.TEXT) == ["spillway"]
    folder = repositories.plant(STARLETTE, tmp_path)
    assert run(folder, "init", "-y").exit_code == 0
    assert (folder / watchdog.FILE).read_text() == watchdog.TEXT
    assert see(folder).dockerfile == "", "it is not the service's"
