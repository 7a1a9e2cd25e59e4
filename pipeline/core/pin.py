"""Traffic that is pinned to a revision by name, and what giving it back to the latest one would do.  PURE.

Theory of operation. A rollout sends traffic to revisions by name, so that no revision gets any by being ready. That
outlives the rollout: afterwards whatever else deploys the service makes revisions that get 0 %, and nothing says so.
``pin_of`` says it. ``unpinned`` is the split that follows the latest ready revision again; it is refused where that would
move users to another revision than they are on, unless that is asked for.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline.core.rollout import ENDED, Phase, Rollout
from pipeline.errors import PlanRefused
from pipeline.model import LiveService, Split, Target


class Pin(Struct, frozen=True):
    """All traffic is on one revision by name.

    Args:
        service: its full name.
        idle: the latest ready revision where that is another one: it is newer and serves nobody.
        was_sent_back: the idle one is the candidate of the last rollout, which ended at the pinned one.
    """

    service: str
    revision: str
    idle: str = ""
    was_sent_back: bool = False

    @property
    def text(self) -> str:
        pinned = f"traffic is pinned to {self.revision} by name: what is deployed without a rollout gets 0%"
        if self.was_sent_back:
            return f"{pinned} (the latest ready revision is {self.idle}, which was sent back)"
        return f"{pinned} until it is given back: {self.command}"

    @property
    def warning(self) -> str:
        """Of a revision that somebody may wait for in vain; empty when there is none."""
        if not self.idle or self.was_sent_back:
            return ""
        return f"{self.idle} is newer, ready, and serves nobody: it was deployed while traffic was pinned to {self.revision}"

    @property
    def command(self) -> str:
        return f"spillway unpin {self.service}"

    def to_json(self) -> dict[str, object]:
        return {
            "revision": self.revision, "idle": self.idle, "was_sent_back": self.was_sent_back,
            "text": self.text, "warning": self.warning, "command": self.command,
        }  # fmt: skip


def pin_of(live: LiveService, current: Rollout | None) -> Pin | None:
    """None while a rollout is under way, and where traffic is split or follows LATEST."""
    shares = live.wanted.serving
    if (current is not None and current.phase not in ENDED) or len(shares) != 1 or "" in shares:
        return None
    name = next(iter(shares))
    # What took the place of a revision that was deleted is the pinned one's own template.
    same = current.draining.put_back if current and current.draining else ""
    idle = "" if live.latest_ready in ("", name, same) else live.latest_ready
    sent_back = current is not None and current.phase is Phase.ROLLED_BACK and current.plan.candidate == idle
    return Pin(live.ref.name, name, idle, was_sent_back=bool(idle) and sent_back)


def unpinned(live: LiveService, current: Rollout | None, *, move: bool = False) -> Split:
    """The split that gives everything to LATEST; every tag stays where it is. The live one where it says so already.

    Raises: PlanRefused while a rollout is under way, where traffic is split, and where users would be moved.

    Args:
        move: users may be moved to the latest ready revision, and to one that is still starting as soon as it is ready.
    """
    if current is not None and current.phase not in ENDED:
        raise PlanRefused(
            f"{live.ref.service}: a rollout is under way: {current.plan.candidate} ({current.phase})",
            "It decides which revision has how much, by name, until it ends.",
            f"Let it end (spillway status --watch), or roll it back: spillway rollback {live.ref.name}",
        )
    if live.wanted.serving == {"": 100}:
        return live.wanted
    pin = pin_of(live, current)
    if pin is None:
        raise PlanRefused(
            f"{live.ref.service}: which revision has the traffic?",
            f"It is split: {live.wanted}, and no rollout of ours is under way.",
            f"Send it to one: spillway rollback {live.ref.name} --to REVISION",
        )
    if not move:
        _refuse_to_move(live, pin)
    tags = (Target(t.revision, 0, t.tag) for t in live.wanted.targets if t.tag)
    return Split((Target(None, 100), *tags))


def _refuse_to_move(live: LiveService, pin: Pin) -> None:
    if pin.idle:
        which = "was sent back" if pin.was_sent_back else "never was tried on users by a rollout"
        raise PlanRefused(
            f"{live.ref.service}: unpinning would move all users from {pin.revision} to {pin.idle}",
            f"{pin.idle} is the latest ready revision, has 0%, and {which}.",
            f"Roll a better one out: spillway rollout --image DIGEST; or move them, at once: {pin.command} --move",
        )
    if live.latest_created not in ("", live.latest_ready) and not live.failure:
        raise PlanRefused(
            f"{live.ref.service}: unpinning would move all users to {live.latest_created} as soon as that is ready",
            f"{live.latest_created} is starting; {pin.revision} has 100%.",
            f"Wait until it is judged: spillway status; or let it have them: {pin.command} --move",
        )
