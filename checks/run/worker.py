"""A process that collects: batches in, one line of JSON out for each. Started by ``pool.py``, never by hand.

Bytes come through the pipe, so a file is read once, by the parent alone. A batch is a line of JSON, the path of each file,
what is looked for in it and its size, and then all their bytes; where the briefs are new, they stand before the files in that line.
"""

from __future__ import annotations

import gc
import json
import signal
import sys

from checks.rules.protocol import Brief
from checks.run.scan import Collected, collect


def main() -> None:
    """Answer until the pipe closes."""
    gc.disable()
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the parent ends this one
        signal.signal(number, signal.SIG_IGN)
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    briefs: dict[str, Brief] = {}
    while header := source.readline():
        new, files = json.loads(header)
        briefs = briefs if new is None else new
        jobs = [(path, asked, source.read(size)) for path, asked, size in files]
        entries = [_encoded(collect(path, data, asked, briefs)) for path, asked, data in jobs]
        answers.write(f"[{','.join(entries)}]\n".encode())
        answers.flush()


def _encoded(entry: Collected) -> str:
    try:
        return json.dumps(entry)
    except RecursionError:
        return json.dumps({"trouble": [0, "nested too deeply to check"]})


if __name__ == "__main__":
    main()
