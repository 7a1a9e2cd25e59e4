"""A repository, whatever stands in it: ``init`` sees something or nothing, and what it writes loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import schema
from pipeline.scaffold import advice, configuration
from pipeline.scaffold.configuration import Answers
from pipeline.scaffold.repository import see
from tests.fuzzing import ODD, WITHIN, draws, spliced
from tests.repositories import HERE
from tests.test_json_schema import faults

pytestmark = WITHIN

FILES = (
    "fastapi_enum_map/app/main.py",
    "fastapi_enum_map/app/ws/agent.py",
    "starlette_registry/server.py",
    "node_ws/server.js",
)
TEXTS = {name: (HERE / name).read_text(encoding="utf-8") for name in FILES}
PIECES = st.sampled_from([
    '"type"', "{**x}", "{", "}", "(", ")", "[", "]", "*", "lambda: 0", "None", "...", "match x:\n case {'type': 'a'}: pass\n", "yield",
    "await ", "async ", "if ", ":", "=", "==", '"""', "\\", "f'{a}'", "@", "\n", "    ", "case ", "=> {", "`", "//", "/*", "type:",
]) | ODD  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@draws(600)
@given(st.sampled_from(FILES).flatmap(lambda name: st.tuples(st.just(name), spliced(TEXTS[name], PIECES))))
def test_source_with_slips(folder: Path, drawn: tuple[str, str]) -> None:
    name, text = drawn
    file = folder / Path(name).name
    for other in folder.iterdir():
        other.unlink()
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    if name.startswith("node"):
        (folder / "package.json").write_bytes((HERE / "node_ws" / "package.json").read_bytes())
    seen = see(folder)
    made = configuration.text(seen, Answers())
    assert schema.parse(made).scenarios
    assert faults(yaml.safe_load(made)) == []
    assert list(advice.seen(seen))
    assert advice.telemetry(seen)


@draws(400)
@given(
    spliced(
        'FROM x\nENTRYPOINT ["python", "-m"]\nCMD exec uvicorn a:b --port ${PORT:-8080} --host=0.0.0.0\n',
        PIECES,
    )
)
def test_a_dockerfile_with_slips(folder: Path, text: str) -> None:
    for other in folder.iterdir():
        other.unlink()
    (folder / "Dockerfile").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert schema.parse(configuration.text(see(folder), Answers())).scenarios
