"""What an operator's hand did to the traffic of a service: as it is answered, and in the journal of its rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from pipeline.app.session import Session
from pipeline.core.rollout import Rollout
from pipeline.driving.hand import Done
from pipeline.events import RolloutEvent, Said


class Told(list[RolloutEvent]):
    """What an operator's command told, kept for the journal and said as it comes."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._output = session.output

    def listen(self, event: RolloutEvent, /) -> None:
        self.append(event)
        self._output.event(event)
        if isinstance(event, Said):
            self._output.say(event.text)


def keep_journal(session: Session, current: Rollout | None, told: Sequence[RolloutEvent], why: str) -> None:
    """Write down what was done, where this machine keeps the rollout's journal; once it is done, and if it can be.

    Args:
        why: it does not matter when it cannot.
    """
    if current is None:
        return
    with suppress(Exception):
        from pipeline.report.journal import Attempt, Journal

        journal = Journal(session.rollouts, Attempt.of(current), session.output.say, all_the_same=why)
        for event in told:
            journal(event)


def answer(
    session: Session,
    done: Done,
    told: Sequence[RolloutEvent],
    where: str,
    document: Mapping[str, object],
    *,
    again: str,
    why: str,
) -> None:
    """Say where traffic is, and whether that was seen; keep the journal.

    Args:
        where: all traffic is. ``again``: the same command. ``why``: see ``keep_journal``.
    """
    session.decided = 0 if done.verified else None
    keep_journal(session, done.rollout, told, why)
    seen = "had it already" if done.already else "read back" if done.verified else "NOT seen within a minute"
    session.output.result(f"100% on {where}: {seen}", document)
    if not done.verified:
        session.output.say(f"The write was accepted. Look again: spillway status; repeat: {again}")
