"""What a person sees while a rollout runs: a block that redraws itself on a terminal, lines everywhere else."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from rich.console import Console, Group
from rich.live import Live

from pipeline.cli.panel import Happening, Seen, clock, gates_in_words, render, upcoming
from pipeline.progress import Listener, Progress
from pipeline.redact import SINK, uncommanded

if TYPE_CHECKING:
    from pipeline.observer import Look

HEARTBEAT = timedelta(seconds=60)
LOGS_EVERY_S = 2.0
_SILENT = ("looked", "wrote")  # the first is the picture itself, the second is the journal's
_KEPT_EVENTS = 20

See = Callable[[], Seen | None]


def _blind() -> Seen | None:
    return None


@contextmanager
def choose_view(*, is_terminal: bool, ci: bool, see: See = _blind) -> Iterator[Listener]:
    """The view that fits where stderr goes.

    Args:
        see: reads what users met from the logs; called at most every two seconds, on a thread of its own, by the
            live view alone.
    """
    console = Console(stderr=True)
    if not is_terminal or ci or os.environ.get("TERM") == "dumb":
        yield LineView(lambda line: console.out(line, highlight=False))
        return
    with Watcher(see) as watcher, LiveView(console, watcher) as view:
        yield view


class Watcher:
    """Calls ``see`` on a thread of its own, and remembers the last answer: slow logs slow down nobody."""

    def __init__(self, see: See, every_s: float = LOGS_EVERY_S) -> None:
        self.seen: Seen | None = None
        self._see = see
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="view-logs", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=self._every_s)

    def _watch(self) -> None:
        while not self._done.wait(self._every_s):
            self.seen = self._see() or self.seen


class LiveView:
    """A listener that keeps one block at the foot of the terminal up to date; its last picture stays."""

    def __init__(self, console: Console, watcher: Watcher) -> None:
        self._console = console
        self._watcher = watcher
        self._events: deque[Happening] = deque(maxlen=_KEPT_EVENTS)
        self._look: Look | None = None
        self._now: datetime | None = None
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, vertical_overflow="crop"
        )

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def __call__(self, progress: Progress, /) -> None:
        self._now = progress.at
        if progress.kind not in _SILENT:
            self._events.append(Happening(progress.at, f"{progress.kind}  {progress.text}"))
        if "look" in progress.data:
            self._look = cast("Look", progress.data["look"])

    def _picture(self) -> Group:
        if self._look is None or self._now is None:
            return Group(*(SINK.shown(event.text) for event in self._events))
        return render(self._look, tuple(self._events), self._watcher.seen, self._now, self._console.width)


class LineView:
    """A listener that writes one line per transition and a sign of life each minute. For logs and CI."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._said: datetime | None = None
        self._green = False

    def __call__(self, progress: Progress, /) -> None:
        if progress.kind == "looked":
            self._heartbeat(progress)
        elif progress.kind == "probed":
            self._probed(progress)
        elif progress.kind not in _SILENT:
            self._green = False
            self._line(progress, f"{progress.kind}  {progress.text}")

    def _probed(self, progress: Progress) -> None:
        """Every failure, and the first good round after a change."""
        is_good = not getattr(progress.data.get("report"), "failures", ())
        if is_good and self._green:
            return
        self._green = is_good
        self._line(progress, f"probed  {progress.text}")

    def _heartbeat(self, progress: Progress) -> None:
        self._said = self._said or progress.at
        if progress.at - self._said < HEARTBEAT:
            return
        s = cast("Look", progress.data["look"]).situation
        current = s.rollout
        facts = [
            f"{current.phase.value} {current.current.percent}%",
            f"stage {current.stage + 1}/{len(current.plan.stages)}",
            f"elapsed {clock(progress.at - current.started)}",
            gates_in_words(s.stage_verdict.criteria) or s.stage_verdict.reason,
            s.blind and f"cannot look: {s.blind}",
            upcoming(current, progress.at) and f"next: {upcoming(current, progress.at)}",
        ]
        self._line(progress, "   ".join(fact for fact in facts if fact))

    def _line(self, progress: Progress, text: str) -> None:
        self._said = progress.at
        self._write(f"{progress.at:%H:%M:%S}  {uncommanded(SINK.shown(text))}")
