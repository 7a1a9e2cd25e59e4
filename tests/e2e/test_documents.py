"""What the real commands print of a real service is what the published schema says, key by key."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from tests.documents import hold
from tests.e2e.project import Project, image

COMMANDS = (
    "plan --image next", "rollout --image next", "status", "tick", "report", "plan --image next", "local status",
    "local logs -n 5", "doctor", "check", "rollback --dry-run", "rollback", "unpin --move --dry-run", "unpin --move",
    "local up", "local up --dry-run", "local down --dry-run", "plan --image third", "rollout --image third --dry-run",
    "rollout --image third --no-wait", "rollout --image third --dry-run", "promote --dry-run",
    "promote --full --reason enough", "rollout --image third --dry-run", "rollout --image fresh --no-wait", "status",
    "rollback", "status", "tick", "unpin", "probe URL -n 1",
)  # fmt: skip


@pytest.mark.timeout(600)
def test_every_document_is_as_it_is_published(project: Project) -> None:
    project.configure({"good": image(), **{name: image("good", name) for name in ("next", "third", "fresh")}})
    for line in COMMANDS:
        words = tuple(word.replace("URL", project.live().uri) for word in line.split())
        done = project.run_here(*words, "-o", "json")
        assert done.stdout, (line, done.stderr)
        hold(words, json.loads(done.stdout), closed=True)  # exactly one
        if words == ("report",):
            printed = project.run_here("report", "--format", "junit")
            assert next(suite.get("failures") for suite in ET.fromstring(printed.stdout)) == "0", printed
            assert project.run_here("report", "--format", "html").stdout.startswith("<!doctype html>")
            assert project.run_here("report", "--format", "markdown").stdout.startswith("# Promoted")
