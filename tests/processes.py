"""Processes of a test: a small service to run, whether any is left behind, and a pipe that stalls its writer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

#: Python that answers every GET with its revision's name and its process number.
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ["K_REVISION"] + " " + str(os.getpid())).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def exists(pid: int) -> bool:
    """Whether a process runs; one that ended and was not buried yet does not.

    A process whose first thread has ended holds its files and locks until its other threads have ended too.
    """
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            return state not in "ZX" or sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()) > 1
        except (FileNotFoundError, ProcessLookupError):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition: Callable[[], bool], timeout_s: float = 90.0) -> None:
    """Return once it holds; fail when it never does."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.02)


def get(uri: str) -> str:
    """The body of what an address answers."""
    with urlopen(uri, timeout=60) as answer:
        return str(answer.read().decode())


@contextmanager
def full_pipe() -> Iterator[int]:
    """The end of a pipe that takes no byte more, because nobody reads it."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x" * 4096)
    os.set_blocking(write_end, True)
    yield write_end
    os.close(read_end)
    os.close(write_end)
