"""``stages:``, ``criteria:``, ``evidence:`` and ``verify:`` of ``spillway.yaml``: how a rollout goes and is judged."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

from msgspec import Struct, field

from pipeline.config.fields import Duration, Rate, between, not_empty, text_like, told, whole
from pipeline.judging.sequential import trials_to_certify
from pipeline.judging.terms import Criterion, Sampling, Stage, Verification
from pipeline.units import format_rate


class StageConfig(Struct, frozen=True, kw_only=True):
    """A share of new connections, and how long it is held. The first stage is 0%, the last 100%.

    Args:
        percent: of new connections that go to the candidate.
        soak: how long the stage is watched at least, once Cloud Run serves the share.
        deadline: how long after the soak the evidence may still be missing; then a person is called.
        hold: wait for `spillway promote` when everything has passed.
    """

    percent: Annotated[int, whole(0, 100)]
    soak: Duration = timedelta(0)
    deadline: Duration = timedelta(hours=1)
    hold: bool = False

    def build(self) -> Stage:
        return Stage(self.percent, self.soak, self.soak + self.deadline, self.hold)


DEFAULT_STAGES = [
    StageConfig(percent=0),
    StageConfig(percent=5, soak=timedelta(minutes=5)),
    StageConfig(percent=25, soak=timedelta(minutes=10)),
    StageConfig(percent=50, soak=timedelta(minutes=10)),
    StageConfig(percent=100, soak=timedelta(minutes=30)),
]


@told(**{"not": {"pattern": "^100"}})
def _below_all(rate: float) -> float:
    if rate >= 1:
        raise ValueError("100% is no limit: every rate lies within it")
    return rate


_LEAST_CERTIFIED = 0.0005


@told(**{"not": {"pattern": r"^0{1,3}(?:\.0*)?\s?%$"}})
def _above_none(rate: float) -> float:
    if rate <= 0:
        one, tenth = (trials_to_certify(level, 0.05) for level in (0.01, 0.001))
        raise ValueError(f"0% can never be certified: {one} clean runs certify 1%, {tenth:,} certify 0.1%")
    if rate < _LEAST_CERTIFIED:
        raise ValueError(
            f"{format_rate(rate)} is below what can be certified, {format_rate(_LEAST_CERTIFIED)}: "
            "each client counts once per stage, and the record has room for some 8,000 of them"
        )
    return rate


class CriterionConfig(Struct, frozen=True, kw_only=True):
    """What a revision is judged by: it goes back when it is worse than stable beside it.

    Args:
        limit: the rate of failures that is too much where no stable revision runs beside it.
        certify: the rate below which failures must be shown to lie, once, before the candidate is promoted.
        slower_than: for `first_event` alone: a run whose first event took longer is a failure.
        weight: its share of the one bound, beside those of the others.
        report_only: shown, and neither sends back nor holds.
        ignore_reasons: patterns of a close's reason that is not this service's doing, such as an upstream model's.
    """

    limit: Annotated[Rate, _below_all] | None = None
    certify: Annotated[Rate, _below_all, _above_none] | None = None
    slower_than: Annotated[Duration, between("1ms", "1h")] | None = None
    weight: Annotated[int, whole(1, 100)] = 1
    report_only: bool = False
    ignore_reasons: list[Annotated[str, not_empty]] = field(default_factory=list)

    def build(self, metric: str) -> Criterion:
        return Criterion(
            metric,
            self.limit,
            self.certify,
            self.slower_than,
            weight=float(self.weight),
            report_only=self.report_only,
            ignore_reasons=tuple(self.ignore_reasons),
        )


_header = text_like(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", "the name of a request header")


class ClientConfig(Struct, frozen=True, kw_only=True):
    """Who a user's socket is counted for, where the last entry of X-Forwarded-For is not the user's address.

    Args:
        header: the request header that names the user.
        forwarded_for: the entry of X-Forwarded-For, counted from its end, that is the user's address.
    """

    header: Annotated[str, _header] | None = None
    forwarded_for: Annotated[int, whole(1, 10)] | None = None

    def __post_init__(self) -> None:
        if (self.header is None) == (self.forwarded_for is None):
            raise ValueError("either header: NAME, or forwarded-for: N, the entry from the end")

    def encode(self) -> str:
        """As the middleware is told."""
        said = {"forwarded-for": self.forwarded_for} if self.header is None else {"header": self.header}
        return json.dumps(said, separators=(",", ":"))


class EvidenceConfig(Struct, frozen=True, kw_only=True):
    """How users' runs are counted.

    Args:
        block: runs are compared in blocks of this length, by when they started.
        within: a run without its outcome after this long failed.
        lateness: how late a line of the log may come.
        warm_up: runs in this first part of a stage are shown and not judged.
        min_trials: runs of the candidate that a stage needs before it may pass.
        min_clients: clients of the candidate that those must come from.
        client: who a socket is counted for; left out, the last entry of X-Forwarded-For.
    """

    block: Annotated[Duration, between("100ms", "1d")] = Sampling().block
    within: Annotated[Duration, between("1ms", "1h")] = Sampling().within
    lateness: Annotated[Duration, between("0s", "1d")] = Sampling().lateness
    warm_up: Annotated[Duration, between("0s", "1d")] = Sampling().warm_up
    min_trials: Annotated[int, whole(1, 10_000_000)] = Sampling().min_trials
    min_clients: Annotated[int, whole(1, 10_000)] = Sampling().min_clients
    client: ClientConfig | None = None

    def build(self) -> Sampling:
        return Sampling(**{name: getattr(self, name) for name in Sampling.__struct_fields__})


class VerifyConfig(Struct, frozen=True, kw_only=True):
    """A command of yours that the candidate must pass: it ends with 0, or the candidate goes back.

    Args:
        command: the words of the command; `{project}` stands for this file's folder, `{python}` for Spillway's interpreter. It finds `SPILLWAY_URL`, `SPILLWAY_STABLE_URL`, `SPILLWAY_REVISION` and `SPILLWAY_PROBE_KEY` in its environment, and `SPILLWAY_HEADER` and `SPILLWAY_STABLE_HEADER` where a header leads to the revisions.
        percents: the stages that wait for it.
        within: how long it may take.
    """

    command: Annotated[list[str], not_empty]
    percents: Annotated[list[Annotated[int, whole(0, 100)]], not_empty] = field(default_factory=lambda: [0])
    within: Annotated[Duration, between("1s", "1h")] = Verification("").within

    def build(self, name: str) -> Verification:
        return Verification(name, tuple(self.percents), self.within)
