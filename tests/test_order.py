"""No test is lost by the order, and each worker begins with long ones."""

from __future__ import annotations

import pytest

from tests.order import LONGEST, dealt

LONG = [f"{starts[0]}test_{n}.py" for starts in LONGEST for n in range(3)]
SHORT = [f"tests/test_{n:03}.py" for n in range(90)]


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_each_worker_begins_with_what_takes_longest(workers: int) -> None:
    order = dealt(SHORT[:50] + LONG + SHORT[50:], str, workers)
    assert sorted(order) == sorted(SHORT + LONG)
    share = len(order) // workers
    begins = [order[worker * share] for worker in range(workers)]
    assert {begin in LONG for begin in begins[: len(LONGEST)]} == {True}
    assert [name for name in order if name in SHORT] == SHORT, "tests of one file stay together"


def test_a_few_long_ones_are_all_there() -> None:
    assert sorted(dealt(LONG, str, 3)) == sorted(LONG)
    assert dealt([], str, 3) == []
