"""A team's own commands while a rollout is driven: which is due, and what the running stage has of them.

A command is bound to one attempt and one entry into a stage, as a probe round is. It begins once the stage's traffic has
arrived and the tags lead to their revisions, and runs beside everything else. One that failed to begin says nothing of
the candidate: the stage waits for it, and in the end calls a human.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pipeline.core.rollout import Phase, Rollout
from pipeline.core.verification import Verified, asked_at, missing, of_split, result_of
from pipeline.driving.ports import Clock, Verifier
from pipeline.events import CommandEnded, Listener, Said
from pipeline.judging.terms import Verification
from pipeline.model import CANDIDATE_TAG, STABLE_TAG, LiveService, Revision
from pipeline.probe.command import Command
from pipeline.probe.route import Ways
from pipeline.telemetry.proof import probe_key

_AGAIN = timedelta(seconds=30)  # after one that could not be begun


class Verifications:
    """Those of one service; remembers what no record holds yet."""

    def __init__(self, verifier: Verifier, clock: Clock, listen: Listener, ways: Ways | None = None) -> None:
        self._verifier = verifier
        self._clock = clock
        self._listen = listen
        self._ways = ways
        self._subject = ""
        self._unwritten: tuple[Verified, ...] = ()
        self._under_way = ""  # the name of the command; none of this entry into the stage outlives it
        self._obstacle = ""
        self._not_before: datetime | None = None

    def look(
        self, current: Rollout, live: LiveService, candidate: Revision | None, stable: Revision | None,
        *, begin: bool,
    ) -> tuple[tuple[Verified, ...], str]:  # fmt: skip
        """What the running stage's commands came to, and why those that are left have not ended; empty: none is left.

        Args:
            begin: start what is due; a mere onlooker does not.
        """
        self._only(f"{current.plan.rollout_id}/{current.attempt}/{current.split_epoch}")
        self._take(current)
        if current.phase not in (Phase.ROLLING, Phase.PAUSED):
            return current.verified, ""
        asked = asked_at(current.plan.terms.verify, current.stage.percent)
        left = missing(asked, self._found(current))
        if left and begin and self._may_begin(current):
            self._begin(left[0], current, live, candidate, stable)
            self._take(current)  # a verifier that waits for the end has it already
            left = missing(asked, self._found(current))
        return self._found(current), self._why(left) if left else ""

    def stop(self) -> None:
        """End what is under way: nothing is asked any more."""
        if self._under_way:
            self._verifier.stop()
            self._under_way = ""

    def _only(self, subject: str) -> None:
        if subject == self._subject:
            return
        self.stop()  # what it would say is of another stage, or traffic goes back
        self._subject, self._unwritten, self._obstacle, self._not_before = subject, (), "", None

    def _found(self, current: Rollout) -> tuple[Verified, ...]:
        written = of_split(current.verified, current.split_epoch)
        known = {each.name for each in written}
        return (*written, *(each for each in self._unwritten if each.name not in known))

    def _take(self, current: Rollout) -> None:
        if not self._under_way or (ended := self._verifier.poll()) is None:
            return
        name, self._under_way = self._under_way, ""
        if ended.obstacle:
            self._obstacle, self._not_before = ended.obstacle, self._clock.now() + _AGAIN
            return
        found = result_of(name, current.split_epoch, ended)
        self._unwritten = (*self._unwritten, found)
        self._listen(CommandEnded(self._clock.now(), found, current.stage.percent))

    def _may_begin(self, current: Rollout) -> bool:
        is_rolling = current.phase is Phase.ROLLING and current.arrived is not None
        has_rested = self._not_before is None or self._clock.now() >= self._not_before
        return is_rolling and has_rested and not self._under_way

    def _begin(
        self, asked: Verification, current: Rollout, live: LiveService, candidate: Revision | None,
        stable: Revision | None,
    ) -> None:  # fmt: skip
        if candidate is None or stable is None:
            return
        url = live.leads_to(candidate.name, CANDIDATE_TAG)
        stable_url = live.leads_to(stable.name, STABLE_TAG)
        if not url or not stable_url:
            return
        header = stable_header = ""
        if (ways := self._ways) is not None:
            url, stable_url = ways.candidate, ways.stable
            header, stable_header = (
                ways.header_line(ways.candidate_value),
                ways.header_line(ways.stable_value),
            )
        self._obstacle = ""
        self._under_way = asked.name
        self._listen(Said(self._clock.now(), "verifying", f"{asked.name} at {current.stage.percent}%"))
        key = probe_key(candidate.nonce)
        self._verifier.start(
            Command(asked.name, url, stable_url, candidate.name, key, asked.within, header, stable_header)
        )

    def _why(self, left: tuple[Verification, ...]) -> str:
        if self._obstacle:
            return f"{left[0].name} could not be run: {self._obstacle}"
        names = ", ".join(each.name for each in left)
        return f"verifying: {names}" if self._under_way else f"still to be verified: {names}"
