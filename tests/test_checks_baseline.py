"""Known findings: only new ones are told, and a file that is none of ours is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from checks import baseline
from checks.errors import CheckError
from checks.runner import run
from tests.checks_corpus import incident


def test_what_is_known_is_counted_and_what_is_new_is_told(tmp_path: Path) -> None:
    root, file = incident.plant(tmp_path / "tree"), tmp_path / "known.json"
    before = run(root, incident.SETTINGS, cache=False)
    baseline.save(file, before.findings)
    settings = replace(incident.SETTINGS, baseline=str(file))
    assert run(root, settings, cache=False).findings == ()
    assert run(root, settings, cache=False).baselined == len(before.findings)
    (root / "agents/extra.py").write_text(f"def {incident.HELPER}(state):\n    return 'a fifth one'\n")
    (new,) = run(root, settings, cache=False).findings
    assert (new.path, new.fails_gate) == ("agents/extra.py", True)


def test_a_second_of_the_same_kind_in_one_file_is_new(tmp_path: Path) -> None:
    root, file = incident.plant(tmp_path / "tree"), tmp_path / "known.json"
    baseline.save(file, run(root, incident.SETTINGS, cache=False).findings)
    route = root / "routes/websocket.py"
    line = '    logger.info("open", extra={"state": websocket.client_state})\n'
    route.write_text(route.read_text().replace(line, line * 2))
    (new,) = run(root, replace(incident.SETTINGS, baseline=str(file)), cache=False).findings
    assert new.path == "routes/websocket.py"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"findings": [{}]}', "\x00", '{"findings": 3}', "[" * 100_000]
)
def test_a_file_that_is_no_baseline(text: str, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(CheckError, match="not a baseline") as caught:
        baseline.load(tmp_path / "known.json")
    assert "--write-baseline" in caught.value.fix


def test_a_missing_one_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="not there") as caught:
        baseline.load(tmp_path / "known.json")
    assert "--write-baseline" in caught.value.fix


def test_one_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="cannot be written"):
        baseline.save(tmp_path / "no" / "known.json", ())


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge"])
def test_a_baseline_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A pipe that nobody writes to would be waited for, and a device read, for ever."""
    file = tmp_path / "known.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        with file.open("wb") as made:
            made.truncate(1 << 40)
    with pytest.raises(CheckError, match=r"known\.json: not a"):
        baseline.load(file)
    with pytest.raises(CheckError, match=r"known\.json: not a"):
        baseline.save(file, [])
