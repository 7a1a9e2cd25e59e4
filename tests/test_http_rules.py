"""The HTTP rules are the client package's, all of them, and no path means two methods."""

from __future__ import annotations

import re

import pytest

from pipeline.local.api.http_rules import Rule, rules
from pipeline.local.api.methods import LONGRUNNING, client_methods
from pipeline.local.control.state import Refused
from pipeline.rpc import scheduler

RULES = tuple(rules())
NAME = "projects/p/locations/l/services/s"


def found(verb: str, path: str) -> list[Rule]:
    return [rule for rule in RULES if rule.verb == verb and rule.path.fullmatch(path)]


def test_every_method_of_the_client_package_has_a_rule() -> None:
    named = {f"{service}/{method}" for service, methods in client_methods().items() for method in methods}
    operations = {f"{LONGRUNNING}/{verb}Operation" for verb in ("Get", "Wait", "Delete")}
    # Cloud Scheduler's client package is not among the dependencies: its rules are held to the recording.
    google = {rule.method for rule in RULES if not rule.method.startswith(scheduler.PACKAGE)}
    assert google == named | operations | {f"{LONGRUNNING}/ListOperations"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.verb} {rule.path.pattern}")
def test_a_path_means_one_method(rule: Rule) -> None:
    path = re.sub(r"\[\^[^]]+\]\+", "x", rule.path.pattern).replace("(", "").replace(")", "")
    assert [each.method for each in found(rule.verb, path)] == [rule.method]


@pytest.mark.parametrize(
    ("verb", "path", "method", "values", "body"),
    [
        ("PATCH", f"/v2/{NAME}", "Services/UpdateService", {"service.name": NAME}, "service"),
        ("POST", "/v2/projects/p/locations/l/services", "Services/CreateService", {"parent": "projects/p/locations/l"}, "service"),
        ("GET", f"/v2/{NAME}:getIamPolicy", "Services/GetIamPolicy", {"resource": NAME}, ""),
        ("GET", f"/v2/{NAME}/revisions/r", "Revisions/GetRevision", {"name": f"{NAME}/revisions/r"}, ""),
        ("POST", "/v2/projects/a.b:c/locations/l/operations/o:wait", "Operations/WaitOperation", {"name": "projects/a.b:c/locations/l/operations/o"}, "*"),
        ("GET", "/v2/projects/%70/locations/l%2Fm/services", "Services/ListServices", {"parent": "projects/p/locations/l%2Fm"}, ""),
    ],
)  # fmt: skip
def test_a_path_says_fields_of_the_request(
    verb: str, path: str, method: str, values: dict[str, str], body: str
) -> None:
    (rule,) = found(verb, path)
    match = rule.path.fullmatch(path)
    assert match
    assert rule.method.endswith(method)
    assert (rule.values(match), rule.body) == (values, body)


def test_a_path_that_is_not_utf_8_says_nothing() -> None:
    (rule,) = found("GET", f"/v2/{NAME}%ff")
    match = rule.path.fullmatch(f"/v2/{NAME}%ff")
    assert match
    with pytest.raises(Refused, match="UTF-8"):
        rule.values(match)
