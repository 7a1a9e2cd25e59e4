"""Rollouts under faults drawn from seeds: whatever happens, no invariant breaks and every rollout ends.

CI plays 300 fixed seeds and 300 that follow from the commit's hash. ``SPILLWAY_SEEDS`` and ``SPILLWAY_FIRST_SEED``
play others; ``make simulate`` many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core.decision import Situation
from pipeline.events import Look
from pipeline.model import Outcome
from tests.simulation import CANDIDATES, Fault, Simulation, draw
from tests.simulation.faults import CONDITIONS, HAPPENINGS
from tests.simulation.process import Process
from tests.simulation.seeds import FIXED, FRESH, base_of, of_ci
from tests.simulation.shrink import shrunk, story
from tests.simulation.tally import play

CHUNKS = 20


def _chunk(number: int) -> Sequence[int]:
    return [seed for seeds in of_ci() for seed in seeds[number::CHUNKS]]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(CHUNKS))
def test_no_fault_breaks_an_invariant(number: int) -> None:
    tally = play(_chunk(number))
    if tally.broken:
        pytest.fail(f"{len(tally.broken)} of {tally.rollouts}; {story(shrunk(min(tally.broken)))}")


def test_the_chunks_are_all_the_seeds_and_each_commit_has_its_own() -> None:
    assert sorted(seed for n in range(CHUNKS) for seed in _chunk(n)) == sorted(
        seed for seeds in of_ci() for seed in seeds
    )
    bases = {base_of(f"commit {n}") for n in range(100)}
    assert len(bases) == 100
    assert min(bases) > FIXED
    assert all(base % FRESH == 0 for base in bases)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("good", Outcome.PROMOTED),
        ("slow to start", Outcome.PROMOTED),
        ("fails users", Outcome.ROLLED_BACK),
        ("goes silent", Outcome.ROLLED_BACK),
        ("exits", Outcome.ROLLED_BACK),
        ("fails probes", Outcome.STOPPED_AT_ZERO),
        ("never ready", Outcome.STOPPED_AT_ZERO),
        ("both fail", Outcome.PAUSED),
    ],
)
def test_without_faults_each_candidate_gets_what_it_deserves(kind: str, outcome: Outcome) -> None:
    seeds = [seed for seed in range(80) if Simulation(seed, odds=0.0).kind == kind][:3]
    assert seeds
    for seed in seeds:
        told = Simulation(seed, odds=0.0, hands=0).run()
        assert told.outcome is outcome, told.trace
        assert not told.oracle.violations


def test_all_kinds_of_candidates_are_known_to_the_table_above() -> None:
    table = test_without_faults_each_candidate_gets_what_it_deserves.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert set(CANDIDATES) == {kind for kind, _ in table}


def test_the_same_seed_is_the_same_rollout_to_the_byte() -> None:
    for seed in (3, 11, 19, 23):
        one, other = Simulation(seed).run(), Simulation(seed).run()
        assert one.trace == other.trace
        assert one.outcome is other.outcome
        assert one.live == other.live
        assert one.fired == other.fired


def test_a_seeds_own_faults_played_as_a_list_are_the_same_rollout() -> None:
    for seed in (3, 11, 19, 23):
        one = Simulation(seed).run()
        assert Simulation(seed, faults=draw(seed)).run().trace == one.trace
        assert (
            Simulation(seed, faults=one.fired).run().trace == one.trace
        )  # what never came to pass changes nothing


def test_every_kind_of_fault_is_drawn_and_comes_to_pass() -> None:
    """The control of the control."""
    fired = play(range(400)).faults
    assert {kind for kind in (*HAPPENINGS, *CONDITIONS) if not fired[kind]} == set()


class Careless(Simulation):
    """Its platform takes any etag: two who read the same both write."""

    def _set_up(self) -> None:
        super()._set_up()
        take = self.platform.write

        def write(ref: object, *, etag: str, **more: object) -> None:
            assert self.live is not None
            take(ref, etag=self.live.etag, **more)  # type: ignore[arg-type]

        self.platform.write = write  # type: ignore[method-assign, assignment]


def test_a_failure_is_shrunk_to_the_faults_that_it_takes() -> None:
    seed = next(seed for seed in range(400) if Careless(seed).run().oracle.violations)
    whole, short = Careless(seed).run(), shrunk(seed, Careless)
    assert short.oracle.violations[0].partition(":")[0] == whole.oracle.violations[0].partition(":")[0]
    assert len(short.fired) <= len(whole.fired)
    for left_out in short.fired:  # one less, and it holds, or breaks otherwise
        rest = [fault for fault in short.fired if fault is not left_out]
        told = Careless(seed, faults=rest).run().oracle.violations
        assert not told or told[0].partition(":")[0] != short.oracle.violations[0].partition(":")[0]
    words = story(short)
    assert "VIOLATION" in words
    assert f"make simulate FROM={seed} SEEDS=1" in words
    assert len(words.splitlines()) < 40


def test_a_fault_picks_its_variant_by_its_salt() -> None:
    assert [Fault(1, "edit", salt).pick("abcd") for salt in (0.0, 0.25, 0.5, 0.999)] == list("abcd")


def _drift_blind(told: Simulation) -> None:
    """The guard of S6: foreign writes are seen."""
    _replace_looks(told, lambda s: replace(s, drift=""))


def _served_blind(told: Simulation) -> None:
    """The guard of S10: what is served is compared with what was asked for."""
    _replace_looks(told, lambda s: replace(s, live=replace(s.live, serving=s.rollout.split, reconciling=False,
                                                           observed_generation=s.live.generation)))  # fmt: skip


def _hasty(told: Simulation) -> None:
    """The guard of S2: the soak."""
    soon = timedelta(seconds=6)
    _replace_looks(
        told,
        lambda s: (
            replace(s, now=s.now + soon, watched=s.watched + soon) if s.rollout.phase == "rolling" else s
        ),
    )


def _replace_looks(told: Simulation, change: Callable[[Situation], Situation]) -> None:
    make = told.process

    def process(name: str, *, inline: bool = False) -> Process:
        made = make(name, inline=inline)
        look = made.engine.observer.look

        def changed(**how: Any) -> Look:
            found = look(**how)
            return replace(found, situation=change(found.situation))

        made.engine.observer.look = changed  # type: ignore[method-assign]
        return made

    told.process = process  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("without", "invariant"), [(_drift_blind, "S6"), (_served_blind, "S10"), (_hasty, "S2 soak")]
)
def test_an_engine_without_one_of_its_guards_is_found_out(
    without: Callable[[Simulation], None], invariant: str
) -> None:
    """Zero violations say something only if a missing guard is one."""
    found = set()
    for seed in range(150):
        told = Simulation(seed)
        without(told)
        found |= {words.partition(":")[0] for words in told.run().oracle.violations}
        if invariant in found:
            break
    assert invariant in found
