"""Channels and a policy over HTTP as the real Cloud Monitoring was recorded (2024) to answer, with values of our own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cloud import Cloud
from tests.rest import call, refused

RECORDING = Path(__file__).parents[2] / "shared/recordings/monitoring_alert_policy.json"
PROJECT = "/v3/projects/local"
#: Who wrote is not said here: nobody logs in.
UNSAID = {"mutatedBy"}
CHANNEL: dict[str, Any] = {
    "displayName": "on call",
    "enabled": True,
    "labels": {"email_address": "dev@example.com"},
    "type": "email",
    "userLabels": {"team": "agents"},
}
CONDITION: dict[str, Any] = {
    "conditionThreshold": {
        "aggregations": [
            {"alignmentPeriod": "60s", "crossSeriesReducer": "REDUCE_MEAN",
             "groupByFields": ["resource.label.zone"], "perSeriesAligner": "ALIGN_MAX"},
        ],
        "comparison": "COMPARISON_GT",
        "duration": "900s",
        "filter": 'metric.type="compute.googleapis.com/instance/cpu/utilization" AND resource.type="gce_instance"',
        "thresholdValue": 0.9,
        "trigger": {"count": 1},
    },
    "displayName": "Very high CPU usage",
}  # fmt: skip


PLANE = {"over_rest": True}


def said(cloud: Cloud, verb: str, path: str, body: Any = None) -> Any:
    answer = call(cloud, verb, path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_life_of_a_policy_and_its_channel(cloud: Cloud) -> None:
    channel = said(cloud, "POST", f"{PROJECT}/notificationChannels?alt=json", CHANNEL)
    assert set(channel) == {*CHANNEL, "name", "creationRecord", "mutationRecords"}
    assert re.fullmatch(r"projects/local/notificationChannels/\d{19}", channel["name"])
    assert channel["mutationRecords"] == [channel["creationRecord"]]
    assert said(cloud, "GET", f"/v3/{channel['name']}?alt=json") == channel

    asked = {
        "combiner": "AND_WITH_MATCHING_RESOURCE", "conditions": [CONDITION], "displayName": "cpu", "enabled": True,
        "documentation": {"content": "look\n", "mimeType": "text/markdown"}, "severity": "WARNING",
        "notificationChannels": [channel["name"]], "userLabels": {"team": "agents"},
    }  # fmt: skip
    made = said(cloud, "POST", f"{PROJECT}/alertPolicies?alt=json", asked)
    assert set(made) == {*asked, "name", "creationRecord", "mutationRecord"}
    condition = {**CONDITION, "name": made["conditions"][0]["name"]}
    assert {key: made[key] for key in asked} == {**asked, "conditions": [condition]}
    assert re.fullmatch(rf"{made['name']}/conditions/\d+", condition["name"])

    path = f"/v3/{made['name']}?alt=json"
    mask = "displayName%2Ccombiner%2Cenabled%2Cconditions%2CnotificationChannels%2Cdocumentation%2Cseverity"
    change = {**asked, "combiner": "OR", "enabled": False, "severity": "ERROR", "conditions": [condition],
              "userLabels": {"not": "in the mask"}}  # fmt: skip
    del change["documentation"]
    changed = said(cloud, "PATCH", f"{path}&updateMask={mask}", change)
    assert {key: changed[key] for key in change} == {**change, "userLabels": asked["userLabels"]}
    assert "documentation" not in changed
    assert changed["creationRecord"] == made["creationRecord"]
    assert said(cloud, "GET", path) == changed

    in_use = call(cloud, "DELETE", f"/v3/{channel['name']}?alt=json&force=false")
    assert made["name"] in refused(in_use, 400, "FAILED_PRECONDITION")
    assert said(cloud, "DELETE", path) == {}
    assert said(cloud, "DELETE", f"/v3/{channel['name']}?alt=json&force=false") == {}
    assert refused(call(cloud, "GET", path), 404, "NOT_FOUND")


def test_what_is_no_policy_is_told_in_full(cloud: Cloud) -> None:
    answer = call(cloud, "POST", f"{PROJECT}/alertPolicies", {"combiner": "MAYBE", "colour": "red"})
    told = refused(answer, 400, "INVALID_ARGUMENT")
    assert "colour" in told
    assert "combiner" in told


def test_verifying_a_channel_is_not_offered(cloud: Cloud) -> None:
    answer = call(cloud, "POST", f"{PROJECT}/notificationChannels/1:verify", {"code": "1"})
    assert "VerifyNotificationChannel" in refused(answer, 501, "UNIMPLEMENTED")


@pytest.mark.skipif(not RECORDING.exists(), reason=f"no recording at {RECORDING.name}")
def test_the_recording_itself(cloud: Cloud) -> None:
    """Every recorded request again: status, fields and values, but for numbers, times and who it was."""
    names: dict[str, str] = {}  # recorded number to the one that was given here
    for step in json.loads(RECORDING.read_text()):
        path = step["url"].removeprefix("https://monitoring.googleapis.com")
        answer = call(cloud, step["method"], _renamed(path, names), _renamed(step["request"], names))
        assert answer.status_code == step["status"], (step["method"], path, answer.text)
        if answer.status_code == 200:
            _learn(step["response"], answer.json(), names)
            assert _plain(answer.json()) == _plain(_renamed(step["response"], names))


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if value is None:
        return None
    text = json.dumps(value)
    for recorded, ours in names.items():
        text = text.replace(recorded, ours)
    return json.loads(text)


def _learn(recorded: Any, ours: Any, names: dict[str, str]) -> None:
    pairs = [(recorded, ours), *zip(recorded.get("conditions", ()), ours.get("conditions", ()), strict=True)]
    for theirs, here in pairs:
        if "name" in theirs and theirs["name"].rpartition("/")[2] not in names.values():
            names[theirs["name"].rpartition("/")[2]] = here["name"].rpartition("/")[2]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "a time" if k == "mutateTime" else _plain(v) for k, v in value.items() if k not in UNSAID}
    return [_plain(each) for each in value] if isinstance(value, list) else value
