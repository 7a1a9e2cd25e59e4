"""Rounds of conversations at bounded concurrency: with the candidate, and with the control beside it.

``course.py`` says which, and when more follow. What may not be asked for is refused before a byte is sent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.errors import AccessError
from pipeline.probe import speech
from pipeline.probe.course import Held, Turn, course
from pipeline.probe.scenario import (
    Address,
    ClockNow,
    Conversation,
    Kind,
    ProbeAsk,
    ProbeReport,
    Scenario,
    TokenSource,
)
from pipeline.probe.session import hold_conversation
from pipeline.probe.target import check_address, is_secure
from pipeline.redact import SINK
from pipeline.telemetry.proof import PROBE_HEADER

TRANSCRIPTS_PER_KIND = 3
DETAIL_CHARS = 2000  # a library's error may hold all that a service said


def run_round(
    ask: ProbeAsk, now: ClockNow, token: TokenSource | None = None, runner: asyncio.Runner | None = None
) -> ProbeReport:
    """Hold one round and wait for its end.

    Args:
        runner: used up by the round; whoever brings one can cancel the round through its loop.
    Raises: UserError from ``check_ask``; AccessError when an ID token is wanted and cannot be had.
    """
    with runner or new_runner() as own:
        check_ask(ask)
        headers = {
            address: headers_for(address, token) for address in (ask.candidate, ask.control) if address
        }
        return own.run(_hold_round(ask, headers, now))


def headers_for(address: Address, token: TokenSource | None) -> Mapping[str, str]:
    """What goes with every request to an address: our mark, and an ID token where one is asked for.

    Raises: AccessError when nobody can give a token; whatever the token source raises.
    """
    mark = {PROBE_HEADER.decode(): address.key} if address.key else {}
    mark |= address.route.headers if address.route else ()
    if not address.audience:
        return mark
    if token is None:
        raise AccessError(
            f"probing {address.base_url} needs an ID token for {address.audience}",
            "No source of ID tokens is set up here.",
            "Run with a service account's credentials, or let the service take unauthenticated calls.",
        )
    return {"Authorization": f"Bearer {token(address.audience)}", **mark}


def check_ask(ask: ProbeAsk) -> None:
    """Return if the round may be held. Raises: UserError; nothing was sent."""
    addresses = [each for each in (ask.candidate, ask.control) if each is not None]
    for address in addresses:
        check_address(address)
    for scenario in ask.scenarios:
        speech.check(scenario, by_tls=any(is_secure(each.base_url) for each in addresses))


async def _hold_round(
    ask: ProbeAsk, headers: Mapping[Address, Mapping[str, str]], now: ClockNow
) -> ProbeReport:
    clock = asyncio.get_running_loop().time
    begun, kept = clock(), Counter[tuple[Address, Kind]]()
    steps = course(ask, now())
    turns = next(steps)
    while True:
        held = await _hold_all(turns, ask.concurrency, headers, kept)
        try:
            turns = steps.send(held)
        except StopIteration as end:
            report: ProbeReport = end.value
            return replace(report, seconds=clock() - begun)


async def _hold_all(
    turns: Sequence[Turn],
    concurrency: int,
    headers: Mapping[Address, Mapping[str, str]],
    kept: Counter[tuple[Address, Kind]],
) -> Held:
    """Hold all turns, never more than ``concurrency`` at once, as they come free."""
    left = iter(enumerate(turns))
    done: dict[int, tuple[Conversation, ...]] = {}

    async def talk(scenario: Scenario, address: Address) -> Conversation:
        conversation = await hold_conversation(scenario, address.base_url, headers[address], address.route)
        kept[address, conversation.kind] += 1
        is_kept = not conversation.is_ok and kept[address, conversation.kind] <= TRANSCRIPTS_PER_KIND
        return _told(conversation if is_kept else replace(conversation, transcript=()))

    async def work() -> None:
        for number, turn in left:
            done[number] = tuple(await asyncio.gather(*(talk(turn.scenario, a) for a in turn.addresses)))

    async with asyncio.TaskGroup() as workers:
        for _ in range(max(1, min(concurrency, len(turns)))):
            workers.create_task(work())
    return [done[number] for number in range(len(turns))]


def _told(conversation: Conversation) -> Conversation:
    """Without secrets, also those that it alone was given: when it is shown, the sink may have forgotten them."""
    if conversation.is_ok:
        return conversation
    return replace(
        conversation,
        detail=SINK.text(conversation.detail)[:DETAIL_CHARS],
        close_reason=SINK.text(conversation.close_reason),
        transcript=tuple(replace(each, text=SINK.text(each.text)) for each in conversation.transcript),
    )


def new_runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner(loop_factory=asyncio.new_event_loop)
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
