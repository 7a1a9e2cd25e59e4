"""Crowds of virtual users as log lines: who keeps a socket, who always fails, who comes back. Times as in ``lines.py``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from pipeline.judging import evidence, judge
from pipeline.judging.counts import Block
from pipeline.judging.judgement import Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.reading import Arm
from pipeline.judging.spans import Span, Windows
from pipeline.judging.terms import Plan, Sampling
from pipeline.model import LogLine
from tests.fakes import START
from tests.lines import CANDIDATE, STABLE, line

SECOND = timedelta(seconds=1)
BLOCK_S = 10.0
SAMPLING = Sampling(BLOCK_S * SECOND, 5 * SECOND, 2 * SECOND, timedelta(0), 10)
ARMS = (Arm(CANDIDATE, f"n-{CANDIDATE}"), Arm(STABLE, f"n-{STABLE}"))


@dataclass
class Client:
    """One user: a socket that was accepted on a revision, and whether all its runs fail."""

    name: str
    always_fails: bool = False
    revision: str = STABLE
    accepted: float = -600.0
    sockets: int = 0
    is_gone: bool = False


@dataclass
class Crowd:
    """Users who hold one run each in every block.

    Args:
        share: of new sockets, that go to the candidate.
        reconnects: chance in a block that a client whose runs hold opens a new socket; one that fails does with
            ``fails_reconnects``.
        fails: whether a run fails, by client, revision and second; beside those that always do.
        leaves: whether the client leaves a run before anything came of it; it connects again in the next block.
    """

    rng: random.Random
    clients: list[Client]
    share: float
    reconnects: float = 0.01
    fails_reconnects: float = 1.0
    fails: Callable[[Client, str, float], bool] = lambda client, revision, at: False
    leaves: Callable[[Client, str, float], bool] = lambda client, revision, at: False
    lines: list[LogLine] = field(default_factory=list)

    def live(self, blocks: int) -> Crowd:
        for block in range(blocks):
            for client in self.clients:
                chance = self.fails_reconnects if client.always_fails else self.reconnects
                at = block * BLOCK_S + self.rng.random() * (BLOCK_S - 1)
                if self.rng.random() < chance or client.is_gone:
                    self._connect(client, at)
                self._run(client, at + 0.1, block)
        self.lines.sort(key=lambda each: each.at)
        return self

    def _connect(self, client: Client, at: float) -> None:
        client.revision = CANDIDATE if self.rng.random() < self.share else STABLE
        client.accepted, client.sockets, client.is_gone = at, client.sockets + 1, False
        self.lines.append(self._line(client, at, "ws_accept"))

    def _run(self, client: Client, at: float, number: int) -> None:
        bad = client.always_fails or self.fails(client, client.revision, at)
        client.is_gone = self.leaves(client, client.revision, at)
        started = (START + at * SECOND).timestamp()
        said = {
            "run": number + 1,
            "started": started,
            "outcome": "closed" if client.is_gone else "timeout" if bad else "ok",
            "first_event_ms": 50.0,
        }
        self.lines.append(self._line(client, at + 0.2, "agent_run", **said))
        if client.is_gone:
            self.lines.append(self._line(client, at + 0.2, "ws_close", code=1001, closed_by="client"))

    def _line(self, client: Client, at: float, event: str, **values: object) -> LogLine:
        accepted = (START + client.accepted * SECOND).timestamp()
        return line(
            at, event, f"{client.name}/{client.sockets}", client.revision, spillway=2, client=client.name,
            accepted=accepted, instance=client.revision, **values,
        )  # type: ignore[arg-type]  # fmt: skip


def crowd_of(count: int, seed: int, share: float, *, always_fail: float = 0.0, **options: object) -> Crowd:
    rng = random.Random(seed)
    clients = [Client(f"c{seed}-{n}", n < round(count * always_fail)) for n in range(count)]
    return Crowd(rng, clients, share, **options)  # type: ignore[arg-type]


def blocks_of(
    lines: list[LogLine],
    made: Plan,
    count: int,
    *,
    percent: int = 25,
    windows: Windows | None = None,
    sampling: Sampling = SAMPLING,
) -> tuple[Block, ...]:
    span = Span(START, None, 1, percent, START)
    now = START + (count + 2) * sampling.block
    return evidence.closed_blocks(lines, span, ARMS, sampling, made.terms.criteria, now, windows=windows)


def judged(made: Plan, blocks: tuple[Block, ...]) -> Iterator[JudgeState]:
    """The state after each block."""
    state = judge.begin(made)
    for block in blocks:
        state = judge.observe(state, made, block)
        yield state


def is_sent_back(made: Plan, blocks: tuple[Block, ...]) -> bool:
    return any(state.failed for state in judged(made, blocks))


def passes(made: Plan, blocks: tuple[Block, ...]) -> bool:
    *_, state = judged(made, blocks)
    return judge.judge_stage(state, made, 1).verdict is Verdict.PASS
