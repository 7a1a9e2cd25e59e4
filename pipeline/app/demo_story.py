"""The demo's chapters: real rollouts on a local Cloud Run, with a crowd of users on the service all the while.

Each chapter drives the very code that ``spillway rollout``, ``promote`` and ``rollback`` call, and then asks the crowd
what it felt. ``expected`` says how each must end; a story that goes otherwise is a failed demo.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.app.drive import Drive, Ending, open_drive
from pipeline.app.images import pinned
from pipeline.app.reporting import read_logs
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.config.judging_section import StageConfig
from pipeline.config.schema import Config
from pipeline.demo.users import Users
from pipeline.driving.promote import promote
from pipeline.driving.restore import Cause, restore
from pipeline.errors import SpillwayError
from pipeline.events import RolledBack, RolloutEvent
from pipeline.model import Outcome
from pipeline.view.local_lines import alert_line

OPERATOR = "demo"
_DRAIN_WITHIN_S = 10.0
_ALERTS_WITHIN_S = 5.0


class Chapter(Struct, frozen=True):
    """One chapter as it went.

    Args:
        user_sessions: conversations that the crowd held meanwhile; ``affected``: those that went wrong;
            ``on_candidate``: those that the candidate took.
        more: what only some chapters have; ``felt`` counts what went wrong for users, in their words.
    """

    name: str
    outcome: str
    expected: str
    seconds: float
    user_sessions: int
    user_sessions_affected: int
    on_candidate: int
    reports: tuple[Path, ...] = ()
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """How it ended, in one line."""
        return (
            f"= {self.outcome} after {self.seconds:g}s; {self.user_sessions} user sessions, "
            f"{self.user_sessions_affected} affected, {self.on_candidate} on the candidate"
            + "".join(f"; {_words(key, value)}" for key, value in self.more.items())
        )

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            "outcome": self.outcome,
            "expected": self.expected,
            "seconds": self.seconds,
            "user_sessions": self.user_sessions,
            "user_sessions_affected": self.user_sessions_affected,
            "user_sessions_on_candidate": self.on_candidate,
            **self.more,
            "reports": [str(path) for path in self.reports],
        }


def _words(key: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{what} x{count}" for what, count in value.items())
    if isinstance(value, list):
        return f"{key} {', '.join(map(str, value)) or 'none'}"
    return f"{key.replace('_', ' ')} {value}"


class Story(Struct):
    """All chapters on one service."""

    session: Session
    config: Config
    users: Users
    chapters: list[Chapter] = field(default_factory=list)

    def tell(self, only: str = "") -> list[Chapter]:
        """Every chapter, in order, or one alone. Raises SpillwayError when one does not end as it must."""
        alone = {"a": self.stopped_at_zero, "b": self.sent_back, "c": self.promoted}
        after = (self.rolled_back_by_hand, self.promoted_by_hand)
        for tell in (alone[only],) if only else (*alone.values(), *after):
            tell()
        return self.chapters

    def stopped_at_zero(self) -> None:
        """(a) A revision that closes every socket with 1011 after the handshake."""
        with self._chapter("a: closes every socket with 1011", Outcome.STOPPED_AT_ZERO) as page:
            page.ending = self._rollout(page, "close-1011")
        if self.chapters[-1].on_candidate:
            raise SpillwayError(f"{self.chapters[-1].on_candidate} user sessions met a candidate at 0 %")

    def sent_back(self) -> None:
        """(b) A revision that fails only some users, which no probe sees."""
        with self._chapter("b: fails only users with an account", Outcome.ROLLED_BACK) as page:
            page.ending = self._rollout(page, "some-users")
            page.more |= self._two_clocks(page)
            page.more["alerts"] = self._firing()

    def promoted(self) -> None:
        """(c) A good revision."""
        with self._chapter("c: a good revision", Outcome.PROMOTED) as page:
            page.ending = self._rollout(page, "good-2")
        if self.chapters[-1].user_sessions_affected:
            raise SpillwayError(
                f"{self.chapters[-1].user_sessions_affected} user sessions failed during a good rollout"
            )

    def rolled_back_by_hand(self) -> None:
        """(d) An operator changes their mind after the promotion."""
        with (
            self._chapter("d: roll back by hand", Outcome.ROLLED_BACK_BY_HAND) as page,
            self._drive() as drive,
        ):
            cause = Cause("changed our mind", OPERATOR, by_hand=True)
            world, ref = drive.world, drive.place.ref
            done = restore(world.platform, world.clock, ref, cause, listen=self._heard)
            outcome = Outcome.ROLLED_BACK_BY_HAND if done.verified else Outcome.ROLLBACK_UNVERIFIED
            page.ending = drive.conclude(outcome)

    def _heard(self, event: RolloutEvent, /) -> None:
        if isinstance(event, RolledBack):
            self._say(event.text)

    def promoted_by_hand(self) -> None:
        """(d) A rollout that asks for a human at 5 %, and gets one."""
        within = timedelta(minutes=5)
        held = [StageConfig(percent=percent, hold=percent == 5, deadline=within) for percent in (0, 5, 100)]
        config = replace(self.config, stages=held)
        with self._chapter("d: promote a paused rollout", Outcome.PROMOTED) as page:
            paused = self._rollout(page, "good-2", config)
            page.more["paused_at_percent"] = 5
            if paused.document["outcome"] != Outcome.PAUSED.label:
                raise SpillwayError(f"a stage with hold ended {paused.text}")
            with self._drive(config) as drive:
                drive.watch()
                promote(drive.engine, drive.world.clock, to_percent=None, reason="looks good", by=OPERATOR)
                page.ending = drive.conclude(drive.run())

    def _rollout(self, page: _Page, image: str, config: Config | None = None) -> Ending:
        with self._drive(config, image) as drive:
            drive.listeners.join(page.note)
            ended = drive.begin()
            return drive.conclude(ended.outcome if ended else drive.run())

    @contextmanager
    def _drive(self, config: Config | None = None, image: str = "") -> Iterator[Drive]:
        request = Request.of(self.session, None, config or self.config)
        with ExitStack() as stack:
            if image:
                request = stack.enter_context(pinned(request, image))
            yield stack.enter_context(open_drive(request))

    @contextmanager
    def _chapter(self, name: str, expected: Outcome) -> Iterator[_Page]:
        self._say(f"\n{name}")
        began, before = time.monotonic(), self.users.felt()
        page = _Page()
        yield page
        if self.session.stopped.is_set():
            raise KeyboardInterrupt
        felt = self.users.felt().since(before)
        assert page.ending is not None
        chapter = Chapter(
            name=name,
            outcome=str(page.ending.document["outcome"]),
            expected=expected.label,
            seconds=round(time.monotonic() - began, 1),
            user_sessions=felt.conversations,
            user_sessions_affected=felt.failed,
            on_candidate=felt.by_revision.get(page.candidate, 0),
            reports=tuple(page.ending.reports),
            more={**page.more, **({"felt": dict(felt.failures)} if felt.failures else {})},
        )
        self.chapters.append(chapter)
        self._say(chapter.words)
        if chapter.outcome != expected.label:
            raise SpillwayError(
                f"chapter {name!r} ended {chapter.outcome}, not {expected.label}", page.ending.text
            )

    def _two_clocks(self, page: _Page) -> dict[str, object]:
        """New connections safe, and the last socket off the candidate: two figures, never one."""
        first_bad = self.users.felt().first_failed_at.get(page.candidate)
        safe = page.safe_at
        with self._drive() as drive:
            left = self._open_on(drive, page.candidate)
            began = time.monotonic()
            while self._open_on(drive, page.candidate) and time.monotonic() - began < _DRAIN_WITHIN_S:
                drive.world.clock.sleep(timedelta(milliseconds=250))
            drained = round(time.monotonic() - began, 1)
        self._say(
            f"{left} sockets were still open on {page.candidate}; the last one ended {drained:g}s later"
        )
        return {
            "seconds_to_new_connections_safe": round(safe - first_bad, 1) if safe and first_bad else None,
            "sockets_left_on_candidate": left,
            "seconds_until_drained": drained,
        }

    def _firing(self) -> list[str]:
        """The lasting alerts that fire now; one is a matter of seconds after users met 1011."""
        with self._drive() as drive:
            began = time.monotonic()
            while not (found := drive.place.watched().firing) and time.monotonic() - began < _ALERTS_WITHIN_S:
                drive.world.clock.sleep(timedelta(milliseconds=250))
        for alert in found:
            self._say(alert_line(alert))
        return [str(alert["title"]) for alert in found]

    @staticmethod
    def _open_on(drive: Drive, revision: str) -> int:
        current = drive.current()
        met = read_logs(drive.world, current) if current else None
        return met.exposures[revision].open_sockets if met else 0

    def _say(self, text: str) -> None:
        self.session.output.say(text)


class _Page(Struct):
    """What a chapter gathers while it is told."""

    ending: Ending | None = None
    safe_at: float | None = None  # when traffic was seen to be back
    more: dict[str, object] = field(default_factory=dict)

    @property
    def candidate(self) -> str:
        assert self.ending is not None
        return str(self.ending.document["candidate"])

    def note(self, event: RolloutEvent, /) -> None:
        if isinstance(event, RolledBack):
            self.safe_at = event.at.timestamp()
