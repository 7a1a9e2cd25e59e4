"""Fakes with behaviour: a Cloud Run, a prober, logs of simulated users, and a clock that jumps instead of waiting."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from msgspec.structs import replace

from pipeline.errors import (
    PlatformUnavailable,
    RequestRejected,
    RevisionNotFound,
    ServiceNotFound,
    StaleWrite,
)
from pipeline.model import SYSTEM_LOG, LiveService, LogLine, Readiness, Revision, ServiceRef, Split, Target
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.command import Command, CommandEnd
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.course import Course, course
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.scenario import Scenario

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
REF = ServiceRef("p", "l", "agent-chat")


class FakeClock:
    """Virtual time. Whoever sleeps moves it; ``at`` runs something when a moment is reached."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._due: list[tuple[datetime, Callable[[], None]]] = []

    def now(self) -> datetime:
        return self._now

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return (self._now - START).total_seconds()

    def sleep(self, duration: timedelta) -> None:
        target = self._now + max(duration, timedelta(milliseconds=1))
        for moment, action in sorted(self._due, key=lambda due: due[0]):
            if moment <= target:
                self._due.remove((moment, action))
                self._now = max(self._now, moment)
                action()
        self._now = target

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        self._due.append((START + timedelta(seconds=seconds), action))


@lru_cache(maxsize=64)
def _with_addresses(split: Split) -> Split:
    return Split(tuple(replace(t, uri=f"http://{t.tag}" if t.tag else "") for t in split.targets))


@dataclass
class FakePlatform:
    """A service as Cloud Run keeps it: etags, generations, readiness, one write at a time.

    ``at_boundary`` is called before and after each call, with its name: where a test kills the caller, or has somebody
    else act. What was written is in the spec at once and in the status ``lag`` later: until then the service says
    that it is reconciling, and everything in its status (percent, tags, the generation observed, the latest revisions)
    is of the last write that was reached. A write meanwhile waits its turn, or takes the place of what is not reached
    yet (``skips``).
    """

    clock: FakeClock
    live: LiveService | None = None
    known: dict[str, Revision] = field(default_factory=dict)
    writes: list[tuple[Mapping[str, int] | None, str]] = field(default_factory=list)
    before_write: Callable[[], None] = lambda: None
    answer_lost: bool = False
    fail: list[Exception] = field(default_factory=list)
    history: list[tuple[datetime, Split]] = field(default_factory=list)
    at_boundary: Callable[[str], None] = lambda _: None
    on_write: Callable[[LiveService, str, Mapping[str, str], Split | None], None] = lambda *_: None
    lag: timedelta = timedelta(0)
    hangs: str = ""  # a revision that is still to be judged: the service is not settled until then
    skips: bool = False
    replaces: bool = False  # it takes no mask: what a write of ours does not carry is cleared
    _reached: list[tuple[datetime, LiveService]] = field(default_factory=list)  # when, in order

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        self.at_boundary(f"before {name}")
        yield
        self.at_boundary(f"after {name}")

    def with_stable(
        self,
        name: str = "agent-chat-stable",
        readiness: Readiness = Readiness.READY,
        message: str = "",
        image: str = "",
    ) -> FakePlatform:
        self.add(name, readiness, message, image)
        split = Split((Target(name, 100),))
        self.live = LiveService(
            ref=REF, uid="u1", etag="e1", generation=1, wanted=split, serving=split, annotations={},
            uri="http://main", latest_ready=name, latest_created=name, template="t1", labels={"team": "chat"},
        )  # fmt: skip
        self.history.append((self.clock.now(), split))
        self._reached = [(self.clock.now(), self.live)]
        return self

    def add(
        self, name: str, readiness: Readiness = Readiness.READY, message: str = "", image: str = ""
    ) -> None:
        uid = f"uid-{name}-{len(self.known)}"
        self.known[name] = Revision(
            name, uid, self.clock.now(), readiness, image, message=message, nonce=f"n-{name}"
        )

    def read(self, ref: ServiceRef) -> LiveService:
        with self._call("read"):
            self._maybe_fail()
            if self.live is None:
                raise ServiceNotFound(f"{ref.service}: not found")
            return self.shown()

    def shown(self) -> LiveService:
        """The service with its status as it is now."""
        assert self.live is not None
        status = self._status_at(self.clock.now())
        live = replace(
            self.live, serving=_with_addresses(status.wanted), observed_generation=status.generation
        )
        if self.hangs:
            return replace(
                live, reconciling=True, latest_created=self.hangs, observed_generation=live.generation - 1
            )
        if status.generation == self.live.generation:
            return live
        return replace(
            live, reconciling=True, latest_ready=status.latest_ready, latest_created=status.latest_created
        )

    def served(self) -> Split:
        """How connections that open now are shared."""
        return _with_addresses(self._status_at(self.clock.now()).wanted)

    def served_at(self, moment: datetime) -> Split:
        return self._status_at(moment).wanted

    def served_since(self) -> datetime:
        """From when on connections were shared as they are now."""
        now = self.clock.now()
        reached = [(at, live.wanted.serving) for at, live in self._reached if at <= now]
        since, serving = reached[-1]
        for at, before in reversed(reached):
            if before != serving:
                break
            since = at
        return since

    @property
    def under_way(self) -> Sequence[Split]:
        """Splits that were asked for and will be served a little later."""
        now = self.clock.now()
        return tuple(live.wanted for at, live in self._reached if at > now)

    def _status_at(self, moment: datetime) -> LiveService:
        for at, live in reversed(self._reached):
            if at <= moment:
                return live
        return self._reached[0][1]

    def revisions(self, ref: ServiceRef) -> Sequence[Revision]:
        with self._call("revisions"):
            return tuple(reversed(self.known.values()))

    def revision(self, ref: ServiceRef, name: str) -> Revision:
        with self._call("revision"):
            if name not in self.known:
                raise RevisionNotFound(name)
            return self.known[name]

    def write(
        self, ref: ServiceRef, *, etag: str, annotations: Mapping[str, str], split: Split | None = None
    ) -> None:
        with self._call("write"):
            self.before_write()
            self._maybe_fail()
            assert self.live is not None
            if etag and etag != self.live.etag:  # without one the last writer wins, as in the real thing
                raise StaleWrite(f"etag {etag}, now {self.live.etag}")
            before = self.live
            self._apply(annotations, split)
            if self.replaces:
                bare = self.live.wanted if split is not None else Split((Target(None, 100),))
                self.live = replace(
                    self.live, wanted=bare, template="", labels={}, request_timeout=timedelta(minutes=5)
                )
            self.writes.append((split.serving if split else None, etag))
            self.on_write(before, etag, annotations, split)
            if self.answer_lost:
                self.answer_lost = False
                raise PlatformUnavailable("the answer was lost")

    def foreign_write(
        self, *, split: Split | None = None, annotations: Mapping[str, str] | None = None, **settings: object
    ) -> None:
        """Somebody else writes, without an etag."""
        assert self.live is not None
        self._apply(self.live.annotations if annotations is None else annotations, split)
        self.live = replace(self.live, last_modifier="somebody@else", **settings)  # type: ignore[arg-type]

    def write_put_back(
        self,
        ref: ServiceRef,
        *,
        etag: str,
        annotations: Mapping[str, str],
        split: Split,
        template_of: str,
        name: str,
    ) -> None:
        with self._call("put back"):
            self._maybe_fail()
            assert self.live is not None
            if etag != self.live.etag:
                raise StaleWrite(f"etag {etag}, now {self.live.etag}")
            if name in self.known:
                raise RequestRejected(f"Revision named {name!r} with different configuration already exists.")
            before = self.live
            self.add(name, image=self.known[template_of].image)
            self._apply(annotations, split, latest_created=name, latest_ready=name)
            self.writes.append((split.serving, etag))
            self.on_write(before, etag, annotations, split)
            if self.answer_lost:
                self.answer_lost = False
                raise PlatformUnavailable("the answer was lost")

    def delete_revision(self, ref: ServiceRef, name: str) -> None:
        with self._call("delete"):
            self._maybe_fail()
            live = self.shown()
            if name not in self.known:
                raise RevisionNotFound(name)
            if live.latest_created == name or len(self.known) == 1:
                raise RequestRejected(f"{name} is the latest revision of its service")
            if live.wanted.percent_of(name) or live.serving.percent_of(name):
                raise RequestRejected(f"{name} serves traffic")
            self.known.pop(name)
            if self.answer_lost:
                self.answer_lost = False
                raise PlatformUnavailable("the answer was lost")

    def _apply(self, annotations: Mapping[str, str], split: Split | None, **made: str) -> None:
        assert self.live is not None
        generation = self.live.generation + 1
        live = replace(self.live, annotations=dict(annotations), generation=generation, **made)  # type: ignore[arg-type]
        if split is not None:
            self._check(split)
            live = replace(live, wanted=split, serving=split)
            self.history.append((self.clock.now(), split))
        self.live = replace(live, etag=f"e{live.generation}", last_modifier="us")
        now = self.clock.now()
        if self.skips:
            self._reached = [(at, state) for at, state in self._reached if at <= now]
        self._reached.append((max(now + self.lag, self._reached[-1][0]), self.live))

    def _check(self, split: Split) -> None:
        """What Cloud Run refuses."""
        if sum(t.percent for t in split.targets) != 100:
            raise RequestRejected(f"traffic must sum to 100: {split.serving}")
        for target in split.targets:
            if target.revision is None and self.live is not None and self.live.latest_ready:
                continue
            known = self.known.get(target.revision or "")
            if known is None or (target.percent and not known.is_ready):
                raise RequestRejected(f"Revision {target.revision} does not exist or is not ready")

    def _maybe_fail(self) -> None:
        if self.fail:
            raise self.fail.pop(0)


@dataclass
class FakeDeployer:
    """Makes the candidate as the Pulumi program does: a template write that touches neither traffic nor record."""

    platform: FakePlatform
    readiness: Readiness = Readiness.READY
    message: str = ""
    deployed: list[str] = field(default_factory=list)
    lasts: timedelta = timedelta(0)
    outlives: bool = True
    within: Callable[[], None] = lambda: (
        None
    )  # what happens between its read and its write, where it goes by no etag

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        with self.platform._call("deploy"):
            if revision in self.platform.known:
                return
            before = self.platform.live
            self.within()
            self.deployed.append(revision)
            if self.lasts and before is not None:
                self.platform.add(revision, self.readiness, self.message, image)
                self.platform.foreign_write(
                    split=before.wanted, annotations=before.annotations, latest_created=revision
                )
                return
            if self.platform.live is None:
                self.platform.with_stable(revision, self.readiness, self.message, image)
            else:
                self.platform.add(revision, self.readiness, self.message, image)
                self.platform.foreign_write()


def followed(steps: Course, talk: Callable[[Scenario, Address], Conversation], seconds: float) -> ProbeReport:
    """The report of a round whose conversations come to what ``talk`` says."""
    turns = next(steps)
    while True:
        held = [tuple(talk(turn.scenario, address) for address in turn.addresses) for turn in turns]
        try:
            turns = steps.send(held)
        except StopIteration as end:
            report: ProbeReport = end.value
            return replace(report, seconds=seconds)


@dataclass
class FakeProber:
    """One round at once; what fails is told by the address."""

    clock: FakeClock
    failing: set[str] = field(default_factory=set)  # base urls
    stumbles: dict[str, list[int]] = field(default_factory=dict)  # base url to which conversations fail there
    failing_by: Kind = Kind.CLOSED_EARLY
    unspoken_after: dict[str, int] = field(
        default_factory=dict
    )  # base url to conversations before none can be held
    held: Counter[str] = field(default_factory=Counter)  # base url to conversations
    rounds: list[ProbeAsk] = field(default_factory=list)
    _done: ProbeReport | None = None

    @property
    def is_busy(self) -> bool:
        return False

    def start(self, ask: ProbeAsk) -> None:
        self.rounds.append(ask)
        self._done = followed(course(ask, self.clock.now()), self._talk, 0.1)

    def _talk(self, scenario: Scenario, address: Address) -> Conversation:
        url = address.base_url
        self.held[url] += 1
        if self.held[url] > self.unspoken_after.get(url, self.held[url]):
            return Conversation(scenario.name, Kind.NOT_SPOKEN, 0.1, "framing a:B failed in decode: KeyError")
        if url in self.failing or self.held[url] in self.stumbles.get(url, ()):
            said = "server closed with 1011"
            return Conversation(scenario.name, self.failing_by, 0.1, said, close_code=1011)
        return Conversation(scenario.name, Kind.OK, 0.1, close_code=1000)

    def poll(self) -> ProbeReport | None:
        report, self._done = self._done, None
        return report


@dataclass
class SlowProber(FakeProber):
    """A round takes three seconds."""

    def start(self, ask: ProbeAsk) -> None:
        super().start(ask)
        self._due = self.clock.now() + timedelta(seconds=3)

    @property
    def is_busy(self) -> bool:
        return self._done is not None

    def poll(self) -> ProbeReport | None:
        return super().poll() if self._done and self.clock.now() >= self._due else None


@dataclass
class FakeVerifier:
    """Commands that take a while and end as they are told to, one end after the other."""

    clock: FakeClock
    ends: list[CommandEnd] = field(default_factory=list)  # the last one for ever
    takes: timedelta = timedelta(seconds=3)
    started: list[Command] = field(default_factory=list)
    stopped: int = 0
    _until: datetime | None = None

    @property
    def is_busy(self) -> bool:
        return self._until is not None

    def start(self, command: Command) -> None:
        assert not self.is_busy
        self.started.append(command)
        self._until = self.clock.now() + self.takes

    def poll(self) -> CommandEnd | None:
        if self._until is None or self.clock.now() < self._until:
            return None
        self._until = None
        return self.ends.pop(0) if len(self.ends) > 1 else self.ends[0] if self.ends else CommandEnd(0, 3.0)

    def stop(self) -> None:
        self.stopped += self.is_busy
        self._until = None


@dataclass
class FakeUsers:
    """Log lines of users who hold conversations all the while, shared between revisions as traffic was at the time.

    ``failing`` is the rate at which a revision's runs end with a server 1011.
    """

    clock: FakeClock
    platform: FakePlatform
    per_second: float = 20.0
    failing: dict[str, float] = field(default_factory=dict)
    cold_until: dict[str, datetime] = field(default_factory=dict)  # all runs before that fail
    exits_every: dict[str, float] = field(
        default_factory=dict
    )  # seconds that an instance lives; else for ever
    silent: set[str] = field(default_factory=set)  # revisions whose lines do not arrive
    seed: int = 1
    unreadable: bool = False
    late: timedelta = timedelta(0)  # until a line can be found
    stalled: datetime | None = None  # since then none arrives
    _lines: list[LogLine] = field(default_factory=list)
    _until: datetime = START
    _count: int = 0

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        if self.unreadable:
            raise PlatformUnavailable("logs: no answer")
        self._simulate()
        wanted = set(revisions)
        now = min(self.clock.now() - self.late, self.stalled or self.clock.now())
        first = bisect_left(self._lines, since, key=lambda line: line.at)
        return [
            line for line in self._lines[first:] if line.at <= now and line.revision in wanted - self.silent
        ]

    def pages(
        self, ref: ServiceRef, *, since: datetime, until: datetime, revisions: Iterable[str]
    ) -> Iterator[Sequence[LogLine]]:
        found = [line for line in self.lines(ref, since=since, revisions=revisions) if line.at <= until]
        for start in range(0, len(found), 100):
            yield found[start : start + 100]

    def _simulate(self) -> None:
        self._let_instances_exit()
        if not self.per_second:
            return
        step = timedelta(seconds=1 / self.per_second)
        while self._until < self.clock.now():
            self._until += step
            self._count += 1
            self._converse(self._until)

    def _instance(self, revision: str, at: datetime) -> str:
        every = self.exits_every.get(revision)
        if every is None:
            return revision
        return f"{revision}/{(at - self.platform.known[revision].create_time) // timedelta(seconds=every)}"

    def _let_instances_exit(self) -> None:
        """What the platform says of them, whether users come or not."""
        for revision, every in self.exits_every.items():
            known = self.platform.known.get(revision)
            while (
                known
                and (end := known.create_time + timedelta(seconds=(self._ended(revision) + 1) * every))
                <= self.clock.now()
            ):
                began = end - timedelta(seconds=every)
                self._tell(began, revision, "Starting new instance. Reason: AUTOSCALING")
                self._tell(end - timedelta(milliseconds=1), revision, "Container called exit(0).")

    def _ended(self, revision: str) -> int:
        return sum(line.revision == revision and line.text.startswith("Container") for line in self._lines)

    def _tell(self, at: datetime, revision: str, text: str) -> None:
        line = LogLine(
            f"i{len(self._lines)}",
            at,
            revision,
            "ERROR",
            text,
            instance=self._instance(revision, at),
            log=SYSTEM_LOG,
        )
        insort(self._lines, line, key=lambda each: each.at)

    def _converse(self, at: datetime) -> None:
        rng = random.Random(f"{self.seed}/{self._count}")
        split = self.platform.served_at(at)
        names, weights = zip(*split.serving.items(), strict=True)
        revision = rng.choices(names, weights)[0] or self.platform.shown().latest_ready
        bad = rng.random() < self.failing.get(revision, 0.0) or at < self.cold_until.get(revision, at)
        shared = {
            "spillway": 1, "session": f"s{self._count}", "client": f"{self._count:016x}", "revision": revision,
            "nonce": f"n-{revision}",
        }  # fmt: skip
        start, done = at.timestamp(), at + timedelta(milliseconds=200)
        self._add(at, {**shared, "event": "ws_accept", "path": "/ws", "at": start})
        run = {"event": "agent_run", "run": 1, "started": start, "outcome": "closed" if bad else "ok",
               "missing": ["agent_completed"] if bad else [], "first_event_ms": 50.0, "total_ms": 200.0}  # fmt: skip
        self._add(done, {**shared, **run, "at": done.timestamp()})
        close = {"event": "ws_close", "code": 1011 if bad else 1000, "reason": "", "runs": 1, "seconds": 0.2,
                 "closed_by": "server" if bad else "client"}  # fmt: skip
        self._add(done, {**shared, **close, "at": done.timestamp()})

    def _add(self, at: datetime, payload: dict[str, object]) -> None:
        insort(
            self._lines,
            LogLine(
                f"i{len(self._lines)}",
                at,
                str(payload["revision"]),
                "INFO",
                "",
                payload,
                self._instance(str(payload["revision"]), at),
            ),
            key=lambda line: line.at,
        )


def said_by(split: Split) -> tuple[Mapping[str, int], Mapping[str, str | None]]:
    """Its shares and its tags, which say the same in whatever order and number of lines."""
    return split.serving, {target.tag: target.revision for target in split.targets if target.tag}
