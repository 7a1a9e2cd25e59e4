"""What is deployed now, read before anything is declared.

A program that declares a split of its own would move traffic each time it runs. This one declares what it has just
read, so it needs one honest read: only "no such service" means that there is nothing yet. Every other error stops the
program, because "could not look" must never become "there is nothing, so the new revision gets everything".

The reader is imported by the first read: previews of other stacks need none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra.settings import Settings
from pipeline.errors import RevisionNotFound, ServiceNotFound
from pipeline.model import Split

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True, slots=True)
class Live:
    """One read of a service that exists.

    Args:
        split: spec traffic; LATEST is pinned to the latest ready revision, or None while there is none.
        annotations: all of them, so that other people's and our record survive.
        nonce: of the revision that the settings name; None when that is not there yet.
        generation: one more with each write, whoever writes.
        serves_nobody: it is settled and no revision ever became ready: there is no traffic that could be moved.
    """

    etag: str
    split: Split
    annotations: Mapping[str, str] = field(default_factory=dict)
    nonce: str | None = None
    generation: int = 0
    serves_nobody: bool = False


def read(settings: Settings, channel: grpc.Channel | None = None) -> Live | None:
    """The service as it is, or None when it does not exist. Raises AccessError, PlatformUnavailable, RequestRejected.

    Args:
        channel: to a Cloud Run of one's own; None is the one that the settings name.
    """
    from pipeline.cloudrun.service import CloudRun

    platform = CloudRun.of(settings.ref) if channel is None else CloudRun.over(channel)
    try:
        service = platform.read(settings.ref)
    except ServiceNotFound:
        return None
    try:
        nonce = platform.revision(settings.ref, settings.revision).nonce
    except RevisionNotFound:
        nonce = None
    return Live(
        service.etag, service.pinned, service.annotations, nonce, service.generation,
        serves_nobody=service.serves_nobody,
    )  # fmt: skip
