"""A drain order is read from whatever an address holds, and an address that is dead, slow or hostile does no harm."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import SplitResult

import pytest

from pipeline.model import DRAIN_ANNOTATION, DRAIN_VARIABLE
from pipeline.telemetry.draining import VARIABLE
from pipeline.telemetry.order import ANNOTATION, Order, order_in
from pipeline.telemetry.order_reader import OrderReader, OrderUnread

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORDER = Order("svc-1", AT, timedelta(minutes=10))
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/order?key=secret"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(body: str, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body.encode())

    return answer


def resource(annotations: Mapping[str, str]) -> str:
    return json.dumps({"name": "projects/p/locations/l/services/svc", "annotations": annotations})


def test_the_middleware_and_the_pipeline_mean_the_same_annotation_and_variable() -> None:
    assert (ANNOTATION, VARIABLE) == (DRAIN_ANNOTATION, DRAIN_VARIABLE)


@pytest.mark.parametrize(
    ("body", "order"),
    [
        pytest.param(ORDER.encode(), ORDER, id="alone"),
        pytest.param(resource({ANNOTATION: ORDER.encode(), "other": "1"}), ORDER, id="annotation"),
        pytest.param(
            '{"revision": "svc-1", "at": "2026-01-01T13:00:00+01:00", "within_s": 600, "more": 1}', ORDER, id="zone"
        ),
        pytest.param(resource({"other": "1"}), None, id="no-such-annotation"),
        pytest.param(resource({ANNOTATION: ""}), None, id="empty-annotation"),
        pytest.param('{"name": "svc"}', None, id="no-annotations"),
        pytest.param("{}", None, id="empty"),
    ],
)  # fmt: skip
def test_an_order_is_found_in(body: str, order: Order | None) -> None:
    assert order_in(body) == order


@pytest.mark.parametrize(
    "body",
    [
        "", "null", "[]", '"svc-1"', "{", "\ufeff{}", "[" * 100_000, '{"annotations": []}',
        '{"annotations": {"' + ANNOTATION + '": "[]"}}', '{"revision": ""}', '{"revision": 1, "at": "2026-01-01T12:00:00Z", "within_s": 1}',
        *(json.dumps({"revision": "svc-1", "at": at, "within_s": within}) for at, within in (
            ("2026-01-01T12:00:00", 600), (1, 600), ("soon", 600), (None, 600), ("2026-01-01T12:00:00Z", 0),
            ("2026-01-01T12:00:00Z", -1), ("2026-01-01T12:00:00Z", True), ("2026-01-01T12:00:00Z", "600"),
            ("2026-01-01T12:00:00Z", 1e9), ("9999-99-99T12:00:00Z", 600),
        )),
        '{"revision": "svc-1", "at": "2026-01-01T12:00:00Z", "within_s": NaN}',
        '{"revision": "svc-1", "at": "2026-01-01T12:00:00Z", "within_s": Infinity}',
    ],
)  # fmt: skip
def test_anything_else_is_none(body: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        order_in(body)


def test_it_may_be_ten_minutes_old_and_a_minute_of_the_future() -> None:
    ages = {seconds: ORDER.is_fresh(AT + timedelta(seconds=seconds)) for seconds in (-61, -60, 0, 600, 601)}
    assert ages == {-61: False, -60: True, 0: True, 600: True, 601: False}


def test_an_order_is_read_over_http_and_three_redirects() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        hops = request.path.count("x")
        if hops < 3:
            says("", 302, Location=f"/{'x' * (hops + 1)}")(request)
        else:
            says(ORDER.encode())(request)

    with serving(answer) as url:
        assert OrderReader(url, {}).read() == ORDER


@pytest.mark.parametrize("status", [204, 404])
def test_where_nothing_is_there_is_no_order(status: int) -> None:
    with serving(says("", status)) as url:
        assert OrderReader(url, {}).read() is None


def _drips(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then, in the head of the answer, for ever."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        request.wfile.write(b"x-more: 1\r\n"[:1])
        request.wfile.flush()
        time.sleep(0.02)


def _drips_a_body(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.02)


def _floods(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" " * 65536)


def _boasts(request: BaseHTTPRequestHandler) -> None:
    says("{", **{"Content-Length": str(10**12)})(request)


HOSTILE: Mapping[str, Answer] = {
    "drips-in-its-head": _drips,
    "drips-in-its-body": _drips_a_body,
    "floods": _floods,
    "boasts-of-its-length": _boasts,
    "says-nothing": lambda _: time.sleep(0.6),
    "no-http": lambda request: request.wfile.write(b"\0" * 70_000) and None,  # type: ignore[func-returns-value]
    "redirects-for-ever": says("", 302, Location="/again"),
    "redirects-to-a-file": says("", 302, Location="file:///etc/passwd"),
    "redirects-nowhere": says("", 302),
    "error": says(ORDER.encode(), 500),
    "no-json": says("<html>"),
    "deep": says('{"annotations":' * 100_000),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_address_is_told_without_its_key_and_soon_let_go(answer: Answer) -> None:
    with serving(answer) as url, pytest.raises(OrderUnread) as told:
        OrderReader(url, {}, within_s=0.5).read()
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://", "no address", "http://[", "http://h:99999/",
     "http://127.0.0.1:1/a b?key=secret", "http://127.0.0.1:1/\r\nX: secret"],
)  # fmt: skip
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(OrderUnread) as told:
        OrderReader(url, {}, within_s=0.5).read()
    assert "secret" not in str(told.value)


class Google:
    """The metadata server and the Admin API, as far as an instance asks them."""

    def __init__(self, *answers: tuple[int, bytes, str]) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.answers = list(answers)
        self.tokens = 0

    def __call__(self, url: SplitResult, headers: Mapping[str, str], _: float) -> tuple[int, bytes, str]:
        self.asked.append((url.geturl(), dict(headers)))
        if url.hostname == "metadata.google.internal":
            assert headers == {"Metadata-Flavor": "Google"}
            self.tokens += 1
            return 200, json.dumps({"access_token": f"t{self.tokens}", "expires_in": 3600}).encode(), ""
        return self.answers.pop(0)


SERVICE = "https://run.googleapis.com/v2/projects/p/locations/l/services/svc"


def test_googles_api_is_asked_as_the_runtime_account_whose_token_is_kept() -> None:
    found = resource({ANNOTATION: ORDER.encode()}).encode()
    google = Google((200, found, ""), (200, found, ""))
    reader = OrderReader(SERVICE, {}, get=google)
    assert (reader.read(), reader.read()) == (ORDER, ORDER)
    assert google.tokens == 1
    assert google.asked[1:] == [(SERVICE, {"Authorization": "Bearer t1"})] * 2


def test_nothing_is_followed_with_the_token() -> None:
    google = Google((302, b"", "https://evil.example/"))
    with pytest.raises(OrderUnread):
        OrderReader(SERVICE, {}, get=google).read()
    assert [url for url, _ in google.asked][1:] == [SERVICE]


@pytest.mark.parametrize(
    "url",
    ["http://run.googleapis.com/x", "https://run.googleapis.com.evil.example/x", "https://googleapis.com@evil.example/",
     "https://evil.example/run.googleapis.com", "https://run.googleapis.com:8443/x", "https://evilgoogleapis.com/"],
)  # fmt: skip
def test_no_other_address_gets_the_token(url: str) -> None:
    google = Google((200, ORDER.encode().encode(), ""))
    assert OrderReader(url, {}, get=google).read() == ORDER
    assert google.asked == [(url, {})]
