"""Many files through several processes, when that pays; in this one otherwise.

Theory of operation. Starting a Python process costs as much as parsing some fifteen files, so files gather first and
processes start when enough bytes wait. Each process has a thread here that hands it one batch at a time and reads
the answers; a bounded queue keeps at most a few batches in memory. A process that dies takes nothing with it: the
batch is tried again file by file, and a file that kills its process is reported as skipped. Where no process can be
started, the work is done here. A thread that meets any other error goes on taking batches, so that ``drain`` cannot
wait for ever, and ``drain`` raises that error.

Why not ``concurrent.futures``: it is as fast, but when one of its processes dies all batches in flight fail, and which file
did it is unknown; its children print tracebacks on Ctrl-C, share the parent's import path (these run isolated, ``-I``),
and are forked from a process that may hold gRPC's threads, or import the whole command line again.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from checks.rules.protocol import Brief
from checks.run.scan import Collected, collect, collector_off

WORTH_PROCESSES_BYTES = 1_500_000
_BATCH_BYTES = 250_000
_HERE = str(Path(__file__).resolve().parents[2])
_COMMAND = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    f"import sys; sys.path.insert(0, {_HERE!r}); import checks.run.worker as w; w.main()",
)


@dataclass(frozen=True, slots=True)
class Job:
    """One file to parse, and the rules that want it."""

    path: str
    data: bytes
    names: tuple[str, ...]


def _frame(jobs: list[Job]) -> bytes:
    """The whole batch at once: a worker that had to ask for each file would wait for this process each time."""
    header = json.dumps([[job.path, job.names, len(job.data)] for job in jobs]).encode()
    return b"".join((header, b"\n", *(job.data for job in jobs)))


class WorkerDied(Exception):
    """The process could not be started, or ended in the middle of a batch."""


class Worker:
    """One process, and the pipe to it. Raises WorkerDied when it cannot be started."""

    def __init__(self, briefs: Mapping[str, Brief]) -> None:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                _COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=_HERE
            )
        except OSError as error:
            raise WorkerDied from error
        self._briefs = json.dumps(briefs).encode() + b"\n"

    def run(self, jobs: list[Job]) -> list[Collected]:
        """Answers in order. Raises WorkerDied."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(self._briefs + _frame(jobs))
            self._process.stdin.flush()
            self._briefs = b""
            entries = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise WorkerDied from error
        if not isinstance(entries, list) or len(entries) != len(jobs):
            raise WorkerDied
        return entries

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pool:
    """A place to put jobs; ``done`` is called with each answer, in any order, from one thread at a time."""

    def __init__(
        self, briefs: Mapping[str, Brief], jobs: int | None, done: Callable[[str, Collected], None]
    ) -> None:
        self._briefs = briefs
        self._size = jobs or _cores()
        self._done = done
        self._waiting: list[Job] = []
        self._waiting_bytes = 0
        self._queue: queue.Queue[list[Job] | None] = queue.Queue(maxsize=self._size + 1)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._trouble: BaseException | None = None

    def __enter__(self) -> Pool:
        return self

    def put(self, job: Job) -> None:
        self._waiting.append(job)
        self._waiting_bytes += len(job.data)
        if self._size > 1:
            if self._waiting_bytes >= (_BATCH_BYTES if self._threads else WORTH_PROCESSES_BYTES):
                self._send()
        elif self._waiting_bytes >= _BATCH_BYTES:
            self._collect_here()

    def _send(self) -> None:
        if not self._threads:
            self._threads = [threading.Thread(target=self._drive, daemon=True) for _ in range(self._size)]
            for thread in self._threads:
                thread.start()
        for batch in _batches(self._waiting):
            self._queue.put(batch)
        self._waiting, self._waiting_bytes = [], 0

    def _collect_here(self) -> None:
        with collector_off():
            for job in self._waiting:
                self._done(job.path, collect(job.path, job.data, job.names, self._briefs))
        self._waiting, self._waiting_bytes = [], 0

    def drain(self) -> None:
        """Return when everything that was put is done. Raises what went wrong in a thread."""
        if not self._threads:
            self._collect_here()
            return
        self._send()
        self._queue.join()
        if self._trouble is not None:
            raise self._trouble

    def _drive(self) -> None:
        worker: Worker | None = None
        while (batch := self._queue.get()) is not None:
            try:
                if self._trouble is None:
                    worker = worker or self._started()
                    worker = worker if self._is_done_by(worker, batch) else None
            except BaseException as error:  # noqa: BLE001 - drain raises it in the thread that waits
                self._trouble = error
            finally:
                self._queue.task_done()
        if worker is not None:
            worker.close()

    def _started(self) -> Worker | None:
        try:
            return Worker(self._briefs)
        except WorkerDied:
            return None

    def _is_done_by(self, worker: Worker | None, batch: list[Job]) -> bool:
        """Have a batch done by this process, or by others; False when it is no good for the next one."""
        entries: list[Collected] | None = None
        if worker is not None:
            try:
                entries = worker.run(batch)
            except WorkerDied:
                worker.close()
        is_alive = entries is not None
        answers = entries if entries is not None else [self._alone(job) for job in batch]
        with self._lock:
            for job, entry in zip(batch, answers, strict=True):
                self._done(job.path, entry)
        return is_alive

    def _alone(self, job: Job) -> Collected:
        """One file in a process of its own; here where processes do not work at all."""
        entries = self._tried([job])
        if entries is None and self._tried([]) is not None:
            return {"trouble": [0, "the parser broke on it"]}
        return entries[0] if entries else collect(job.path, job.data, job.names, self._briefs)

    def _tried(self, jobs: list[Job]) -> list[Collected] | None:
        """What a new process answers; None when it dies, or cannot be started."""
        worker = self._started()
        if worker is None:
            return None
        try:
            return worker.run(jobs)
        except WorkerDied:
            return None
        finally:
            worker.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()


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
