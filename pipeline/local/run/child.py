"""Runs one command as long as the server lives: however either ends, the command's whole family ends too.

    python -I -S child.py COMMAND...

Standard input is a pipe from the server: a byte means "end everything now", its end that the server is gone. This
process leads the process group that the server signals, and only passes on how the command ended (128 + signal, as
shells do).

On Linux it is the reaper of all that the command starts: who calls setsid or forks twice comes back to this process
when its parent ends, so that it is among the descendants here, whatever group, session or environment it has. Elsewhere
the family is the process group.
Standard library only and few imports: one of these is started for every instance.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

GRACE_S = 2.0  # when the server is gone: nobody's request is left to finish
_PATIENCE_S = 5.0  # a process in the midst of disk I/O ends later than it is killed
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: None)  # for the command alone; SIG_IGN would be inherited
    is_reaper = become_reaper()
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot start {sys.argv[1]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 127
    threading.Thread(target=obey, args=(is_reaper,), daemon=True).start()
    code = wait_for(process.pid)
    if is_reaper:
        end_descendants()
    return code if code >= 0 else 128 - code


def become_reaper() -> bool:
    if not os.path.exists("/proc/self/stat"):
        return False
    try:
        import ctypes

        return ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False


def wait_for(command: int) -> int:
    """How it ended; bury meanwhile who else came to this process."""
    while True:
        pid, status = os.wait()
        if pid == command:
            return os.waitstatus_to_exitcode(status)


def obey(is_reaper: bool) -> None:
    """Wait for the server's word, or for its end."""
    if not os.read(0, 1):
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE_S)
    if is_reaper:
        kill_descendants()  # the command is one: the main thread hears of its end and goes on
    else:
        os.killpg(0, signal.SIGKILL)


def end_descendants() -> None:
    """Kill and bury until there is nobody left."""
    give_up = time.monotonic() + _PATIENCE_S
    with suppress(ChildProcessError):
        while time.monotonic() < give_up:
            kill_descendants()
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.005)


def kill_descendants() -> None:
    """Nobody can leave the tree under this process while it lives, so its numbers are its own."""
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(name))
    found, waiting = [], [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


if __name__ == "__main__":
    sys.exit(main())
