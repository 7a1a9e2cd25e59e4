"""What a round of conversations is asked for: whom, what, how often.  PURE."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.probe.route import Route
    from pipeline.probe.scenario import Scenario

USER_AGENT = "spillway-probe"  # by which the platform's request log knows our conversations
ClockNow = Callable[[], datetime]
#: audience -> ID token, with errors of ``errors.py``. May block: it asks a metadata server or reads a key.
TokenSource = Callable[[str], str]


class Address(Struct, frozen=True):
    """Where to talk to.

    Args:
        base_url: http(s)://host[:port].
        audience: asks for an ID token for it.
        key: marks our sockets as a probe's to the telemetry behind it, so that they are not counted among users.
        route: for an address that is not a tag's own: who answers there is to be proven.
        headers: that lead there, beside the route's.
    """

    base_url: str
    audience: str = ""
    key: str = ""
    route: Route | None = None
    headers: tuple[tuple[str, str], ...] = ()


class ProbeAsk(Struct, frozen=True):
    """One round: so many conversations of each scenario, and where to check that it is not our network.

    Args:
        warm_up: nothing was asked for so long that instances may be cold: the first conversations do not count.
        confirms: a failure is followed by more conversations with both addresses.
    """

    scenarios: tuple[Scenario, ...]
    candidate: Address
    control: Address | None
    sessions: int = 5
    concurrency: int = 5
    warm_up: bool = False
    confirms: bool = True
