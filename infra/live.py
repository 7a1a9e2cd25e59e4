"""What is deployed now, read before anything is declared.

A program that declares a split of its own would move traffic each time it runs. This one declares what it has just
read, so it needs one honest read: only NOT_FOUND means that there is nothing yet. Every other error stops the program,
because "could not look" must never become "there is nothing, so the new revision gets everything".

The client is imported by the first read: previews of other stacks need none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.settings import Settings
from pipeline.model import NONCE_VARIABLE, Split, Target

if TYPE_CHECKING:
    import grpc

    from pipeline.rpc.run import Revisions, Services, run_v2

_CALL_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Live:
    """One read of a service that exists.

    Args:
        split: spec traffic; LATEST is pinned to the latest ready revision, or None while there is none.
        annotations: all of them, so that other people's and our record survive.
        nonce: of the revision that the settings name; None when that is not there yet.
        serves_nobody: it is settled and no revision ever became ready: there is no traffic that could be moved.
    """

    etag: str
    split: Split
    annotations: Mapping[str, str] = field(default_factory=dict)
    nonce: str | None = None
    serves_nobody: bool = False


def read(settings: Settings, channel: grpc.Channel | None = None) -> Live | None:
    """The service as it is, or None when it does not exist. Raises whatever else the client raises.

    Args:
        channel: to a Cloud Run of one's own; None is the cloud, with the environment's default credentials.
    """
    from google.api_core.exceptions import NotFound

    services, revisions = _clients(channel)
    try:
        service = services.get_service(name=settings.ref.name, timeout=_CALL_TIMEOUT_S)
    except NotFound:
        return None
    try:
        name = settings.ref.revision_name(settings.revision)
        nonce = _nonce(revisions.get_revision(name=name, timeout=_CALL_TIMEOUT_S))
    except NotFound:
        nonce = None
    return Live(
        etag=service.etag,
        split=_split(service),
        annotations=dict(service.annotations),
        nonce=nonce,
        serves_nobody=not (service.reconciling or service.latest_ready_revision or service.traffic_statuses),
    )


def _clients(channel: grpc.Channel | None) -> tuple[Services, Revisions]:
    from pipeline.rpc import run

    channel = channel or run.API.channel()
    return run.Services(channel), run.Revisions(channel)


def _split(service: run_v2.Service) -> Split:
    """No spec traffic at all means 100 % to LATEST."""
    latest = service.latest_ready_revision.rpartition("/")[2] or None
    lines = tuple(Target(t.revision or latest, t.percent, t.tag) for t in service.traffic)
    return Split(lines or (Target(latest, 100),))


def _nonce(revision: run_v2.Revision) -> str:
    return next((v.value for c in revision.containers for v in c.env if v.name == NONCE_VARIABLE), "")
