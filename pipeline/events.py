"""What happens while a rollout is driven, as values: for the views, the line mode and the journal.

Every event has a time ``at``, a word ``kind`` and a sentence ``text`` for people, and ``details``: plain values for
whoever reads its line in the journal or in ndjson. What only this process can use (a look, a report) is a field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec import Struct

from pipeline.budget import in_words

if TYPE_CHECKING:
    from pipeline.core import verification
    from pipeline.core.decision import Situation
    from pipeline.core.rollout import Rollout
    from pipeline.judging.judgestate import JudgeState
    from pipeline.probe.probe_report import ProbeReport


class Look(Struct, frozen=True):
    """What one tick saw and thought: what ``status`` shows and the report keeps.

    Args:
        judge: its state with everything that was seen since the record was written.
        probe: the last round.
        foreign: other people's writes since our last one that stop nothing, in words.
    """

    situation: Situation
    judge: JudgeState
    probe: ProbeReport | None = None
    foreign: str = ""


class _AtAMoment(Struct, frozen=True):
    """What all events have."""

    at: datetime

    told: ClassVar[tuple[str, ...]] = ()  # what its details are; none, where its words say all

    @property
    def details(self) -> Mapping[str, object]:
        """For a journal: by name."""
        return {name: getattr(self, name) for name in self.told}


class Looked(_AtAMoment, frozen=True):
    """A driver looked. The most frequent event by far: views use it, no line is written for each."""

    look: Look
    kind: ClassVar[str] = "looked"

    @property
    def text(self) -> str:
        return self.look.situation.stage_verdict.reason


class Probed(_AtAMoment, frozen=True):
    """A probe round ended. ``rollout`` None: a first deployment's, which has no record yet."""

    report: ProbeReport
    rollout: Rollout | None = None
    kind: ClassVar[str] = "probed"

    @property
    def text(self) -> str:
        report, failures = self.report, self.report.failures
        if not failures:
            beside = f"; stable failed: {report.stable_fails}" if report.stable_fails else ""
            return f"{report.words}{beside}"
        return f"{report.words}: {failures[0].kind}: {failures[0].detail}"


class CommandEnded(_AtAMoment, frozen=True):
    """A command of the team's own ended. ``percent``: of the stage that asked for it."""

    verified: verification.Verified
    percent: int
    kind: ClassVar[str] = "verified"

    @property
    def text(self) -> str:
        return f"at {self.percent}%: {self.verified.words}"

    @property
    def details(self) -> Mapping[str, object]:
        found = self.verified
        return {
            "name": found.name, "percent": self.percent, "exit_code": found.exit_code,
            "seconds": round(found.seconds, 1), "said": found.said,
        }  # fmt: skip


class Wrote(_AtAMoment, frozen=True):
    """A write of ours was accepted.

    Args:
        rollout: as the record bears it now; None for a service that carries none.
        etag: of the read that it was decided on.
        traffic: revision to percent; None when the record alone was written.
    """

    rollout: Rollout | None
    etag: str
    traffic: Mapping[str, int] | None = None
    kind: ClassVar[str] = "wrote"
    told = ("epoch", "etag", "traffic")

    @property
    def epoch(self) -> int:
        return self.rollout.epoch if self.rollout else 0

    @property
    def text(self) -> str:
        return f"epoch {self.epoch}, etag {self.etag}"


class Started(_AtAMoment, frozen=True):
    """An attempt has its first record."""

    rollout: Rollout
    kind: ClassVar[str] = "started"

    @property
    def text(self) -> str:
        return f"{self.rollout.plan.candidate} against {self.rollout.plan.stable}"

    @property
    def details(self) -> Mapping[str, object]:
        return {"rollout": self.rollout.plan.rollout_id, "attempt": self.rollout.attempt}


class Shifted(_AtAMoment, frozen=True):
    """A stage's share was asked for. ``before``: percent until now; ``by``: an operator, if one did it."""

    stage: int
    before: int
    percent: int
    by: str = ""
    kind: ClassVar[str] = "shifted"
    told = ("stage", "percent", "by")

    @property
    def text(self) -> str:
        return f"stage {self.stage}: {self.before}% -> {self.percent}%"


class Arrived(_AtAMoment, frozen=True):
    """A stage's share was seen to be served."""

    stage: int
    percent: int
    kind: ClassVar[str] = "arrived"
    told = ("stage", "percent")

    @property
    def text(self) -> str:
        return f"stage {self.stage}: {self.percent}% is served"


class RolledBack(_AtAMoment, frozen=True):
    """Everything was seen to be on ``target``. ``since``: when that was asked for, where the record says it."""

    target: str
    since: datetime | None = None
    kind: ClassVar[str] = "rolled_back"

    @property
    def text(self) -> str:
        return f"100% on {self.target}: read back"

    @property
    def details(self) -> Mapping[str, object]:
        return {"since": self.since.isoformat()} if self.since else {}


class Called(_AtAMoment, frozen=True):
    """What a driver called of Google's APIs in this rollout, by method. Told once, at the driver's end."""

    calls: Mapping[str, int]
    kind: ClassVar[str] = "called"
    told = ("calls",)

    @property
    def text(self) -> str:
        return in_words(self.calls)


#: What is said in words alone; the words themselves are the reason, or what is done about it.
Topic = Literal[
    "deploying", "drained", "draining", "foreign_write", "paused", "promoted", "pulumi", "reading_back", "record_replaced",
    "refused", "restored", "restoring", "retrying", "side_effect", "unpinned", "verifying",
]  # fmt: skip


class Said(_AtAMoment, frozen=True):
    """Something happened that needs no value beside its words."""

    kind: Topic
    text: str


RolloutEvent = (
    Looked | Probed | CommandEnded | Wrote | Started | Shifted | Arrived | RolledBack | Called | Said
)


Listener = Callable[[RolloutEvent], None]


def unheard(_: RolloutEvent, /) -> None:
    """A listener for whoever has none."""


def harmless(listener: Listener) -> Listener:
    """The same listener, unable to stop who speaks to it: whatever it raises, traffic comes first."""

    def heard(event: RolloutEvent, /) -> None:
        with suppress(Exception):
            listener(event)

    return heard
