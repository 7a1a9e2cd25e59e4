"""A service's users, drawn from a seed: candidate and stable are alike, so every roll-back is a false one.

Clients open sockets and hold agent runs on them. A socket stays on the revision that accepted it; a share of the new ones
is the candidate's. A run fails by the hour (day and night, incidents, both revisions alike) or because its client always
fails. What is drawn is drawn from the seed alone, whatever is asked of it: as trials (``cohort``) or as log lines.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from random import Random

INSTANCES = 20  # of the service, by its shares
_DAY_S = 86_400.0
_BEAT_S = 10.0  # between two lines of an instance


@dataclass(frozen=True, slots=True)
class Kind:
    """What a service is like.

    Args:
        sockets: opened a minute; ``runs``: on each, ``gap_s`` seconds apart on the average.
        rate: of runs that fail, by day. ``night``: times as often from ``dusk_s`` on.
        returning: of new sockets, how many are of a client that was there before.
        broken: of clients, how many always fail; ``retries``: sockets that such a one opens a minute.
        keeps: a failed run leaves its socket open; else the server closes it with 1011 and the client comes back.
        residents: sockets that stable holds when the rollout begins, for as long as it lasts.
        flake: of probe conversations, on either revision. ``bursts``: of runs that write twenty error lines.
        crashes: of an instance, a day.
        leaves: of runs, how many their user leaves, whatever the revision; ``impatient``: of clients, how many always do.
        incident_s: how long 60 % of everything fails, some time before 100 %; 0: never.
    """

    name: str
    sockets: float = 40.0
    runs: float = 1.5
    gap_s: float = 60.0
    rate: float = 0.001
    night: float = 1.0
    dusk_s: float = 0.0
    returning: float = 0.0
    broken: float = 0.0
    retries: float = 1.0
    keeps: bool = False
    residents: int = 0
    flake: float = 0.0
    bursts: float = 0.0
    crashes: float = 0.0
    incident_s: float = 0.0
    leaves: float = 0.0
    impatient: float = 0.0


def drawn(seed: int) -> Kind:
    """The kind of a seed: each kind gets as many of them."""
    rng = Random(f"kind/{seed}")
    rate = rng.choice((0.0, 0.001, 0.004, 0.01, 0.05))
    flake = rng.choice((0.0001, 0.001, 0.01))
    kinds = (
        Kind("plain", rate=rate),
        Kind(
            "long-lived",
            10,
            1,
            90,
            rate=rate / 4,
            residents=60,
            broken=rng.choice((0.002, 0.01, 0.05)),
            keeps=True,
        ),
        Kind("returning", rate=rate / 4, returning=0.6, broken=rng.choice((0.01, 0.05)), retries=20),
        Kind("flaky probes", 20, rate=0.001, flake=flake),
        Kind("bursty lines", rate=rate / 4, bursts=rng.choice((0.001, 0.01, 0.05))),
        Kind("instances", rate=rate / 4, crashes=rng.choice((1.0, 10.0))),
        Kind("day and night", rate=rng.choice((0.001, 0.002, 0.004)), night=3, dusk_s=rng.uniform(0, 5400)),
        Kind(
            "strata", 15, 2, 60, rate=rate / 4, residents=80, broken=rng.choice((0.01, 0.05)), returning=0.3
        ),
        Kind("small", rng.choice((0.5, 2.0)), 2, 60, rate=rate, residents=3, returning=0.5),
        Kind("incident", rate=rate, incident_s=rng.choice((120.0, 600.0))),
        Kind(
            "leaving",
            rate=rate / 4,
            returning=0.5,
            retries=20,
            leaves=rng.choice((0.02, 0.3)),
            impatient=rng.choice((0.01, 0.1)),
        ),
    )
    return kinds[seed % len(kinds)]


@dataclass(frozen=True, slots=True)
class Run:
    """One agent run, or what came of it. ``closes``: the server closed the socket with 1011 then; ``is_left``: its user did."""

    at: float
    client: str
    session: str
    is_candidate: bool
    accepted: float
    is_bad: bool
    closes: bool
    complains: bool
    is_left: bool = False


@dataclass(slots=True)
class _Socket:
    client: str
    session: str
    is_candidate: bool
    accepted: float
    until: float
    run: int = 0


@dataclass
class World:
    """Plays one service, block by block; ``share`` is the candidate's of new sockets."""

    kind: Kind
    seed: int
    share: float = 0.0
    now: float = -600.0
    incident_at: float = 0.0
    _due: list[tuple[float, int]] = field(default_factory=list)
    _sockets: dict[int, _Socket] = field(default_factory=dict)
    _nature: dict[str, float] = field(
        default_factory=dict
    )  # of clients: the lowest always fail, or always leave
    _waiting: set[str] = field(default_factory=set)  # clients in ``_back``
    _count: int = 0
    _clients: int = 0
    _back: list[tuple[float, str]] = field(
        default_factory=list
    )  # clients that will open a socket again, and when

    def __post_init__(self) -> None:
        self.rng = Random(f"world/{self.seed}")
        self.incident_at = self.rng.uniform(100, 1400)
        for _ in range(self.kind.residents):
            self._open(self.now + self.rng.uniform(0, 500), self._new_client(), until=1e9)

    def runs_until(self, end: float) -> list[Run]:
        """What began before ``end`` and was not told yet, in order."""
        found = []
        self._arrive(end)
        while self._due and self._due[0][0] < end:
            at, number = heapq.heappop(self._due)
            run = self._hold(at, number)
            if run is not None:
                found.append(run)
            while self._back and self._back[0][0] < end:
                again, client = heapq.heappop(self._back)
                self._waiting.discard(client)
                self._open(again, client)
        self.now = end
        return found

    def _arrive(self, end: float) -> None:
        at, pace = self.now, self.kind.sockets / 60
        while (at := at + self.rng.expovariate(pace)) < end:
            is_back = self._clients and self.rng.random() < self.kind.returning
            client = f"c{self.rng.randrange(self._clients)}" if is_back else self._new_client()
            self._open(at, client)

    def _new_client(self) -> str:
        self._clients += 1
        return f"c{self._clients - 1}"

    def _is_broken(self, client: str) -> bool:
        return self._always(client, self.kind.broken)

    def _leaves(self, client: str) -> tuple[bool, bool]:
        """Whether it leaves the run, and whether it always does."""
        if not (self.kind.leaves or self.kind.impatient):
            return False, False
        always = self._always(client, self.kind.impatient)
        return always or self.rng.random() < self.kind.leaves, always

    def _always(self, client: str, share: float) -> bool:
        if not share:
            return False
        if client not in self._nature:
            self._nature[client] = Random(f"{self.seed}/{client}").random()
        return self._nature[client] < share

    def _open(self, at: float, client: str, until: float | None = None) -> None:
        self._count += 1
        lasts = self.rng.expovariate(1 / (self.kind.runs * self.kind.gap_s))
        until = at + max(lasts, 5.0) if until is None else until
        self._sockets[self._count] = _Socket(
            client, f"s{self._count}", self.rng.random() < self.share, at, until
        )
        heapq.heappush(self._due, (at + 0.5, self._count))

    def _hold(self, at: float, number: int) -> Run | None:
        socket = self._sockets[number]
        if at > socket.until:
            del self._sockets[number]
            return None
        is_left, always_leaves = self._leaves(socket.client)
        is_broken = self._is_broken(socket.client)
        is_bad = not is_left and (is_broken or self.rng.random() < self._rate(at))
        closes = is_bad and not self.kind.keeps
        if closes or is_left:
            del self._sockets[number]
            if (is_broken or always_leaves) and socket.client not in self._waiting:
                self._waiting.add(socket.client)
                pause = self.rng.expovariate(self.kind.retries / 60)
                heapq.heappush(self._back, (at + 1 + pause, socket.client))
        else:
            heapq.heappush(self._due, (at + 11 + self.rng.expovariate(1 / self.kind.gap_s), number))
        complains = self.kind.bursts > 0 and self.rng.random() < self.kind.bursts
        return Run(
            at, socket.client, socket.session, socket.is_candidate, socket.accepted, is_bad, closes, complains,
            is_left,
        )  # fmt: skip

    def _rate(self, at: float) -> float:
        kind = self.kind
        if kind.incident_s and self.incident_at <= at < self.incident_at + kind.incident_s:
            return 0.6
        is_night = kind.night > 1 and at >= kind.dusk_s
        return min(1.0, kind.rate * (kind.night if is_night else 1.0))


@dataclass(frozen=True, slots=True)
class Life:
    """An instance: from when to when it was there, and whether its container exited then."""

    name: str
    is_candidate: bool
    born: float
    exited: float | None = None

    def beats(self, begin: float, end: float) -> list[float]:
        """When it wrote a line, in [begin, end)."""
        last = end if self.exited is None else min(end, self.exited)
        first = max(0, -int((self.born - begin) // _BEAT_S))
        return [
            t
            for n in range(first, first + int((end - begin) / _BEAT_S) + 2)
            if begin <= (t := self.born + n * _BEAT_S) < last
        ]


class Fleet:
    """The instances of both revisions. One that exits is replaced at once; where none ever does there is none to see."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self._rng, self._rate = Random(f"fleet/{seed}"), kind.crashes / _DAY_S
        self.lives: list[Life] = []
        if self._rate:
            self._grow(0, INSTANCES, -1200.0)

    def live(self, begin: float, end: float, share: float) -> None:
        """Let the time pass: to a share belong so many instances, and each may exit."""
        if not self._rate:
            return
        candidates = max(1, round(share * INSTANCES)) if share else 0
        self._grow(candidates, INSTANCES - candidates, begin)
        for number, life in enumerate(self.lives):
            at = begin + self._rng.expovariate(self._rate)
            if life.exited is None and at < end:
                self.lives[number] = Life(life.name, life.is_candidate, life.born, at)
                self._add(life.is_candidate, at + 1.0)

    def _grow(self, candidates: int, stables: int, at: float) -> None:
        for is_candidate, wanted in ((True, candidates), (False, stables)):
            there = sum(life.is_candidate is is_candidate and life.exited is None for life in self.lives)
            for _ in range(wanted - there):
                self._add(is_candidate, at + self._rng.uniform(0, 5))

    def _add(self, is_candidate: bool, at: float) -> None:
        self.lives.append(Life(f"i{len(self.lives)}", is_candidate, at))
