"""What is to be done next about a rollout: ``decision.py`` names one, ``driving/acts.py`` does it.  PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.core.rollout import Event
from pipeline.model import Outcome


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until then; ``probe``: but to hold a probe round at once."""

    until: datetime
    why: str
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Deploy:
    """Run the Pulumi program: make the candidate revision."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Set traffic to this stage's share."""

    stage: int
    event: Event
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Arrive:
    """The stage's traffic is served: its clock starts."""


@dataclass(frozen=True, slots=True)
class Pause:
    reason: str
    drift: str = ""


@dataclass(frozen=True, slots=True)
class Promote:
    reason: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Give all traffic back to stable. ``blamed``: the metric that the judge holds against the candidate."""

    reason: str
    blamed: str = ""


@dataclass(frozen=True, slots=True)
class Settle:
    """Stable was seen to have all traffic: the roll-back is done."""


@dataclass(frozen=True, slots=True)
class Finish:
    outcome: Outcome


Action = Wait | Deploy | Enter | Arrive | Pause | Promote | Restore | Settle | Finish
