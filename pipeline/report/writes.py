"""Every write that set traffic, and the exact commands that repeat, undo or follow one.  PURE.

Cloud Run in the cloud is told by ``gcloud``, which is there when Spillway is not; the local Cloud Run has no ``gcloud``
and is told by ``spillway``. Every part that came from a service is quoted for a shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.rollout import Rollout
from pipeline.model import ServiceRef

if TYPE_CHECKING:
    from pipeline.report.journal_lines import Line

MAX_WRITES = 200
ROLL_OUT = "spillway rollout --image DIGEST"  # of a new image
_CALL = timedelta(seconds=30)  # the longest that one write takes


class Write(Struct, frozen=True):
    """One write that set traffic. ``etag`` None: not known without the journal."""

    at: datetime
    traffic: Mapping[str, int]
    epoch: int | None = None
    etag: str | None = None
    repeat: str = ""
    undo: str = ""


def writes_of(rollout: Rollout, journal: Sequence[Line]) -> tuple[tuple[Write, ...], int]:
    """The writes that set traffic, oldest first, and how many others there were (heartbeats, records alone).

    What the journal did not see (another machine's write, a roll-back by hand) is taken from the history, without etag.
    """
    wrote = [line for line in journal if line.kind == "wrote"]
    seen = [Write(line.at, line.traffic, line.epoch, line.etag) for line in wrote if line.traffic]
    unseen = [w for w in _writes_of_history(rollout) if not any(_is_same(w, other) for other in seen)]
    both = sorted([*seen, *unseen], key=lambda write: write.at)
    return _with_commands(rollout, both)[-MAX_WRITES:], len(wrote) - len(seen)


def _is_same(step: Write, write: Write) -> bool:
    """A step is dated before its call, a journal line after it."""
    return step.traffic == write.traffic and -_CALL <= write.at - step.at <= _CALL


def _writes_of_history(rollout: Rollout) -> Iterator[Write]:
    """Without the journal: every step of the history that changed the share, without its etag."""
    plan = rollout.plan
    before: Mapping[str, int] = {plan.stable: 100}
    for step in rollout.history:
        shares = {plan.stable: 100 - step.percent, plan.candidate: step.percent}
        traffic = {name: percent for name, percent in shares.items() if percent}
        if traffic != before:
            yield Write(step.at, traffic)
        before = traffic


def _with_commands(rollout: Rollout, writes: Sequence[Write]) -> tuple[Write, ...]:
    """Each with the command that does it again, and the one that sets what was before it."""
    again = [set_traffic(rollout.plan.ref, write.traffic) for write in writes]
    return tuple(
        replace(write, repeat=own, undo=earlier)
        for write, own, earlier in zip(writes, again, ["", *again], strict=False)
    )


def set_traffic(ref: ServiceRef, shares: Mapping[str, int]) -> str:
    """The command that gives these revisions these shares; empty when there is none that does."""
    if ref.is_local:
        only = next(iter(shares)) if len(shares) == 1 else None
        return "" if only is None else roll_back(ref, only) if only else unpin(ref)
    split = ",".join(f"{revision or 'LATEST'}={percent}" for revision, percent in shares.items())
    return shlex.join([
        "gcloud", "run", "services", "update-traffic", ref.service, f"--project={ref.project}",
        f"--region={ref.location}", f"--to-revisions={split}",
    ])  # fmt: skip


def roll_back(ref: ServiceRef, to: str = "", *, drain: str = "") -> str:
    """Spillway's own, with the record and the tags.

    Args:
        to: a revision other than the last known good one.
        drain: what becomes of the sockets that are left, other than the record says.
    """
    more = [*(["--to", to] if to else []), *(["--drain", drain] if drain else [])]
    return shlex.join(["spillway", "rollback", ref.name, *more])


def promote(environment: str, file: str = "") -> str:
    """A rollout that is paused goes on; ``file``: its configuration, where it is not the one in the folder."""
    return shlex.join(["spillway", "promote", "--env", environment, *(["-c", file] if file else [])])


def unpin(ref: ServiceRef) -> str:
    """Traffic follows the latest ready revision again."""
    return shlex.join(["spillway", "unpin", ref.name])


def retry(image: str) -> str:
    """The next attempt of the same rollout."""
    return shlex.join(["spillway", "rollout", "--image", image, "--retry"])


def delete_revision(ref: ServiceRef, revision: str) -> str:
    """The command that ends a revision's open sockets with it (SIGTERM, 10 s), in the cloud."""
    return shlex.join([
        "gcloud", "run", "revisions", "delete", revision, f"--project={ref.project}", f"--region={ref.location}",
    ])  # fmt: skip
