"""Many processes or one: the same answers, nothing lost when a process dies, nobody waits for ever."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from checks.finding import Report
from checks.run import pool
from checks.run.pool import Job, Pool
from checks.run.scan import Collected
from checks.runner import run
from checks.settings import JsonSafeLogs, Settings
from tests.test_checks_examples import plant

UNSAFE = "import json\n\n\ndef tell(websocket):\n    return json.dumps({'s': websocket.client_state})\n"
LOGS = Settings(json_safe_logs=JsonSafeLogs())
BRIEFS = {
    "json-safe-logs": {"safe": [], "loggers": [], "attributes": [], "trusted": [], "plain": [], "sinks": []}
}
#: a worker whose process ends, without a word, when a file holds the fatal text
FATAL = """
import os, checks.run.worker as w
collect = w.collect
w.collect = lambda path, data, names, briefs: os._exit(9) if b"fatal" in data else collect(path, data, names, briefs)
w.main()
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes start at once, and take a few files at a time."""
    monkeypatch.setattr(pool, "WORTH_PROCESSES_BYTES", 1)
    monkeypatch.setattr(pool, "_BATCH_BYTES", 300)


def tree(tmp_path: Path, **odd: str) -> Path:
    files = {f"m{n}.py": f"{UNSAFE}# {n}\n" for n in range(12)}
    return plant(tmp_path / "tree", files | {f"{name}.py": text for name, text in odd.items()})


def check(root: Path, jobs: int) -> Report:
    return run(root, LOGS, jobs=jobs, cache=False)


def job(n: int) -> Job:
    return Job(f"m{n}.py", UNSAFE.encode(), {"json-safe-logs": None})


def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    root = tree(tmp_path, broken=f"{UNSAFE}def (:\n", deep=f"{UNSAFE}x = {'-' * 10_000}1\n")
    one, three = check(root, 1), check(root, 3)
    assert len(one.findings) == 12
    assert (three.findings, three.skipped) == (one.findings, one.skipped)
    assert [s.path for s in one.skipped] == ["broken.py", "deep.py"]


def test_processes_follow_helpers_in_further_rounds(tmp_path: Path) -> None:
    send = "import json\n\n\ndef send(value):\n    return json.dumps(value)\n"
    tell = "from send import send\n\n\ndef tell(value):\n    return send([value])\n"
    user = "import datetime\n\nfrom tell import tell\n\ntell(datetime.datetime.now())\n"
    root = plant(tmp_path / "tree", {"send.py": send, "tell.py": tell} | {f"u{n}.py": user for n in range(9)})
    one, three = check(root, 1), check(root, 3)
    assert [(f.path, f.line) for f in one.findings] == [(f"u{n}.py", 5) for n in range(9)]
    assert three.findings == one.findings


def test_a_process_that_dies_takes_nothing_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"import sys; sys.path[:0] = {pool._PATHS!r}\n"
    monkeypatch.setattr(pool, "_COMMAND", (sys.executable, "-I", "-S", "-c", path + FATAL))
    report = check(tree(tmp_path, m5=f"{UNSAFE}# fatal\n"), 2)
    assert [(s.path, s.reason) for s in report.skipped] == [("m5.py", "the parser broke on it")]
    assert len(report.findings) == 11


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("/no/such/python",), id="cannot be started"),
        pytest.param((sys.executable, "-c", "raise SystemExit(3)"), id="ends at once"),
        pytest.param((sys.executable, "-c", "print('not json')"), id="talks nonsense"),
    ],
)
def test_where_no_process_works_it_is_done_here(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_COMMAND", command)
    report = check(tree(tmp_path), 2)
    assert (len(report.findings), report.skipped) == (12, ())


def test_what_goes_wrong_in_a_thread_is_raised_and_nobody_waits() -> None:
    def refuse(path: str, entry: Collected) -> None:
        raise LookupError(path)

    with Pool(BRIEFS, 2, refuse) as several:
        for n in range(20):
            several.put(job(n))
        with pytest.raises(LookupError):
            several.drain()


def test_one_process_keeps_few_files_in_memory() -> None:
    done: list[str] = []
    with Pool(BRIEFS, 1, lambda path, entry: done.append(path)) as alone:
        for n in range(20):
            alone.put(job(n))
        assert len(done) >= 15, "most are done before anybody asks"
        alone.drain()
    assert done == [f"m{n}.py" for n in range(20)]


def test_few_bytes_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WORTH_PROCESSES_BYTES", 1_000_000)
    monkeypatch.setattr(pool, "_COMMAND", ("/no/such/python",))
    done: list[str] = []
    with Pool(BRIEFS, 2, lambda path, entry: done.append(path)) as small:
        small.put(job(1))
        assert done == []
        small.drain()
    assert done == ["m1.py"]


def test_it_can_be_filled_again_after_a_drain() -> None:
    done: list[str] = []
    with Pool(BRIEFS, 2, lambda path, entry: done.append(path)) as several:
        for n in range(8):
            several.put(job(n))
        several.drain()
        assert len(done) == 8
        several.put(job(8))
        several.drain()
    assert sorted(done) == sorted(f"m{n}.py" for n in range(9))


def test_an_error_ends_the_processes_and_waits_for_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: workers that would never answer are ended, and their files are tried by nobody else."""
    path = f"import sys; sys.path[:0] = {pool._PATHS!r}\n"
    hangs = path + "import time\nsys.stdin.buffer.readline()\ntime.sleep(3600)\n"
    monkeypatch.setattr(pool, "_COMMAND", (sys.executable, "-I", "-S", "-c", hangs))
    seen: list[str] = []
    asked = Pool(BRIEFS, 2, lambda path, _entry: seen.append(path))

    def interrupted() -> None:
        with asked:
            for n in range(4):
                asked.put(job(n))
            while not asked._started:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == []
    assert all(worker._process.wait() is not None for worker in asked._started)


@pytest.mark.parametrize("dies", ["before", "while"])
def test_of_what_nobody_asks_any_more_nothing_is_done(dies: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal to the whole group ends the processes first; then their files are left, not parsed one by one."""
    made, here = list[int](), list[str]()
    jobs = [Job(f"{n}.py", b"x = 1\n", ("json-safe-logs",)) for n in range(9)]
    threads = Pool(BRIEFS, 2, lambda _path, _entry: None)

    def dead() -> pool.Worker:
        made.append(1)
        threads._is_over.set()
        raise pool.WorkerDied

    monkeypatch.setattr(pool, "Worker", dead)
    monkeypatch.setattr(pool, "collect", lambda path, *_: here.append(path) or {})
    if dies == "before":
        threads._is_over.set()
    assert threads._answers(jobs) in ([], [{}] * 9)
    assert len(made) <= 1
    assert not here
