"""A service that is none of ours (Node, its own WebSocket library), rolled out by a ``spillway.yaml`` alone."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.project import Project


def _image(folder: Path, build: str) -> str:
    return f'{{command: [node, server.mjs], directory: "{folder}", env: {{BUILD: "{build}"}}}}'


def test_it_is_deployed_probed_and_promoted(foreign: Path, empty: Project) -> None:
    (foreign / ".dockerignore").write_text("!node_modules\n")
    empty.configure({"one": _image(foreign, "1"), "two": _image(foreign, "2")})
    first = empty.run("rollout", "--image", "one", "-o", "json")
    assert (first.code, first.document["outcome"]) == (0, "first_deployment"), first.stderr
    probed = empty.run("probe", empty.live().uri, "-n", "20", "-o", "json")
    assert (probed.code, probed.document["outcome"]) == (0, "ok"), probed.stdout
    done = empty.run("rollout", "--image", "two", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr
    assert empty.live().serving.serving == {done.document["candidate"]: 100}
