"""What ``plan`` says of whom runs are counted for, the rule and what stable's last lines show, and how often they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from msgspec import Struct

from pipeline.core.plan import Proposal, Wish
from pipeline.driving.ports import World
from pipeline.errors import SpillwayError
from pipeline.judging.population import Population, population
from pipeline.judging.reading import Arm
from pipeline.report.banner import short
from pipeline.units import format_duration

LOOKS_BACK = timedelta(minutes=15)
_MOST_PAGES = 5  # of a thousand lines: a plan is for a glance


class Counted(Struct, frozen=True):
    """What stable's last lines show.

    Args:
        population: None where they could not be read; ``fault`` says why.
        over: the time that they are of.
    """

    population: Population | None
    over: timedelta = LOOKS_BACK
    fault: str = ""

    @property
    def rate(self) -> float | None:
        """Users' runs per second; None while none were seen."""
        seconds = self.over.total_seconds()
        return (
            self.population.runs / seconds if self.population and self.population.runs and seconds else None
        )


def look(world: World, wish: Wish, proposal: Proposal) -> Counted:
    """Never an error: what cannot be looked at is said."""
    stable, now = proposal.plan.stable, world.clock.now()
    since = now - LOOKS_BACK
    try:
        nonces = {r.name: r.nonce for r in world.platform.revisions(wish.ref)}
        pages = world.logs.pages(wish.ref, since=since, until=now, revisions=(stable,))
        read = list(islice(pages, _MOST_PAGES))
    except SpillwayError as error:
        return Counted(None, fault=error.what)
    found = [line for page in read for line in page]
    seen = population(found, Arm(stable, nonces.get(stable, "")), wish.terms.sampling)
    is_cut = len(read) == _MOST_PAGES and found
    return Counted(
        seen, max(line.at for line in found) - min(line.at for line in found) if is_cut else LOOKS_BACK
    )


def lines(met: Counted, wish: Wish) -> Iterator[str]:
    yield ""
    yield "clients"
    yield f"  counted by {rule(wish.client)}"
    if met.population is None:
        yield f"  seen       not looked at: {met.fault}"
        return
    within = (
        f"in {short(met.over)}" if met.over != LOOKS_BACK else f"in the last {format_duration(LOOKS_BACK)}"
    )
    for line in met.population.lines(within, wish.terms.sampling.min_clients):
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
