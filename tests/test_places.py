"""Where a service lives, read of a file of which the rest may be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.app.session import Session
from pipeline.cli.options import find_service
from pipeline.config import places, schema, yamltree
from pipeline.errors import ConfigError, UserError
from pipeline.model import ServiceRef
from pipeline.output.writer import Output

PLACES = """\
service: chat
environments:
  staging: {project: acme-staging, region: us-central1}
  production: {project: acme, region: us-central1, service: chat-live, after: {environment: staging, soak: 24h}}
"""
REST = "scenarios: {run: {path: /ws, expect: [done]}}\n"
SLIPS = {
    "a limit without a unit": "criteria: {server_error_1011: {limit: 5}}\n",
    "a section that is unknown": "servcies: {}\n",
    "stages that fall": "stages: [{percent: 100}, {percent: 0}]\n",
    "a framing that is none": "scenarios: {run: {path: /ws, framing: morse, expect: [done]}}\n",
    "no scenarios": "scenarios: {}\n",
}


def session(folder: Path, text: str) -> Session:
    file = folder / "spillway.yaml"
    file.write_text(text)
    return Session(Output(), file, folder, None, yes=False)


def test_it_says_what_the_whole_schema_says() -> None:
    document = yamltree.parse(PLACES + REST, "spillway.yaml")
    whole, alone = schema.validate(document), places.read(document)
    assert alone is not None
    assert (alone.service, alone.environments) == (whole.service, whole.environments)
    _, production = alone.environment("production")
    assert alone.ref(production) == ServiceRef("acme", "us-central1", "chat-live")


@pytest.mark.parametrize("slip", SLIPS)
def test_what_is_wrong_elsewhere_stands_in_nobodys_way(tmp_path: Path, slip: str) -> None:
    asked = session(tmp_path, PLACES + SLIPS[slip])
    assert find_service(asked, None, None, None, "production").service == "chat-live"
    with pytest.raises(ConfigError):
        _ = asked.config


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("service: chat\n", "", "missing key service"),
        ("service: chat\n", "service: 7\n", "service: must be text"),
        ("region: us-central1, service", "region: us-central1-a, service", "environments.production.region"),
        ("soak: 24h", "soak: 24", "soak: 24 is not a duration"),
        ("{environment: staging", "{environment: stagign", "no environment .stagign"),
        ("{environment: staging", "{environment: production", "a circle"),
        (PLACES[PLACES.index("environments") :], "", "missing key environments"),
        (PLACES, "- chat\n", "not a configuration"),
    ],
)
def test_what_is_wrong_there_is_told_by_the_whole_schema(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in PLACES
    asked = session(tmp_path, PLACES.replace(old, new) + REST * (new != "- chat\n"))
    with pytest.raises(ConfigError, match=said) as raised:
        find_service(asked, None, None, None, "production")
    assert "name the service in full" in raised.value.fix


def test_an_environment_is_named_where_there_are_several(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which environment"):
        find_service(session(tmp_path, PLACES + REST), None, None, None, None)
