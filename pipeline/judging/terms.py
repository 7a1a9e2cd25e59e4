"""How a rollout goes and is judged: as ``spillway.yaml`` says it, and as it is frozen in the plan.  PURE."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from msgspec import Struct

from pipeline.model import ServiceRef


class Stage(Struct, frozen=True):
    """One step of the split.

    Args:
        percent: the candidate's share of new connections.
        soak: how long it must hold before the next step.
        deadline: after this long without a verdict the rollout pauses and calls a human.
        hold: pause for an operator's ``promote`` even when everything passed.
    """

    percent: int
    soak: timedelta = timedelta(0)
    deadline: timedelta = timedelta(hours=1)
    hold: bool = False


class Criterion(Struct, frozen=True):
    """What one metric must show.

    Args:
        metric: a name from ``metrics.METRICS``.
        limit: highest failure rate where no stable revision runs beside it; None: not judged there.
        certify: failure rate that must be ruled out before "promoted"; None: not asked.
        slower_than: for latency metrics: a trial slower than this failed.
        weight: its part of the bound, beside the other criteria's.
        report_only: counted and shown; decides nothing.
        ignore_reasons: closes by the server whose reason fits one of these patterns (``fnmatch``) are not its failures:
            what a relay passes on of a service behind it.
    """

    metric: str
    limit: float | None = None
    certify: float | None = None
    slower_than: timedelta | None = None
    weight: float = 1.0
    report_only: bool = False
    ignore_reasons: tuple[str, ...] = ()


class Sampling(Struct, frozen=True):
    """How evidence is counted (judge.py says why each matters).

    Args:
        block: length of one cohort by start time.
        within: D; a trial without its outcome after this long failed.
        lateness: how long after D a log line may still arrive.
        warm_up: trials in this first part of a stage are shown, not judged.
        min_trials: candidate trials that a stage needs before it may pass; where stable runs beside it, such as were
            compared.
        min_clients: of how many clients on the candidate they must be, where stable runs beside it.
    """

    block: timedelta = timedelta(seconds=30)
    within: timedelta = timedelta(seconds=10)
    lateness: timedelta = timedelta(seconds=10)
    warm_up: timedelta = timedelta(seconds=30)
    min_trials: int = 50
    min_clients: int = 10


class Probing(Struct, frozen=True):
    """How often and how many scenario conversations are held; ``sessions`` per scenario and round."""

    every: timedelta = timedelta(seconds=10)
    sessions: int = 5
    concurrency: int = 5


class Verification(Struct, frozen=True):
    """A command of the team's own that a candidate must pass. What is run stands in ``spillway.yaml`` alone.

    Args:
        percents: the stages that ask for it.
        within: how long it may take.
    """

    name: str
    percents: tuple[int, ...] = (0,)
    within: timedelta = timedelta(minutes=5)


DRAIN_MAX = timedelta(minutes=10)


class Drain(StrEnum):
    """What happens to sockets that are still open on the revision that lost its traffic."""

    KEEP = "keep"
    ASK = "ask"
    DELETE = "delete"


class Terms(Struct, frozen=True):
    """What ``spillway.yaml`` says of how a rollout goes and is judged: made once, wished for, agreed to in the plan.

    Args:
        scenarios: their names.
        alpha: probability bound of a false rollback over the whole rollout.
        beta: probability bound of a bad promotion, per limit.
        verify: commands that a stage waits for.
        drain: of the candidate's sockets after a roll-back; ``drain_promoted`` of the old stable's after a promotion;
            ``drain_max``: until when the last one is to be gone where instances are asked.
    """

    stages: tuple[Stage, ...]
    criteria: tuple[Criterion, ...] = ()
    scenarios: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    probing: Probing = Probing()
    alpha: float = 0.001
    beta: float = 0.05
    drain: Drain = Drain.KEEP
    verify: tuple[Verification, ...] = ()
    drain_max: timedelta = DRAIN_MAX
    drain_promoted: Drain = Drain.KEEP


class Plan(Struct, frozen=True):
    """What one rollout will do; frozen when it starts and kept in the record.

    Args:
        rollout_id: hash of digest and validated config (12 hex digits).
        stable: rollback target, by name, pinned here at the start; never LATEST, never "previous".
        stable_adopted: it was live before Spillway knew the service.
        stable_unhealthy: it answered badly from its first deployment on, so nothing is lost by leaving it.
        config: hash of the configuration but for its environments.
        commit: of the source that the candidate's image was built from, as far as anybody said; ``stable_commit`` is
            stable's.
    """

    rollout_id: str
    ref: ServiceRef
    stable: str
    stable_uid: str
    candidate: str
    image: str
    terms: Terms
    stable_adopted: bool = False
    stable_unhealthy: bool = False
    config: str = ""
    commit: str = ""
    stable_commit: str = ""
