"""One rollout, driven from the command line: engine, journal and view together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from pipeline import record
from pipeline.cli.frame import Session
from pipeline.cli.output import outcome_document
from pipeline.cli.wiring import Place, is_dead, local_folder_for, open_engine, open_place, wish_for
from pipeline.config import Config, Environment
from pipeline.engine import Engine, Next, Rhythm
from pipeline.model import Outcome
from pipeline.plan import Wish
from pipeline.ports import World
from pipeline.progress import Listener, Progress
from pipeline.rollout import Rollout
from pipeline.start import Start


@dataclass(slots=True)
class Listeners:
    """Tells everybody who listens; others may join while it runs."""

    each: list[Listener] = field(default_factory=list)

    def __call__(self, progress: Progress, /) -> None:
        for listener in self.each:
            listener(progress)


@dataclass(slots=True)
class Drive:
    """An opened environment with its engine. Made by ``open_drive``."""

    session: Session
    config: Config
    environment: Environment
    place: Place
    engine: Engine
    world: World
    listeners: Listeners
    stack: ExitStack

    def wish(self, image: str) -> Wish:
        return wish_for(self.config, self.environment, image)

    def begin(self, image: str, *, retry: bool = False, supersede: bool = False) -> Outcome | None:
        """Begin, resume, or answer how it ended (see ``start.Start``)."""
        wish = self.wish(image)
        start = Start(self.engine, self.world, wish, retry, supersede, self.session.output.say, is_dead)
        return start()

    def run(self, timeout: timedelta | None = None) -> Outcome:
        until = self.world.clock.now() + timeout if timeout else None
        self._watch()
        return self.engine.run(stop=self.session.stopped.is_set, until=until)

    def tick(self) -> Next:
        self._watch()
        return self.engine.tick()

    def _watch(self) -> None:
        """From here on: the journal of this rollout, and what a person sees."""
        from pipeline.cli.view import choose_view
        from pipeline.journal import Journal

        current = self.current()
        if current is not None:
            folder = self.session.state_folder / "rollouts"
            self.listeners.each.append(Journal(folder, current.plan.rollout_id, current.attempt))
        if self.session.output.level >= 0:
            view = self.stack.enter_context(
                choose_view(is_terminal=self.session.is_terminal, ci=bool(os.environ.get("CI")))
            )
            self.listeners.each.append(view)

    def current(self) -> Rollout | None:
        text = self.place.platform.read(self.place.ref).record_text
        return record.decode(text) if text is not None else None

    def finish(self, outcome: Outcome, code: int) -> int:
        """Close the view, write the report, and say how it ended."""
        from pipeline.cli.reporting import write_reports

        self.stack.close()
        current = self.current()
        document = outcome_document(outcome)
        text = outcome.label
        if current is not None:
            paths = write_reports(self.session, self.world, current)
            document |= {
                "rollout": current.plan.rollout_id,
                "attempt": current.attempt,
                "candidate": current.plan.candidate,
                "stable": current.plan.stable,
                "reason": current.reason,
                "reports": [str(path) for path in paths],
            }
            text = f"{outcome.label}: {current.plan.candidate}: {current.reason}"
            for path in paths:
                self.session.output.say(f"report: {path}")
        self.session.output.result(text, {**document, "exit_code": code})
        return code


@contextmanager
def open_drive(
    session: Session, config: Config, env: str | None, *, rhythm: Rhythm | None = None, one_step: bool = False
) -> Iterator[Drive]:
    """Everything that a rollout of this environment needs, opened; closed with the block.

    Args:
        one_step: a probe round is waited for, so that a scheduler's single step has eyes.
    """
    _, environment = config.environment(env)
    listeners = Listeners([session.output.event])
    folder = local_folder_for(environment, session.local_folder)
    if folder is not None:
        _refresh_images(session, config)
    with ExitStack() as stack:
        place = stack.enter_context(open_place(config.ref(environment), local_folder=folder))
        engine, world = stack.enter_context(
            open_engine(
                config, place, environment, stopped=session.stopped, listen=listeners,
                rhythm=rhythm or Rhythm(heartbeat=config.heartbeat), one_step=one_step,
            )
        )  # fmt: skip
        with ExitStack() as views:
            yield Drive(session, config, environment, place, engine, world, listeners, views)


def _refresh_images(session: Session, config: Config) -> None:
    """The local Cloud Run reads its image catalogue at each start of a revision: keep it as the file says."""
    from pipeline.cli.catalogue import write_catalogue

    write_catalogue(session.local_folder, config, session.config_file.parent)
