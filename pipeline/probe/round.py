"""Rounds of conversations at bounded concurrency: with the candidate, and with the control beside it.

``course.py`` says which, and when more follow. What may not be asked for is refused before a byte is sent.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from pipeline.errors import AccessError
from pipeline.probe import speech
from pipeline.probe.ask import Address, ClockNow, ProbeAsk, TokenSource
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.course import Held, Turn, course
from pipeline.probe.dial import remember_names
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.probe.target import check_address, is_secure
from pipeline.redact import SINK
from pipeline.telemetry.proof import PROBE_HEADER

TRANSCRIPTS_PER_KIND = 3
_STOPPED_WITHIN_S = 0.1
DETAIL_CHARS = 2000  # a library's error may hold all that a service said


Heard = Callable[[Held], object]  # told of each batch of turns as it ends


def run_round(
    ask: ProbeAsk,
    now: ClockNow,
    token: TokenSource | None = None,
    runner: asyncio.Runner | None = None,
    heard: Heard = lambda _: None,
    stop: threading.Event | None = None,
) -> ProbeReport:
    """Hold one round and wait for its end.

    Args:
        runner: used up by the round; whoever brings one can cancel the round through its loop.
        stop: once it is set, those under way are given up, no other follows, and what was held is reported.
    Raises: UserError from ``check_ask``; AccessError when an ID token is wanted and cannot be had.
    """
    with runner or new_runner() as own:
        check_ask(ask)
        headers = {
            address: headers_for(address, token) for address in (ask.candidate, ask.control) if address
        }
        return own.run(_hold_round(ask, headers, now, heard, stop or threading.Event()))


def headers_for(address: Address, token: TokenSource | None) -> Mapping[str, str]:
    """What goes with every request to an address: our mark, and an ID token where one is asked for.

    Raises: AccessError when nobody can give a token; whatever the token source raises.
    """
    mark = {PROBE_HEADER.decode(): address.key} if address.key else {}
    mark |= dict((*(address.route.headers if address.route else ()), *address.headers))
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
    ask: ProbeAsk,
    headers: Mapping[Address, Mapping[str, str]],
    now: ClockNow,
    heard: Heard,
    stop: threading.Event,
) -> ProbeReport:
    clock = asyncio.get_running_loop().time
    begun, kept = clock(), Counter[tuple[Address, Kind]]()
    remember_names()
    steps = course(ask, now())
    turns = next(steps)
    while True:
        held = await _hold_all(turns, ask.concurrency, headers, kept, stop)
        heard(held)
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
    stop: threading.Event,
) -> Held:
    """Hold all turns, never more than ``concurrency`` at once, as they come free; those that came to an end."""
    left = iter(enumerate(turns))
    done: dict[int, tuple[Conversation, ...]] = {}

    async def talk(scenario: Scenario, address: Address) -> Conversation:
        def is_shown(kind: Kind) -> bool:
            if kind is Kind.OK:
                return False
            kept[address, kind] += 1
            return kept[address, kind] <= TRANSCRIPTS_PER_KIND

        held = await hold_conversation(scenario, address.base_url, headers[address], address.route, is_shown)
        return held if held.is_ok else _told(held)

    async def work() -> None:
        for number, turn in left:
            if len(turn.addresses) == 1:
                done[number] = (await talk(turn.scenario, turn.addresses[0]),)
            else:
                done[number] = tuple(await asyncio.gather(*(talk(turn.scenario, a) for a in turn.addresses)))

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(max(1, min(concurrency, len(turns))))]
        watching = asyncio.create_task(_give_up(workers, stop))
        try:
            await asyncio.wait(workers)
        finally:
            watching.cancel()
    return [done[number] for number in sorted(done)]


async def _give_up(workers: Sequence[asyncio.Task[None]], stop: threading.Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(_STOPPED_WITHIN_S)
    for worker in workers:
        worker.cancel()


def _told(conversation: Conversation) -> Conversation:
    """Without secrets, also those that it alone was given: when it is shown, the sink may have forgotten them."""
    return replace(
        conversation,
        detail=SINK.text(conversation.detail)[:DETAIL_CHARS],
        close_reason=SINK.text(conversation.close_reason),
    )


def new_runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=_new_loop())


def loop_name() -> str:
    """Whose loop a round runs on: ``uvloop``, where it is installed, or ``asyncio``."""
    return _new_loop().__module__.partition(".")[0]


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made
