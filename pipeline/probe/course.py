"""In which order a round's conversations are held, and when more follow.  PURE.

Theory of operation. ``course`` asks for batches of *turns* and is sent what they came to; whoever holds conversations,
over sockets or in a test, follows it. A turn is one scenario with one address, or with both at the same moment.

    warm-up     after a cold start, the whole round once: shown, and it counts neither way
    the round   ``sessions`` of each scenario with the candidate, the first of each with stable beside it: a roll-back
                target that hangs must be known before traffic is moved away from it or to it
    confirming  after a failure, five turns with both of the scenarios that failed; and five more of those that
                failed again, if the candidate failed more often than stable

Two such fives decide about a candidate that always fails; more are the next round's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from datetime import datetime
from itertools import cycle, islice
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.probe_report import Confirming, ProbeReport

if TYPE_CHECKING:
    from pipeline.probe.scenario import Scenario

CONFIRMING = 5
MOST_BLOCKS = 2


class Turn(Struct, frozen=True):
    """A conversation of one scenario with each of these addresses, at the same moment."""

    scenario: Scenario
    addresses: tuple[Address, ...]


_Side = tuple[Conversation, ...]
Held = Sequence[tuple[Conversation, ...]]  # of each turn in order, by its addresses
Course = Generator[Sequence[Turn], Held, ProbeReport]


def course(ask: ProbeAsk, started: datetime) -> Course:
    """Yields turns, takes what they came to; returns the report, whose ``seconds`` are still to be filled in."""
    warm_up, _ = _sides((yield _round(ask))) if ask.warm_up else ((), ())
    candidate, control = _told_apart(*_sides((yield _round(ask))))
    blocks: list[Confirming] = []
    again = _failed(ask, candidate) if ask.confirms else []
    while again and len(blocks) < MOST_BLOCKS:
        turns = [Turn(scenario, _both(ask)) for scenario in islice(cycle(again), CONFIRMING)]
        block = Confirming(*_told_apart(*_sides((yield turns))))
        blocks.append(block)
        again = _failed(ask, block.candidate) if block.is_worse else []
    return ProbeReport(
        started, 0.0, candidate, control, control_wanted=ask.control is not None,
        warm_up=warm_up, confirming=tuple(blocks),
    )  # fmt: skip


def _both(ask: ProbeAsk) -> tuple[Address, ...]:
    return (ask.candidate,) if ask.control is None else (ask.candidate, ask.control)


def _round(ask: ProbeAsk) -> list[Turn]:
    turns: list[Turn] = []
    for scenario in ask.scenarios:
        turns += [Turn(scenario, _both(ask)), *[Turn(scenario, (ask.candidate,))] * (ask.sessions - 1)]
    return turns


def _sides(held: Held) -> tuple[_Side, _Side]:
    """The conversations with the candidate, and those with the control."""
    return tuple(turn[0] for turn in held), tuple(each for turn in held for each in turn[1:])


def _told_apart(candidate: _Side, control: _Side) -> tuple[_Side, _Side]:
    """What could not be spoken with the candidate, and was with stable, is the candidate's doing after all."""
    spoken = {c.scenario for c in control if c.is_ok}
    return tuple(
        replace(c, kind=Kind.UNREADABLE) if c.kind is Kind.NOT_SPOKEN and c.scenario in spoken else c
        for c in candidate
    ), control


def _failed(ask: ProbeAsk, candidate: Iterable[Conversation]) -> list[Scenario]:
    bad = {c.scenario for c in candidate if c.is_bad}
    return [scenario for scenario in ask.scenarios if scenario.name in bad]
