"""A scene whose rollouts leave journals and reports on disk, through the very code that the commands use."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.app import reporting
from pipeline.app.drive import Drive
from pipeline.app.listeners import Listeners
from pipeline.app.orders import Orders
from pipeline.core.plan import Wish
from pipeline.events import RolloutEvent
from pipeline.model import Outcome
from pipeline.report.document import Report
from tests.fakes import REF
from tests.rollouts import Scene


class Resting(Orders, kw_only=True):
    """Rests in the scene's time."""

    scene: Scene

    def sleep(self, duration: timedelta) -> None:
        self.scene.clock.sleep(duration)


def _alerts() -> tuple[str, ...]:
    return ("agent-chat: sockets closed with 1011",)


@dataclass
class Standing:
    """The parts of a session that reporting and driving use; nobody looks on."""

    state_folder: Path
    said: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    woken: threading.Event = field(default_factory=threading.Event)

    @property
    def output(self) -> Any:
        return SimpleNamespace(say=self.said.append, level=-1)

    @property
    def config_file(self) -> Path:
        return self.state_folder / "spillway.yaml"

    @property
    def rollouts(self) -> Path:
        return self.state_folder / "rollouts"


class Told(list[RolloutEvent]):
    """What the engine told, told on."""

    def __init__(self, on: Any) -> None:
        super().__init__()
        self._on = on

    def append(self, event: RolloutEvent, /) -> None:
        super().append(event)
        self._on(event)


@dataclass
class Reported:
    """One machine. ``folder``: of its project's state."""

    folder: Path
    scene: Scene = field(default_factory=Scene)

    def __post_init__(self) -> None:
        self.session: Any = Standing(self.folder)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.session.rollouts.iterdir())

    def drive(self, driver: str = "host/1") -> Drive:
        listeners = Listeners([], self.session.said.append)
        self.scene.told = Told(listeners)
        engine = self.scene.engine(driver)
        place = SimpleNamespace(ref=REF, platform=self.scene.platform, alerts=_alerts)
        return Drive(
            SimpleNamespace(session=self.session, name="production", with_image=self._same),  # type: ignore[arg-type]
            place=place,  # type: ignore[arg-type]
            program=None,  # type: ignore[arg-type]
            engine=engine,
            world=self.scene.world,
            listeners=listeners,
            stack=ExitStack(),
            orders=Resting(self.session, scene=self.scene),
        )

    def _same(self, _: str) -> Any:
        """Its file is the one that the rollout was begun with."""
        return SimpleNamespace(wish=SimpleNamespace(rollout_id=self.scene.rollout.plan.rollout_id))

    def roll(self, wish: Wish | None = None, *, hours: float = 2, **options: bool) -> Outcome:
        """Begin, drive and report, as ``spillway rollout`` does."""
        drive = self.drive()
        outcome = self.scene.start(wish, drive.engine, **options)
        outcome = outcome or drive.run(timedelta(hours=hours))
        drive.conclude(outcome, outcome.exit_code)
        return outcome

    def report(self) -> Report:
        return reporting.make_report(self.session, self.scene.world, self.scene.rollout, alerts=_alerts)
