"""``spillway demo``: the whole story, twice, with nothing left running."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.local import endpoint
from tests.e2e.project import Project

NAMES = ["stopped_at_zero", "rolled_back", "promoted", "rolled_back_by_hand", "promoted"]


@pytest.mark.timeout(600)
def test_the_story_goes_as_told(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "none", patience_s=500)
    # Half of the usual crowd: on two cores that others use as well, the usual one is more than can be served.
    done = project.run("demo", "--rate", "50", "-o", "json")
    assert done.code == 0, done.stderr
    document = done.document
    stopped, sent_back, promoted, *_ = document["chapters"]
    assert [chapter["outcome"] for chapter in document["chapters"]] == NAMES
    assert stopped["user_sessions_on_candidate"] == 0
    assert sent_back["user_sessions_affected"] > 0
    assert sent_back["seconds_to_new_connections_safe"] > 0
    assert sent_back["sockets_left_on_candidate"] >= 0
    assert promoted["user_sessions_affected"] == 0
    for report in document["reports"]:
        assert "rolled_back" in Path(report).read_text(encoding="utf-8") or "rolled back" in Path(
            report
        ).read_text(encoding="utf-8")
    assert not endpoint.is_alive(tmp_path / ".spillway" / "demo" / "local")


def test_a_chapter_that_does_not_stand_alone_is_refused(tmp_path: Path) -> None:
    done = Project(tmp_path, tmp_path / "none").run("demo", "--only", "d")
    assert done.code == 2
    assert "Alone there are: a, b and c." in done.stderr
