"""What is written is its owner's alone, whatever the umask says and whatever was there before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import private
from pipeline.events import Said
from pipeline.local import endpoint
from pipeline.local.control.operations import Operation
from pipeline.local.control.state import Service
from pipeline.local.control.store import Shelf
from pipeline.local.endpoint import Endpoint
from pipeline.local.entries.store import LogStore
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from pipeline.report.journal import Attempt, Journal

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
ATTEMPT = Attempt("abc", 1, NOON)
SERVICE = "projects/local/locations/local/services/agent-chat"


@pytest.fixture(autouse=True)
def wide_open() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.lstat().st_mode & 0o777 for path in root.rglob("*")}


def test_a_state_folder_and_its_files(tmp_path: Path) -> None:
    state = tmp_path / ".spillway"
    local = state / "local"
    catalogue.write(local, {"good": Image(("run",), "/", {"TOKEN": "t"})})
    endpoint.write(local, Endpoint(1, "127.0.0.1:1", "token", NOON))
    lock = endpoint.hold(local)
    assert lock
    lock.close()
    Shelf(local / "services", Service)
    Shelf(local / "operations", Operation)
    logs = LogStore(local)
    logs.system(SERVICE, "r", "text")
    logs.close()
    Journal(state / "rollouts", ATTEMPT)(Said(NOON, "deploying", "text"))
    found = modes(tmp_path)
    assert {path for path, mode in found.items() if mode not in (0o700, 0o600)} == set()
    assert {".spillway/local/endpoint.json", ".spillway/local/images.json", ".spillway/local/server.lock",
            ".spillway/local/logs.jsonl", f".spillway/rollouts/{ATTEMPT.name}.jsonl"} <= found.keys()  # fmt: skip


def test_what_was_wider_is_narrowed(tmp_path: Path) -> None:
    folder = tmp_path / ".spillway" / "rollouts"
    folder.mkdir(parents=True, mode=0o755)
    ATTEMPT.path(folder).touch(0o644)
    (folder / "abc-1.md").touch(0o644)
    Journal(folder, ATTEMPT)(Said(NOON, "deploying", "text"))
    private.write(folder / "abc-1.md", "# report")
    assert set(modes(tmp_path).values()) == {0o700, 0o600}


def test_a_folder_that_somebody_chose_keeps_its_mode(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir(mode=0o755)
    private.make_folder(chosen / "services")
    assert modes(tmp_path) == {"chosen": 0o755, "chosen/services": 0o700}


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o644)
    (tmp_path / "report.md").symlink_to(target)
    private.write(tmp_path / "report.md", "new")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("", 0o644)
    assert not (tmp_path / "report.md").is_symlink()
    (tmp_path / "log").symlink_to(target)
    with private.open_append(tmp_path / "log") as log:
        log.write(b"line\n")
    assert target.stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    private.write(path, json.dumps({"a": 1}))
    with pytest.raises(OSError, match=r"not a folder|Not a directory|exists"):
        private.make_folder(path)
    with pytest.raises(UnicodeEncodeError):
        private.write(path, "\ud800")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]
