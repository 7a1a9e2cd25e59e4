"""A round that somebody else holds, in a job inside the network: what is asked for, as one text.  PURE.

The text goes to the job as the environment variable ``SPILLWAY_ROUND`` of one run. It holds addresses, keys by which the
telemetry knows a probe, and counts. The scenarios are in the file that the job's image has; the order says which they
must be. No secret of a scenario is in it, and no mark of a revision: the job tells which marks it met, and whoever gave
the order judges who answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pipeline.errors import UserError
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.request_log import agent
from pipeline.probe.scenario import Scenario

VARIABLE = "SPILLWAY_ROUND"
VERSION = 1
_HEX = re.compile(r"[0-9a-f]{32,64}")
_NEVER_HELD = 10_000  # conversations of a scenario; more than any configuration may ask for


class Order(Struct, frozen=True):
    """What is asked of a job.

    Args:
        round_id: that its result lines bear.
        key: that they are signed with; of this round alone, and never in a line.
        scenarios: the fingerprint of those that shall be held.
        ask: without scenarios, and with addresses that have no route.
    """

    round_id: str
    key: str
    scenarios: str
    ask: ProbeAsk

    @classmethod
    def of(cls, ask: ProbeAsk, scenarios: str, *, round_id: str, key: str) -> Order:
        """Args: ask: as the driver would hold it itself."""
        control = _bare(ask.control, round_id) if ask.control else None
        candidate = _bare(ask.candidate, round_id)
        return cls(round_id, key, scenarios, replace(ask, scenarios=(), candidate=candidate, control=control))

    def ask_with(self, scenarios: Sequence[Scenario]) -> ProbeAsk:
        return replace(self.ask, scenarios=tuple(scenarios))

    def encode(self) -> str:
        ask = self.ask
        return json.dumps(
            {
                "version": VERSION, "round": self.round_id, "key": self.key, "scenarios": self.scenarios,
                "candidate": _to_json(ask.candidate), "control": _to_json(ask.control) if ask.control else None,
                "sessions": ask.sessions, "concurrency": ask.concurrency, "warm_up": ask.warm_up,
                "confirms": ask.confirms,
            },
            separators=(",", ":"),
        )  # fmt: skip

    @classmethod
    def decode(cls, text: str) -> Order:
        """Raises UserError for what is no order, or one of another version."""
        try:
            row = json.loads(text)
            if row["version"] != VERSION:
                raise UserError(
                    f"{VARIABLE}: an order of version {row['version']!r:.20}",
                    f"This Spillway takes version {VERSION}.",
                    "Build the job's image with the Spillway that drives the rollout.",
                )
            ask = ProbeAsk(
                (), _address(row["candidate"]), _address(row["control"]) if row["control"] else None,
                _count(row["sessions"]), _count(row["concurrency"]), row["warm_up"] is True, row["confirms"] is True,
            )  # fmt: skip
            return cls(_hex(row["round"]), _hex(row["key"]), str(row["scenarios"]), ask)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise UserError(
                f"{VARIABLE}: not an order for a round",
                f"{type(error).__name__}: {error}"[:200],
                "It is set by the command that drives a rollout; leave it out otherwise.",
            ) from error


def _bare(address: Address, round_id: str) -> Address:
    """Without the marks by which a route is proven. Requests to both revisions are alike, and bear the round's name."""
    led = (*(address.route.headers if address.route else ()), *address.headers)
    led = (*led, ("User-Agent", agent(round_id)))
    return replace(address, route=None, headers=led)


def _to_json(address: Address) -> Mapping[str, object]:
    return {
        "url": address.base_url, "audience": address.audience, "key": address.key, "headers": list(address.headers),
    }  # fmt: skip


def _address(row: Any) -> Address:
    headers = tuple((_text(name), _text(value)) for name, value in row["headers"])
    return Address(_text(row["url"]), _text(row["audience"]), _text(row["key"]), headers=headers)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r:.60} is no text")
    return value


def _hex(value: object) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("a round or key that is none")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value <= _NEVER_HELD:
        raise ValueError(f"{value!r:.60} is no number of conversations")
    return value
