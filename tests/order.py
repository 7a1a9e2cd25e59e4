"""In which order tests run, so that no worker is left alone with a long one at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

#: What takes minutes, in groups that wait and compute at different times.
LONGEST = (
    ("tests/faults/", "tests/test_simulation.py"),
    ("tests/pulumi/", "tests/test_mutants.py::test_a_planted_bug_is_found"),
    ("tests/e2e/",),
)

Item = TypeVar("Item")


def dealt(items: Sequence[Item], name: Callable[[Item], str], workers: int) -> list[Item]:
    """The same items; each worker's share begins with a group of long ones.

    xdist cuts the list into equal parts, one for each worker; whoever is done takes from the end of another's.
    """
    begins: list[list[Item]] = [[] for _ in range(workers)]
    rest = []
    for item in items:
        group = next((n for n, starts in enumerate(LONGEST) if name(item).startswith(starts)), None)
        (rest if group is None else begins[group % workers]).append(item)
    share, order = len(items) // workers, []
    for begin in begins:
        fill = len(rest) if begin is begins[-1] else max(0, share - len(begin))
        order += begin + rest[:fill]
        del rest[:fill]
    return order
