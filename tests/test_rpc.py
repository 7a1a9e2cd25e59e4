"""Our calls beside those of Google's own clients: the same on the wire, the same answers, errors and retries."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.auth.exceptions
import grpc
import pytest
from google.api_core import exceptions, grpc_helpers
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport
from google.cloud.logging_v2.types import ListLogEntriesRequest
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from pipeline import budget
from pipeline.rpc import logs, run
from pipeline.rpc.cloud import Api
from tests.contract.cloud import Cloud, short

SERVICE = "projects/p/locations/us-central1/services/s"
REVISION = f"{SERVICE}/revisions/r"
NOWHERE = "localhost:1"


class Failure(grpc.RpcError):
    """How a call ended."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "as the test wants"

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def result(self) -> Any:
        raise self


@dataclass
class Wire(grpc.UnaryUnaryClientInterceptor):
    """Writes down what leaves a client; answers with a failure where there is one, else goes on."""

    failure: grpc.StatusCode | None = None
    sent: list[object] = field(default_factory=list)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        options = (details.wait_for_ready, details.credentials, details.compression)
        metadata = sorted(details.metadata or ())
        # Else the order of a map's keys in the bytes would be any: two equal messages differ by it.
        sent = type(request).pb(request).SerializeToString(deterministic=True)
        self.sent.append((details.method, round(details.timeout), metadata, options, sent))
        if self.failure is not None:
            return Failure(self.failure)
        return continuation(details, request)


@dataclass
class Clients:
    """Google's or ours, on one channel."""

    services: Any
    revisions: Any
    logs: Any


def of_google(channel: grpc.Channel) -> Clients:
    return Clients(
        run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel)),
        run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel)),
        LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel)),
    )


def of_ours(channel: grpc.Channel) -> Clients:
    return Clients(run.Services(channel), run.Revisions(channel), logs.Logs(channel))


BOTH = (of_google, of_ours)
Ask = Callable[[Clients], Any]


def update(name: str) -> run_v2.UpdateServiceRequest:
    service = run_v2.Service(
        name=name, etag='"1"', annotations={"a": "b"}, traffic=[{"percent": 100, "tag": "t"}]
    )
    return run_v2.UpdateServiceRequest(service=service, update_mask={"paths": ["traffic", "annotations"]})


ENTRIES = ListLogEntriesRequest(
    resource_names=["projects/p"], filter="x", order_by="timestamp asc", page_size=10
)
CALLS: dict[str, Ask] = {
    "get service": lambda of: of.services.get_service(name=SERVICE, timeout=15.0),
    "list services": lambda of: list(of.services.list_services(
        request={"parent": "projects/p/locations/here", "page_size": 9}, timeout=15.0
    )),
    "create service": lambda of: of.services.create_service(
        parent="projects/p/locations/here", service=run_v2.Service(description="d"), service_id="s", timeout=15.0
    ),
    "update service": lambda of: of.services.update_service(request=update(SERVICE), timeout=15.0),
    "delete service": lambda of: of.services.delete_service(name=SERVICE, timeout=15.0),
    "get revision": lambda of: of.revisions.get_revision(name=REVISION, timeout=15.0),
    "list revisions": lambda of: list(of.revisions.list_revisions(parent=SERVICE, timeout=15.0)),
    "delete revision": lambda of: of.revisions.delete_revision(name=REVISION, timeout=15.0),
    "list entries": lambda of: list(of.logs.list_log_entries(request=ENTRIES, timeout=30.0)),
    "list entries once": lambda of: list(of.logs.list_log_entries(request=ENTRIES, retry=None, timeout=30.0)),
    # what no name should be, and how each is routed
    "no location": lambda of: of.services.get_service(name="projects/p/services/s", timeout=15.0),
    "an odd location": lambda of: of.services.get_service(name="projects/p/locations/a b&c=ü%/services/s", timeout=1.0),
    "a new line": lambda of: of.services.get_service(name="projects/p/locations/a/services/s\n", timeout=1.0),
    "another line": lambda of: of.services.get_service(name="projects/p/locations/a/b\nc/d", timeout=1.0),
    "a location alone": lambda of: of.services.get_service(name="projects/p/locations/a\n", timeout=1.0),
    "nothing": lambda of: of.services.update_service(request=run_v2.UpdateServiceRequest(), timeout=15.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_the_same_leaves_both(name: str) -> None:
    seen = []
    for make in BOTH:
        wire = Wire(failure=grpc.StatusCode.INVALID_ARGUMENT)
        with grpc.insecure_channel(NOWHERE) as bare, pytest.raises(exceptions.InvalidArgument):
            CALLS[name](make(grpc.intercept_channel(bare, wire)))
        seen.append(wire.sent)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1


def test_the_local_cloud_run_answers_both_alike(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    for suffix in ("two", "three"):
        cloud.add_revision(service, suffix)
    revision = f"{service.name}/revisions/{short(service.name)}-two"
    missing = f"{cloud.parent}/services/{cloud.fresh_id()}"
    taken = {"parent": cloud.parent, "service": service, "service_id": short(service.name)}
    stale = run_v2.UpdateServiceRequest(service=run_v2.Service(name=service.name, etag='"old"'))
    asked: list[Ask] = [
        lambda of: of.services.get_service(name=service.name, timeout=15.0),
        lambda of: of.services.get_service(name=missing, timeout=15.0),
        lambda of: of.services.create_service(**taken, timeout=15.0),
        lambda of: of.services.update_service(request=stale, timeout=15.0),
        lambda of: of.services.delete_service(name=missing, timeout=15.0),
        lambda of: of.revisions.get_revision(name=revision, timeout=15.0),
        lambda of: of.revisions.get_revision(name=f"{revision}-not", timeout=15.0),
        lambda of: list(of.revisions.list_revisions(parent=service.name, timeout=15.0)),
        lambda of: list(
            of.revisions.list_revisions(request={"parent": service.name, "page_size": 1}, timeout=15.0)
        ),
        lambda of: of.revisions.delete_revision(name=f"{revision}-not", timeout=15.0),
    ]
    # Behind the answers things still go on, and on a busy machine a call is tried again or begins late: what
    # differs for a moment is asked anew, what differs between the clients still does at the end.
    give_up = time.monotonic() + 60
    while True:
        seen = []
        for make in BOTH:
            wire = Wire()
            of = make(grpc.intercept_channel(cloud.channel, wire))
            answers = [answer(of, ask) for ask in asked]
            seen.append((answers, wire.sent))
        if seen[0] == seen[1] or time.monotonic() > give_up:
            break
    assert seen[0] == seen[1]
    kinds = [said[0] for said in seen[0][0] if isinstance(said, tuple)]
    assert len(kinds) == 6  # faults, each of Google's own kind
    assert len(seen[0][1]) == len(asked) + 2  # three pages


def answer(of: Clients, ask: Ask) -> object:
    try:
        return ask(of)
    except exceptions.GoogleAPICallError as error:
        return type(error), error.message, error.grpc_status_code, error.details, error.reason


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Time passes in pauses alone, and each is as long as it may be."""
    slept: list[float] = []
    begun = time.monotonic()
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: begun + sum(slept))
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    return slept


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
@pytest.mark.parametrize("name", list(CALLS)[:9])
def test_both_try_again_alike_and_give_up_alike(
    name: str, code: grpc.StatusCode, pauses: list[float]
) -> None:
    seen = []
    for make in BOTH:
        pauses.clear()
        wire = Wire(failure=code)
        with grpc.insecure_channel(NOWHERE) as bare, pytest.raises(exceptions.GoogleAPIError) as raised:
            CALLS[name](make(grpc.intercept_channel(bare, wire)))
        cause = getattr(raised.value, "cause", None)
        seen.append((len(wire.sent), tuple(pauses), type(raised.value), str(raised.value)[:40], type(cause)))
    assert seen[0] == seen[1]


@pytest.mark.usefixtures("pauses")
def test_what_is_there_at_a_later_try_is_the_answer(cloud: Cloud) -> None:
    service = cloud.create()

    class Later(Wire):
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            self.failure = grpc.StatusCode.UNAVAILABLE if len(self.sent) < 2 else None
            return super().intercept_unary_unary(continuation, details, request)

    wire = Later()
    found = run.Services(grpc.intercept_channel(cloud.channel, wire)).get_service(
        name=service.name, timeout=15.0
    )
    assert found.uid == service.uid
    assert len(wire.sent) == 3


@pytest.mark.usefixtures("pauses")
def test_every_try_and_every_page_is_counted(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    cloud.add_revision(service, "two")

    class Once(Wire):
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            is_first = not any("GetService" in str(sent) for sent in self.sent)
            self.failure = grpc.StatusCode.UNAVAILABLE if is_first and "Get" in details.method else None
            return super().intercept_unary_unary(continuation, details, request)

    of, before = of_ours(grpc.intercept_channel(cloud.channel, Once())), budget.PROCESS.calls
    of.services.get_service(name=service.name, timeout=15.0)
    list(of.revisions.list_revisions(request={"parent": service.name, "page_size": 1}, timeout=15.0))
    assert budget.since(before, budget.PROCESS.calls) == {"GetService": 2, "ListRevisions": 2}


# --- the channel to the cloud

USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
ACCOUNT = {
    "type": "service_account", "project_id": "p", "private_key_id": "k", "client_email": "a@p.example",
    "token_uri": "https://example.com/token", "client_id": "1",
}  # fmt: skip


def key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.private_bytes(*form).decode()


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """How channels to Google are opened; nothing is sent on one that nobody calls on."""
    seen: list[Any] = []
    make = grpc_helpers.create_channel

    def create(target: str, *, credentials: Any, **options: Any) -> grpc.Channel:
        told = (credentials._scopes, credentials._default_scopes) if hasattr(credentials, "_scopes") else ()
        jwt = getattr(credentials, "_always_use_jwt_access", None)
        audience = getattr(credentials, "_jwt_credentials", None)
        set_ = {key: value for key, value in options.items() if value is not None}
        seen.append((target, type(credentials), told, jwt, audience, set_))
        return make(target, credentials=credentials, **options)

    monkeypatch.setattr(grpc_helpers, "create_channel", create)
    for name in (
        "GOOGLE_API_USE_MTLS_ENDPOINT",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE",
        "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    return seen


APIS = {"run": (run.API, run_v2.ServicesClient), "logs": (logs.API, LoggingServiceV2Client)}
PLACES: dict[str, dict[str, str]] = {
    "as it is": {},
    "another universe": {"GOOGLE_CLOUD_UNIVERSE_DOMAIN": "example.com"},
    "always mutual TLS": {"GOOGLE_API_USE_MTLS_ENDPOINT": "always"},
    "a quota project": {"GOOGLE_CLOUD_QUOTA_PROJECT": "q"},
}


@pytest.mark.filterwarnings("ignore")  # user credentials without a quota project are warned of
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("who", ["user", "account"])
@pytest.mark.parametrize("name", APIS)
def test_the_channel_is_opened_as_the_client_opens_it(
    name: str, who: str, place: str, opened: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = USER if who == "user" else {**ACCOUNT, "private_key": key()}
    (tmp_path / "credentials.json").write_text(json.dumps(credentials))
    for variable, value in PLACES[place].items():
        monkeypatch.setenv(variable, value)
    api, client = APIS[name]
    client().transport.close()
    api.channel().close()
    assert len(opened) == 2
    assert opened[0] == opened[1]


@pytest.mark.usefixtures("opened")
def test_without_credentials_there_is_no_channel() -> None:
    with pytest.raises(google.auth.exceptions.GoogleAuthError):
        Api("run.googleapis.com", (), ("", "")).channel()
