"""What ``docs/framings.md`` shows is what happens: each example is held with a server that follows its script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from pipeline.config import schema
from pipeline.framing.names import FRAMINGS
from pipeline.probe.conversation import Kind
from pipeline.probe.scenario import Scenario
from tests.test_probe_framings import hold

PAGE = (Path(__file__).parents[1] / "docs" / "framings.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```\n(?:```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
HEAD = "service: s\nenvironments: {l: {endpoint: local}}\nscenarios:\n  s:\n"


def examples() -> Iterator[object]:
    for scenario, script in EXAMPLE.findall(PAGE):
        yield pytest.param(scenario, script, id=re.search(r"framing: (?:{name: )?([^,\n]+)", scenario)[1])  # type: ignore[index]


def built(text: str, folder: Path) -> Scenario:
    (made,) = schema.parse(
        HEAD + re.sub("^", "    ", text, flags=re.MULTILINE), str(folder / "f.yaml")
    ).build_scenarios()
    return made


def frame(text: str) -> str | bytes:
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.replace("␞", "\x1e").replace("␊", "\n")


@pytest.mark.parametrize(("scenario", "script"), [*examples()])
async def test_an_example_goes_over_the_wire_as_it_says(scenario: str, script: str, tmp_path: Path) -> None:
    (own,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "ourproto.py").write_text(own, encoding="utf-8")
    wanted = built(scenario, tmp_path)
    if not script:
        assert wanted.framing.is_http
        return

    async def follow(socket: ServerConnection) -> None:
        for line in script.splitlines():
            if line.startswith("> "):
                heard.append(await socket.recv())
            else:
                await socket.send(frame(line[2:]))
        await socket.wait_closed()

    heard: list[str | bytes] = []
    seen = await hold(wanted, follow)
    assert (seen.kind, seen.detail) == (Kind.OK, "")
    assert heard == [frame(line[2:]) for line in script.splitlines() if line.startswith("> ")]


def test_every_framing_has_its_row_and_its_options() -> None:
    rows = dict(re.findall(r"^\| `([^`]+)` \|(.*)", PAGE, re.MULTILINE))
    assert rows.keys() - {"package.module:Class"} == FRAMINGS.keys()
    for name, named in FRAMINGS.items():
        assert all(f"`{option}" in rows[name] for option in named.options), name
