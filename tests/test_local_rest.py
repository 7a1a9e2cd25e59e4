"""The REST face of the local Cloud Run, on the wire: what HTTP clients of other makes send, and what they are told."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.local.api.answering import MAX_REQUEST
from pipeline.local.api.methods import offered
from pipeline.local.api.rest import RestFace
from pipeline.local.bearer import Access
from pipeline.local.front.addresses import listen
from tests.contract.cloud import OUR_PARENT, Cloud, LoopThread
from tests.contract.targets import control_plane

SERVICES = f"/v2/{OUR_PARENT}/services"
SPEC: dict[str, Any] = {"template": {"containers": [{"image": "good"}]}}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def running() -> Iterator[Cloud]:
    with control_plane(over_rest=True) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: Cloud) -> Iterator[Cloud]:
    with running.case():
        yield running


def call(cloud: Cloud, verb: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    """One call. ``body`` is sent as JSON, or as it is if it is bytes; ``path`` is not touched."""
    assert cloud.rest
    assert cloud.rest.credentials
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {**({} if data is None else JSON), **headers}
    with requests.Session() as session:
        session.trust_env = False
        asked = session.prepare_request(requests.Request(verb, cloud.rest.url, data=data, headers=given))
        asked.url = f"{cloud.rest.url}{path}"
        cloud.rest.credentials.apply(asked.headers)
        return session.send(asked, timeout=60)


def error(answer: requests.Response) -> dict[str, Any]:
    """The error of an answer, whose shape is Google's whatever went wrong."""
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    found = answer.json()["error"]
    assert set(found) == {"code", "message", "status", "details"}
    assert found["code"] == answer.status_code
    assert "Traceback" not in found["message"]
    return found


def refused(answer: requests.Response, code: int, status: str) -> str:
    found = error(answer)
    assert (found["code"], found["status"]) == (code, status), found
    return str(found["message"])


def made(cloud: Cloud, **fields: Any) -> str:
    """The path of a service that runs."""
    service_id = cloud.fresh_id()
    operation = call(cloud, "POST", f"{SERVICES}?serviceId={service_id}", {**SPEC, **fields}).json()
    assert call(cloud, "POST", f"/v2/{operation['name']}:wait", {"timeout": "60s"}).json()["done"]
    return f"{SERVICES}/{service_id}"


def get(cloud: Cloud, path: str) -> Any:
    answer = call(cloud, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


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
        assert accepted["metadata"]["ingress"] == 1

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


UNKNOWN = "Invalid JSON payload received. Unknown name "


class TestPayloads:
    @pytest.mark.parametrize(
        ("body", "message", "field"),
        [
            ({"x": 1}, UNKNOWN + "\"x\" at 'service': Cannot find field.", "service"),
            ({"type_": 1}, UNKNOWN + "\"type_\" at 'service': Cannot find field.", "service"),
            ({"template": {"minScale": 1}}, UNKNOWN + "\"minScale\" at 'service.template': Cannot find field.", "service.template"),
            ({"template": {"containers": [{}, {"envs": []}]}}, UNKNOWN + "\"envs\" at 'service.template.containers[1]': Cannot find field.", "service.template.containers[1]"),
            ({"traffic": [{"type_": 1}]}, UNKNOWN + "\"type_\" at 'service.traffic[0]': Cannot find field.", "service.traffic[0]"),
            ({"binaryAuthorization": {"x\"y": 1}}, UNKNOWN + "\"x\"y\" at 'service.binary_authorization': Cannot find field.", "service.binary_authorization"),
            ({"description": ["a"]}, UNKNOWN + "\"description\" at 'service': Proto field is not repeating, cannot start list.", "service"),
            ({"template": []}, UNKNOWN + "\"template\" at 'service': Proto field is not repeating, cannot start list.", "service"),
            ({"description": 5}, "Invalid value at 'service.description' (TYPE_STRING), 5", "service.description"),
            ({"template": ""}, "Invalid value at 'service.template' (type.googleapis.com/google.cloud.run.v2.RevisionTemplate), \"\"", "service.template"),
            ({"ingress": "ALL"}, "Invalid value at 'service.ingress' (type.googleapis.com/google.cloud.run.v2.IngressTraffic), \"ALL\"", "service.ingress"),
            ({"traffic": [{"percent": "half"}]}, "Invalid value at 'service.traffic[0].percent' (TYPE_INT32), \"half\"", "service.traffic[0].percent"),
            ({"traffic": [{"percent": 1.5}]}, "Invalid value at 'service.traffic[0].percent' (TYPE_INT32), 1.5", "service.traffic[0].percent"),
            ({"traffic": [None]}, "Invalid value at 'service.traffic[0]' (type.googleapis.com/google.cloud.run.v2.TrafficTarget), null", "service.traffic[0]"),
            ({"labels": {"a": "b", "c": 1}}, "Invalid value at 'service.labels[1].value' (TYPE_STRING), 1", "service.labels[1].value"),
            ({"iapEnabled": "yes"}, "Invalid value at 'service.iap_enabled' (TYPE_BOOL), \"yes\"", "service.iap_enabled"),
            ({"template": {"timeout": "5"}}, "Invalid value at 'service.template.timeout' (type.googleapis.com/google.protobuf.Duration), \"5\"", "service.template.timeout"),
            ({"customAudiences": ["a", 5]}, "Invalid value at 'service.custom_audiences[1]' (TYPE_STRING), 5", "service.custom_audiences[1]"),
        ],
    )  # fmt: skip
    def test_what_has_no_place_is_refused_in_googles_words(
        self, cloud: Cloud, body: dict[str, Any], message: str, field: str
    ) -> None:
        service_id = cloud.fresh_id()
        answer = call(cloud, "POST", f"{SERVICES}?serviceId={service_id}", body)
        assert refused(answer, 400, "INVALID_ARGUMENT") == message
        assert error(answer)["details"] == [
            {"@type": "type.googleapis.com/google.rpc.BadRequest",
             "fieldViolations": [{"field": field, "description": message}]}
        ]  # fmt: skip
        assert refused(call(cloud, "GET", f"{SERVICES}/{service_id}"), 404, "NOT_FOUND")

    def test_all_of_it_is_said_at_once_but_not_without_end(self, cloud: Cloud) -> None:
        path = f"{SERVICES}?serviceId={cloud.fresh_id()}&more=1"
        message = refused(call(cloud, "POST", path, {"x": 1, "y": 2}), 400, "INVALID_ARGUMENT")
        assert [line.split('"')[1] for line in message.splitlines()] == ["more", "x", "y"]
        many = refused(call(cloud, "POST", path, {f"n{n}": 1 for n in range(9_999)}), 400, "INVALID_ARGUMENT")
        assert len(many.splitlines()) == 100

    @pytest.mark.parametrize(
        "body",
        [b"{", b"[1]", b'"x"', b"null", b"{'a': 1}", b'{"a": 1,}', b"\xff\xfe", b'{"description": "\xff"}', b"--",
         b'{"description": "\\ud800"}', b'{"\\ud800": 1}', b'{"traffic": [{"percent": NaN}]}',
         b'{"traffic": [{"percent": 1e999}]}', b'{"generation": ' + b"9" * 5_000 + b"}",
         b"[" * 100_000, b'{"a":' * 100_000, b'{"description": ' + b"[" * 900 + b"]" * 900 + b"}",
         b'{"description": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
         b'{"labels": {"a": null}}', b'{"labels": "a"}', b'{"template": {"containers": {}}}',
         b'{"customAudiences": "a"}', b'{"custom_audiences": ["a"], "customAudiences": ["b"]}',
         b'{"createTime": "yesterday"}', b'{"template": {"timeout": "99999999999999999999s"}}'],
    )  # fmt: skip
    def test_what_is_no_service_is_the_callers_fault(self, cloud: Cloud, body: bytes) -> None:
        answer = call(cloud, "POST", f"{SERVICES}?serviceId={cloud.fresh_id()}", body)
        assert refused(answer, 400, "INVALID_ARGUMENT")

    @pytest.mark.parametrize(
        "content_type",
        ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "multipart/form-data", "nonsense"],
    )  # fmt: skip
    def test_nothing_but_json_is_read(self, cloud: Cloud, content_type: str) -> None:
        answer = call(cloud, "POST", f"{SERVICES}?serviceId=x", SPEC, **{"Content-Type": content_type})
        assert "application/json" in refused(answer, 400, "INVALID_ARGUMENT")

    @pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON"])
    def test_json_may_say_that_it_is_utf_8(self, cloud: Cloud, content_type: str) -> None:
        path = f"{SERVICES}?serviceId={cloud.fresh_id()}"
        assert call(cloud, "POST", path, SPEC, **{"Content-Type": content_type}).status_code == 200

    def test_a_call_without_a_place_for_a_body_takes_an_empty_one(self, cloud: Cloud) -> None:
        path = made(cloud)
        assert call(cloud, "GET", path, {}).status_code == 200
        answer = call(cloud, "DELETE", path, {"etag": "x"})
        assert refused(answer, 400, "INVALID_ARGUMENT") == f'{UNKNOWN}"etag": Cannot find field.'
        assert call(cloud, "DELETE", path, {}).status_code == 200

    def test_a_body_that_is_too_large_is_refused(self, cloud: Cloud) -> None:
        large = b" " * (MAX_REQUEST + 1)
        path = f"{SERVICES}?serviceId=x"
        for body in (large, gzip.compress(b"{}" + b" " * 64 * MAX_REQUEST)):
            packed = {} if body is large else {"Content-Encoding": "gzip"}
            message = refused(call(cloud, "POST", path, body, **packed), 400, "INVALID_ARGUMENT")
            assert message == f"Request payload size exceeds the limit: {MAX_REQUEST} bytes."

    def test_a_body_may_be_compressed(self, cloud: Cloud) -> None:
        body = gzip.compress(json.dumps(SPEC).encode())
        path = f"{SERVICES}?serviceId={cloud.fresh_id()}"
        assert call(cloud, "POST", path, body, **{"Content-Encoding": "gzip"}).status_code == 200

    def test_a_body_that_does_not_unpack_is_the_callers_fault(self, cloud: Cloud) -> None:
        answer = call(cloud, "POST", f"{SERVICES}?serviceId=x", b"{}", **{"Content-Encoding": "gzip"})
        assert refused(answer, 400, "INVALID_ARGUMENT")


class TestPathsAndQueries:
    @pytest.mark.parametrize(
        ("verb", "path"),
        [
            ("GET", "/"), ("GET", "/v2"), ("GET", "/v1/projects/p/locations/l/services"), ("GET", f"{SERVICES}/"),
            ("GET", f"/{SERVICES}"), ("GET", f"{SERVICES}//x"), ("GET", f"{SERVICES}/x/y"), ("PUT", f"{SERVICES}/x"),
            ("HEAD", f"{SERVICES}/x"), ("OPTIONS", SERVICES), ("GET", f"{SERVICES}/x:nonsense"), ("POST", f"{SERVICES}/x"),
            ("GET", "/v2/projects/p/locations/l%2Fservices"), ("TRACE", SERVICES), ("GET", "/V2/projects/p/locations/l/services"),
        ],
    )  # fmt: skip
    def test_an_unknown_one_is_404(self, cloud: Cloud, verb: str, path: str) -> None:
        answer = call(cloud, verb, path)
        assert answer.status_code == 404
        if verb != "HEAD":
            assert refused(answer, 404, "NOT_FOUND") == "Method not found."

    def test_percent_encoding_is_undone_but_for_the_slash(self, cloud: Cloud) -> None:
        path = made(cloud)
        head, _, name = path.rpartition("/")
        encoded = "".join(f"%{ord(letter):02x}" for letter in name)
        assert get(cloud, f"{head}/{encoded}") == get(cloud, path)
        assert get(cloud, f"{head}/%{ord(name[0]):02X}{name[1:]}") == get(cloud, path)
        assert error(call(cloud, "GET", f"{head}/x%2Frevisions%2Fy"))["code"] in (400, 404)

    @pytest.mark.parametrize("name", ["%ff", "%c3%28", "a%ffb"])
    def test_a_path_that_is_not_utf_8_is_the_callers_fault(self, cloud: Cloud, name: str) -> None:
        assert refused(call(cloud, "GET", f"{SERVICES}/{name}"), 400, "INVALID_ARGUMENT")

    @pytest.mark.parametrize("name", ["%", "%zz", "%00", "%20", "ü", "..", "%2e%2e", "*"])
    def test_a_strange_name_is_nobodys(self, cloud: Cloud, name: str) -> None:
        assert error(call(cloud, "GET", f"{SERVICES}/{name}"))["code"] in (400, 404)

    @pytest.mark.parametrize(
        ("query", "name"),
        [("x=1", "x"), ("pageSize=1&pageSize=2", "pageSize"), ("pageSize=1&page_size=2", "page_size"), ("parent=y", "parent"), ("=1", "")],
    )  # fmt: skip
    def test_a_parameter_that_is_not_the_methods_is_refused(
        self, cloud: Cloud, query: str, name: str
    ) -> None:
        message = refused(call(cloud, "GET", f"{SERVICES}?{query}"), 400, "INVALID_ARGUMENT")
        assert message.startswith(f'{UNKNOWN}"{name}": ')

    @pytest.mark.parametrize(
        "query", ["pageSize=many", "pageSize=99999999999", "showDeleted=perhaps", "pageToken=%ff", "alt=proto", "alt=json;enum-encoding=hex"]
    )  # fmt: skip
    def test_a_value_that_means_nothing_is_refused(self, cloud: Cloud, query: str) -> None:
        assert refused(call(cloud, "GET", f"{SERVICES}?{query}"), 400, "INVALID_ARGUMENT")

    @pytest.mark.parametrize("query", ["fields=services.name", "callback=f", "$fields=x"])
    def test_what_would_change_the_answer_and_is_not_offered_says_so(self, cloud: Cloud, query: str) -> None:
        assert "not offered" in refused(call(cloud, "GET", f"{SERVICES}?{query}"), 501, "UNIMPLEMENTED")

    @pytest.mark.parametrize(
        "query", ["key=k", "quotaUser=me", "$.xgafv=2", "uploadType=media", "prettyPrint=true"]
    )
    def test_what_every_google_api_takes_is_taken(self, cloud: Cloud, query: str) -> None:
        assert call(cloud, "GET", f"{SERVICES}?{query}").status_code == 200

    def test_a_token_in_the_query_opens_nothing(self, cloud: Cloud) -> None:
        assert cloud.rest
        answer = requests.get(f"{cloud.rest.url}{SERVICES}?access_token=of-the-tests", timeout=60)
        assert refused(answer, 401, "UNAUTHENTICATED")


class TestCodes:
    def test_a_name_that_is_taken_is_409(self, cloud: Cloud) -> None:
        name = made(cloud).rpartition("/")[2]
        assert refused(call(cloud, "POST", f"{SERVICES}?serviceId={name}", SPEC), 409, "ALREADY_EXISTS")

    def test_a_revision_that_must_stay_is_400(self, cloud: Cloud) -> None:
        revision = get(cloud, made(cloud))["latestReadyRevision"]
        assert refused(call(cloud, "DELETE", f"/v2/{revision}"), 400, "FAILED_PRECONDITION")

    def test_a_method_that_is_not_offered_is_501_whatever_is_sent(self, cloud: Cloud) -> None:
        answer = call(cloud, "POST", f"/v2/{OUR_PARENT}/jobs?nonsense=1", b"\xff", **{"Content-Type": "x"})
        assert "Jobs/CreateJob" in refused(answer, 501, "UNIMPLEMENTED")


def test_whoever_expects_to_be_told_to_go_on_is_told(cloud: Cloud) -> None:
    """As curl asks before it sends a large body."""
    assert cloud.rest
    where = urlsplit(cloud.rest.url)
    body = json.dumps(SPEC).encode()
    head = (
        f"POST {SERVICES}?serviceId={cloud.fresh_id()} HTTP/1.1\r\nHost: {where.netloc}\r\nExpect: 100-continue\r\n"
        f"Authorization: Bearer of-the-tests\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
        connection.sendall(head.encode())
        with connection.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert answer.readline() == b"\r\n"
            connection.sendall(body)
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"


_NAMES = st.sampled_from(["template", "traffic", "labels", "containers", "env", "name", "value", "type", "percent", "revision", "timeout",
                          "scaling", "annotations", "etag", "ingress", "createTime", "conditions", "x"])  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(body=st.dictionaries(_NAMES, _JSON, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_our_fault(running: Cloud, body: dict[str, Any]) -> None:
    answer = call(running, "POST", f"{SERVICES}?serviceId=x&validateOnly=true", body)
    assert answer.status_code == 200 or refused(answer, 400, "INVALID_ARGUMENT")


def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    loop, listener = LoopThread(), listen("127.0.0.1", 0)
    where = listener.getsockname()
    face = RestFace(offered(None), Access("t"), body_s=0.2)  # type: ignore[arg-type] - nothing gets that far
    loop.run(face.start(listener))
    head = (
        f"POST {SERVICES}?serviceId=x HTTP/1.1\r\nHost: 127.0.0.1:{where[1]}\r\nAuthorization: Bearer t\r\n"
        'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"template":'
    )
    with socket.create_connection(where, timeout=60) as connection, connection.makefile("rb") as answer:
        connection.sendall(head.encode())
        assert answer.readline() == b"HTTP/1.1 504 Gateway Timeout\r\n"
    loop.run(face.close())
    loop.close()


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
        with pytest.raises(requests.ConnectionError):  # cut off, or come too late to be taken
            waiting.result()


@pytest.mark.parametrize(
    "sent",
    ["GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", f"GET / HTTP/1.1\r\nX: {'x' * 20_000}\r\n\r\n",
     "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "\x16\x03\x01\x02\x00\x01\x00"],
)  # fmt: skip
def test_what_is_no_http_is_refused_and_not_logged(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, sent: str
) -> None:
    assert cloud.rest
    where = urlsplit(cloud.rest.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
        connection.sendall(sent.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            assert answer.readline().split()[1:2] in ([b"400"], [b"403"], [])
    assert not caplog.records
