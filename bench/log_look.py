"""What a driver's look at the logs costs a local Cloud Run by the rollout's age, and what a full log weighs.

Prints the CPU time of a look after 10 minutes by that after 1 minute in the same run (1.0 is what is wanted), and the
memory that a service takes whose log is full.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from google.cloud.logging_v2.types import ListLogEntriesRequest

from pipeline.cloudrun.log_filter import entry_filter
from pipeline.local.api import entries
from pipeline.local.entries import store
from pipeline.local.entries.store import LogStore
from pipeline.model import ServiceRef

REF = ServiceRef("local", "local", "chat")
REVISIONS = ("chat-a", "chat-b")
START = datetime(2030, 1, 1, tzinfo=UTC)
LINES_A_SECOND = 100
LOOKS = 200


class World:
    def __init__(self, folder: Path) -> None:
        self.now = START
        self.store = LogStore(folder, now_ns=lambda: int(self.now.timestamp() * 1e9))

    def fill(self, until: timedelta) -> None:
        number = 0
        while self.now < START + until:
            self.now += timedelta(seconds=1 / LINES_A_SECOND)
            number += 1
            line = {"spillway": 1, "event": "ws_accept", "session": f"{number:032x}", "seconds": 0.25}
            self.store.line(REF.name, REVISIONS[number % 2], "stdout", json.dumps(line))

    def look_s(self) -> float:
        """CPU seconds of one look: since the start, but received in the last second."""

        async def look() -> None:
            for number in range(LOOKS):
                since = self.now - timedelta(seconds=1, microseconds=number)  # each is another text
                text = entry_filter(REF, REVISIONS, START, since)
                request = ListLogEntriesRequest(
                    resource_names=["projects/local"], filter=text, page_size=1000
                )
                found = await entries.answer_list(self.store, request)
                assert len(found.entries) >= LINES_A_SECOND

        began = time.process_time()
        asyncio.run(look())
        return (time.process_time() - began) / LOOKS


def main() -> None:
    structlog.configure(
        logger_factory=structlog.ReturnLoggerFactory()
    )  # what is given up is not the point here
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.fill(timedelta(minutes=1))
        world.look_s()  # warm
        young = world.look_s()
        world.fill(timedelta(minutes=10))
        old = world.look_s()
        gc.collect()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(store.MAX_ENTRIES):
            line = {"spillway": 1, "event": "ws_accept", "session": f"{number:032x}", "seconds": 0.25}
            world.store.line(f"{REF.name}-full", "chat-c", "stdout", json.dumps(line))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        size = sum((Path(folder) / name).stat().st_size for name in ("logs.jsonl", "logs.older.jsonl"))
        world.store.close()
    print(
        f"look at 10 min / look at 1 min: {old / young:.2f}  ({young * 1000:.2f} ms, {old * 1000:.2f} ms of CPU)"
    )
    print(f"a full service: {grown / 2**20:.0f} MiB of memory; both files {size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
