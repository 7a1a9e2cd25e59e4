"""What an operator asks for at the keys of a rollout that is only watched: done as ``promote`` and ``rollback`` do it."""

from __future__ import annotations

from contextlib import suppress

from pipeline.app import draining, webhook
from pipeline.app.drive import open_drive
from pipeline.app.journalling import Told, keep_journal
from pipeline.app.orders import obey
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.wiring import Place, SystemClock, driver, open_onlooker
from pipeline.driving.engine import Engine
from pipeline.errors import SpillwayError, UserError
from pipeline.view.keys import Order


def obey_watching(order: Order, session: Session, place: Place, env: str | None) -> None:
    """The same of a rollout that somebody else drives, or nobody. Raising needs the configuration; the rest needs none."""
    told = Told(session)
    observer, world, rhythm = open_onlooker(place, SystemClock(session.stopped))
    engine = Engine(
        observer, world, driver=driver(), listen=told.listen, rhythm=rhythm, stop=session.stopped.is_set
    )
    if order is not Order.PROMOTE:
        obey(order, engine, world, told.listen)
        with suppress(SpillwayError):  # a service that is named in full needs no configuration
            places = session.load_places()
            if places.ref(places.environment(env)[1]) == place.ref:
                webhook.tell(session, place.ref, env, told)
        if order is Order.ROLL_BACK:
            draining.drain(engine, world, told.listen, session.output.say)
    else:
        try:
            _obey_driving(session, place, env, told)
        except SpillwayError as error:
            engine.say("refused", f"{order}: {error.in_a_line}")
    keep_journal(session, observer.current, told, "the rollout does not need it")


def _obey_driving(session: Session, place: Place, env: str | None, told: Told) -> None:
    """Stable is probed before a raise, so a drive is opened. Raises what opening one raises."""
    request = Request.of(session, env)
    if request.ref != place.ref:
        raise UserError(f"{session.config_file.name} is of another service", f"It names {request.ref.name}.")
    with open_drive(request) as drive:
        drive.listeners.join(told.listen)
        obey(Order.PROMOTE, drive.engine, drive.world, drive.listeners)
