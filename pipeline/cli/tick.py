"""tick: one step of whatever is under way, for a scheduler."""

from __future__ import annotations

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import Env
from pipeline.model import Outcome
from pipeline.output.writer import outcome_document


@connecting
def tick(session: Session, *, env: Env = None) -> int:
    """Take one step of whatever is under way, for a scheduler, and print when to come again.

    Example:  */1 * * * *  spillway tick --env production
    """
    from pipeline.app.drive import facts_of, open_drive
    from pipeline.app.request import Request
    from pipeline.report import writes

    with open_drive(Request.of(session, env), one_step=True) as drive:
        named: dict[str, object] = {
            "event": "tick",
            "service": drive.place.ref.name,
        }  # what the lasting alert counts
        # The service is there and was never rolled out by us: a scheduler need not cry.
        if drive.place.platform.read(drive.place.ref).record_text is None:
            document: dict[str, object] = {**named, "outcome": "none", "exit_code": 0, "next_at": None}
            session.output.result("no rollout was ever started here", document)
            return 0
        upcoming = drive.tick()
        outcome, at = upcoming.outcome or Outcome.UNDER_WAY, upcoming.at.isoformat()
        code = drive.step_code() if upcoming.outcome is None else outcome.exit_code
        text = outcome.label if upcoming.outcome else f"come again at {at}: {upcoming.why}"
        limited = drive.engine.raises_nothing
        if limited:
            text = f"{text}\n{limited}"
            named["raises_nothing"] = limited
        document = {**named, **outcome_document(outcome, exit_code=code, next_at=at, why=upcoming.why)}
        if outcome is Outcome.PAUSED:
            document["next"] = writes.promote(drive.request.name)
            text = f"{text}; let it go on: {document['next']}"
        seen = drive.seen()
        session.output.result(text, {**document, **(facts_of(seen) if seen else {})})
        return code
