"""What the REST face of the local Cloud Run reads, and what it refuses: payloads, paths, queries, and no HTTP at all."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any
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
from tests.contract.cloud import Cloud, LoopThread
from tests.rest import SERVICES, SPEC, call, error, get, made, refused

PLANE = {"over_rest": True}


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
