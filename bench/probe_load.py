"""``spillway probe --sessions N`` beside k6 with the same conversations: throughput, CPU and memory, as ratios of one run.

    python -m bench.probe_load [--rounds 3] [--sessions 4000]

The two take turns against one server (``load_server.py``), which has a core of its own where there are two; each tool
has the other core to itself. A conversation is a handshake, a request, five events in order and a close; the probe
checks the server's answer to its close as well, which k6/ws does not show. What starting costs is taken off both: CPU
of a run of one conversation. Memory is compared whole, and what the conversations add to it: most of the probe's is the
interpreter and its libraries. What is compared are medians of the ratios of each round. Exits 1 when a goal is missed;
without k6 (``make bench`` builds it where Go is) nothing is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.checks_speed import Goal
from bench.load_server import NAMES

CONCURRENCIES = (50, 500)
MOST_TIME, MOST_CPU = 1 / 0.6, 1.2
MOST_MEMORY, MOST_ADDED = 0.25, 0.25
_HERE = Path(__file__).parent
_CONFIG = f"""\
service: bench
environments: {{local: {{endpoint: local}}}}
scenarios:
  chat:
    path: /ws
    send: {{type: execute_agent, payload: {{text: hello}}}}
    expect: [{", ".join(NAMES)}]
    within: 1m
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: seconds that its conversations took, CPU seconds and peak memory of all of it."""

    seconds: float
    cpu_s: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Tool:
    """Args: words: its command line with ``{port}``, ``{sessions}`` and ``{concurrency}``, and its environment likewise."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]

    def run(self, folder: Path, port: int, sessions: int, concurrency: int) -> Run:
        asked = {"port": port, "sessions": sessions, "concurrency": min(concurrency, sessions)}
        words = [word.format(**asked) for word in self.words]
        added = {name: value.format(**asked) for name, value in self.environment.items()}
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                words, cwd=folder, env={**os.environ, **added}, stdout=said, stderr=subprocess.DEVNULL,
                preexec_fn=partial(_pin, 1),  # noqa: PLW1509 - there are none
            )  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            document = json.loads(said.read())
        held = document["ok"] if "ok" in document else sum(row["ok"] for row in document["scenarios"])
        if process.returncode or held != sessions:
            raise SystemExit(f"{self.name} ended with {process.returncode}, and {held} of {sessions} were ok")
        kib = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
        return Run(document["seconds"], used.ru_utime + used.ru_stime, kib / 1024)


PROBE = Tool(
    "spillway probe",
    [sys.executable, "-m", "pipeline", "probe", "http://127.0.0.1:{port}", "-o", "json",
     "--sessions", "{sessions}", "--concurrency", "{concurrency}"],
    {"PYTHONPATH": str(_HERE.parent)},
)  # fmt: skip


def k6() -> Tool | None:
    found = shutil.which("k6") or shutil.which(str(Path.home() / ".cache/spillway/bin/k6"))
    return found and Tool(
        "k6", [found, "run", "--quiet", "--no-usage-report", str(_HERE / "probe_load.js")],
        {"URL": "ws://127.0.0.1:{port}/ws", "SESSIONS": "{sessions}", "CONCURRENCY": "{concurrency}"},
    )  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--sessions", type=int, default=4_000)
    given = options.parse_args(words)
    peer = k6()
    if peer is None:
        print(
            "k6 is not on this machine, so the probe's load is compared with nothing; with Go, make bench builds it"
        )
        return 0
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as scratch, _served() as port:
        folder = Path(scratch)
        (folder / "spillway.yaml").write_text(_CONFIG)
        begun = {tool.name: tool.run(folder, port, 1, 1) for tool in (PROBE, peer)}
        for concurrency in CONCURRENCIES:
            pairs = []
            for _ in range(given.rounds):
                runs = [tool.run(folder, port, given.sessions, concurrency) for tool in (PROBE, peer)]
                pairs.append(runs)
                _tell(concurrency, given.sessions, runs, [begun[PROBE.name], begun[peer.name]])
            goals += _goals(concurrency, pairs, begun[PROBE.name], begun[peer.name])
    print(*goals, sep="\n")
    return int(not all(goal.is_met for goal in goals))


def _goals(concurrency: int, pairs: Sequence[Sequence[Run]], own: Run, peers: Run) -> Iterator[Goal]:
    """Args: own, peers: of one conversation: what starting takes."""
    yield Goal(
        f"time / k6, {concurrency} at once", median(o.seconds / p.seconds for o, p in pairs), MOST_TIME
    )
    cpu = median((o.cpu_s - own.cpu_s) / (p.cpu_s - peers.cpu_s) for o, p in pairs)
    yield Goal(f"CPU / k6, {concurrency} at once", cpu, MOST_CPU)
    if concurrency == max(CONCURRENCIES):  # at few, most of either is the program itself
        memory = median(o.rss_mib / p.rss_mib for o, p in pairs)
        yield Goal(f"memory / k6, {concurrency} at once", memory, MOST_MEMORY)
        added = median((o.rss_mib - own.rss_mib) / (p.rss_mib - peers.rss_mib) for o, p in pairs)
        yield Goal(f"added to it / k6, {concurrency}", added, MOST_ADDED)


def _tell(concurrency: int, sessions: int, runs: Sequence[Run], begun: Sequence[Run]) -> None:
    for name, run, start in zip((PROBE.name, "k6"), runs, begun, strict=True):
        print(
            f"  {name:<14} {concurrency:4} at once {sessions / run.seconds:6.0f}/s"
            f" {(run.cpu_s - start.cpu_s) / sessions * 1e6:5.0f} us of CPU each {run.rss_mib:4.0f} MiB"
            f"   load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


@contextmanager
def _served() -> Iterator[int]:
    """The server's port."""
    words = [sys.executable, "-m", "bench.load_server"]
    with subprocess.Popen(
        words, cwd=_HERE.parent, stdout=subprocess.PIPE, text=True,
        preexec_fn=partial(_pin, 0),  # noqa: PLW1509 - there are none
    ) as server:  # fmt: skip
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def _pin(core: int) -> None:
    """In a process before it begins: what asks how many cores there are is then told of one."""
    if sys.platform == "linux" and len(cores := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(0, {cores[core]})


if __name__ == "__main__":
    raise SystemExit(main())
