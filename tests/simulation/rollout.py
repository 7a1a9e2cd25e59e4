"""One rollout under faults drawn from a seed: the shipping engine, probes' verdicts, judge and record on virtual time.

At every call, and between a read and the write that is decided on it, something may happen (``calls.py``, ``edits.py``,
``people.py``); other things hold from the beginning (``conditions.py``). After ``FAULTS_END`` nothing happens any more,
and the rollout must come to an end. Same seed, same rollout: ``Simulation(seed).run().trace`` says what happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.driving.begin import Start
from pipeline.driving.restore import Cause, restore
from pipeline.errors import PlatformUnavailable, RequestRejected, SpillwayError
from pipeline.events import Listener
from pipeline.judging.terms import Criterion, Probing, Sampling
from pipeline.model import STABLE_TAG, LiveService, Outcome, Readiness, Revision, Split, Target
from tests.fakes import REF, FakeClock, FakePlatform
from tests.oracle import FOREIGN_TAG, Oracle
from tests.rollouts import CANDIDATE, STABLE, a_wish, stages
from tests.simulation import calls, conditions, edits, people  # noqa: F401 - they register what may happen
from tests.simulation.faults import CONDITIONS, HAPPENINGS, Fault, draw
from tests.simulation.process import Killed, Process, Rounds
from tests.simulation.world import SECOND, Health, Users

if TYPE_CHECKING:
    from pipeline.core.plan import Wish
    from pipeline.model import ServiceRef

FAULTS_END = 60.0
GIVE_UP = 900.0
MOST_CALLS = 10_000  # a rollout takes a few hundred
CANDIDATES = (
    "good",
    "good",
    "good",
    "fails users",
    "fails probes",
    "never ready",
    "slow to start",
    "both fail",
    "goes silent",
    "exits",
)


class InCircles(BaseException):
    """More calls than any rollout needs."""


def the_wish() -> Wish:
    return a_wish(
        stages=tuple(replace(stage, deadline=60 * SECOND) for stage in stages(0, 20, 100, soak=9)),
        criteria=(Criterion("server_error_1011", limit=0.05, certify=0.1), Criterion("agent_completed", limit=0.05),
                  Criterion("container_exits")),
        sampling=Sampling(2 * SECOND, SECOND, 2 * SECOND, timedelta(0), 5), probing=Probing(4 * SECOND, 2, 2),
    )  # fmt: skip


class Simulation:
    """One seed's world.

    Args:
        odds: that something happens at one boundary of a call; 0: nothing ever does.
        hands: times that an operator is called to a rollout that paused or cannot go on.
        faults: play these instead of the seed's own.
    """

    def __init__(
        self, seed: int, *, odds: float | None = None, hands: int = 3, faults: Iterable[Fault] | None = None
    ) -> None:
        self.seed, self.hands = seed, hands
        self.rng = random.Random(seed * 3 + 1)
        self.kind = self.rng.choice(CANDIDATES)
        self.schedule = draw(seed, odds) if faults is None else tuple(faults)
        self.fired: list[Fault] = [f for f in self.schedule if not f.at]
        self.trace: list[str] = []
        self.calls = self.depth = 0
        self.last_fault = 0.0
        self.outcome: Outcome | None = None
        self.refusal = ""
        self._at = {f.at: f for f in self.schedule if f.at}
        self._slots: dict[str, Process] = {}
        self._running: set[str] = set()
        self._made = 0
        self._set_up()

    def _set_up(self) -> None:
        self.wish = the_wish()
        self.clock, self.health = FakeClock(), Health()
        self.platform = FakePlatform(self.clock).with_stable(STABLE)
        self.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, FOREIGN_TAG))))
        self.users = Users(self.clock, self.platform, self.health, self.seed)
        self.rounds = Rounds(random.Random(f"probes of {self.seed}"))
        self.listeners: list[Listener] = []
        self.skew = timedelta(0)
        self.off = timedelta(0)
        self.is_clock_wrong = self.blind_probes = self.is_silent = self.is_stepped = False
        self.round_takes = 0.0
        self.outlives = timedelta(0)
        self.deploy_goes = ""
        self.deployed: list[str] = []
        self.applies: list[LiveService] = []
        self.snapshots = [self.platform.shown()]
        self.bad_since: float | None = None
        self.readiness = Readiness.READY
        for fault in self.fired:
            CONDITIONS[fault.kind][1](self, fault)
            self.note(f"{fault.kind} ({fault.salt:.2f})")
        self._make_candidate_what_it_is()
        self.oracle = Oracle(self)
        self.clock.at(FAULTS_END, self._calm)

    def _make_candidate_what_it_is(self) -> None:
        if self.kind not in ("good", "slow to start"):
            self.turn_bad()
        match self.kind:
            case "fails users":
                self.health.fails_users[CANDIDATE] = 0.7
            case "both fail":
                self.health.fails_users |= {CANDIDATE: 0.5, STABLE: 0.5}
            case "exits":  # with 0, again and again, between the conversations
                self.health.exits_every[CANDIDATE] = 2.0
            case "goes silent":
                self.health.only_accepts.add(CANDIDATE)
            case "fails probes":
                self.health.fails_probes.add(CANDIDATE)
            case "never ready":
                self.readiness = Readiness.FAILED
            case "slow to start":
                self.readiness = Readiness.PENDING
                self.clock.at(25, self._get_ready)

    def _get_ready(self) -> None:
        self.readiness = Readiness.READY
        found = self.platform.known.get(CANDIDATE)
        if found is not None and found.readiness is Readiness.PENDING:
            self.platform.known[CANDIDATE] = replace(found, readiness=Readiness.READY)

    def _calm(self) -> None:
        """Faults are bounded: from here on the world answers, and the rollout must end."""
        self.users.go_on()
        self.blind_probes = self.users.unreadable = False
        self.round_takes = min(self.round_takes, 6.0)
        for ill in (self.health.hangs_probes, self.health.fails_probes, self.health.writes_nothing):
            if not (self.is_silent and ill is self.health.writes_nothing):
                ill.discard(STABLE)

    # -- what others ask -----------------------------------------------------------------------------------------------

    @property
    def live(self) -> LiveService | None:
        return self.platform.live

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.clock.seconds

    def say(self, text: str) -> None:
        """What commands say goes nowhere; ``conditions.output_closed`` has it fail."""

    def turn_bad(self) -> None:
        """From now on sending the candidate back is right, or at least not wrong."""
        self.bad_since = self.now if self.bad_since is None else self.bad_since

    def is_ready(self, name: str) -> bool:
        known = self.platform.known.get(name)
        return known is not None and known.is_ready

    def behind(self, address: str) -> Revision | None:
        """The revision that answers at a tag's address."""
        tag = address.removeprefix("http://")
        return self.platform.known.get(self.platform.served().tagged(tag) or "")

    def note(self, words: str) -> None:
        share = self.platform.live.wanted.percent_of(CANDIDATE) if self.platform.live else 0
        self.trace.append(f"{self.now:7.1f}s {share:3}%  {words}")

    def deploy(self, ref: ServiceRef, *, image: str, revision: str, read: LiveService | None = None) -> None:
        """The Pulumi program: makes the candidate, unless it is there, by a write that moves no traffic.

        Args:
            read: what it writes back, split and annotations; None: nothing came between its read and its write.
        """
        if revision in self.platform.known:
            return
        goes, self.deploy_goes = self.deploy_goes, ""
        if goes == "refused":
            raise RequestRejected(f"{revision}: the name is taken")
        if goes == "hangs":
            self.clock.sleep(100 * SECOND)
            self.last_fault = self.now
        self.deployed.append(revision)
        readiness = Readiness.FAILED if goes == "fails" else self.readiness
        self.platform.add(revision, readiness)
        self._write_back(read, revision)
        if goes == "fails":
            self.turn_bad()
        if goes == "lost":
            raise PlatformUnavailable("the answer was lost")

    def _write_back(self, read: LiveService | None, revision: str) -> None:
        """The write of an apply: what it read, whatever was written since."""
        before = self.platform.shown()
        if read is None:
            self.platform.foreign_write()
            return
        if before.generation == read.generation:
            self.platform.foreign_write(latest_created=revision)
            return
        self.platform.foreign_write(split=read.wanted, annotations=read.annotations, latest_created=revision)
        self.oracle.foreign(before, self.platform.shown())

    def leave_behind(self, read: LiveService, revision: str) -> None:
        """Its driver is gone; the apply comes to its write a little later, or never does."""
        if (wait := self.rng.choice((1, 5, 30, 0))) and self.now < FAULTS_END:

            def land() -> None:
                if revision not in self.platform.known:
                    with suppress(SpillwayError):  # its driver, whom it would be told, is gone
                        self.deploy(REF, image="", revision=revision, read=read)

            self.clock.at(self.now + wait, land)

    # -- the way of one rollout ----------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """To the end of the rollout, or of patience."""
        try:
            while self.now < GIVE_UP and self.outcome is None and not self.refusal:
                self._turn()
            self._check_the_end()
        except InCircles:
            self.oracle.must("L4", holds=False, words="it runs in circles")
        return self

    def _turn(self) -> None:
        if self.is_stepped and self.platform.shown().record_text:
            outcome, error = self.step()
            self.clock.sleep(self.rng.choice((1, 2, 5)) * SECOND)
        else:
            outcome, error = self.drive("main", self.rng.randint(1, 10))
        if error is not None:
            is_handled = self._call_a_human() or self.now < FAULTS_END
            if not is_handled and not isinstance(error, PlatformUnavailable):
                self.refusal = str(error) or repr(error)
        elif outcome is Outcome.PAUSED and self._call_a_human():
            return
        self.outcome = outcome

    def drive(self, slot: str, seconds: int) -> tuple[Outcome | None, Exception | None]:
        """A while of one driver, which begins with the command, as a CI job does. Its outcome, or what ended it."""
        if slot in self._running:
            return None, None
        fresh = slot not in self._slots
        process = self._slots.setdefault(slot, self.process(slot)) if fresh else self._slots[slot]
        ended: list[Outcome | None] = []

        def act() -> None:
            answer = Start(process.engine, process.world, self.wish, say=process.say)() if fresh else None
            if answer is not None:
                ended.append(answer.outcome)
                return
            self.oracle.drives(process, fresh=fresh)
            process.until = self.now + seconds
            ended.append(process.engine.run())

        self._running.add(slot)
        error = self._run(process, slot, act)
        self._running.discard(slot)
        if not ended or ended[0] is not Outcome.UNDER_WAY:
            self._slots.pop(slot)
        if not ended:
            self.clock.sleep(self.rng.choice((1, 25)) * SECOND)
        outcome = ended[0] if ended else None
        self.oracle.answered(process, outcome)
        return (None if outcome is Outcome.UNDER_WAY else outcome), error

    def step(self) -> tuple[Outcome | None, Exception | None]:
        """One step in a process of its own, as a scheduler takes it."""
        process = self.process("step", inline=True)
        ended: list[Outcome | None] = []
        error = self._run(process, "step", lambda: ended.append(process.engine.tick().outcome))
        outcome = ended[0] if ended else None
        self.oracle.answered(process, outcome)
        return outcome, error

    def process(self, name: str, *, inline: bool = False) -> Process:
        """A new one; every second one's clock is wrong to the other side."""
        self._made += 1
        return Process(
            self, f"{name}/{self._made}", off=self.off + self.skew * (-1) ** self._made, inline=inline
        )

    def attempt(self, process: Process, what: str, act: Callable[[], object]) -> bool:
        """Something that a process does to its end. Whether it was done."""
        before = len(self.trace)
        error = self._run(process, what, act)
        if error is None and len(self.trace) == before:
            self.note(f"done: {what}")
        return error is None

    def _run(self, process: Process, what: str, act: Callable[[], object]) -> Exception | None:
        """Run it. What ended it before its end; an end that nobody meant is a violation."""
        self.depth += 1
        try:
            act()
        except Killed:
            self.note(f"{process.name} was killed")
            ended: Exception = PlatformUnavailable("killed")
        except SpillwayError as error:
            self.note(f"{process.name} ended: {type(error).__name__}: {error.what}")
            ended = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            self.note(f"{process.name} crashed: {error!r}")
            self.oracle.must(
                "S8" if isinstance(error, OSError) else "crash", holds=False, words=f"{what}: {error!r}"
            )
            ended = error
        else:
            return None
        finally:
            self.depth -= 1
        self.oracle.stopped()
        return ended

    def _call_a_human(self) -> bool:
        """Looks at it, and promotes, rolls back, or leaves it. Whether anything was done."""
        if not self.hands:
            return False
        self.hands -= 1
        what = self.rng.choice(("promote", "roll back", "leave"))
        return what != "leave" and people.by_hand(self, what)

    def _check_the_end(self) -> None:
        """It ended, as it should; and whatever state it left, a roll-back by hand works with eyes and ears shut."""
        self.oracle.end()
        self._at.clear()
        self.users.unreadable = self.blind_probes = True
        live = self.platform.shown()
        knows_stable = live.wanted.tagged(STABLE_TAG) == STABLE
        if not knows_stable or not self.platform.known[STABLE].is_ready:
            return
        hand = self.process("last word")
        self.oracle.asked.add("roll back")
        cause = Cause("the last word", people.BY, by_hand=True)
        done = self.attempt(hand, "restore", lambda: restore(hand, hand.clock, REF, cause, listen=hand.heard))
        served = self.platform.served().serving
        self.oracle.must("S8", done and served == {STABLE: 100}, f"given back by hand, and serving {served}")

    # -- what may happen -----------------------------------------------------------------------------------------------

    def boundary(self, process: Process, name: str) -> None:
        """Before or after a call of a process."""
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise InCircles
        fault = self._at.get(self.calls)
        if fault is None or self.now >= FAULTS_END:
            return
        self.fired.append(fault)
        self.note(f"{fault.kind} {name}, {process.name}")
        try:
            HAPPENINGS[fault.kind](self, fault, process, name)
        finally:
            self.last_fault = self.now
