"""What is to be done next about a rollout: ``decision.py`` names one, ``driving/acts.py`` does it.  PURE."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from pipeline.core.rollout import Event
from pipeline.model import Outcome


class Wait(Struct, frozen=True):
    """Nothing to do until then; ``probe``: but to hold a probe round at once."""

    until: datetime
    why: str
    probe: bool = False


class Deploy(Struct, frozen=True):
    """Run the Pulumi program: make the candidate revision."""


class Enter(Struct, frozen=True):
    """Set traffic to this stage's share."""

    stage: int
    event: Event
    reason: str = ""


class Arrive(Struct, frozen=True):
    """The stage's traffic is served: its clock starts."""


class Pause(Struct, frozen=True):
    reason: str
    drift: str = ""


class Promote(Struct, frozen=True):
    reason: str


class Restore(Struct, frozen=True):
    """Give all traffic back to stable. ``blamed``: the metric that the judge holds against the candidate."""

    reason: str
    blamed: str = ""


class Settle(Struct, frozen=True):
    """Stable was seen to have all traffic: the roll-back is done."""


class Finish(Struct, frozen=True):
    outcome: Outcome


Action = Wait | Deploy | Enter | Arrive | Pause | Promote | Restore | Settle | Finish
