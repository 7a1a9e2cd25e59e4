"""Whose sockets are clients of their own, and who is one client however many sockets it opens."""

from __future__ import annotations

import random

import pytest

from pipeline.core import plan
from pipeline.judging.counts import Block
from pipeline.judging.offices import split_offices
from pipeline.judging.spans import Windows
from pipeline.judging.terms import Criterion
from pipeline.judging.trials import Trial
from pipeline.model import LogLine
from tests.crowd import BLOCK_S, blocks_of, is_sent_back
from tests.lines import CANDIDATE, STABLE, conversation
from tests.rollouts import a_wish

PLAN = plan.first(a_wish(criteria=(Criterion("agent_completed"),)))
NOBODY = Windows(())


def users(seed: int, blocks: int, a_block: int, share: float = 0.25) -> list[LogLine]:
    """Each once, on either revision by the share; one of fifty fails."""
    rng, lines = random.Random(f"users/{seed}"), []
    for number in range(blocks * a_block):
        revision = CANDIDATE if rng.random() < share else STABLE
        at = number * BLOCK_S / a_block
        lines += conversation(at, f"u{number}", revision, ok=rng.random() > 0.02)
    return lines


def bot(revision: str, block: int, sockets: int = 300, *, ok: bool) -> list[LogLine]:
    """One address that opens them in one block, on one revision."""
    return [
        entry
        for n in range(sockets)
        for entry in conversation(block * BLOCK_S + n / 40, f"b{block}-{n}", revision, ok=ok, client="bot")
    ]


def judged(lines: list[LogLine], blocks: int) -> tuple[Block, ...]:
    return blocks_of(sorted(lines, key=lambda each: each.at), PLAN, blocks)[:blocks]


@pytest.mark.parametrize("others", [0, 1, 3, 40])
def test_a_bot_on_the_candidate_alone_is_one_client_however_quiet_the_hour(others: int) -> None:
    """A load test of its tag with a request that no revision takes, or a bot that keeps one cookie."""
    for seed in range(3):
        blocks = judged([*users(seed, 4, others), *bot(CANDIDATE, 0, ok=False)], 4)
        assert blocks[0].whole("agent_completed").candidate_trials <= others + 1
        assert not is_sent_back(PLAN, blocks)


def test_a_bot_whose_runs_succeed_on_stable_alone_makes_no_candidate_look_worse() -> None:
    for seed in range(3):
        bots = [entry for block in range(12) for entry in bot(STABLE, block, ok=True)]
        blocks = judged([*users(seed, 12, 40), *bots], 12)
        assert all(block.whole("agent_completed").stable_trials <= 41 for block in blocks)
        assert not is_sent_back(PLAN, blocks)


def trials(seed: int, office: float, others: float, count: int = 150) -> list[tuple[int, Trial]]:
    """As many of an office as of others, with the shares of each that came to the candidate."""
    rng, found = random.Random(seed), []
    for number in range(count):
        for client, share in (("office", office), (f"x{number}", others)):
            session = f"{client}/{number}"
            trial = Trial(client, session, 0.0, frozenset(), accepted=number / 10, is_told=True)
            found.append((int(rng.random() >= share), trial))
    return found


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.5, 0.99])
def test_an_office_whose_sockets_are_split_as_everybodys_are_is_one(share: float) -> None:
    kept = sum(bool(split_offices(trials(seed, share, share), NOBODY, is_alone=False)) for seed in range(100))
    assert kept >= 95


@pytest.mark.parametrize(("office", "others"), [(1.0, 0.25), (0.8, 0.05), (0.0, 0.25), (0.05, 0.5)])
def test_one_whose_sockets_are_not_is_a_client_like_any(office: float, others: float) -> None:
    for seed in range(20):
        both = trials(seed, office, others)
        assert split_offices(both, NOBODY, is_alone=False) == set()
        assert split_offices(both, NOBODY, is_alone=True) == {"office"}
