"""Every method of the client package that the local Cloud Run does not have says so, by name."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from importlib import resources

import grpc
import pytest
from google.auth.transport.requests import AuthorizedSession

from tests.contract.cloud import Cloud, Rest

OFFERED = {
    "Services": {"CreateService", "GetService", "ListServices", "UpdateService", "DeleteService"},
    "Revisions": {"GetRevision", "ListRevisions", "DeleteRevision"},
    "Jobs": {"CreateJob", "GetJob", "ListJobs", "UpdateJob", "DeleteJob", "RunJob"},
    "Executions": {"GetExecution", "ListExecutions", "DeleteExecution", "CancelExecution"},
    "Tasks": {"GetTask", "ListTasks"},
}


def client_methods() -> list[tuple[str, str]]:
    """(service, method) of the whole client package."""
    text = resources.files("google.cloud.run_v2").joinpath("gapic_metadata.json").read_text()
    services = json.loads(text)["services"]
    return [(name, rpc) for name, service in services.items() for rpc in service["clients"]["grpc"]["rpcs"]]


MISSING = [
    f"google.cloud.run.v2.{service}/{method}"
    for service, method in client_methods()
    if method not in OFFERED.get(service, ())
]


def http_calls(method: str) -> Iterator[tuple[str, str]]:
    """Verb and path of each way to call it, with names that nobody has."""
    service, rpc = method.removeprefix("google.cloud.run.v2.").split("/")
    folder = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", service).lower()
    transports = importlib.import_module(f"google.cloud.run_v2.services.{folder}.transports.rest_base")
    stub = getattr(getattr(transports, f"_Base{service}RestTransport"), f"_Base{rpc}")
    for option in stub._get_http_options():
        yield option["method"], re.sub(r"{[^=]*=([^}]*)}", r"\1", option["uri"]).replace("*", "x")


@pytest.mark.parametrize("method", [*MISSING, "google.longrunning.Operations/CancelOperation"])
def test_a_method_that_is_not_offered_says_its_name(cloud: Cloud, method: str) -> None:
    if not cloud.is_ours:
        pytest.skip("the cloud offers it")
    if cloud.rest:
        assert_refused_over_rest(cloud.rest, method)
        return
    with pytest.raises(grpc.RpcError) as refused:
        cloud.channel.unary_unary(f"/{method}")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert method in refused.value.details()


def assert_refused_over_rest(rest: Rest, method: str) -> None:
    session = AuthorizedSession(rest.credentials)
    if method.endswith("/CancelOperation"):  # Cloud Run has no such call
        path = "/v2/projects/x/locations/x/operations/x:cancel"
        assert session.post(f"{rest.url}{path}").status_code == 404
        return
    for verb, path in http_calls(method):
        answer = session.request(verb, f"{rest.url}{path}")
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["status"]) == (501, 501, "UNIMPLEMENTED")
        assert method in error["message"]


def test_what_is_offered_and_what_is_not_are_the_whole_package() -> None:
    assert len(MISSING) + sum(map(len, OFFERED.values())) == len(client_methods())
