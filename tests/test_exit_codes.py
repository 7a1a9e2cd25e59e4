"""What each exit code promises: the one table over all outcomes and all errors, and the README's with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.errors import SpillwayError
from pipeline.model import Outcome

OUTCOMES = {
    "promoted": 0,
    "first_deployment": 0,
    "first_deployment_unhealthy": 17,
    "rolled_back_by_hand": 11,
    "superseded": 16,
    "checks_failed": 10,
    "stopped_at_zero": 11,
    "rolled_back": 11,
    "rollback_unverified": 12,
    "paused": 13,
    "under_way": 15,
}
ERRORS = {
    "SpillwayError": 1,
    "UserError": 2,
    "ConfigError": 2,
    "PlanRefused": 2,
    "FieldsLost": 2,
    "RecordUnreadable": 2,
    "LocalCloudRunDown": 2,
    "AccessError": 3,
    "NotYet": 18,
    "AnotherRunAlive": 14,
    "FirstDeploymentFailed": 17,
    "PlatformError": 4,
    "ServiceNotFound": 2,
    "RevisionNotFound": 2,
    "JobNotFound": 4,
    "RequestRejected": 1,
    "StaleWrite": 4,
    "RecordLost": 4,
    "PlatformUnavailable": 4,
}


def kinds() -> dict[str, type[SpillwayError]]:
    found = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, SpillwayError)]
    return {kind.__name__: kind for kind in found}


def test_every_outcome_has_its_code() -> None:
    assert {o.label: o.exit_code for o in Outcome} == OUTCOMES


def test_every_error_has_its_code() -> None:
    assert {name: kind.exit_code for name, kind in kinds().items()} == ERRORS


def test_only_what_has_the_traffic_ends_with_0() -> None:
    assert {label for label, code in OUTCOMES.items() if code == 0} == {"promoted", "first_deployment"}
    assert 0 not in ERRORS.values()


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_the_tree_that_is_drawn_is_the_tree(name: str) -> None:
    drawn = dict(re.findall(r"(\w+) +(\d+) {3}", errors.__doc__ or ""))
    assert int(drawn[name]) == ERRORS[name]


def test_the_readme_tells_each_outcome_under_its_code() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    table = text.split("## Exit codes")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| ([\d, ]+) \| (.*\|.*) \|$", table, re.MULTILINE))
    for label, code in OUTCOMES.items():
        assert f"`{label}`" in rows[str(code)], label


def test_what_may_not_be_rolled_out_yet_has_a_name_of_its_own() -> None:
    named = {kind.outcome: kind.exit_code for kind in kinds().values() if kind.outcome != "error"}
    assert named == {"not_yet": 18}
    assert not named.keys() & OUTCOMES.keys()
