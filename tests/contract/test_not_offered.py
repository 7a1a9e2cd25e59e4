"""Every method of the client package that the local Cloud Run does not have says so, by name."""

from __future__ import annotations

import json
from importlib import resources

import grpc
import pytest

from tests.contract.cloud import Cloud

OFFERED = {
    "Services": {"CreateService", "GetService", "ListServices", "UpdateService", "DeleteService"},
    "Revisions": {"GetRevision", "ListRevisions", "DeleteRevision"},
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


@pytest.mark.parametrize("method", [*MISSING, "google.longrunning.Operations/CancelOperation"])
def test_a_method_that_is_not_offered_says_its_name(cloud: Cloud, method: str) -> None:
    if not cloud.is_ours:
        pytest.skip("the cloud offers it")
    with pytest.raises(grpc.RpcError) as refused:
        cloud.channel.unary_unary(f"/{method}")(b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert method in refused.value.details()


def test_what_is_offered_and_what_is_not_are_the_whole_package() -> None:
    assert len(MISSING) + sum(map(len, OFFERED.values())) == len(client_methods())
