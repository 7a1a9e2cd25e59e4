"""The recorded conversation with the real Cloud Run, held again with the local one over REST: fields, values, order."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.contract.cloud import OUR_PARENT, Cloud
from tests.contract.targets import control_plane
from tests.recorded import ALLOWED, ASKED, CHANGED, FIELDS, SHOWN_TEMPLATE
from tests.rest import SERVICES, call

RECORDING = Path(__file__).parents[2] / "shared/recordings/run_v2_service.json"
SERVICE = f"{SERVICES}/recorded"
PENDING, SUCCEEDED = "CONDITION_PENDING", "CONDITION_SUCCEEDED"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with control_plane(over_rest=True) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def said(cloud: Cloud) -> dict[str, Any]:
    """Every answer of the conversation, by what it was to."""
    said: dict[str, Any] = {"missing": call(cloud, "GET", SERVICE)}

    def write(what: str, verb: str, path: str, body: Any) -> None:
        operation = call(cloud, verb, path, body).json()
        said[f"{what}, accepted"] = operation["metadata"]
        ended = call(cloud, "POST", f"/v2/{operation['name']}:wait", {"timeout": "60s"}).json()
        assert ended["done"]
        assert ended["metadata"] == ended["response"]
        said[what] = ended["response"]

    write("created", "POST", f"{SERVICES}?alt=json&serviceId=recorded", ASKED)
    said["read"] = call(cloud, "GET", f"{SERVICE}?alt=json").json()
    write("changed", "PATCH", f"{SERVICE}?alt=json", CHANGED)
    said["read again"] = call(cloud, "GET", f"{SERVICE}?alt=json").json()
    write("deleted", "DELETE", f"{SERVICE}?alt=json", None)
    return said


@pytest.mark.parametrize("what", ["created", "read", "changed", "read again", "deleted", *FIELDS])
def test_the_fields_that_are_there(said: dict[str, Any], what: str) -> None:
    if what == "settled":
        return
    wanted = FIELDS.get(what, FIELDS["settled"])
    assert set(said[what]) - {"@type"} - set(ALLOWED) == wanted


def test_what_the_server_fills_in(said: dict[str, Any]) -> None:
    for what in ("created, accepted", "created", "read"):
        template = dict(said[what]["template"])
        account = template.pop("serviceAccount")
        assert re.fullmatch(r"\d{12}-compute@developer\.gserviceaccount\.com", account)
        assert template == SHOWN_TEMPLATE


def test_a_write_is_answered_before_anybody_looked(said: dict[str, Any]) -> None:
    assert said["created, accepted"]["terminalCondition"] == {"state": PENDING}
    before, accepted = said["read"], said["changed, accepted"]
    assert accepted["terminalCondition"] == {**before["terminalCondition"], "state": PENDING}
    for field in (
        "conditions",
        "observedGeneration",
        "latestReadyRevision",
        "latestCreatedRevision",
        "trafficStatuses",
    ):
        assert accepted[field] == before[field]
    assert (accepted["generation"], accepted["observedGeneration"]) == ("2", "1")
    assert accepted["template"]["scaling"] == {"maxInstanceCount": 3}


def test_when_it_has_settled(said: dict[str, Any]) -> None:
    for what, generation in (("read", "1"), ("read again", "2")):
        found = said[what]
        assert (found["generation"], found["observedGeneration"]) == (generation, generation)
        assert [(c["type"], c["state"]) for c in found["conditions"]] == [
            ("RoutesReady", SUCCEEDED), ("ConfigurationsReady", SUCCEEDED),
        ]  # fmt: skip
        assert (found["terminalCondition"]["type"], found["terminalCondition"]["state"]) == (
            "Ready",
            SUCCEEDED,
        )
        assert found["latestReadyRevision"] == found["latestCreatedRevision"]
        revision = f"{OUR_PARENT}/services/recorded/revisions/recorded-0000{generation}-"
        assert re.fullmatch(rf"{revision}[a-z]{{3}}", found["latestReadyRevision"])
        assert found["trafficStatuses"] == [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]


def test_times_and_etag_change_with_writes_alone(said: dict[str, Any]) -> None:
    for accepted, ended, read in (
        ("created, accepted", "created", "read"), ("changed, accepted", "changed", "read again"),
    ):  # fmt: skip
        for field in ("etag", "updateTime", "createTime", "uid", "generation"):
            assert said[accepted][field] == said[ended][field] == said[read][field]
    assert said["read again"]["updateTime"] > said["read"]["updateTime"]
    assert said["read again"]["createTime"] == said["read"]["createTime"]


def test_the_etag_is_the_time_and_the_name(said: dict[str, Any]) -> None:
    found = said["read"]
    time, _, name = found["etag"].strip('"').rpartition("/")  # base64 of a time may have slashes
    stamp = Timestamp.FromString(base64.b64decode(time + "=" * (-len(time) % 4)))
    assert stamp.ToJsonString() == found["updateTime"]
    assert base64.b64decode(name + "=" * (-len(name) % 4)).decode() == found["name"]


def test_a_deletion(said: dict[str, Any]) -> None:
    accepted, ended = said["deleted, accepted"], said["deleted"]
    assert (accepted["generation"], accepted["observedGeneration"]) == ("3", "2")
    assert accepted["deleteTime"] == accepted["updateTime"]
    kept = datetime.fromisoformat(accepted["expireTime"]) - datetime.fromisoformat(accepted["deleteTime"])
    assert kept == timedelta(days=30)
    assert accepted["terminalCondition"]["state"] == PENDING
    assert (ended["observedGeneration"], ended["terminalCondition"]["state"]) == ("3", SUCCEEDED)
    assert ended["deleteTime"] == accepted["deleteTime"]
    assert accepted["etag"] != said["read again"]["etag"]


def test_what_is_not_there(said: dict[str, Any]) -> None:
    assert said["missing"].status_code == 404
    assert said["missing"].json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.skipif(not RECORDING.exists(), reason=f"no recording at {RECORDING.name}")
def test_the_recording_itself(cloud: Cloud) -> None:
    """Every recorded request again; status, fields and values, but for names, numbers, times and who it was."""
    differences: set[str] = set()
    operations: list[str] = []
    for step in json.loads(RECORDING.read_text(encoding="utf-8")):
        path = step["url"].partition("googleapis.com")[2].partition("?")[0]
        query = step["url"].partition("?")[2]
        path = path.replace("projects/example-project/locations/us-central1", OUR_PARENT)
        if "/operations/" in path:
            ours = call(cloud, "POST", f"/v2/{operations[-1]}:wait", {"timeout": "60s"})
        else:
            body = json.loads(json.dumps(step["request"]).replace("gcr.io/cloudrun/hello", "good"))
            ours = call(cloud, step["method"], f"{path}?{query}", body)
        assert ours.status_code == step["status"]
        if step["status"] != 200:
            continue
        if step["method"] != "GET":
            operations.append(ours.json()["name"])
        differences |= set(_differences(step["response"], ours.json(), ""))
    assert differences - ALLOWED_OF_RECORDING.keys() == set()


#: Paths, without the operation's wrapping and without indices, where the two may differ.
ALLOWED_OF_RECORDING = {
    "name": "ours", "uid": "a fresh one", "etag": "holds name and time", "uri": "an address of this machine",
    "urls": "the recording is older", "createTime": "then and now", "updateTime": "then and now",
    "deleteTime": "then and now", "expireTime": "then and now", "creator": "who it was", "lastModifier": "who it was",
    "template.serviceAccount": "holds the project's number", "template.containers.image": "one that runs here",
    "latestReadyRevision": "a fresh suffix", "latestCreatedRevision": "a fresh suffix",
    "conditions.lastTransitionTime": "then and now", "terminalCondition.lastTransitionTime": "then and now",
}  # fmt: skip


def _differences(theirs: Any, ours: Any, path: str) -> Iterator[str]:
    """Paths at which one has what the other has not, or has another value. Order of lists counts."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in theirs.keys() | ours.keys():
            inner = path if not path and key in ("metadata", "response") else f"{path}.{key}".lstrip(".")
            if key in theirs and key in ours:
                yield from _differences(theirs[key], ours[key], inner)
            else:
                yield (
                    f"{inner} {'missing' if key in theirs else 'too much'}" if inner not in ALLOWED else inner
                )
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for one, other in zip(theirs, ours, strict=True):
            yield from _differences(one, other, path)
    elif theirs != ours:
        yield path
