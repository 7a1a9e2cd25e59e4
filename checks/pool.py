"""Many files through several processes, when that pays; in this one otherwise.

Theory of operation. Starting a Python process costs as much as parsing some fifteen files, so files gather first and
processes start when enough bytes wait. Each process has a thread here that hands it one batch at a time and reads
the answers; a bounded queue keeps at most a few batches in memory. A process that dies takes nothing with it: the
batch is tried again file by file, and a file that kills its process is a word in the report.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from checks.rules.rule import Brief
from checks.scan import Entry, collect, collector_off

WORTH_PROCESSES_BYTES = 1_500_000
_BATCH_BYTES = 250_000
_HERE = str(Path(__file__).resolve().parent.parent)
_COMMAND = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    f"import sys; sys.path.insert(0, {_HERE!r}); import checks.worker as w; w.main()",
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
    """The process ended in the middle of a batch."""


class Worker:
    """One process, and the pipe to it."""

    def __init__(self, briefs: Mapping[str, Brief]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            _COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=_HERE
        )
        self._briefs = json.dumps(briefs).encode() + b"\n"

    def run(self, jobs: list[Job]) -> list[Entry]:
        """Answers in order. Raises WorkerDied."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(self._briefs + _frame(jobs))
            self._process.stdin.flush()
            self._briefs = b""
            line = self._process.stdout.readline()
        except OSError as error:
            raise WorkerDied from error
        if not line.endswith(b"\n"):
            raise WorkerDied
        entries: list[Entry] = json.loads(line)
        return entries

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.close()
        except OSError:
            pass
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Pool:
    """A place to put jobs; ``done`` is called with each answer, in any order, from one thread at a time."""

    def __init__(
        self, briefs: Mapping[str, Brief], jobs: int | None, done: Callable[[str, Entry], None]
    ) -> None:
        self._briefs = briefs
        self._size = jobs or os.cpu_count() or 1
        self._done = done
        self._waiting: list[Job] = []
        self._waiting_bytes = 0
        self._queue: queue.Queue[list[Job] | None] = queue.Queue(maxsize=self._size + 1)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Pool:
        return self

    def put(self, job: Job) -> None:
        self._waiting.append(job)
        self._waiting_bytes += len(job.data)
        worth = _BATCH_BYTES if self._threads else WORTH_PROCESSES_BYTES
        if self._waiting_bytes >= worth and self._size > 1:
            self._send()

    def _send(self) -> None:
        if not self._threads:
            self._threads = [threading.Thread(target=self._drive, daemon=True) for _ in range(self._size)]
            for thread in self._threads:
                thread.start()
        batch: list[Job] = []
        size = 0
        for job in self._waiting:
            batch.append(job)
            size += len(job.data)
            if size >= _BATCH_BYTES:
                self._queue.put(batch)
                batch, size = [], 0
        if batch:
            self._queue.put(batch)
        self._waiting, self._waiting_bytes = [], 0

    def drain(self) -> None:
        """Return when everything that was put is done."""
        if self._threads:
            self._send()
            self._queue.join()
            return
        with collector_off():
            for job in self._waiting:
                self._done(job.path, collect(job.path, job.data, job.names, self._briefs))
        self._waiting, self._waiting_bytes = [], 0

    def _drive(self) -> None:
        worker = Worker(self._briefs)
        while (batch := self._queue.get()) is not None:
            try:
                entries = worker.run(batch)
            except WorkerDied:
                worker.close()
                entries = [self._alone(job) for job in batch]
                worker = Worker(self._briefs)
            with self._lock:
                for job, entry in zip(batch, entries, strict=True):
                    self._done(job.path, entry)
            self._queue.task_done()
        worker.close()

    def _alone(self, job: Job) -> Entry:
        worker = Worker(self._briefs)
        try:
            return worker.run([job])[0]
        except WorkerDied:
            return {"trouble": [0, "the parser broke on it"]}
        finally:
            worker.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
