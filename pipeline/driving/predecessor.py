"""What an environment believes of the one that it comes after: read, held against the revisions, and put into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.core import promoted, record
from pipeline.core.promoted import Admission, Choice, Found, NotBefore, Promoted, Refused, Ship, digest_of
from pipeline.core.rollout import UNDER_WAY, Phase, Rollout
from pipeline.driving.ports import Clock, Platform
from pipeline.errors import NotYet, PlanRefused, ServiceNotFound
from pipeline.model import LiveService, Revision, ServiceRef
from pipeline.units import format_duration, when


class Predecessor(Struct, frozen=True):
    """The environment that images come from.

    Args:
        name: of it; ``follower``: of the one that comes after it.
        config: hash of our configuration but for its environments.
        repository: where the follower pulls images from; empty: from where this one has them.
    """

    platform: Platform
    clock: Clock
    ref: ServiceRef
    name: str
    follower: str
    soak: timedelta
    config: str
    repository: str = ""

    def admission(self, image: str) -> Admission:
        """Why the follower may have this image. Raises NotYet, PlanRefused, and what reading raises."""
        current, found = self._read()
        own = [each for each in current.promoted if each.digest == digest_of(image)]
        choice = promoted.choose(own, self.soak, found)
        if isinstance(choice, Refused) and digest_of(current.plan.image) == digest_of(image):
            choice = self._unless_under_way(choice, current, found.now)
        if isinstance(choice, Ship):
            return Admission(self._soaked(choice.which, found.now))
        raise self._told(choice, found.now, current, image)

    def next_image(self, live: LiveService | None, revisions: Iterable[Revision]) -> str:
        """The image that the follower gets next, by digest; where nothing is newer, the one that it has or tried last.

        Raises: NotYet, PlanRefused, and what reading raises.

        Args:
            live: the follower's service; None where there is none.
            revisions: of it.
        """
        own = record.of(live) if live is not None else None
        if own is not None and own.phase in UNDER_WAY:
            return own.plan.image  # it was let in
        has = [r.image for r in revisions if live is not None and live.pinned.percent_of(r.name)]
        has = [own.plan.image, *has] if own is not None else has
        current, found = self._read()
        since = own.started if own is not None and own.phase is Phase.PROMOTED else None
        known = promoted.newer(current.promoted, [digest_of(image) for image in has], since)
        if current.promoted and not known and has:
            return has[0]
        choice = promoted.choose(known, self.soak, found)
        if isinstance(choice, Refused):
            choice = self._unless_under_way(choice, current, found.now)
        if isinstance(choice, Ship):
            theirs = found.revisions[choice.which.revision].image.partition("@")[0]
            return f"{self.repository or theirs}@{choice.which.digest}"
        raise self._told(choice, found.now, current)

    def _read(self) -> tuple[Rollout, Found]:
        try:
            live = self.platform.read(self.ref)
        except ServiceNotFound as error:
            raise self._refused(
                "there is no such service", f"Roll an image out there: {self._begin}"
            ) from error
        current = record.of(live)
        if current is None:
            raise self._refused("it carries no rollout record", f"Roll an image out there: {self._begin}")
        revisions = {r.name: r for r in self.platform.revisions(self.ref)}
        return current, Found(revisions, live.pinned.serving, self.config, self.clock.now())

    def _unless_under_way(self, refused: Refused, current: Rollout, now: datetime) -> Choice:
        """What is being rolled out there will soak there: then waiting helps."""
        is_coming = current.phase in UNDER_WAY - {Phase.ROLLING_BACK}
        return NotBefore(now + self.soak) if is_coming else refused

    # -- words --------------------------------------------------------------------------------------------------------

    @property
    def _begin(self) -> str:
        return f"spillway rollout --env {self.name} --image DIGEST"

    def _soaked(self, which: Promoted, now: datetime) -> str:
        until = f"until {when(which.left)}" if which.left else "and still does"
        lasted = which.soaked(now)
        return (
            f"{which.revision} soaked in {self.name} for {lasted}: all traffic since {when(which.at)} {until}"
        )

    def _told(
        self, choice: NotBefore | Refused, now: datetime, current: Rollout, image: str = "DIGEST"
    ) -> NotYet | PlanRefused:
        """Args: image: that was asked for, if one was."""
        sooner = f"spillway rollout --env {self.follower} --image {image} --override-soak --reason TEXT"
        if isinstance(choice, Refused):
            return self._refused(
                choice.why, f"See it: spillway status --env {self.name}; without a soak: {sooner}"
            )
        soak, which = format_duration(self.soak), choice.which
        what = f"{self.follower}: not yet: {current.plan.candidate} is still being rolled out in {self.name}"
        why = (
            f"It must have all traffic there for {soak}: not before {when(choice.at)}, even if that were now."
        )
        if which is not None:
            what = f"{self.follower}: not yet: {which.revision} soaks in {self.name} until {when(choice.at)}"
            why = f"It has all traffic there since {when(which.at)}: {which.soaked(now)} of {soak}."
        fix = f"Nothing was touched: give the same command again then. Sooner: {sooner}"
        return NotYet(what, why, fix, at=choice.at.isoformat())

    def _refused(self, why: str, fix: str) -> PlanRefused:
        return PlanRefused(
            f"{self.follower}: nothing of {self.name} may be rolled out here",
            f"{self.ref.service}: {why}.",
            fix,
        )


def must_not_be_locked(
    live: LiveService, now: datetime, name: str, followers: Mapping[str, timedelta]
) -> None:
    """For an environment whose soaks are not cut short. Raises NotYet.

    What was sent back, is still being rolled out or lost its traffic keeps nobody waiting.

    Args:
        live: its service.
        followers: the environments that come after it, and how long an image soaks here for each.
    """
    current, soak = record.of(live), max(followers.values())
    if current is None or current.phase is not Phase.PROMOTED:
        return
    which = promoted.soaking_alone(current.promoted, live.pinned.serving)
    if which is None:
        return
    until = which.at + soak
    if now >= until:
        return
    raise NotYet(
        f"{name}: not yet: {which.revision} soaks here until {when(until)}, for {' and '.join(followers)}",
        f"soak-lock keeps that whole: all traffic since {when(which.at)},"
        f" {which.soaked(now)} of {format_duration(soak)}.",
        "Nothing was touched: give the same command again then. Sooner: add --override-soak --reason TEXT",
        at=until.isoformat(),
    )
