"""The JSON schema and the page of ``spillway.yaml``: they say what the reader does, of every key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.config import json_schema, reference, schema, yamltree
from pipeline.errors import ConfigError
from tests import test_checks_config, test_config, test_template_section
from tests.e2e import project
from tests.fuzzing import VALUES, draws, replaced

ROOT = Path(__file__).parents[1]
SCHEMA = json_schema.schema()
JUDGE = jsonschema.Draft7Validator(SCHEMA)

#: What a JSON schema cannot say, by the complaint: how numbers compare, what depends on the spelling or on other keys.
UNSAID = (
    "is too long: a duration", "must lie between", "got 5.0", "on is true or false to YAML", "no is true or false",
    "without probes.address", "did you mean repeats?", "no stage has", "'a/../../x.py' is not a file below", "which have reasons", "can be certified", "nobody looks there",
)  # fmt: skip


def faults(tree: Any) -> list[str]:
    return [each.message for each in JUDGE.iter_errors(tree)]


def blocks(page: Path) -> Iterator[str]:
    """What stands in a page as YAML and is a whole file."""
    for text in re.findall(
        r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        if re.search(r"^(service|checks):", text, re.MULTILINE):
            yield text


def whole_files() -> Iterator[Any]:
    found = [path for path in ROOT.rglob("spillway*.y*ml") if ".venv" not in path.parts]
    assert len(found) > 0
    for path in found:
        yield pytest.param(path.read_text(encoding="utf-8"), id=str(path.relative_to(ROOT)))
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, text in enumerate(blocks(page)):
            yield pytest.param(text, id=f"{page.name}-{number}")
    yield pytest.param(test_config.GOOD, id="good")
    yield pytest.param(test_template_section.HEAD + test_template_section.WHOLE, id="template")
    made = project.CONFIG.format(
        service="chat", images=f"  good: {project.image()}", stages="  - {percent: 0}\n  - {percent: 100}"
    )
    yield pytest.param(made, id="e2e")
    yield pytest.param("checks: {json-safe-logs: , exclude: [a]}\n", id="checks-alone")
    yield pytest.param(
        test_config.GOOD + "bad_promotions: 1 in 20\ncontainer: {min_instances: 1}\n", id="underscores"
    )


def test_it_is_a_schema_that_editors_read() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == json_schema.DRAFT


@pytest.mark.parametrize("text", [*whole_files()])
def test_what_is_a_configuration_fits(text: str) -> None:
    document = yamltree.parse(text, "spillway.yaml")
    schema.validate_checked(document)
    assert faults(document.value) == []


def refused() -> Iterator[Any]:
    """Each slip that the reader's own tests know, as a whole file."""
    for test in (test_config.test_complaints, test_config.test_complaints_are_in_our_words):
        names, rows = _table(test)
        for row in rows:
            given = dict(zip(names, row.values, strict=True))
            text = given["text"] if "text" in given else test_config.broken(given["old"], given["new"])
            yield pytest.param(text, id=str(row.id))
    for text, *_ in _table(test_template_section.test_a_complaint_has_its_place_and_says_what_was_meant)[1]:
        yield pytest.param(test_template_section.HEAD + text, id=text.strip()[:60])
    for row in _table(test_checks_config.test_complaints_name_their_place)[1]:
        yield pytest.param(
            test_checks_config.HEAD + test_checks_config.CHECKS.replace(*row.values[:2]), id=str(row.id)
        )


def _table(test: Any) -> tuple[list[str], list[Any]]:
    (mark,) = (mark for mark in test.pytestmark if mark.name == "parametrize")
    return list(mark.args[0]), list(mark.args[1])


@pytest.mark.parametrize("text", [*refused()])
def test_what_the_reader_refuses_does_not_fit_where_a_schema_can_say_so(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schema.validate_checked(yamltree.parse(text, "spillway.yaml"))
    try:
        tree = yamltree.parse(text, "spillway.yaml").value
    except ConfigError:
        return  # no YAML that means one thing: there is no tree to hold to a schema
    is_unsaid = any(words in str(caught.value) for words in UNSAID)
    assert bool(faults(tree)) is not is_unsaid


@draws(1_500)
@given(replaced(yamltree.parse(test_config.GOOD, "f").value, VALUES))
def test_nothing_that_the_reader_takes_is_refused(tree: Any) -> None:
    try:
        text = json.dumps(tree, ensure_ascii=False).encode().decode()
        document = yamltree.parse(text, "f")
        schema.validate(document)
    except (ConfigError, UnicodeEncodeError):
        return
    assert faults(document.value) == []


def sections(shape: Any, seen: dict[Any, None]) -> dict[Any, None]:
    if json_schema.is_section(shape) and shape not in seen:
        seen[shape] = None
        for key in json_schema.keys_of(shape):
            sections(key.hint, seen)
    for inner in get_args(shape):
        sections(inner, seen)
    return seen


@pytest.mark.parametrize("shape", sections(schema.Config, {}), ids=lambda shape: shape.__name__)
def test_every_key_is_described(shape: Any) -> None:
    said = json_schema.described(shape)
    keys = {each.field.name for each in json_schema.keys_of(shape)}
    assert keys <= {name for name, text in said.items() if len(text) > 10 or "`" in text}


def test_the_default_is_what_the_reader_takes_for_it() -> None:
    """Written out, each default leaves a configuration what it is."""

    def filled(made: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
        for key, inner in made["properties"].items():
            if "default" in inner and not inner.get("deprecated"):
                value.setdefault(key, inner["default"])
        return value

    tree: Any = yamltree.parse(test_config.GOOD, "f").value
    for name in ("evidence", "probes", "container"):
        tree[name] = filled(SCHEMA["properties"][name], {})
    full = schema.parse(json.dumps(filled(SCHEMA, tree)))
    assert full == schema.parse(test_config.GOOD)
    assert tree["heartbeat"] == "20s"


def test_the_page_is_made_of_the_code() -> None:
    page = (ROOT / "docs" / "spillway-yaml.md").read_text(encoding="utf-8")
    assert page == reference.page(), "make it again: spillway schema --markdown > docs/spillway-yaml.md"


def test_the_command_prints_both() -> None:
    assert json.loads(CliRunner().invoke(app, ["schema"]).stdout) == SCHEMA
    assert json.loads(CliRunner().invoke(app, ["schema", "-o", "json"]).stdout) == SCHEMA
    assert CliRunner().invoke(app, ["schema", "--markdown"]).stdout == reference.page()
