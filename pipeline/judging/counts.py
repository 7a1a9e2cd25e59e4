"""Counts of one block, candidate and stable side by side: what the judge takes in.  PURE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from pipeline.judging.clients import Clients


class Counts(Struct, frozen=True):
    """Judged trials and failures of one metric in one block."""

    candidate_trials: int = 0
    candidate_failures: int = 0
    stable_trials: int = 0
    stable_failures: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.candidate_trials + other.candidate_trials,
            self.candidate_failures + other.candidate_failures,
            self.stable_trials + other.stable_trials,
            self.stable_failures + other.stable_failures,
        )


class Block(Struct, frozen=True):
    """One closed block.

    Args:
        counts: by metric, one table for each stratum of what may be compared with one another. A stratum keeps its
            place as long as the split does; tables may be empty, and later blocks have more of them.
        fresh: by metric, of clients that were not counted before in this split's epoch: what certification counts.
        clients: of the candidate, those that were not seen before in this epoch.
        shown: candidate trials that were seen and not judged (warm-up, repeats, sockets of unknown age).
        memory: who was counted in this epoch, this block included.
        came: clients who asked for a run on a socket that was accepted in this block, and were not counted before in this
            epoch; trials alone. The split sends a share of them to the candidate.
    """

    index: int
    start: datetime
    end: datetime
    split_epoch: int
    percent: int
    counts: Mapping[str, tuple[Counts, ...]]
    fresh: Mapping[str, Counts] = field(default_factory=dict)
    clients: int = 0
    shown: int = 0
    memory: Clients = field(default_factory=Clients)
    came: Counts = field(default_factory=Counts)

    def whole(self, metric: str) -> Counts:
        """Over all strata."""
        return sum(self.counts.get(metric, ()), Counts())
