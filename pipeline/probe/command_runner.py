"""Runs a team's own commands beside a rollout: one at a time, each in a process group of its own.

``command_guard.py`` stands between a command and us, and ends it where we no longer can.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pipeline.probe import command_guard
from pipeline.probe.command import SAID_CHARS, Command, CommandEnd
from pipeline.probe.command_guard import ENDS_WITHIN_S, MOST_SAID
from pipeline.redact import SINK

_LAST_LINES = 20
_POLL_S = 0.05


class CommandRunner:
    """Implements ``ports.Verifier``.

    What a command writes goes to a file that is gone with it. It sees the environment of this process and, beside it,
    ``SPILLWAY_URL``, ``SPILLWAY_STABLE_URL``, ``SPILLWAY_REVISION`` and ``SPILLWAY_PROBE_KEY``; where a header leads to
    each of the two, ``SPILLWAY_HEADER`` and ``SPILLWAY_STABLE_HEADER``.

    Args:
        words: the words of each command, by its name.
        folder: where they run: the one of ``spillway.yaml``.
        waits: ``start`` returns when it has ended: for a process that takes one step.
        is_stopped: whether this process was told to end: then nothing is waited for.
    """

    def __init__(
        self, words: Mapping[str, Sequence[str]], folder: Path, *, waits: bool = False,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._words = words
        self._folder = folder
        self._waits = waits
        self._is_stopped = is_stopped
        self._running: _Running | None = None
        self._end: CommandEnd | None = None

    @property
    def is_busy(self) -> bool:
        return self._running is not None or self._end is not None

    def start(self, command: Command) -> None:
        assert not self.is_busy, "a command is under way"
        try:
            self._running = _Running(self._words[command.name], self._folder, command)
        except KeyError:
            self._end = CommandEnd(None, 0, obstacle=f"verify has no {command.name} any more")
        except OSError as error:
            self._end = CommandEnd(None, 0, obstacle=f"{error.strerror}: {error.filename}")
        except ValueError as error:
            self._end = CommandEnd(None, 0, obstacle=f"{command.name} has a word that none can be: {error}")
        while self._waits and self._end is None and not self._is_stopped():
            self._look()
            time.sleep(_POLL_S)

    def poll(self) -> CommandEnd | None:
        self._look()
        end, self._end = self._end, None
        return end

    def stop(self) -> None:
        if self._running is not None:
            self._running.close()
        self._running, self._end = None, None

    def _look(self) -> None:
        if self._running is not None and (end := self._running.end()) is not None:
            self._running.close()
            self._running, self._end = None, end


class _Running:
    """One command under way. Raises OSError when it cannot be begun, ValueError for words that no command can have."""

    def __init__(self, words: Sequence[str], folder: Path, command: Command) -> None:
        self._within_s = command.within.total_seconds()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._began = time.monotonic()
        self._is_late = False
        alive, self._alive = os.pipe()
        try:
            self._process = self._begun(words, folder, command, alive)
        except (OSError, ValueError):
            os.close(self._alive)
            self._said.close()
            raise
        finally:
            os.close(alive)

    def _begun(
        self, words: Sequence[str], folder: Path, command: Command, alive: int
    ) -> subprocess.Popen[bytes]:
        reads, told = os.pipe()
        guard = (sys.executable, "-I", "-S", command_guard.__file__, str(alive), str(told))
        with os.fdopen(reads, "rb") as obstacle:
            try:
                process = subprocess.Popen(
                    (*guard, *words), cwd=folder, env={**os.environ, **_told(command)}, stdin=subprocess.DEVNULL,
                    stdout=self._said, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(alive, told),
                )  # fmt: skip
            finally:
                os.close(told)
            number = obstacle.read()
        if number:
            process.wait()
            raise _obstacle(int(number), words[0], folder)
        return process

    def end(self) -> CommandEnd | None:
        """How it ended; None while it runs. One whose time is over is told to end, and soon made to."""
        seconds = time.monotonic() - self._began
        code, late_s = self._process.poll(), seconds - self._within_s
        if late_s >= 0 and not self._is_late:
            self._is_late = code is None
            self._signal(signal.SIGTERM)
        if code is None and late_s < ENDS_WITHIN_S:
            return None
        if code is not None and code < 0:
            code = 128 - code  # the guard itself was killed
        return CommandEnd(None if self._is_late else code, seconds, self._last_lines())

    def close(self) -> None:
        """No process of its group is left. Waits for none that could still take its time: traffic may have to go back."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._alive)
        self._said.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _last_lines(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - MOST_SAID))
        lines = self._said.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
        return SINK.text("\n".join(lines))[-SAID_CHARS:]


def _obstacle(number: int, word: str, folder: Path) -> OSError:
    is_there = number == errno.ENOENT and (folder / word).is_file()
    named = f"what the first line of {word} names" if is_there else word
    return OSError(number, os.strerror(number), named)


def _told(command: Command) -> Mapping[str, str]:
    led = {"SPILLWAY_HEADER": command.header, "SPILLWAY_STABLE_HEADER": command.stable_header}
    return {
        **(led if command.header else {}),
        "SPILLWAY_URL": command.url,
        "SPILLWAY_STABLE_URL": command.stable_url,
        "SPILLWAY_REVISION": command.revision,
        "SPILLWAY_PROBE_KEY": command.probe_key,
    }
