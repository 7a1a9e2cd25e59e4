"""The REST face of the local Cloud Run on the wire: values, operations, updates and codes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
import requests

from pipeline.local.api.rest import http_code
from tests.contract.cloud import OUR_PARENT, Cloud
from tests.contract.targets import control_plane
from tests.rest import SERVICES, SPEC, call, get, made, refused

PLANE = {"over_rest": True}


class TestValues:
    def test_they_are_spelled_as_proto_json(self, cloud: Cloud) -> None:
        got = get(cloud, made(cloud, ingress="INGRESS_TRAFFIC_INTERNAL_ONLY", annotations={"a": "ü"}))
        assert got["generation"] == "1"
        assert got["template"]["timeout"] == "300s"
        assert got["template"]["maxInstanceRequestConcurrency"] == 80
        assert got["createTime"].endswith("Z")
        assert got["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
        assert got["traffic"] == [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
        assert got["annotations"] == {"a": "ü"}
        assert {"reconciling", "description", "expireTime"} & set(got) == set()

    @pytest.mark.parametrize("name", ["alt", "$alt", "%24alt"])
    def test_enums_are_numbers_where_that_is_asked(self, cloud: Cloud, name: str) -> None:
        path = made(cloud)
        got = get(cloud, f"{path}?{name}=json%3Benum-encoding%3Dint")
        assert (got["ingress"], got["traffic"][0]["type"], got["terminalCondition"]["state"]) == (1, 1, 4)
        assert get(cloud, f"{path}?{name}=json")["ingress"] == "INGRESS_TRAFFIC_ALL"

    def test_in_operations_too(self, cloud: Cloud) -> None:
        path = f"{SERVICES}?serviceId={cloud.fresh_id()}&$alt=json;enum-encoding=int"
        accepted = call(cloud, "POST", path, SPEC).json()
        assert accepted["metadata"]["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
        assert accepted["metadata"]["launchStage"] == 4

    @pytest.mark.parametrize(
        "spec",
        [
            {"ingress": 2, "template": {"timeout": "90s", "maxInstanceRequestConcurrency": "7"}},
            {"ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
             "template": {"timeout": "90.000s", "max_instance_request_concurrency": 7}},
        ],
    )  # fmt: skip
    def test_they_are_read_in_every_spelling(self, cloud: Cloud, spec: dict[str, Any]) -> None:
        template = {**SPEC["template"], **spec["template"]}
        got = get(cloud, made(cloud, ingress=spec["ingress"], template=template))
        assert got["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
        assert (got["template"]["timeout"], got["template"]["maxInstanceRequestConcurrency"]) == ("90s", 7)

    def test_null_is_as_if_it_were_not_there(self, cloud: Cloud) -> None:
        got = get(cloud, made(cloud, description=None, labels=None, traffic=None))
        assert "description" not in got
        assert got["traffic"][0]["percent"] == 100

    def test_answers_are_indented_unless_asked_otherwise(self, cloud: Cloud) -> None:
        path = made(cloud)
        assert call(cloud, "GET", path).text.startswith('{\n  "name"')
        assert call(cloud, "GET", f"{path}?prettyPrint=false").text.count("\n") == 1

    def test_an_empty_list_is_an_empty_object(self, cloud: Cloud) -> None:
        assert get(cloud, "/v2/projects/local/locations/nowhere/services") == {}


class TestOperations:
    def test_one_is_read_waited_for_listed_and_deleted(self, cloud: Cloud) -> None:
        service_id = cloud.fresh_id()
        accepted = call(cloud, "POST", f"{SERVICES}?alt=json&serviceId={service_id}", SPEC).json()
        path = f"/v2/{accepted['name']}"
        assert "done" not in accepted
        done = call(cloud, "POST", f"{path}:wait", {"timeout": "60s"}).json()
        assert done["done"]
        assert get(cloud, path) == done
        assert done["response"]["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
        assert done["response"]["name"] == f"{OUR_PARENT}/services/{service_id}"
        listed = get(cloud, f"/v2/{OUR_PARENT}/operations?pageSize=1000")["operations"]
        assert accepted["name"] in [each["name"] for each in listed]
        assert call(cloud, "DELETE", path).json() == {}
        assert refused(call(cloud, "GET", path), 404, "NOT_FOUND")

    def test_waiting_needs_no_body(self, cloud: Cloud) -> None:
        accepted = call(cloud, "POST", f"{SERVICES}?serviceId={cloud.fresh_id()}", SPEC).json()
        assert call(cloud, "POST", f"/v2/{accepted['name']}:wait").json()["done"]

    def test_a_failed_one_says_why(self, cloud: Cloud) -> None:
        spec = {"template": {"containers": [{"image": "never-listens"}]}}
        accepted = call(cloud, "POST", f"{SERVICES}?serviceId={cloud.fresh_id()}", spec).json()
        failed = call(cloud, "POST", f"/v2/{accepted['name']}:wait", {}).json()
        assert failed["done"]
        assert failed["error"]["code"]
        assert "cannot serve traffic" in failed["error"]["message"]
        assert "response" not in failed

    def test_pages(self, cloud: Cloud) -> None:
        for _ in range(3):
            made(cloud)
        first = get(cloud, f"{SERVICES}?pageSize=2")
        second = get(cloud, f"{SERVICES}?page_size=2&pageToken={first['nextPageToken']}")
        assert (len(first["services"]), len(second["services"])) == (2, 1)
        assert "nextPageToken" not in second


class TestUpdates:
    def test_without_a_mask_the_whole_service_is_replaced(self, cloud: Cloud) -> None:
        path = made(cloud, description="old", annotations={"a": "1"})
        accepted = call(cloud, "PATCH", f"{path}?alt=json", {**SPEC, "labels": {"l": "1"}})
        assert accepted.status_code == 200
        got = get(cloud, path)
        assert (got["labels"], got["generation"]) == ({"l": "1"}, "2")
        assert {"description", "annotations"} & set(got) == set()

    @pytest.mark.parametrize("mask", ["scaling.minInstanceCount", "scaling.min_instance_count"])
    @pytest.mark.parametrize("name", ["updateMask", "update_mask"])
    def test_a_mask_is_read_in_both_spellings(self, cloud: Cloud, name: str, mask: str) -> None:
        path = made(cloud, scaling={"maxInstanceCount": 5}, description="old")
        change = {"scaling": {"minInstanceCount": 1}, "description": "new"}
        assert call(cloud, "PATCH", f"{path}?{name}={mask}", change).status_code == 200
        got = get(cloud, path)
        assert (got["scaling"], got["description"]) == ({"minInstanceCount": 1, "maxInstanceCount": 5}, "old")

    @pytest.mark.parametrize("mask", ["description,labels", "description%2Clabels"])
    def test_a_mask_names_several_fields(self, cloud: Cloud, mask: str) -> None:
        path = made(cloud, description="old", annotations={"a": "1"}, labels={"l": "1"})
        assert call(cloud, "PATCH", f"{path}?updateMask={mask}", {"description": "new"}).status_code == 200
        got = get(cloud, path)
        assert (got["description"], got["annotations"], "labels" in got) == ("new", {"a": "1"}, False)

    def test_the_path_names_the_service_whatever_the_body_says(self, cloud: Cloud) -> None:
        path, other = made(cloud), made(cloud)
        body = {**SPEC, "name": other.removeprefix("/v2/"), "description": "mine"}
        assert call(cloud, "PATCH", path, body).status_code == 200
        assert get(cloud, path)["description"] == "mine"
        assert "description" not in get(cloud, other)

    def test_what_is_the_servers_own_may_come_back_to_it(self, cloud: Cloud) -> None:
        path = made(cloud)
        assert (
            call(cloud, "PATCH", path, {**get(cloud, path), "description": "round trip"}).status_code == 200
        )
        assert get(cloud, path)["description"] == "round trip"

    def test_a_stale_etag_is_409_aborted(self, cloud: Cloud) -> None:
        path = made(cloud)
        answer = call(cloud, "PATCH", f"{path}?updateMask=description", {"etag": '"stale"'})
        assert "Conflict" in refused(answer, 409, "ABORTED")
        assert refused(call(cloud, "DELETE", f'{path}?etag="stale"'), 409, "ABORTED")

    def test_allow_missing_and_validate_only_are_in_the_query(self, cloud: Cloud) -> None:
        path = f"{SERVICES}/{cloud.fresh_id()}"
        assert refused(call(cloud, "PATCH", path, SPEC), 404, "NOT_FOUND")
        for options in ("allowMissing=true&validateOnly=true", "allow_missing=true&validate_only=True"):
            assert call(cloud, "PATCH", f"{path}?{options}", SPEC).json()["done"]
            assert refused(call(cloud, "GET", path), 404, "NOT_FOUND")
        assert call(cloud, "PATCH", f"{path}?allowMissing=true&validateOnly=false", SPEC).status_code == 200
        assert get(cloud, path)["generation"] == "1"

    def test_who_writes_may_be_said(self, cloud: Cloud) -> None:
        path = made(cloud)
        call(cloud, "PATCH", path, SPEC, **{"X-Spillway-Actor": "somebody"})
        assert get(cloud, path)["lastModifier"] == "somebody"


class TestCodes:
    @pytest.mark.parametrize(
        ("status", "code"),
        [("INVALID_ARGUMENT", 400), ("FAILED_PRECONDITION", 400), ("OUT_OF_RANGE", 400), ("UNAUTHENTICATED", 401),
         ("PERMISSION_DENIED", 403), ("NOT_FOUND", 404), ("ABORTED", 409), ("ALREADY_EXISTS", 409),
         ("RESOURCE_EXHAUSTED", 429), ("CANCELLED", 499), ("UNKNOWN", 500), ("INTERNAL", 500), ("DATA_LOSS", 500),
         ("UNIMPLEMENTED", 501), ("UNAVAILABLE", 503), ("DEADLINE_EXCEEDED", 504)],
    )  # fmt: skip
    def test_each_has_its_http_code(self, status: str, code: int) -> None:
        assert http_code(status) == code

    def test_a_name_that_is_taken_is_409(self, cloud: Cloud) -> None:
        name = made(cloud).rpartition("/")[2]
        assert refused(call(cloud, "POST", f"{SERVICES}?serviceId={name}", SPEC), 409, "ALREADY_EXISTS")

    def test_a_revision_that_must_stay_is_400(self, cloud: Cloud) -> None:
        revision = get(cloud, made(cloud))["latestReadyRevision"]
        assert refused(call(cloud, "DELETE", f"/v2/{revision}"), 400, "FAILED_PRECONDITION")

    def test_a_method_that_is_not_offered_is_501_whatever_is_sent(self, cloud: Cloud) -> None:
        answer = call(
            cloud, "POST", f"/v2/{OUR_PARENT}/workerPools?nonsense=1", b"\xff", **{"Content-Type": "x"}
        )
        assert "WorkerPools/CreateWorkerPool" in refused(answer, 501, "UNIMPLEMENTED")


class TestWaiting:
    SLOW: ClassVar = {"template": {"containers": [{"image": "slow"}]}}

    def test_it_ends_with_the_time_that_was_given(self, cloud: Cloud) -> None:
        accepted = call(cloud, "POST", f"{SERVICES}?serviceId={cloud.fresh_id()}", self.SLOW).json()
        for timeout in ("0.01s", "0s", "-5s"):
            assert (
                "done" not in call(cloud, "POST", f"/v2/{accepted['name']}:wait", {"timeout": timeout}).json()
            )

    def test_it_does_not_keep_the_server_from_ending(self) -> None:
        with ThreadPoolExecutor(1) as pool, control_plane(over_rest=True) as cloud:
            accepted = call(cloud, "POST", f"{SERVICES}?serviceId={cloud.fresh_id()}", self.SLOW).json()
            waiting = pool.submit(call, cloud, "POST", f"/v2/{accepted['name']}:wait")
        # Cut off, or come too late to be taken; one that was taken by a loop that had ended is never answered, since in
        # a test the process lives on. That the block above has ended is the point.
        with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
            waiting.result()
