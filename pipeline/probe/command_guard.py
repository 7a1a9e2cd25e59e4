"""Runs a team's own command, so that it can neither outlive its driver nor fill a disk.

    python -I -S command_guard.py ALIVE TOLD WORD...

A process of its own and not a thread, since a driver that was killed can end nothing. It leads the command's process
group and gives its exit code on, as a shell tells it. Standard output is a file that gets the last of what the command
wrote, when it has ended and when it is told to.

    ALIVE   a pipe's reading end, whose other end the driver holds: when it closes, the whole group is ended
    TOLD    a pipe's writing end: the number of the error with which the command could not be begun, or nothing
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

MOST_SAID = 64 * 1024  # bytes of its output that are kept
ENDS_WITHIN_S = 2.0  # after SIGTERM
_TOLD_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(alive: int, told: int, words: list[str]) -> int:
    """The exit code, of the command or of the signal that ended it."""
    wakes, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_inheritable(alive, False)
    os.set_inheritable(told, False)
    signal.set_wakeup_fd(waker)
    for number in (*_TOLD_TO_END, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)  # it wakes us
    reads, writes = os.pipe()
    try:
        command = os.fork()
    except OSError as error:
        return _tell(told, error)
    if command == 0:
        _become(words, told, writes)
    os.close(told)
    os.close(writes)
    return _guard(command, alive, wakes, reads)


def _become(words: list[str], told: int, output: int) -> None:
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores them, and the command would after it
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execvp(words[0], words)  # noqa: S606 - no shell: the words are the command's
    except OSError as error:
        os._exit(_tell(told, error))


def _tell(told: int, error: OSError) -> int:
    os.write(told, str(error.errno).encode())
    return 127


def _guard(command: int, alive: int, wakes: int, output: int) -> int:
    said, listens = b"", [alive, wakes, output]
    while True:
        ready, _, _ = select.select(listens, [], [])
        if alive in ready:
            _end_all()
        if output in ready:
            piece = os.read(output, MOST_SAID)
            said = (said + piece)[-MOST_SAID:]
            if not piece:
                listens.remove(output)
        if wakes in ready:
            os.read(wakes, 512)
            pid, status = os.waitpid(command, os.WNOHANG)
            _keep(said + _rest(output) if pid else said)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _rest(output: int) -> bytes:
    """What is still in the pipe: whoever else holds it is not waited for."""
    os.set_blocking(output, False)
    said = b""
    while True:
        try:
            piece = os.read(output, MOST_SAID)
        except BlockingIOError:
            return said
        said = (said + piece)[-MOST_SAID:]
        if not piece:
            return said


def _keep(said: bytes) -> None:
    with suppress(OSError):  # a full disk is no fault of the command's
        os.pwrite(1, said[-MOST_SAID:], 0)


def _end_all() -> None:
    os.killpg(0, signal.SIGTERM)
    time.sleep(ENDS_WITHIN_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os._exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
