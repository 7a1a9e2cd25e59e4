"""Many files through several processes, when that pays; in this one otherwise.

Theory of operation. Starting a Python process costs as much as parsing some fifteen files, so files gather first and
processes start when enough bytes wait. Each batch is a task of a thread, which hands it to a process that is idle and
reads the answers; only a few batches are under way, so that memory is bounded. A process that dies takes nothing with it:
the batch is tried again file by file, and a file that kills its process is reported as skipped. Where no process can be
started, the work is done here.

Why not a pool of processes from ``concurrent.futures``: it is as fast, but when one of them dies all batches in flight
fail, and which file did it is unknown; its children print tracebacks on Ctrl-C, share the parent's import path (these run
isolated, ``-I``), and are forked from a process that may hold gRPC's threads, or import the whole command line again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import msgspec
from msgspec import Struct

from checks.rules.protocol import Brief
from checks.run.scan import Asked, Collected, collect

WORTH_PROCESSES_BYTES = 1_500_000
_BATCH_BYTES = 250_000
_SIGNAL_S = 0.1
_HERE = str(Path(__file__).resolve().parents[2])
#: for a process that reads no ``.pth`` files and nobody's variables: this package, and the one library that it uses
_PATHS = (_HERE, str(Path(msgspec.__file__).resolve().parents[1]))
_COMMAND = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    f"import sys; sys.path[:0] = {_PATHS!r}; import checks.run.worker as w; w.main()",
)


class Job(Struct, frozen=True):
    """One file to parse, and what is looked for in it."""

    path: str
    data: bytes
    asked: Asked


def _frame(briefs: Mapping[str, Brief] | None, jobs: list[Job]) -> bytes:
    """The whole batch at once: a worker that had to ask for each file would wait for this process each time."""
    header = json.dumps([briefs, [[job.path, job.asked, len(job.data)] for job in jobs]]).encode()
    return b"".join((header, b"\n", *(job.data for job in jobs)))


class WorkerDied(Exception):
    """The process could not be started, or ended in the middle of a batch."""


class Worker:
    """One process, and the pipe to it. Raises WorkerDied when it cannot be started."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                _COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=_HERE
            )
        except OSError as error:
            raise WorkerDied from error
        self._knows: Mapping[str, Brief] | None = None

    def run(self, briefs: Mapping[str, Brief], jobs: list[Job]) -> list[Collected]:
        """Answers in order. Raises WorkerDied, and then it is closed."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(_frame(None if briefs is self._knows else briefs, jobs))
            self._process.stdin.flush()
            self._knows = briefs
            entries = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            entries = None
        if not isinstance(entries, list) or len(entries) != len(jobs):
            self.close()
            raise WorkerDied
        return entries

    def kill(self) -> None:
        """End it while another thread waits for it: that one meets WorkerDied."""
        self._process.kill()

    def close(self) -> None:
        """It holds nothing that could be lost."""
        self._process.kill()
        with suppress(OSError, ValueError), self._process:
            pass


class Pool:
    """A place to put jobs; ``done`` is called with each answer, in the order of the jobs, while others are put or awaited."""

    def __init__(
        self, briefs: Mapping[str, Brief], jobs: int | None, done: Callable[[str, Collected], None]
    ) -> None:
        self._briefs, self._done = briefs, done
        self._size = jobs or _cores()
        self._waiting: list[Job] = []
        self._waiting_bytes = 0
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: deque[tuple[list[Job], Future[list[Collected]]]] = deque()
        self._idle: SimpleQueue[Worker | None] = SimpleQueue()
        self._started: list[Worker] = []
        self._is_over = Event()
        for _ in range(self._size):
            self._idle.put(None)

    def __enter__(self) -> Pool:
        return self

    def turn(self, briefs: Mapping[str, Brief], done: Callable[[str, Collected], None]) -> None:
        """Ask something else from now on: the processes are there already. Nothing may be under way."""
        self._briefs, self._done = briefs, done

    def put(self, job: Job) -> None:
        self._waiting.append(job)
        self._waiting_bytes += len(job.data)
        if self._waiting_bytes >= (
            _BATCH_BYTES if self._threads or self._size == 1 else WORTH_PROCESSES_BYTES
        ):
            self._send()

    def drain(self) -> None:
        """Return when everything that was put is done. Raises what went wrong in a thread."""
        if self._threads:
            self._send()
            while self._under_way:
                self._take()
        else:
            self._work_off()

    def _send(self) -> None:
        if self._size == 1:
            self._work_off()
            return
        self._threads = self._threads or ThreadPoolExecutor(self._size)
        for batch in _batches(self._waiting):
            self._under_way.append((batch, self._threads.submit(self._answers, batch)))
        self._waiting, self._waiting_bytes = [], 0
        while len(self._under_way) > 2 * self._size + 1:
            self._take()

    def _take(self) -> None:
        batch, answers = self._under_way.popleft()
        while not answers.done():  # a signal that another thread got is only seen between two waits
            wait((answers,), timeout=_SIGNAL_S)
        for job, entry in zip(batch, answers.result(), strict=True):
            self._done(job.path, entry)

    def _work_off(self) -> None:
        for job in self._waiting:
            self._done(job.path, self._here(job))
        self._waiting, self._waiting_bytes = [], 0

    def _here(self, job: Job) -> Collected:
        """In this process; nothing where nobody asks any more."""
        if self._is_over.is_set():
            return {}
        return collect(job.path, job.data, job.asked, self._briefs)

    def _answers(self, batch: list[Job]) -> list[Collected]:
        """In a thread: by a process that is idle, or else by a new one."""
        worker = self._idle.get()  # never waits: there are as many as threads
        try:
            worker = worker or self._new()
            return worker.run(self._briefs, batch)
        except WorkerDied:
            worker = None
            return [] if self._is_over.is_set() else [self._alone(job) for job in batch]
        finally:
            self._idle.put(worker)

    def _alone(self, job: Job) -> Collected:
        """One file in a process of its own; here where processes do not work at all."""
        try:
            return self._by_new([job])[0]
        except WorkerDied:
            if self._is_over.is_set():
                return {}
            with suppress(WorkerDied):
                self._by_new([])
                return {"trouble": [0, "the parser broke on it"]}
            return self._here(job)

    def _by_new(self, jobs: list[Job]) -> list[Collected]:
        """What a new process answers. Raises WorkerDied."""
        worker = self._new()
        entries = worker.run(self._briefs, jobs)
        worker.close()
        return entries

    def _new(self) -> Worker:
        """Raises WorkerDied, also when nobody asks any more."""
        if self._is_over.is_set():
            raise WorkerDied
        worker = Worker()
        self._started.append(worker)
        if self._is_over.is_set():
            worker.close()
            raise WorkerDied
        return worker

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """On an error (Ctrl-C among them) no answer is waited for."""
        if kind is not None:
            self._is_over.set()
            for started in self._started:
                started.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        while not self._idle.empty():
            worker = self._idle.get()
            if worker:
                worker.close()


def _batches(jobs: list[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    size = 0
    for job in jobs:
        batch.append(job)
        size += len(job.data)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _cores() -> int:
    """The cores that this process may use, where the system says so."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1
