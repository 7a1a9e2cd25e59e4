"""Output in pieces of any size becomes the same lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.local.run.output_lines import LineCutter


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20)), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    stream = "".join(f"{line}\n" for line in lines).encode()
    assert _cut(stream, data.draw) == lines


def _cut(stream: bytes, draw: Callable[[Any], Any], limit: int = 1000) -> list[str]:
    cutter, found = LineCutter(limit), []
    while stream:
        size = draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:size])
        stream = stream[size:]
    return [*found, *cutter.end()]


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_long_line_is_cut_once_and_its_neighbours_are_whole(length: int, data: st.DataObject) -> None:
    stream = b"before\n" + b"x" * length + b"\nafter\r\nlast"
    assert _cut(stream, data.draw, limit=10) == ["before", "x" * min(length, 10), "after", "last"]
