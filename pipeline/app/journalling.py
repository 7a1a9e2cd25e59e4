"""What an operator's hand did to a service, in the journal of its rollout."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.app.session import Session
    from pipeline.core.rollout import Rollout
    from pipeline.events import RolloutEvent


class Told(list["RolloutEvent"]):
    """What an operator's command told, kept for the journal and said as it comes."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._output = session.output

    def listen(self, event: RolloutEvent, /) -> None:
        from pipeline.events import Said

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
        from pipeline.app.reporting import rollouts_of
        from pipeline.report.journal import Attempt, Journal

        journal = Journal(rollouts_of(session), Attempt.of(current), session.output.say, all_the_same=why)
        for event in told:
            journal(event)
