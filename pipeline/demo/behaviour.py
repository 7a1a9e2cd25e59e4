"""What a revision of the demo service does differently from the good one: a table, no branches elsewhere.

Each entry is one way in which real revisions have gone wrong; ``probe`` and ``users`` in the remarks say who meets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Defaults are the good service."""

    unmapped: frozenset[str] = frozenset()  # message types missing from the map: nothing routes them
    left_out: frozenset[str] = frozenset()  # events that are never sent
    close_at_accept: int | None = None  # close code right after the 101 handshake
    logs_raw_state: bool = False  # the state goes into the JSON log line as the enum it is
    breaks_accounts: bool = False  # conversations that carry an account end with 1011
    first_event_s: float = 0.0  # how long until the agent says its first word
    exits_with: int | None = None  # instead of starting
    never_listens: bool = False


BEHAVIOURS: Mapping[str, Behaviour] = {
    "good": Behaviour(),
    "good-2": Behaviour(),  # another build of the same: a rollout needs another digest
    "enum-log": Behaviour(logs_raw_state=True),  # probe: 1006, the handler raises
    "close-1011": Behaviour(close_at_accept=1011),  # probe: 1011
    "unmapped": Behaviour(unmapped=frozenset({"execute_agent"})),  # probe: silence
    "missing-event": Behaviour(left_out=frozenset({"tool_completed"})),  # probe: four of five
    "some-users": Behaviour(breaks_accounts=True),  # users only: probes carry no account
    "slow": Behaviour(first_event_s=0.7),  # latency
    "crash": Behaviour(exits_with=3),  # never ready
    "deaf": Behaviour(never_listens=True),  # never ready
}
