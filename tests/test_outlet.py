"""Text on its way: in order, never raising, and never held up for long by a reader who does not read."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from pipeline.output.outlet import MAX_WAITING, Outlet


class File:
    """Takes texts as a pipe does: none while it is ``stalled``, and raises what it is told to."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.faults: list[Exception] = []
        self.is_open = threading.Event()
        self.is_open.set()

    def __call__(self, text: str) -> Iterable[None]:
        self.is_open.wait()
        if self.faults:
            raise self.faults.pop()
        self.taken.append(text)
        yield


@pytest.fixture
def file() -> Iterable[File]:
    made = File()
    yield made
    made.is_open.set()


def test_a_text_is_written_when_send_returns(file: File) -> None:
    outlet = Outlet(file, None)
    for number in range(100):
        outlet.send(str(number))
        assert file.taken[-1] == str(number)
    outlet.finish()
    assert outlet.lost == 0


def test_a_fault_is_kept_and_the_next_text_is_tried(file: File) -> None:
    outlet = Outlet(file, None)
    for fault in (OSError(28, "full"), ValueError("closed"), UnicodeError("ascii"), RuntimeError("odd")):
        file.faults = [fault]
        outlet.send("lost")
        assert outlet.fault is fault
    outlet.send("said")
    outlet.finish()
    assert (file.taken, outlet.lost, outlet.fault) == (["said"], 4, None)


def test_a_stalled_reader_is_waited_for_once(file: File) -> None:
    file.is_open.clear()
    outlet = Outlet(file, patience=0.01)
    outlet.send("first")
    assert outlet.is_stalled
    outlet.wait(3600.0)  # whoever still waited would wait for an hour
    for number in range(1000):
        outlet.send(f"{number}")
    file.is_open.set()
    outlet.finish()
    assert file.taken == ["first", *map(str, range(1000))], "a reader who comes back gets what is kept"
    assert outlet.lost == 0


def test_the_newest_are_kept_for_a_stalled_reader(file: File) -> None:
    file.is_open.clear()
    outlet = Outlet(file, patience=0.01)
    outlet.send("in the pipe")
    page = "x" * (MAX_WAITING // 4)
    for number in range(10):
        outlet.send(f"{number}{page}")
    outlet.send("the result")
    file.is_open.set()
    outlet.finish()
    assert [text[:12] for text in file.taken] == ["in the pipe", "7xxxxxxxxxxx", "8xxxxxxxxxxx", "9xxxxxxxxxxx", "the result"]  # fmt: skip
    assert outlet.lost == 7


def test_a_reader_who_never_comes_back_is_left(file: File) -> None:
    file.is_open.clear()
    outlet = Outlet(file, patience=0.01, at_the_end=0.01)
    outlet.send("one")
    outlet.send("two")
    outlet.finish()
    assert (file.taken, outlet.lost) == ([], 2)


def test_whoever_waits_without_end_can_be_told_to_stop_waiting(file: File) -> None:
    file.is_open.clear()
    outlet = Outlet(file, patience=None)
    waiting = threading.Thread(target=outlet.send, args=("page",))
    waiting.start()
    outlet.wait(0.01)
    waiting.join(timeout=60)
    assert not waiting.is_alive()


def test_without_threads_whoever_speaks_carries(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outlet = Outlet(file)
    outlet.send("said")
    file.faults = [OSError("full")]
    outlet.send("lost")
    outlet.finish()
    assert (file.taken, outlet.lost) == (["said"], 1)
