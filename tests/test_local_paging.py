"""Pages: every item once, in order, whatever comes and goes meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.local.api.methods import DEFAULT_SIZE, MAX_SIZE, page
from pipeline.local.control.state import Refused


def pages(items: list[str], size: int, *, descending: bool = False) -> list[list[str]]:
    found, token = [], ""
    while True:
        some, token = page(items, str, size=size, token=token, descending=descending)
        found.append(some)
        if not token:
            return found


@settings(deadline=None)
@given(st.sets(st.text(min_size=1, max_size=5), max_size=30), st.integers(1, 10), st.booleans())
def test_each_item_is_shown_once_and_in_order(items: set[str], size: int, descending: bool) -> None:
    found = pages(list(items), size, descending=descending)
    assert [item for some in found for item in some] == sorted(items, reverse=descending)
    assert all(len(some) == size for some in found[:-1])


def test_what_comes_and_goes_meanwhile_repeats_and_hides_nothing() -> None:
    some, token = page(["b", "d", "f"], str, size=2, token="")
    assert some == ["b", "d"]
    assert page(["a", "b", "c", "e", "f"], str, size=2, token=token) == (["e", "f"], "")


def test_a_size_of_nothing_is_the_usual_one_and_large_ones_are_cut() -> None:
    items = [f"{n:05d}" for n in range(3000)]
    assert len(page(items, str, size=0, token="")[0]) == DEFAULT_SIZE
    assert len(page(items, str, size=10_000, token="")[0]) == MAX_SIZE


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (1, "###"), (1, "Zg"), (1, "ü"), (1, "/w==")])
def test_what_was_not_given_out_is_refused(size: int, token: str) -> None:
    with pytest.raises(Refused) as refused:
        page(["a"], str, size=size, token=token)
    assert refused.value.code == "INVALID_ARGUMENT"
