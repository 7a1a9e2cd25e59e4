"""Who is counted as one client, and what a stretch of log lines shows of it: for ``plan`` to say before it matters.  PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct

from pipeline.judging.metrics import ERROR_PATTERNS
from pipeline.judging.offices import offices
from pipeline.judging.reading import Arm, read_lines
from pipeline.judging.terms import Sampling
from pipeline.judging.trials import trials_of
from pipeline.model import LogLine

UNSEEN = (
    "It is judged by the request log, by how its containers end, by what it writes on stderr and by probes. What cannot be "
    "seen: sockets while they are open, and answers that never come on them."
)
_LARGE_SHARE = 0.2


class Population(Struct, frozen=True):
    """What was seen of one revision's users.

    Args:
        runs, clients: agent runs, and whom they were counted for.
        largest: share of the runs that one client has. ``is_office``: on so many sockets that each counts alone.
        requests: sockets and refusals of the request log, which is there whether there is telemetry or not.
    """

    runs: int
    clients: int
    largest: float
    is_office: bool
    requests: int

    def lines(self, within: str, least_clients: int) -> Iterator[str]:
        """In words.

        Args:
            within: of which stretch of time they are.
            least_clients: that a stage needs on the candidate.
        """
        if not self.runs:
            yield f"seen       no telemetry line of a user's run {within}"
            if self.requests:
                yield f"           {UNSEEN}"
            return
        yield f"seen       {self.runs:,} runs of {self.clients:,} clients {within}"
        if self.is_office:
            yield f"           one has {self.largest:.0%} of them on many sockets: an office; each of its sockets is a client"
        elif self.largest > _LARGE_SHARE and self.runs >= least_clients:
            yield (
                f"           one has {self.largest:.0%} of them, and counts once. If a load balancer stands before the "
                "service, write evidence.client: {forwarded-for: 2}"
            )
        if self.clients < least_clients:
            yield (
                f"warning: a stage needs runs of {least_clients} clients on the candidate, and in all of this time there were "
                f"{self.clients}: it would be held for a human"
            )


def population(lines: Iterable[LogLine], arm: Arm, sampling: Sampling) -> Population:
    """Of the lines of one revision."""
    reading = read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS)
    until = reading.last_line_at or 0.0
    trials = [t for s in reading.sockets.values() for t in trials_of(s, sampling.within, until)]
    runs, many = Counter(t.client for t in trials), offices(trials)
    clients = {t.session if t.client in many else t.client for t in trials}
    name, most = max(runs.items(), key=lambda each: (each[1], each[0]), default=("", 0))
    share = most / len(trials) if trials else 0.0
    return Population(len(trials), len(clients), share, name in many, len(reading.requests))
