"""Text on its way to one file, carried by a thread of its own.

Whoever speaks is told nothing: a file that is closed, full or gone loses the text, and a reader who has stopped reading
holds the speaker up for ``patience`` seconds once, not at each line. So no output stands in a rollout's way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

PATIENCE_S = 0.25  # without any progress; then the reader is taken for stalled, and nobody waits for it
AT_THE_END_S = 3.0  # the same for what is left when a command has ended
MAX_WAITING = 1 << 20  # characters kept for a stalled reader; the oldest go first

#: Writes a text and yields after each part of it that was taken.
Write = Callable[[str], Iterable[None]]


class Outlet:
    """Writes texts in order, whole or not at all.

    Args:
        patience: seconds that ``send`` waits without progress; None: until the text is written, as long as that takes.
        at_the_end: the same for ``finish``, where there is a limit.
    """

    def __init__(
        self, write: Write, patience: float | None = PATIENCE_S, at_the_end: float = AT_THE_END_S
    ) -> None:
        self.lost = 0  # texts that were not written
        self.fault: Exception | None = None  # of the last text
        self._patience = patience
        self._at_the_end = at_the_end
        self._write = write
        self._waiting: deque[str] = deque()
        self._size = 0
        self._sent = self._done = self._moved = 0
        self.is_stalled = self._is_over = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # on a lock that a signal handler may take again

    def send(self, text: str) -> None:
        """Hand a text over. Returns when it is written, or lost, or the reader is not reading."""
        with self._changed:
            self._make_room(len(text))
            self._waiting.append(text)
            self._size += len(text)
            self._sent += 1
            self._changed.notify_all()
            if not self._has_thread():
                self._carry()
            elif self._patience is None or not self.is_stalled:
                self._await(self._sent)

    def wait(self, patience: float | None) -> None:
        """From now on wait so long for the reader; whoever waits already does so too."""
        with self._changed:
            self._patience = patience
            self._changed.notify_all()

    def finish(self) -> None:
        """Give the reader time for what is left, and let the thread end."""
        with self._changed:
            if self._patience is not None:
                self._patience = self._at_the_end
            self._await(self._sent)
            self.lost += self._sent - self._done  # also the one that a stalled reader keeps waiting
            self._waiting.clear()
            self._is_over = True
            self._changed.notify_all()

    def _make_room(self, size: int) -> None:
        while self._patience is not None and self._waiting and self._size + size > MAX_WAITING:
            self._size -= len(self._waiting.popleft())
            self._done += 1
            self.lost += 1

    def _await(self, number: int) -> None:
        while self._done < number:
            if not self._moves():
                self.is_stalled = True
                return

    def _moves(self) -> bool:
        """Whether something is taken before patience ends; another patience that is asked for begins anew."""
        before = (self._moved, self._patience)
        return self._changed.wait_for(lambda: (self._moved, self._patience) != before, self._patience)

    def _has_thread(self) -> bool:
        """Whether a thread carries; where none can be started, whoever speaks carries."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="output", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over)
                if not self._waiting:
                    return
            self._carry()

    def _carry(self) -> None:
        """Write one text; what goes wrong is kept, not raised."""
        with self._changed:
            if not self._waiting:
                return
            text = self._waiting.popleft()
            self._size -= len(text)
        fault = None
        try:
            for _ in self._write(text):
                self._note()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody can be told on this file
            fault = error
        with self._changed:
            self.fault = fault
            self.lost += fault is not None
            self._done += 1
            self._note()

    def _note(self) -> None:
        with self._changed:
            self._moved += 1
            self.is_stalled = False
            self._changed.notify_all()
