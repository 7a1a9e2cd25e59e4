"""The first minute with ``spillway check``: how little has to be configured, what is found from where, what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checks.runner import run
from checks.settings import JsonSafeLogs, Settings, SingleSource
from tests.checks_corpus import incident
from tests.test_checks_base import git
from tests.test_checks_cli import SAFE, UNSAFE, Done, Spillway, spillway
from tests.test_checks_examples import plant

__all__ = ["spillway"]  # the fixture
_ONE = "single-source: [{symbol: tell, home: HOME}]"
CHECKS = f"checks: {{{_ONE}}}\n"


@pytest.mark.parametrize("head", ["", "service: agent-chat\n", "service: agent-chat\nsource: .\n"])
def test_a_file_for_the_checks_alone_may_name_the_service(head: str, spillway: Spillway) -> None:
    plant(Path(), {"spillway.yaml": head + CHECKS.replace("HOME", "a.py"), "a.py": SAFE, "b.py": SAFE})
    done = spillway("-o", "json")
    assert [(f["rule"], f["path"]) for f in done.document["findings"]] == [("single-source", "b.py")]


@pytest.mark.parametrize("rest", ["scenarios: {}\n", "environments: {}\n", "stages: []\n"])
def test_what_begins_to_declare_a_service_is_held_to_all_of_it(rest: str, spillway: Spillway) -> None:
    plant(Path(), {"spillway.yaml": f"service: a\n{rest}{CHECKS.replace('HOME', 'a.py')}", "a.py": SAFE})
    assert spillway().code == 2


@pytest.mark.parametrize("home", ["app/core/a.py", "core/a.py", "./core/../core/a.py"])
def test_a_file_is_named_from_the_source_or_from_the_configuration(home: str, spillway: Spillway) -> None:
    text = "source: app\n" + CHECKS.replace("HOME", home)
    plant(Path(), {"spillway.yaml": text, "app/core/a.py": SAFE, "app/b.py": SAFE})
    findings = spillway("-o", "json").document["findings"]
    assert [f["message"] for f in findings] == ["second definition of tell; its home is core/a.py"]


def test_every_file_of_the_settings_may_be_named_from_either(spillway: Spillway) -> None:
    text = (
        "source: app\nchecks:\n"
        "  single-source: [{symbol: tell, home: app/a.py, reexporters: [app/pub.py]}]\n"
        "  event-map: [{map: KINDS, in: app/kinds.py, requires: [run]}]\n"
        "  socket-config: {entry-point: app/main.py}\n"
        "  exclude: ['app/old/*']\n"
    )
    source = {
        "a.py": SAFE, "pub.py": "from a import tell\n", "kinds.py": "KINDS = {'run': 1}\n", "old/b.py": SAFE,
        "user.py": "from pub import tell\n\ntell(1)\n", "main.py": "import uvicorn\n\nuvicorn.run(app)\n",
    }  # fmt: skip
    plant(Path(), {"spillway.yaml": text} | {f"app/{path}": each for path, each in source.items()})
    assert spillway("-o", "json").document["findings"] == []


@pytest.mark.parametrize(
    ("home", "hint"),
    [("core/utils.py", "lib/core/utils.py"), ("lib/cor/tell.py", "lib/core/tell.py"), ("lib/none.py", "")],
)
def test_a_file_that_is_nowhere_is_guessed_at(home: str, hint: str, spillway: Spillway) -> None:
    plant(Path(), {"spillway.yaml": CHECKS.replace("HOME", home), "lib/core/utils.py": SAFE})
    plant(Path(), {"lib/core/tell.py": "x = 1\n"})
    (finding,) = spillway("-o", "json").document["findings"]
    said = f"; did you mean {hint}?" if hint else ""
    assert finding["message"] == f"the home of tell is missing: there is no {home}{said}"


USES = "from acme.backend.app.core.utils import tell\n\n\ndef f(x):\n    return tell(x)\n"


@pytest.mark.parametrize("layer", ["", "core", "core/inner"])
def test_imports_that_begin_above_the_source_are_followed(layer: str, tmp_path: Path) -> None:
    root = plant(tmp_path / "acme/backend/app", {"core/utils.py": SAFE, f"{layer or '.'}/user.py": USES})
    settings = Settings(single_source=(SingleSource("tell", "core/utils.py"),))
    assert run(root, settings, cache=False, jobs=1).findings == ()


def test_a_value_is_followed_through_an_import_that_begins_above_the_source(tmp_path: Path) -> None:
    kinds = "import enum\n\n\nclass Phase(enum.Enum):\n    OPEN = 1\n"
    user = "import json\nfrom backend.app import kinds\n\nprint(json.dumps([kinds.Phase.OPEN]))\n"
    root = plant(tmp_path / "backend/app", {"__init__.py": "", "kinds.py": kinds, "user.py": user})
    (finding,) = run(root, Settings(json_safe_logs=JsonSafeLogs()), cache=False, jobs=1).findings
    assert finding.fails_gate


def test_what_fix_writes_is_imported_as_the_packages_around_the_source_are_called(tmp_path: Path) -> None:
    plant(tmp_path / "backend", {"__init__.py": ""})
    root = plant(tmp_path / "backend/app", {"__init__.py": "", "core/__init__.py": "", "core/utils.py": SAFE})
    plant(root, {"user.py": "def f(x):\n    return tell(x)\n"})
    settings = Settings(single_source=(SingleSource("tell", "core/utils.py"),))
    (finding,) = run(root, settings, cache=False, jobs=1).findings
    assert finding.fix is not None
    assert finding.fix.edits[0].text.strip() == "from backend.app.core.utils import tell"


def test_a_name_of_elsewhere_is_not_taken_for_the_folder_around(tmp_path: Path) -> None:
    user = "from logging.core.utils import tell\nfrom other.app.core.utils import tell as two\n\ntell(two)\n"
    root = plant(tmp_path / "logging", {"core/utils.py": SAFE, "user.py": user})
    settings = Settings(single_source=(SingleSource("tell", "core/utils.py"),))
    found = run(root, settings, cache=False, jobs=1).findings
    assert found, "neither is this tree's"
    assert not any(finding.fails_gate for finding in found)


@pytest.mark.parametrize("where", ["src/app", "src/app/deep/er"])
def test_the_configuration_is_found_from_a_subfolder(where: str, spillway: Spillway) -> None:
    text = "source: src\n" + CHECKS.replace("HOME", "app/a.py")
    plant(Path(), {"spillway.yaml": text, "src/app/a.py": SAFE, f"{where}/b.py": SAFE, "src/c.py": SAFE})
    os.chdir(where)
    done = spillway("-o", "json")
    assert {f["path"] for f in done.document["findings"]} == {f"{where.removeprefix('src/')}/b.py"}
    assert spillway().out.startswith("b.py:")
    assert f"what to look for is said by {os.path.relpath('../' * (where.count('/') + 1))}" in done.err


def test_no_configuration_is_sought_above_the_repository(spillway: Spillway) -> None:
    plant(Path(), {"spillway.yaml": CHECKS.replace("HOME", "a.py"), "inner/b.py": SAFE})
    git(plant(Path("inner"), {}), "init", "-q")
    os.chdir("inner")
    assert "no spillway.yaml" in spillway().err


@pytest.mark.parametrize("is_repository", [True, False])
def test_what_git_ignores_is_left_out(is_repository: bool, tmp_path: Path) -> None:
    ignored = {"made/a.py": UNSAFE, "app/old_b.py": UNSAFE, "app/inner/c.py": UNSAFE}
    rules = {".gitignore": "/made/\nold_*\n!old_kept.py\n", "app/.gitignore": "inner/\n"}
    root = plant(tmp_path, {**rules, **ignored, "app/old_kept.py": SAFE, "app/d.py": SAFE})
    if is_repository:
        git(root, "init", "-q")
    report = run(root, Settings(json_safe_logs=JsonSafeLogs()), cache=False, jobs=1)
    assert (report.files, report.findings) == (2, ())
    assert not list(tmp_path.glob("HEAD"))


def test_where_nothing_can_be_written_all_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plant(tmp_path, {".gitignore": "made/\n", "made/a.py": SAFE, "b.py": SAFE})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert run(root, Settings(json_safe_logs=JsonSafeLogs()), cache=False, jobs=1).files == 2


@pytest.mark.parametrize("is_repository", [True, False])
def test_folders_that_are_no_source_are_named_in_one_line(is_repository: bool, spillway: Spillway) -> None:
    plant(Path(), {"env/pyvenv.cfg": "", "env/lib/a.py": UNSAFE, "app/.hidden/b.py": UNSAFE, "c.py": SAFE})
    plant(Path(), {"build/lib/d.py": UNSAFE})
    if is_repository:
        git(Path(), "init", "-q")
    done = spillway()
    assert done.code == 0
    assert "left out: folders: app/.hidden, build, env\n" in done.out
    assert spillway("-o", "json").document["folders"] == ["app/.hidden", "build", "env"]


GENERATED = {
    "by name": ("a_pb2.py", UNSAFE),
    "by a comment": ("a.py", f"# Generated by the protocol compiler.\n{UNSAFE}"),
    "by a docstring": ("a.py", f'"""\n    API\n\n    Generated by OpenAPI Generator\n\n    Do not edit.\n"""\n{UNSAFE}'),
    "by a mark": ("a.py", f"# @generated\n{UNSAFE}"),
}  # fmt: skip


@pytest.mark.parametrize("case", GENERATED)
def test_what_a_program_wrote_is_not_judged_and_named(case: str, spillway: Spillway) -> None:
    path, text = GENERATED[case]
    plant(Path(), {path: text})
    for _ in ("cold", "warm"):
        done = spillway()
        assert done.code == 0
        assert f"left out: json-safe-logs of generated files: {path}\n" in done.out


def test_what_every_rule_looked_at_is_not_left_out(tmp_path: Path) -> None:
    path, text = GENERATED["by a mark"]
    root = plant(tmp_path, {path: text, "b.py": "def f(): ...\n"})
    settings = Settings(single_source=(SingleSource("f", "b.py"),))
    assert run(root, settings, cache=False, jobs=1).generated == ()


@pytest.mark.parametrize(
    "head", ["# Texts that are generated by the model.\n", '"""What was generated, to edit."""\n']
)
def test_what_only_speaks_of_generating_is_judged(head: str, spillway: Spillway) -> None:
    plant(Path(), {"a.py": head + UNSAFE})
    assert spillway().code == 10


def test_what_a_program_wrote_still_says_what_it_defines(tmp_path: Path) -> None:
    kinds = "# @generated\nimport enum\n\n\nclass Phase(enum.Enum):\n    OPEN = 1\n\n\nMAP = {'run': Phase.OPEN}\n"
    user = "import json\nfrom kinds import Phase\n\nprint(json.dumps([Phase.OPEN]))\n"
    root = plant(tmp_path, {"kinds.py": kinds, "user.py": user})
    (finding,) = run(root, Settings(json_safe_logs=JsonSafeLogs()), cache=False, jobs=1).findings
    assert finding.fails_gate


def _notes(done: Done) -> list[str]:
    return [f["message"] for f in done.document["findings"] if f["severity"] == "note"]


@pytest.mark.parametrize(
    "text",
    [None, "", "# later\n", "checks:\n", "checks: {}\n", "checks: {exclude: [gone]}\n"],
)
def test_the_incident_s_helper_is_among_the_first_five_notes_without_a_configuration(
    text: str | None, spillway: Spillway
) -> None:
    incident.plant(Path())
    if text is not None:
        Path("spillway.yaml").write_text(text)
    first = _notes(spillway("-o", "json"))[:5]
    assert [note for note in first if note.startswith(f"{incident.HELPER} is defined 5 times")]


ASKS = "def tell(state):\n    if hasattr(state, 'name') and state:\n        return str(state.name).lower()\n    return str(state)\n"
ASKS_OTHERWISE = "from enum import Enum\n\n\ndef tell(x):\n    return x.value if isinstance(x, Enum) else [x, [x, [x, [x]]]]\n"
COUNTS = (
    "def NAME(rows):\n    total = 0\n    for row in rows:\n        total += row.size * 2\n    return total\n"
)


def _method(name: str) -> str:
    return "class A:\n" + "".join(f"    {line}\n" for line in COUNTS.replace("NAME", name).splitlines())


def test_what_did_harm_before_is_told_first(spillway: Spillway) -> None:
    made = {f"{n}.py": _method("often") for n in "abcde"}
    made |= {f"{n}.py": COUNTS.replace("NAME", "add").replace("2", "3") for n in ("f", "g")}
    made |= {f"{n}.py": COUNTS.replace("NAME", "wanted").replace("2", "4") for n in ("h", "i")}
    made |= {f"use_{n}.py": "from i import wanted\n\n\ndef f(): ...\n" for n in "ab"}
    plant(Path(), {**made, "j.py": ASKS, "k.py": ASKS_OTHERWISE})
    assert _notes(spillway("-o", "json")) == [
        "tell is defined 2 times and not all treat enums alike",
        "wanted is defined 2 times with the same body; 2 files import it",
        "add is defined 2 times with the same body",
        "often is defined 5 times with the same body",
    ]


def test_what_must_stay_as_it_was_is_no_copy(spillway: Spillway) -> None:
    text = COUNTS.replace("NAME", "forwards")
    plant(Path(), {"app/migrations/a.py": text, "app/migrations/b.py": text, "alembic/versions/c.py": text})
    assert _notes(spillway("-o", "json")) == []


def test_a_person_is_told_of_twenty_and_how_many_there_are(spillway: Spillway) -> None:
    names = [f"helper_{n:02}" for n in range(23)]
    text = "\n\n".join(
        COUNTS.replace("NAME", name).replace("* 2", f"* {n}") for n, name in enumerate(names, 2)
    )
    plant(Path(), {"a.py": text, "b.py": text})
    done = spillway()
    assert done.out.count("note[repeated]") == 20
    assert "and 3 more notes: --format json has all 23\n" in done.out
    assert "23 notes" in done.out
    assert len(_notes(spillway("-o", "json"))) == 23
