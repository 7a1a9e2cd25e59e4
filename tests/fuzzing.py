"""Inputs drawn at random, for tests that whatever comes in, a value or one of our errors comes out.

Nothing else is raised, and nothing is believed. CI draws the same 6,000 inputs each time. ``make fuzz`` draws many times
as many from a seed that it prints (``SPILLWAY_FUZZ`` is how often what a test names, ``SEED`` repeats a run).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("SPILLWAY_FUZZ", "0"))
WITHIN = pytest.mark.timeout(0 if TIMES else 900)


def draws(examples: int) -> Callable[[Any], Any]:
    """So many inputs; in CI a quarter of them, and always the same ones."""
    return settings(
        max_examples=examples * TIMES or max(25, examples // 4),
        derandomize=not TIMES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
ODD = st.sampled_from([
    "", "\x00", "\ud800", "\x1b[2J", "::error::x", "##[error]", "<b>", "nan", "-1", "1e999", "é" * 50, "169.254.169.254", "\u202e",
]) | ANY_TEXT  # fmt: skip
NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([10**400, -(2**63), 1e308, float("nan"), float("inf")])
)
SCALARS = st.none() | st.booleans() | NUMBERS | ODD
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=6,
)


@st.composite
def spliced(draw: st.DrawFn, text: str, pieces: st.SearchStrategy[str]) -> str:
    """A good text with up to four places overwritten."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(pieces) + text[end:]
    return text


@st.composite
def replaced(draw: st.DrawFn, tree: Any, values: st.SearchStrategy[Any]) -> Any:
    """A good value with one to three of its parts replaced, dropped or doubled."""
    made = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = made, None
        while isinstance(holder, dict | list) and holder:
            keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
            key = draw(st.sampled_from(list(keys)))
            if not isinstance(holder[key], dict | list) or not holder[key] or draw(st.integers(0, 4)) == 0:
                break
            holder = holder[key]
        if key is None or not isinstance(holder, dict | list):
            continue
        if draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = draw(values)
    return made
