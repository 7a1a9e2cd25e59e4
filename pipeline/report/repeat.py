"""The exact command that repeats, undoes or follows a traffic write.  PURE.

Cloud Run in the cloud is told by ``gcloud``, which is there when Spillway is not; the local Cloud Run has no ``gcloud``
and is told by ``spillway``. Every part that came from a service is quoted for a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pipeline.model import ServiceRef

ROLL_OUT = "spillway rollout --image DIGEST"  # of a new image


def set_traffic(ref: ServiceRef, shares: Mapping[str, int]) -> str:
    """The command that gives these revisions these shares; empty when there is none that does."""
    if ref.is_local:
        return roll_back(ref, next(iter(shares))) if len(shares) == 1 else ""
    split = ",".join(f"{revision or 'LATEST'}={percent}" for revision, percent in shares.items())
    return shlex.join([
        "gcloud", "run", "services", "update-traffic", ref.service, f"--project={ref.project}",
        f"--region={ref.location}", f"--to-revisions={split}",
    ])  # fmt: skip


def roll_back(ref: ServiceRef, to: str = "") -> str:
    """Spillway's own, with the record and the tags; ``to``: a revision other than the last known good one."""
    return shlex.join(["spillway", "rollback", ref.name, *(["--to", to] if to else [])])


def retry(image: str) -> str:
    """The next attempt of the same rollout."""
    return shlex.join(["spillway", "rollout", "--image", image, "--retry"])


def delete_revision(ref: ServiceRef, revision: str) -> str:
    """The command that ends a revision's open sockets with it (SIGTERM, 10 s), in the cloud."""
    return shlex.join([
        "gcloud", "run", "revisions", "delete", revision, f"--project={ref.project}", f"--region={ref.location}",
    ])  # fmt: skip
