"""What a person sees while a rollout runs: a block that redraws itself on a terminal, lines everywhere else."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pipeline.events import Listener, Look, Looked, Probed, RolloutEvent, Wrote
from pipeline.output import streams
from pipeline.redact import SINK
from pipeline.view.gate_lines import gates_in_words
from pipeline.view.keyboard import Keyboard
from pipeline.view.keys import Keys, Order
from pipeline.view.panel import Happening, Seen, clock, render, upcoming

HEARTBEAT = timedelta(seconds=60)
LOGS_EVERY_S = 2.0
_KEPT_EVENTS = 20
_CONNECTING = "connecting ..."

See = Callable[[], Seen | None]


@contextmanager
def choose_view(
    *,
    is_terminal: bool,
    ci: bool,
    write: Callable[[str], None],
    see: See = lambda: None,
    order: Callable[[Order], None] | None = None,
) -> Iterator[Listener]:
    """The view that fits where stderr goes: lines also on a terminal on which nothing can be drawn.

    Args:
        write: says a line to people.
        see: reads what users met from the logs; called at most every two seconds, on a thread of its own, by the
            live view alone.
        order: is given what a person asks for at the keys of the live view; None: there are none.
    """
    with ExitStack() as stack:
        view: Listener = LineView(write)
        if streams.can_redraw(is_terminal=is_terminal, ci=ci):
            with suppress(Exception):
                view = live = stack.enter_context(LiveView(streams.console("stderr"), Watcher(see)))
                if order is not None:
                    stack.enter_context(live.listening(order))
        yield view


class Watcher:
    """Calls ``see`` on a thread of its own and remembers the last answer: slow logs slow down nobody."""

    def __init__(self, see: See, every_s: float = LOGS_EVERY_S) -> None:
        self.seen: Seen | None = None
        self._see = see
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="view-logs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._every_s)

    def _watch(self) -> None:
        while not self._done.wait(self._every_s):
            try:
                self.seen = self._see() or self.seen
            except Exception:  # noqa: BLE001, S112 - whatever it is, an old picture is better than none
                continue


class Transitions(Struct):
    """Picks what is worth a line: every change, every failing probe round, and the first good one after a change."""

    _is_green: bool = False

    def line_of(self, event: RolloutEvent) -> str | None:
        if isinstance(event, Looked | Wrote):
            return None
        # Green rounds come every few seconds: only the first after anything else is news.
        was_green = self._is_green
        self._is_green = isinstance(event, Probed) and not event.report.failures
        if was_green and self._is_green:
            return None
        return f"{event.kind.replace('_', ' ')}  {event.text}"


class LiveView:
    """A listener that keeps one block at the foot of the terminal up to date; its last picture stays.

    What goes wrong with the drawing is not told and stops nothing: what happened is in the journal and in the result.
    """

    def __init__(self, console: Console, watcher: Watcher) -> None:
        self._console = console
        self._watcher = watcher
        self._transitions = Transitions()
        self._events: deque[Happening] = deque(maxlen=_KEPT_EVENTS)
        self._look: Look | None = None
        self._now: datetime | None = None
        self._keys: Keys | None = None
        self._live = Live(
            console=console, get_renderable=self.picture, refresh_per_second=4, vertical_overflow="crop",
            redirect_stdout=False,  # that is data, and may go elsewhere
        )  # fmt: skip

    def __enter__(self) -> LiveView:
        try:
            self._live.start()
            self._watcher.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception, SystemExit):  # rich exits when a pipe breaks
            self._live.stop()
        self._watcher.stop()

    def listening(self, order: Callable[[Order], None]) -> Keyboard:
        """The keyboard, whose keys are shown and heard here."""
        self._keys = Keys()
        return listening(self._live, self._keys, order)

    def obeyed(self) -> None:
        """What was asked for at the keys is done."""
        if self._keys is not None:
            self._keys.obeyed()

    def __call__(self, event: RolloutEvent, /) -> None:
        line = self._transitions.line_of(event)
        if line is not None:
            self._events.append(Happening(event.at, line))
        if isinstance(event, Looked):
            self._look = event.look
        elif isinstance(event, Wrote) and event.rollout and self._look:  # the look was taken just before
            self._look = replace(self._look, situation=replace(self._look.situation, rollout=event.rollout))
        self._now = event.at

    def picture(self) -> Group:
        """What is on the terminal now."""
        events = tuple(self._events)
        try:
            if self._look is None or self._now is None:
                return Group(*map(Text, [SINK.shown(event.text) for event in events] or [_CONNECTING]))
            keys = self._keys.line if self._keys else ""
            return render(self._look, events, self._watcher.seen, self._now, self._console.width, keys)
        except Exception as error:  # noqa: BLE001 - the next one may be drawn again
            return Group(Text(f"no picture: {type(error).__name__}"))


def listening(live: Live, keys: Keys, order: Callable[[Order], None]) -> Keyboard:
    """The keyboard, whose keys are shown by what is drawn live."""

    def press(key: str) -> None:
        asked = keys.press(key)
        if asked is not None:
            order(asked)
        live.refresh()

    # Stopped, the picture stands still and the cursor is the shell's.
    return Keyboard(press, stopping=live.stop, going_on=live.start)


class LineView:
    """A listener that writes one line per transition and a sign of life each minute. For logs and CI."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._transitions = Transitions()
        self._said: datetime | None = None

    def __call__(self, event: RolloutEvent, /) -> None:
        line = self._transitions.line_of(event)
        if line is not None:
            self._line(event.at, line)
        elif isinstance(event, Looked) and event.at - (self._said or event.at) >= HEARTBEAT:
            self._line(event.at, _pulse(event.look, event.at))
        self._said = self._said or event.at

    def _line(self, at: datetime, text: str) -> None:
        self._said = at
        self._write(f"{at:%H:%M:%S}  {SINK.shown(text)}")


def _pulse(look: Look, now: datetime) -> str:
    """One line that says how it stands."""
    s, current = look.situation, look.situation.rollout
    coming = upcoming(current, now)
    facts = (
        f"{current.phase.value.replace('_', ' ')} at {current.stage.percent}%",
        f"stage {current.stage_index + 1}/{len(current.plan.terms.stages)}",
        f"elapsed {clock(now - current.started)}",
        gates_in_words(s.stage_verdict.criteria) or s.stage_verdict.reason,
        s.blind and f"cannot look: {s.blind}",
        coming and f"next: {coming}",
    )
    return "   ".join(fact for fact in facts if fact)
