"""Rounds of conversations at bounded concurrency: with the candidate, and with the control beside it.

The control holds one conversation of each scenario in every round, because a roll-back target that hangs must be known
before traffic is moved away from it or to it; and all of them where the candidate failed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from pipeline.probe.ask import check_ask
from pipeline.probe.idtoken import TokenSource, authorization
from pipeline.probe.scenario import Address, Conversation, Kind, ProbeAsk, ProbeReport, Scenario
from pipeline.probe.session import hold_conversation
from pipeline.telemetry.asgi import PROBE_HEADER

TRANSCRIPTS_PER_KIND = 3

ClockNow = Callable[[], datetime]


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
    """What goes with every request to an address. Raises: as ``authorization`` does."""
    mark = {PROBE_HEADER.decode(): address.key} if address.key else {}
    return {**authorization(address, token), **mark}


async def _hold_round(
    ask: ProbeAsk, headers: Mapping[Address, Mapping[str, str]], now: ClockNow
) -> ProbeReport:
    started = now()
    clock = asyncio.get_running_loop().time
    begun = clock()
    candidate, control = await asyncio.gather(
        _hold_all(ask, ask.scenarios, ask.candidate, headers[ask.candidate]), _control(ask, headers)
    )
    failed = {c.scenario for c in candidate if not c.is_ok}
    if failed and ask.control:
        again = tuple(s for s in ask.scenarios if s.name in failed)
        control += await _hold_all(ask, again, ask.control, headers[ask.control])
    return ProbeReport(started, clock() - begun, candidate, control, control_wanted=ask.control is not None)


async def _control(ask: ProbeAsk, headers: Mapping[Address, Mapping[str, str]]) -> tuple[Conversation, ...]:
    """One conversation of each scenario with the control, if there is one."""
    if ask.control is None:
        return ()
    return await _hold_all(replace(ask, sessions=1), ask.scenarios, ask.control, headers[ask.control])


async def _hold_all(
    ask: ProbeAsk, scenarios: Iterable[Scenario], address: Address, headers: Mapping[str, str]
) -> tuple[Conversation, ...]:
    """Hold ``ask.sessions`` of each scenario, never more than ``ask.concurrency`` at once, as they come free."""
    todo = [scenario for scenario in scenarios for _ in range(ask.sessions)]
    left = iter(todo)
    done: list[Conversation] = []
    kept: Counter[Kind] = Counter()

    async def work() -> None:
        for scenario in left:
            conversation = await hold_conversation(scenario, address.base_url, headers)
            done.append(_without_spare_transcript(conversation, kept))

    async with asyncio.TaskGroup() as workers:
        for _ in range(max(1, min(ask.concurrency, len(todo)))):
            workers.create_task(work())
    return tuple(done)


def _without_spare_transcript(conversation: Conversation, kept: Counter[Kind]) -> Conversation:
    """Drop the transcript unless this is one of the first failures of its kind."""
    kept[conversation.kind] += 1
    is_kept = not conversation.is_ok and kept[conversation.kind] <= TRANSCRIPTS_PER_KIND
    return conversation if is_kept else replace(conversation, transcript=())


def new_runner() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner(loop_factory=asyncio.new_event_loop)
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
