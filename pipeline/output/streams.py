"""stdout and stderr as every command has them: the one way by which text leaves this process.

While ``installed`` holds, ``sys.stdout`` and ``sys.stderr`` are ``Stream``s. So what anybody prints (a command, the help,
a usage error, a traceback, a table) meets the same three rules: nothing raises and nothing waits long (``outlet.py``); no
secret and no control character passes; and no line is one that a CI log takes for a command, however it was wrapped.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Literal, TextIO, cast

from pipeline.output.outlet import PATIENCE_S, Outlet, Write
from pipeline.redact import SINK, LineStarts

if TYPE_CHECKING:
    from rich.console import Console

Name = Literal["stdout", "stderr"]

_SIZES, _SMALLEST = ("COLUMNS", "LINES"), 10
_PART = 4096  # bytes: what a pipe takes at once or not at all


class Stream(io.TextIOBase):
    """A text file for people in front of another one. Writing never raises."""

    def __init__(self, file: TextIO | None) -> None:
        self.aside: Stream | None = None  # where anybody's text goes instead
        self._file = file
        self._outlet = Outlet(_writer(file))
        self._starts = LineStarts()
        self._lock = threading.RLock()  # a signal handler may speak in the middle of a line

    def write(self, text: str, /) -> int:
        """Anybody's text."""
        self.go_on(SINK.lines(text))
        return len(text)

    def draw(self, text: str) -> None:
        """What rich made of text that went through ``SINK``: its own escapes stay."""
        self.go_on(SINK.text(text))

    def put(self, text: str) -> None:
        """Whole lines as their maker wrote them: data, and text that went through ``SINK`` already."""
        with self._lock:
            self._starts = LineStarts()
            self._outlet.send(text)

    def go_on(self, text: str) -> None:
        """Text that went through ``SINK``, in pieces of lines."""
        if self.aside is not None:
            self.aside.go_on(text)
            return
        with self._lock:
            self._outlet.send(self._starts.next(text))

    def wait(self, patience: float | None) -> None:
        """See ``Outlet.wait``."""
        self._outlet.wait(patience)

    def finish(self) -> str:
        """Let the reader take what is left. Returns what went wrong, in words; empty when nobody has to know."""
        self._outlet.finish()
        is_told = self._outlet.lost and not self.is_gone
        return str(self._outlet.fault or "nobody read it in time") if is_told else ""

    @property
    def is_gone(self) -> bool:
        """Whether the reader has left."""
        return isinstance(self._outlet.fault, BrokenPipeError)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return _encoding(self._file)

    def isatty(self) -> bool:
        return _is_terminal(self._file)

    def fileno(self) -> int:
        if self._file is None:
            raise io.UnsupportedOperation("fileno")
        return self._file.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing: a library that closes it must not silence the others."""


class Drawing:
    """The same stream for rich, which would end the process when a pipe breaks."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        self._stream.draw(text)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@contextmanager
def installed() -> Iterator[None]:
    """``sys.stdout`` and ``sys.stderr`` are streams inside; what cannot be said on one is told on stderr at the end."""
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, Stream) and isinstance(sys.stderr, Stream):
        yield
        return
    out, err = Stream(before[0]), Stream(before[1])
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        with suppress(KeyboardInterrupt):  # what was asked for is done: only the reader is not waited for
            if lost := out.finish():
                err.put(f"spillway: part of stdout is lost: {SINK.shown(lost)}\n")
            err.finish()
        sys.stdout, sys.stderr = before


def put(name: Name, text: str) -> None:
    """Whole lines that went through ``SINK``, also where no stream is installed. Never raises."""
    file = getattr(sys, name)
    if isinstance(file, Stream):
        file.put(text)
        return
    with suppress(Exception):  # a stand-in: rich's, which draws above what it keeps at the foot, or a test's
        for _ in _to_file(file, text):
            pass


def console(name: Name) -> Console:
    """A console of rich on it. No markup, no emoji and no colours of its own making: text is text."""
    from rich.console import Console

    there = getattr(sys, name)
    file = cast("IO[str]", Drawing(there) if isinstance(there, Stream) else there)
    sized = {key: value for key, value in os.environ.items() if key not in _SIZES or _is_size(value)}
    return Console(file=file, markup=False, emoji=False, highlight=False, _environ=sized)


def can_redraw(*, is_terminal: bool, ci: bool) -> bool:
    """Whether a block may redraw itself: in a CI's log, and on a terminal that cannot, nothing may."""
    return is_terminal and not ci and os.environ.get("TERM") != "dumb"


def keep_for_data() -> None:
    """stdout carries documents alone: what a library or a team's own class prints there goes to stderr."""
    if isinstance(sys.stdout, Stream) and isinstance(sys.stderr, Stream):
        sys.stdout.aside = sys.stderr


def wait_for_reader() -> None:
    """For a command that moves nothing: stdout may be a pager."""
    if isinstance(sys.stdout, Stream):
        sys.stdout.wait(None)


def hurry() -> None:
    """Wait for no reader any longer: we were told to stop."""
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, Stream):
            file.wait(PATIENCE_S)


def is_gone(name: Name) -> bool:
    """Whether nobody reads it any more."""
    file = getattr(sys, name)
    return isinstance(file, Stream) and file.is_gone


def is_terminal(name: Name) -> bool:
    return _is_terminal(getattr(sys, name))


def _is_size(text: str) -> bool:
    """Whether a picture of so many columns or lines can be seen; rich takes 0, and fails on other digits than ours."""
    return text.isascii() and text.isdecimal() and len(text) < 6 and int(text) >= _SMALLEST


def _is_terminal(file: TextIO | None) -> bool:
    try:
        return file is not None and file.isatty()
    except (OSError, ValueError):
        return False


def _encoding(file: TextIO | None) -> str:
    return getattr(file, "encoding", None) or "utf-8"


def _writer(file: TextIO | None) -> Write:
    """Past the file's own buffer where there is a descriptor: what cannot be written must not be tried again at exit."""
    if file is None:
        return lambda _: ()
    with suppress(Exception):
        file.flush()
    try:
        descriptor = file.fileno()
    except Exception:  # noqa: BLE001 - a stand-in, which may lack anything
        return lambda text: _to_file(file, text)
    return lambda text: _to_descriptor(descriptor, text.encode(_encoding(file), "backslashreplace"))


def _to_descriptor(descriptor: int, text: bytes) -> Iterator[None]:
    data = memoryview(text)
    while data:
        try:
            data = data[os.write(descriptor, data[:_PART]) :]
        except BlockingIOError:  # somebody made it non-blocking
            select.select([], [descriptor], [], 1.0)
        else:
            yield


def _to_file(file: TextIO, text: str) -> Iterator[None]:
    encoding = _encoding(file)
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))
    file.flush()
    yield
