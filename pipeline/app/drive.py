"""One rollout, driven from the command line: engine, journal and view together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline import budget
from pipeline.app import ci, draining
from pipeline.app.listeners import Listeners, naming_promote
from pipeline.app.orders import Orders, obey
from pipeline.app.programs import Program
from pipeline.app.reporting import UserFigures, write_reports
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.stepping import facts_of
from pipeline.app.wiring import Place, is_dead, open_engine, open_place
from pipeline.core import record
from pipeline.core.decision import VERIFY_WITHIN
from pipeline.core.intent import GOOD, Ended
from pipeline.core.plan import Wish
from pipeline.core.promoted import Admission
from pipeline.core.rollout import UNDER_WAY, Phase, Rollout
from pipeline.driving.acts import Next
from pipeline.driving.begin import Start
from pipeline.driving.engine import Engine
from pipeline.driving.ports import World
from pipeline.errors import SpillwayError
from pipeline.events import Called, Looked, RolloutEvent
from pipeline.model import LiveService, Outcome
from pipeline.output.writer import outcome_document
from pipeline.report import writes

if TYPE_CHECKING:
    from infra.deployment import Deployment
    from infra.guard import Ruling

_FIRST = (Outcome.FIRST_DEPLOYMENT, Outcome.FIRST_DEPLOYMENT_UNHEALTHY)


class Ending(Struct, frozen=True):
    """How a rollout ended, in words and as a document, and the reports that were written."""

    text: str
    document: Mapping[str, object]
    reports: Sequence[Path] = ()


class Drive(Struct):
    """An opened environment with its engine. Made by ``open_drive``."""

    request: Request
    place: Place
    program: Program
    engine: Engine
    world: World
    listeners: Listeners
    stack: ExitStack
    orders: Orders
    before: Mapping[str, int] = field(default_factory=lambda: budget.PROCESS.calls)
    is_watched: bool = False
    has_journal: bool = False
    is_made: bool = False

    @property
    def session(self) -> Session:
        return self.request.session

    def planned(self) -> tuple[Deployment, Ruling]:
        """What the program would declare, given what is live, and which way that may go."""
        from infra.service import planned

        settings = self.request.settings
        return planned(settings, self.place.look(settings))

    def must_lose_nothing(self) -> tuple[Deployment, Ruling]:
        """The same, before the first write. Raises FieldsLost."""
        made, ruling = self.planned()
        if made.before is None:
            ruling.refuse_all(self.request.ref.service)  # there is no template to write alone
        ruling.refuse(self.request.ref.service)
        return made, ruling

    def aimed(self, wish: Wish, live: LiveService | None, current: Rollout | None) -> Wish:
        """The wish with what the candidate has from the live service, its name first; under way as it was agreed to."""
        from infra.compose import compose

        settings = self.request.settings
        if current is not None and current.phase in UNDER_WAY and current.plan.rollout_id == wish.rollout_id:
            return replace(wish, candidate=current.plan.candidate)
        found = self.place.look(settings) if live is not None else None
        made = compose(settings, found.stable, found.base) if found else compose(settings)
        least = made.template.get("scaling", {}).get("minInstanceCount", 0)
        return replace(wish, candidate=made.revision, min_instances=least)

    def not_applied(self, ended: Ended) -> Sequence[str]:
        """Of a rollout that ended well: what the file asks of the service since, which is no other revision."""
        from pipeline.app import template_diff

        if ended.outcome not in GOOD or not self.request.settings.fields:
            return ()
        made, _ = self.planned()
        return template_diff.not_applied(made)

    def begin(
        self,
        *,
        retry: bool = False,
        supersede: bool = False,
        take_tags: bool = False,
        admit: Callable[[], Admission | None] = lambda: None,
        gate: Callable[[], Outcome | None] = lambda: None,
    ) -> Ended | None:
        """Begin, resume, or answer how it ended (see ``begin.Start``).

        Raises: FieldsLost before the first write, when live settings would be lost.
        """

        def guarded() -> Outcome | None:
            _ = self.program.chosen  # what is not to be had is told before anything is written
            self.must_lose_nothing()
            return gate()

        return Start(
            self.engine, self.world, self.request.wish, retry=retry, supersede=supersede, take_tags=take_tags,
            say=self.session.output.say, is_dead=is_dead, aim=self.aimed, admit=admit,
            gate=guarded,
        )()  # fmt: skip

    def run(self, timeout: timedelta | None = None) -> Outcome:
        """Drive it until it ends, pauses, is told to stop or time is up; between two steps do what a person asks for."""
        until = self.world.clock.now() + timeout if timeout else None
        self.watch(keys=True)
        while True:
            outcome = self.engine.run(
                until=until, interrupted=self.orders.is_waiting, sleep=self.orders.sleep
            )
            order = self.orders.take()
            if order is None or outcome is not Outcome.UNDER_WAY:
                return outcome
            obey(order, self.engine, self.world, self.listeners)
            self.orders.done()

    def go_on(self, *, wait: bool, timeout: timedelta | None) -> int:
        """Drive it to its end, or let it stand once its revision is there and that is read back; the exit code."""
        if wait:
            return self.finish(self.run(timeout))
        outcome = self._make()
        return self.finish(outcome, self.step_code() if outcome is Outcome.UNDER_WAY else None)

    def _make(self) -> Outcome:
        """Take steps until the candidate is there: whoever goes on with it needs no Pulumi then."""
        self.watch()
        self.listeners.join(self._notice)
        return self.engine.run(interrupted=lambda: self.is_made)

    def _notice(self, event: RolloutEvent, /) -> None:
        if isinstance(event, Looked):
            s = event.look.situation
            self.is_made = s.candidate is not None or s.rollout.phase is not Phase.DEPLOYING

    def step_code(self) -> int:
        """0 once the step that was taken is read back; else it is a time-out."""
        return 0 if self.engine.read_back(VERIFY_WITHIN) else Outcome.UNDER_WAY.exit_code

    def tick(self) -> Next:
        self.watch()
        self.engine.raises_nothing = self.differs()
        upcoming = self.engine.tick()
        self.stack.close()  # the picture stands before anything is said below it
        return upcoming

    def drain(self) -> None:
        draining.drain(self.engine, self.world, self.listeners, self.session.output.say)

    def differs(self) -> str:
        """Why this file may raise nothing of the rollout under way, in words; empty where it may, or none is."""
        current = self.current()
        if current is None or current.phase not in UNDER_WAY or not current.plan.image:
            return ""
        if self.request.with_image(current.plan.image).wish.rollout_id == current.plan.rollout_id:
            return ""
        file = self.session.config_file.name
        return f"{file} is not as it was when this rollout began: users' evidence is judged, and nothing is raised"

    def watch(self, *, keys: bool = False) -> None:
        """Open the journal of the rollout and what a person sees; once. ``keys``: where somebody obeys them."""
        if self.is_watched:
            return
        self.is_watched = True
        from pipeline.view.keyboard import has_keyboard
        from pipeline.view.live import choose_view

        self._keep_journal(self.current())
        if self.session.output.level >= 0:
            view = choose_view(
                is_terminal=self.session.is_terminal,
                ci=bool(os.environ.get("CI")),
                write=self.session.output.say,
                see=UserFigures(self.place, self.world.clock, self.seen),
                order=self.orders.give if keys and has_keyboard() else None,
            )
            shown = self.stack.enter_context(view)
            self.orders.done = getattr(shown, "obeyed", self.orders.done)
            self.listeners.join(naming_promote(shown, self.request))

    def _keep_journal(self, current: Rollout | None) -> None:
        """Of the attempt that is on the service when we begin, and of no later one."""
        from pipeline.report.journal import Attempt, Journal

        if current is None or self.has_journal:
            return
        self.has_journal = True
        journal = Journal(self.session.rollouts, Attempt.of(current), self.session.output.say)
        # A first deployment's record is written last, with the answer: all that was told is of it.
        is_first = current.plan.stable == current.plan.candidate
        self.listeners.join(journal, since=None if is_first else current.started)

    def seen(self) -> Rollout | None:
        """The rollout as the engine read it last: for who only shows it."""
        return self.engine.observer.current

    def current(self) -> Rollout | None:
        return record.of(self.place.platform.read(self.place.ref))

    def conclude(self, outcome: Outcome, code: int | None = None) -> Ending:
        """Close the view and write the report. ``code``: where it is not the outcome's own."""
        calls = budget.since(self.before, budget.PROCESS.calls)
        self.listeners(Called(self.world.clock.now(), calls))
        self.stack.close()
        try:  # the rollout that this command drove, or what took its place if it was superseded
            current = self.current()
        except SpillwayError as error:  # what cannot be read any more changes no outcome
            self.session.output.say(f"no report: {error.what}")
            current = None
        self._keep_journal(current)  # a first deployment is not driven: what it told is kept here
        document = outcome_document(outcome, exit_code=outcome.exit_code if code is None else code)
        document["api_calls"] = calls
        if current is None:
            return Ending(outcome.label, document)
        if outcome is Outcome.SUPERSEDED:
            own, other = self.engine.candidate, current.plan.candidate
            document |= {"candidate": own, "superseded_by": other}
            return Ending(f"{outcome.label}: {own} by {other}", document)
        reason = current.waiting if outcome is Outcome.UNDER_WAY and current.waiting else current.reason
        paths, cause = write_reports(self.session, self.world, current, self.place.alerts)
        reason = "; ".join(filter(None, (reason, cause)))
        document |= {
            "rollout": current.plan.rollout_id,
            "attempt": current.attempt,
            **facts_of(current),
            "reason": reason,
            "reports": [str(path) for path in paths],
        }
        text = ": ".join(filter(None, (outcome.label, current.plan.candidate, reason)))
        if outcome is Outcome.PAUSED:
            promote = writes.promote(self.request.name)
            document["next"] = f"{promote}, or {writes.roll_back(self.place.ref)}"
            text += f"; let it go on: {promote}"
        return Ending(text, document, paths)

    def finish(self, ended: Outcome | Ended, code: int | None = None) -> int:
        """Conclude, and say how it ended; the exit code: the outcome's own, unless another is given.

        Of an outcome that was there before this command, the report is made if the service still carries the rollout.
        """
        outcome = ended.outcome if isinstance(ended, Ended) else ended
        code = outcome.exit_code if code is None else code
        if outcome is not Outcome.UNDER_WAY:
            self.session.decided = code
            self.drain()
        later = self.not_applied(ended) if isinstance(ended, Ended) else ()
        if isinstance(ended, Ended) and ended.rollout is None and outcome not in _FIRST:
            self.stack.close()
            ending = Ending(ended.words, outcome_document(outcome, candidate=ended.candidate))
        else:
            ending = self.conclude(outcome, code)
        for line in later:
            self.session.output.say(line)
        ci.show_pages(self.session.output, ending.reports)
        for path in ending.reports:
            self.session.output.say(f"report: {path}")
        if "next" in ending.document:
            self.session.output.say(f"let it go on, or give traffic back: {ending.document['next']}")
        self.session.output.result(ending.text, ending.document)
        return code


@contextmanager
def open_drive(request: Request, *, one_step: bool = False, place: Place | None = None) -> Iterator[Drive]:
    """Everything that a rollout of this environment needs, opened; closed with the block.

    Args:
        one_step: a probe round is waited for, so that a scheduler's single step has seen one.
        place: where the service is, where that is open already.
    """
    session = request.session
    session.leaves_at_once = True
    listeners = Listeners([naming_promote(session.output.event, request)], session.output.say)
    with ExitStack() as stack:
        place = place or stack.enter_context(open_place(session, request.ref))
        folder = session.config_file.parent if place.channel is None else session.local_folder
        program = Program(place.channel, folder, session.engine, stopped=session.stopped.is_set)
        engine, world = stack.enter_context(
            open_engine(request, place, program, listeners, one_step=one_step)
        )
        if (asked := request.config.webhook) is not None:
            from pipeline.app import webhook

            listeners.join(stack.enter_context(webhook.of(session, asked, request.ref, request.name)))
        with ExitStack() as views:
            yield Drive(request, place, program, engine, world, listeners, views, Orders(session))
