"""The real command in a process of its own, forked from one that did the imports and opened no channel.

gRPC must not have run before a fork. So the parent is a fork server that imports and does nothing else, and each child
sees to it that it had one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline.model import CANDIDATE_TAG
from tests.faults.calls import Call, Counting, Point

_LOST = 255  # what multiprocessing says where its fork server could not tell how a child ended
LIMIT_S = 300.0  # a hang; never a measure of anything


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is to do.

    Args:
        breakages: functions of ``breaking.py``, done in this order before the command runs.
        fails_at: once a write gives the candidate this share, the file ``fails`` appears.
        fresh: replace the child by a new interpreter, which imports everything itself; then no call is counted.
    """

    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    kill_at: Point | None = None
    fails_at: tuple[int, Path] | None = None
    breakages: tuple[Callable[[], None], ...] = ()
    refused: str = "nothing"
    fresh: bool = False


@dataclass(slots=True)
class Ended:
    """How it ended. Moments are seconds of the monotonic clock; ``code`` is -9 for a process that was killed."""

    code: int | None = None
    began: float = 0.0
    calls: dict[tuple[str, int], Call] = field(default_factory=dict)

    @property
    def was_killed(self) -> bool:
        return self.code == -9

    @property
    def read_back_s(self) -> float | None:
        """From the start to the first answered look at the service since the last write; what is watched after it is no part."""
        answered = [c for c in self.calls.values() if c.code == "OK"]
        written = max((c.ended for c in answered if c.method == "UpdateService"), default=self.began)
        reads = [c.ended for c in answered if c.method == "GetService" and c.ended > written]
        return min(reads) - self.began if reads else None


@cache
def _server() -> Any:
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # a child forks never again, and the parent has no channel
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.preloaded"])
    return context


def run(order: Order, while_it_runs: Callable[[], None] = lambda: None) -> Ended:
    """Run it to its end."""
    with start(order) as running:
        while_it_runs()
        return running.wait()


class start:  # noqa: N801 - reads as a statement: with start(order) as running
    """The command, under way; killed with the block if it did not end."""

    def __init__(self, order: Order) -> None:
        self._incoming, outgoing = multiprocessing.Pipe(duplex=False)
        self._process = _server().Process(target=_child, args=(order, outgoing), daemon=True)
        self._process.start()
        outgoing.close()
        self._ended = Ended()
        self._order = order

    def __enter__(self) -> start:
        return self

    def wait(self) -> Ended:
        """What it told until it ended."""
        give_up = time.monotonic() + LIMIT_S
        code: int | None = None
        try:
            while self._incoming.poll(max(0.0, give_up - time.monotonic())):
                told = self._incoming.recv()
                if isinstance(told, Call):
                    self._ended.calls[told.name, told.number] = told
                elif isinstance(told, int):
                    code = told
                else:
                    self._ended.began = told
        except EOFError:
            pass
        self._process.join(max(0.0, give_up - time.monotonic()))
        assert self._process.exitcode is not None, f"it did not end within {LIMIT_S:.0f} s: {self._order}"
        self._ended.code = self._process.exitcode if code is None else code
        if self._ended.code == _LOST and self._order.kill_at is not None:
            self._ended.code = -9
        return self._ended

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.join()

    def __exit__(self, *_: object) -> None:
        if self._process.exitcode is None:
            self.stop()
        self._incoming.close()
        self._process.close()


def _child(order: Order, outgoing: Connection) -> None:
    """Never returns."""
    assert len(list(Path(f"/proc/{os.getppid()}/task").iterdir())) == 1, "forked from a process with threads"
    began = time.monotonic()
    outgoing.send(began)
    os.chdir(order.folder)
    _environment(order)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    for breakage in order.breakages:
        breakage()
    if order.fresh:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "pipeline", *order.words])
    counting = Counting(outgoing.send, order.kill_at, _failing(order), order.refused)
    counting.install()
    from pipeline.cli import main

    code = main.run(order.words)
    counting.traced()
    outgoing.send(code)  # a fork server under load can lose how its child ended
    outgoing.close()
    os._exit(code)


def _environment(order: Order) -> None:
    for name in [name for name in os.environ if name.startswith(("SPILLWAY_", "GITHUB_"))]:
        del os.environ[name]
    os.environ.update(order.environment)


def _failing(order: Order) -> Callable[[Any, Any], None]:
    """Makes the candidate fail once users are on it: whoever moved them there, or sees them there, tells it."""

    def seen(request: Any, answer: Any) -> None:
        if order.fails_at is None:
            return
        percent, folder = order.fails_at
        service = getattr(request, "service", answer)
        lines = getattr(service, "traffic", ())
        if any(line.percent == percent and line.tag == CANDIDATE_TAG for line in lines):
            (folder / "fails").touch()

    return seen
