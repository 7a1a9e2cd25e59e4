"""Whoever looks, whenever, and whatever came late or twice: the same lines give the same bets, to the last bit."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.judging.judgestate import JudgeState
from pipeline.judging.probes import Probes
from pipeline.judging.terms import Criterion
from pipeline.model import SYSTEM_LOG, LogLine, ServiceRef
from tests.fakes import START, FakeClock
from tests.fuzzing import draws
from tests.lines import accept, close, line, start, text
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene, a_wish, stages

END = 40  # seconds of the stage
LATE = 1.0  # seconds: the lateness that the wish allows
SAID = "TypeError: Object of type Reply is not JSON serializable"
CRITERIA = (
    "agent_completed",
    "server_error_1011",
    "abandoned",
    "log_serialisation_errors",
    "container_exits",
)


@dataclass
class Written:
    """Lines, and when each could be found first; now and then one is found twice."""

    clock: FakeClock
    found: Sequence[tuple[datetime, LogLine]]

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        now, wanted = self.clock.now(), set(revisions)
        there = [each for at, each in self.found if at <= now and each.at >= since]
        return sorted((each for each in there if each.revision in wanted), key=lambda each: each.at)

    def pages(
        self, ref: ServiceRef, *, since: datetime, until: datetime, revisions: Iterable[str]
    ) -> Iterator[Sequence[LogLine]]:
        yield [each for each in self.lines(ref, since=since, revisions=revisions) if each.at <= until]


def users(seed: int) -> list[tuple[datetime, LogLine]]:
    """Sockets of returning clients on both revisions, some with two runs; runs fail, hang, are left, or leave no line.

    Some sockets fall silent after their accept, the service complains now and then, and its instances exit.
    """
    rng, found = random.Random(seed), []
    for number in range(8 * END):
        at, session = number / 8, f"s{number}"
        revision = CANDIDATE if rng.random() < 0.3 else STABLE
        shared = {
            "client": f"c{rng.randrange(60)}",
            "accepted": (START + at * SECOND).timestamp(),
            "spillway": 2,
        }
        lines = [accept(at, session, revision, **shared)]
        for n in range(1, rng.choice((0, 1, 1, 1, 2, 2, 2, 2)) + 1):
            begun = at + 0.1 + 3 * (n - 1)
            outcome = rng.choices(("ok", "timeout", "closed", ""), (90, 3, 4, 3))[0]
            lines.append(start(begun, session, revision, **{**shared, "run": n}))
            if outcome:
                took = 1.0 if outcome == "timeout" else 0.2
                of = {**shared, "run": n, "started": (START + begun * SECOND).timestamp(), "outcome": outcome}
                lines.append(line(begun + took, "agent_run", session, revision, first_event_ms=50.0, **of))
            if outcome == "closed":
                by = rng.choice(("server", "client"))
                lines.append(close(begun + 0.2, 1011, session, revision, by=by, **shared))
                break
        instance = f"{revision}/{int(at / 5)}"
        if rng.random() < 0.05:
            lines.append(text(at + 0.3, SAID, revision))
        if rng.random() < 0.03:
            lines.append(replace(text(at + 0.4, "Container called exit(1).", revision), log=SYSTEM_LOG))
        for each in (replace(each, instance=instance) for each in lines):
            times = 2 if rng.random() < 0.1 else 1
            found += [(each.at + rng.uniform(0, LATE) * SECOND, each) for _ in range(times)]
    return found


def state_after(seed: int, looks: Sequence[tuple[float, int]]) -> JudgeState:
    """Of whoever comes last, once others looked, and wrote what they saw, at these moments.

    Args:
        looks: seconds after the look before, and which process it is; each has a memory of its own.
    """
    scene = Scene()
    scene.users = Written(scene.clock, users(seed))  # type: ignore[assignment]
    # At such an alpha nobody is sent back, so that all of it is judged.
    terms = {
        "stages": stages(0, 5, 100, soak=1000.0),
        "criteria": tuple(map(Criterion, CRITERIA)),
        "alpha": 1e-300,
    }
    scene.reach(5, wish=a_wish(**terms))
    drivers = [scene.engine(f"host/{n}") for n in range(3)]
    for gap, number in looks:
        if (scene.clock.now() - START).total_seconds() + gap < END:
            scene.clock.sleep(timedelta(seconds=gap))
            drivers[number].tick()
    scene.clock.sleep(START + timedelta(seconds=END + 5) - scene.clock.now())
    state = scene.engine("host/last").observer.look(probe=False).judge
    return replace(state, probes=Probes())  # conversations are held by who looks


@draws(25)
@given(st.integers(0, 5), st.lists(st.tuples(st.floats(0.05, 9), st.integers(0, 2)), max_size=25))
def test_the_same_lines_are_the_same_bets_whoever_looks_and_whenever(
    seed: int, looks: list[tuple[float, int]]
) -> None:
    at_once, again = state_after(seed, []), state_after(seed, looks)
    assert again == at_once
    assert at_once.blocks > END - 5
    assert all(at_once.total[metric].candidate_failures for metric in CRITERIA)
