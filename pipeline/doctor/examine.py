"""Every question at once, each in a thread of its own, and none for longer than it may take.

A question that does not come back is told as such and left: its thread is a daemon, and ends with the process.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.doctor.answer import Answer, Check, unasked, wrong
from pipeline.errors import AccessError, SpillwayError

TELL_EVERY_S = 2.0


def examine(
    checks: Mapping[str, Check],
    *,
    within_s: float,
    waiting: Callable[[Sequence[str]], object] = lambda _names: None,
    stopped: Callable[[], bool] = lambda: False,
    monotonic: Callable[[], float] = time.monotonic,
) -> list[Answer]:
    """The answers, in the order of the questions.

    Args:
        within_s: for all of them together, since they are asked at once.
        waiting: is told, every two seconds, which questions are still open.
    """
    done: queue.SimpleQueue[tuple[str, Sequence[Answer]]] = queue.SimpleQueue()
    for name, check in checks.items():
        threading.Thread(target=_asked, args=(name, check, done), name=f"doctor {name}", daemon=True).start()
    found: dict[str, Sequence[Answer]] = {}
    begun = told = monotonic()
    while len(found) < len(checks) and not stopped() and (now := monotonic()) < begun + within_s:
        if now >= told + TELL_EVERY_S:
            told = now
            waiting([name for name in checks if name not in found])
        try:
            name, answers = done.get(timeout=min(0.2, max(0.01, begun + within_s - now)))
        except queue.Empty:
            continue
        found[name] = answers
    late = f"no answer within {within_s:g} s" if not stopped() else "interrupted"
    return [answer for name in checks for answer in found.get(name, [_late(name, late)])]


def _late(name: str, said: str) -> Answer:
    fix = "Look at the network and its proxy (HTTPS_PROXY), then: spillway doctor"
    return wrong(name, said, fix) if said != "interrupted" else unasked(name, said)


def _asked(name: str, check: Check, done: queue.SimpleQueue[tuple[str, Sequence[Answer]]]) -> None:
    try:
        answers: Sequence[Answer] = check()
    except SpillwayError as error:
        said = f"{error.what}: {error.why.splitlines()[0]}" if error.why else error.what
        answers = [wrong(name, said, error.fix, is_access=isinstance(error, AccessError))]
    except Exception as error:  # noqa: BLE001 - one question that cannot be asked must not hide the others
        answers = [wrong(name, f"{type(error).__name__}: {error}", "This is a fault of ours: report it.")]
    done.put((name, answers))
