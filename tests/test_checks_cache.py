"""What is kept between runs: it saves the parsing, changes no answer, and may be lost or spoilt at any time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.finding import Finding
from checks.run import scan
from checks.run.cache import Cache, default_folder
from checks.runner import run
from checks.settings import JsonSafeLogs, Settings, SingleSource
from checks.tree.excerpt import parse_part
from checks.tree.parse import Parsed, parse
from tests.checks_corpus import incident
from tests.test_checks_examples import plant

STATES = "from enum import Enum\n\n\nclass State(Enum):\n    OPEN = 1\n"
USER = "import json\n\nfrom app.states import State\n\n\ndef tell(state: State) -> str:\n    return json.dumps({'s': state})\n"
LOGS = Settings(json_safe_logs=JsonSafeLogs())


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that was parsed to collect from it, in order."""
    seen: list[str] = []

    def noting(path: str, data: bytes) -> Parsed:
        seen.append(path)
        return parse(path, data)

    def noting_part(path: str, data: bytes, lines: list[int], *, with_classes: bool) -> Parsed:
        seen.append(path)
        return parse_part(path, data, lines, with_classes=with_classes)

    monkeypatch.setattr(scan, "parse", noting)
    monkeypatch.setattr(scan, "parse_part", noting_part)
    return seen


def check(root: Path, settings: Settings = LOGS, only: list[str] | None = None) -> tuple[Finding, ...]:
    return run(root, settings, only=only, jobs=1, cache_folder=root.parent / "cache").findings


def cache_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "cache").iterdir()
    return file


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {"app/__init__.py": "", "app/states.py": STATES, "app/user.py": USER, "app/other.py": USER}
    return plant(tmp_path / "tree", files)


def test_nothing_is_parsed_twice(tree: Path, parsed: list[str]) -> None:
    first = check(tree)
    assert len(first) == 2
    assert sorted(parsed) == ["app/other.py", "app/states.py", "app/user.py"]
    parsed.clear()
    assert check(tree) == first
    assert parsed == []


LONG = "\n\ndef another():\n" + "    x = 1\n" * 400  # a small file is parsed whole
HOLDER = (
    "import logging\n\n\nclass Holder:\n    def __init__(self, state: State):\n        self.state = state\n\n"
    "    def tell(self, text: str):\n        logging.info('x', extra={'text': text})\n"
)
HELD = "import json\n\nfrom app.states import Holder\n\n\ndef tell(held: Holder):\n    return json.dumps(held.state)\n"


@pytest.mark.parametrize(("user", "times"), [(USER, 1), (HELD, 2)])
@pytest.mark.parametrize("has_cache", [True, False])
def test_a_class_that_was_looked_at_in_part_is_read_whole_when_it_is_asked_for(
    tmp_path: Path, parsed: list[str], user: str, times: int, has_cache: bool
) -> None:
    tree = plant(tmp_path / "tree", {"app/states.py": f"{STATES}\n\n{HOLDER}{LONG}", "app/user.py": user})
    for _ in range(2):
        (finding,) = run(tree, LOGS, jobs=1, cache=has_cache, cache_folder=tmp_path / "cache").findings
        assert "enum State" in finding.message
    assert parsed.count("app/states.py") == (times if has_cache else 2 * times)


def test_another_encoder_changes_the_answer_about_files_that_stay(tmp_path: Path, parsed: list[str]) -> None:
    formatter = "import json\nimport logging\n\n\nclass Lines(logging.Formatter):\n    def format(self, record):\n        return json.dumps(record.__dict__)\n"
    setup = (
        "import logging\n\nfrom app.lines import Lines\n\nlogging.root.handlers[0].setFormatter(Lines())\n"
    )
    user = "import logging\n\nfrom app.states import State\n\nlogging.info('x', extra={'s': State.OPEN})\n"
    tree = plant(
        tmp_path / "tree",
        {"app/states.py": STATES, "app/lines.py": formatter, "app/setup.py": setup, "app/user.py": user},
    )
    (found,) = check(tree)
    assert found.fails_gate
    assert [(s.path, s.text) for s in found.trail] == [
        ("app/states.py", "enum State is defined here"),
        ("app/setup.py", "written by Lines"),
    ]
    parsed.clear()
    (tree / "app/lines.py").write_text(formatter.replace("__dict__)", "__dict__, default=str)"))
    assert check(tree) == ()
    assert "app/user.py" not in parsed
    (tree / "app/setup.py").unlink()
    (left,) = check(tree)
    assert not left.fails_gate
    assert "plain: [extra]" in left.message


def test_callers_of_a_helper_are_known_again_and_follow_it(tmp_path: Path, parsed: list[str]) -> None:
    send = "import json\n\n\ndef send(value):\n    return json.dumps(value)\n"
    tell = "from app.send import send\n\n\ndef tell(value):\n    return send([value])\n"
    user = "from app.states import State\nfrom app.tell import tell\n\ntell(State.OPEN)\n"
    files = {"app/states.py": STATES, "app/send.py": send, "app/tell.py": tell, "app/user.py": user}
    tree = plant(tmp_path / "tree", files)
    (found,) = check(tree)
    assert (found.path, found.line, found.fails_gate) == ("app/user.py", 4, True)
    assert [(s.path, s.line) for s in found.trail] == [("app/states.py", 4), ("app/send.py", 5)]
    parsed.clear()
    assert check(tree) == (found,)
    assert parsed == []
    (tree / "app/send.py").write_text(send.replace("dumps(value)", "dumps(value, default=str)"))
    assert check(tree) == ()
    (tree / "app/send.py").write_text(send)
    assert check(tree) == (found,)


def test_only_what_changed_is_parsed(tree: Path, parsed: list[str]) -> None:
    check(tree)
    parsed.clear()
    (tree / "app/user.py").write_text(USER.replace("'s': state", "'s': state.name"))
    assert [f.path for f in check(tree)] == ["app/other.py"]
    assert parsed == ["app/user.py"]


def test_the_incident_warm_is_the_incident_cold(tmp_path: Path) -> None:
    root = incident.plant(tmp_path / "tree")
    cold = check(root, incident.SETTINGS)
    assert check(root, incident.SETTINGS) == cold
    assert cold == run(root, incident.SETTINGS, cache=False).findings


def test_an_answer_goes_with_the_file_that_it_followed(tree: Path) -> None:
    assert len(check(tree)) == 2
    (tree / "app/states.py").write_text(STATES.replace("(Enum)", "(str, Enum)"))
    assert check(tree) == ()
    (tree / "app/states.py").write_text(STATES)
    assert len(check(tree)) == 2
    (tree / "app/states.py").unlink()
    assert check(tree) == ()


def test_another_question_is_asked_anew(tree: Path) -> None:
    assert len(check(tree)) == 2
    one = Settings(single_source=(SingleSource("tell", "app/user.py"),))
    assert [f.path for f in check(tree, one)] == ["app/other.py"]
    other = Settings(single_source=(SingleSource("tell", "app/other.py"),))
    assert [f.path for f in check(tree, other)] == ["app/user.py"]


def test_a_moved_file_is_another_file(tree: Path) -> None:
    check(tree)
    (tree / "app/user.py").rename(tree / "app/user2.py")
    assert [f.path for f in check(tree)] == ["app/other.py", "app/user2.py"]


def spoil_text(text: str) -> Callable[[Path], None]:
    return lambda folder: next(folder.iterdir()).write_text(text)


def cut_in_half(folder: Path) -> None:
    file = next(folder.iterdir())
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def forget_the_version(folder: Path) -> None:
    file = next(folder.iterdir())
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": "other"}))


def break_entries(folder: Path) -> None:
    file = next(folder.iterdir())
    document = json.loads(file.read_text())
    document["entries"] = {key: dict.fromkeys(kept, 3) for key, kept in document["entries"].items()}
    file.write_text(json.dumps(document))


def break_facts(folder: Path) -> None:
    file = next(folder.iterdir())
    file.write_text(file.read_text().replace("[", "{").replace('\\"', ""))


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def become_a_folder(folder: Path) -> None:
    file = next(folder.iterdir())
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(shutil.rmtree, id="vanished"),
        pytest.param(cut_in_half, id="half"),
        pytest.param(forget_the_version, id="version"),
        pytest.param(break_entries, id="entries"),
        pytest.param(break_facts, id="facts"),
        pytest.param(become_a_file, id="a file where the folder was"),
        pytest.param(become_a_folder, id="a folder where the file was"),
        *(
            pytest.param(spoil_text(t), id=f"text {t[:6]!r}")
            for t in ("", "[]", "null", "{}", "\x00", "[" * 100_000)
        ),
    ],
)
def test_a_spoilt_cache_is_no_cache(spoil: Callable[[Path], None], tree: Path, tmp_path: Path) -> None:
    first = check(tree)
    spoil(tmp_path / "cache")
    assert check(tree) == first
    assert check(tree) == first


def test_it_vanishes_in_the_middle_of_a_run(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = check(tree)
    save = Cache.save

    def lose_then_save(cache: Cache, *, is_whole: bool) -> None:
        shutil.rmtree(tmp_path / "cache")
        save(cache, is_whole=is_whole)

    monkeypatch.setattr(Cache, "save", lose_then_save)
    (tree / "app/new.py").write_text("import json\n\n\ndef f(x):\n    return json.dumps(x)\n")
    assert check(tree) == first


def test_it_never_outgrows_the_tree(tree: Path, tmp_path: Path) -> None:
    check(tree)
    size = len(json.loads(cache_file(tmp_path).read_text())["entries"])
    for number in range(5):
        (tree / "app/user.py").write_text(f"{USER}# {number}\n")
        check(tree)
    assert len(json.loads(cache_file(tmp_path).read_text())["entries"]) == size


def test_a_run_of_one_rule_keeps_what_others_know(tree: Path, parsed: list[str]) -> None:
    both = Settings(json_safe_logs=JsonSafeLogs(), single_source=(SingleSource("tell", "app/user.py"),))
    first = check(tree, both)
    check(tree, both, only=["single-source"])
    parsed.clear()
    assert check(tree, both) == first
    assert parsed == []


def test_an_unchanged_tree_writes_nothing(tree: Path, tmp_path: Path) -> None:
    check(tree)
    before = cache_file(tmp_path).stat()
    check(tree)
    after = cache_file(tmp_path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_nobody_else_reads_it(tree: Path, tmp_path: Path) -> None:
    check(tree)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPILLWAY_CACHE_DIR", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"
    monkeypatch.delenv("SPILLWAY_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg/spillway/checks"
