"""The logs of a whole fleet as ``ports.LogSource``: one search for many services, asked for by many threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from datetime import datetime

from pipeline.cloudrun.log_filter import Asked
from pipeline.cloudrun.logs import LoggingSource
from pipeline.errors import SpillwayError
from pipeline.model import LogLine, ServiceRef


class SharedLogs:
    """One thread searches at a time. A search that failed is not tried again for as long as it took: all wait for it."""

    def __init__(self, source: LoggingSource, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._fault: SpillwayError | None = None
        self._until = 0.0

    def expect(self, asked: Iterable[Asked]) -> None:
        """One search is to read for all of these: see ``LoggingSource.together``."""
        with self._lock:
            self._source.together(asked)

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        with self._lock:
            began = self._monotonic()
            if self._fault is not None and began < self._until:
                raise copy(self._fault)
            try:
                return self._source.lines(ref, since=since, revisions=revisions)
            except SpillwayError as error:
                ended = self._monotonic()
                self._fault, self._until = error, ended + (ended - began)
                raise

    def pages(
        self, ref: ServiceRef, *, since: datetime, until: datetime, revisions: Iterable[str]
    ) -> Iterator[Sequence[LogLine]]:
        return self._source.pages(ref, since=since, until=until, revisions=revisions)
