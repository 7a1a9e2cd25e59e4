"""``spillway rollback`` of a service that is half on a failing candidate, with a set of other things broken.

It has come back when all traffic is on stable, as the service says; the process ended with 0; and the last look that it
had at the service was answered, which is the read-back. Its time runs from the start of the process, imports done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pipeline.core import record
from pipeline.core.rollout import Phase, Rollout
from pipeline.errors import StaleWrite
from pipeline.model import RECORD_ANNOTATION
from tests.faults import breaking
from tests.faults.forked import Order, start
from tests.faults.lanes import ENDLESS, Lane

_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Came:
    """One roll-back. ``faults`` is empty when it came back; ``seconds`` is None when nothing was read."""

    broken: tuple[str, ...]
    seconds: float | None
    whole_s: float
    faults: tuple[str, ...]


@dataclass(slots=True)
class Night:
    """One service at 50/50, over and over."""

    lane: Lane
    moment: Rollout

    @classmethod
    def of(cls, lane: Lane) -> Night:
        build = lane.next_build()
        lane.begin_with(build, ENDLESS, **{"heartbeat: 10s": "heartbeat: 1s"})
        give_up = time.monotonic() + _LIMIT_S
        while lane.run("rollout", "--image", build, "--timeout", "1s").code == 15:
            moment = lane.record()
            if moment.split.percent_of(moment.plan.candidate) == 50:
                return cls(lane, moment)
            assert time.monotonic() < give_up
        raise AssertionError(lane.said())

    def roll_back(
        self,
        broken: Collection[str],
        turn: int = 0,
        *,
        fresh: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> Came:
        """One roll-back.

        Args:
            broken: names of ``breaking.ALL``; ``turn`` chooses the way of each.
            fresh: as a new interpreter; then no call is seen, and only the whole time is known.
            before: done last, right before the command.
        """
        lane, project = self.lane, self.lane.project
        with ExitStack() as stack:
            self._half_way(fails="other driver" not in broken)
            for name in breaking.AROUND:
                if name in broken:
                    stack.enter_context(self._around(name, turn))
            before()
            began = time.monotonic()
            with start(self._order(broken, turn, fresh)) as running:
                ended = running.wait()
            whole_s = time.monotonic() - began
            faults = [] if ended.code == 0 else [f"exit {ended.code}: {lane.said()}"]
            try:
                if (served := project.live().serving.serving) != {self.moment.plan.stable: 100}:
                    faults.append(f"traffic is {served}")
            except Exception as error:  # noqa: BLE001 - what cannot be seen has not come back
                faults.append(f"nothing can be seen: {error}")
            seconds = None if fresh else ended.read_back_s
            if seconds is None and not fresh:
                faults.append("it was not read back")
        return Came(tuple(broken), seconds, whole_s, tuple(faults))

    def _half_way(self, *, fails: bool) -> None:
        folder = self.lane.wishes
        (folder / "hangs").unlink(missing_ok=True)
        (folder / "fails").unlink(missing_ok=True)
        kept = self.lane.project.folder / ".spillway-kept"
        if kept.exists():
            (self.lane.project.folder / ".spillway").unlink()
            kept.rename(self.lane.project.folder / ".spillway")
        self.lane.write(self.moment, self.moment.split, Phase.ROLLING)
        if fails:
            (folder / "fails").touch()

    def _order(self, broken: Collection[str], turn: int, fresh: bool) -> Order:
        ways = [of[turn % len(of)] for name, of in breaking.OF_THE_PROCESS.items() if name in broken]
        refused = "/google.logging" if "logs" in broken else "nothing"
        words = ("rollback", self.lane.project.ref.name)
        return self.lane.order(*words, breakages=tuple(ways), refused=refused, fresh=fresh)

    @contextmanager
    def _around(self, name: str, turn: int) -> Iterator[None]:
        match name:
            case "config":
                text = self.lane.project.file.read_bytes()
                self.lane.project.file.write_text(breaking.CONFIGS[turn % len(breaking.CONFIGS)])
                yield
                self.lane.project.file.write_bytes(text)
            case "record":
                self._spoil_record(breaking.RECORDS[turn % len(breaking.RECORDS)])
                yield
            case "probe host":
                (self.lane.wishes / "hangs").touch()
                yield
            case "other driver":
                with self._other_driver():
                    yield
            case _:
                yield

    def _spoil_record(self, text: str) -> None:
        ref = self.lane.project.ref
        with self.lane.project.platform() as platform:
            while True:
                live = platform.read(ref)
                spoilt = {**live.annotations, RECORD_ANNOTATION: text}
                try:
                    platform.write(ref, etag=live.etag, annotations=spoilt)
                except StaleWrite:  # the other driver's heartbeat
                    continue
                return

    @contextmanager
    def _other_driver(self) -> Iterator[None]:
        """It has resumed the rollout, and writes heartbeats."""
        epoch = self.lane.record().epoch
        with start(self.lane.order("rollout", "--image", self.lane.latest)) as running:
            give_up = time.monotonic() + _LIMIT_S
            while (seen := record.readable(self.lane.project.live())) and seen.epoch == epoch:
                assert time.monotonic() < give_up, self.lane.said()
                time.sleep(0.02)
            yield
            running.stop()
