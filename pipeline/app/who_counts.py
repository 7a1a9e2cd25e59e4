"""What ``plan`` says of whom runs are counted for: the rule, and what stable's last lines show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from pipeline.core.plan import Proposal, Wish
from pipeline.driving.ports import World
from pipeline.errors import SpillwayError
from pipeline.judging.population import population
from pipeline.judging.reading import Arm
from pipeline.units import format_duration

_LOOKS_BACK = timedelta(minutes=15)
_MOST_PAGES = 5  # of a thousand lines: a plan is for a glance


def lines(world: World, wish: Wish, proposal: Proposal) -> Iterator[str]:
    """Never an error: what cannot be looked at is said."""
    yield ""
    yield "clients"
    yield f"  counted by {rule(wish.client)}"
    stable, now = proposal.plan.stable, world.clock.now()
    try:
        nonces = {r.name: r.nonce for r in world.platform.revisions(wish.ref)}
        pages = world.logs.pages(wish.ref, since=now - _LOOKS_BACK, until=now, revisions=(stable,))
        found = [line for page in islice(pages, _MOST_PAGES) for line in page]
    except SpillwayError as error:
        yield f"  seen       not looked at: {error.what}"
        return
    seen = population(found, Arm(stable, nonces.get(stable, "")), wish.terms.sampling)
    for line in seen.lines(f"in the last {format_duration(_LOOKS_BACK)}", wish.terms.sampling.min_clients):
        yield line if line.startswith("warning") else f"  {line}"


def rule(client: str) -> str:
    """Args: client: the value of SPILLWAY_CLIENT; empty: nothing was said."""
    said = json.loads(client) if client else {}
    if "header" in said:
        return f"the request header {said['header']}, and by address where it is not there"
    number = said.get("forwarded-for", 1)
    if number == 1:
        return "address, the last entry of X-Forwarded-For, which is Cloud Run's own"
    return f"address, entry {number} of X-Forwarded-For from the end: {number - 1} of our own proxies stand before the service"
