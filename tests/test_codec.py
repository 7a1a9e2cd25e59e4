"""The record's codec beside pydantic, which wrote the first ones: the same JSON, and the same values of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.core import codec
from pipeline.core.rollout import Last, Rollout
from pipeline.judging.counts import Counts
from pipeline.judging.judgestate import JudgeState
from tests.mirror import mirrored, shape

PYDANTIC = TypeAdapter(shape(Rollout))


def named(body: Any) -> Any:
    """With counts as the objects that pydantic knows, where they are such."""
    row = Counts.__struct_fields__
    judged = dict(body["judge"]) if isinstance(body.get("judge"), dict) else {}
    for name in ("total", "stage", "fresh", "alone"):
        for metric, counts in (judged.get(name) or {}).items() if isinstance(judged.get(name), dict) else ():
            if isinstance(counts, list):
                judged[name] = {**judged[name], metric: dict(zip(row, counts, strict=False))}
    return {**body, "judge": judged} if judged else body


words = st.text(max_size=8)
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(float, st.floats(allow_nan=False))
floats = st.floats(allow_nan=False)
bets = st.dictionaries(words, st.lists(floats, max_size=3).map(tuple), max_size=2)
numbers = st.integers(0, 99)
counts = st.dictionaries(words, st.builds(Counts, numbers, numbers, numbers, numbers), max_size=2)
judges = st.builds(
    JudgeState,
    compared=bets,
    limited=bets,
    limits=st.dictionaries(words, floats, max_size=2),
    total=counts,
    stage=counts,
)
rollouts = st.builds(
    Rollout,
    judge=judges | st.just(JudgeState()),
    last=st.none() | st.from_type(Last),
)


@settings(max_examples=100, deadline=None)
@given(rollouts)
def test_both_write_the_same_and_read_it_as_it_was(rollout: Rollout) -> None:
    body = codec.plain(rollout)
    theirs = PYDANTIC.dump_python(mirrored(rollout), mode="json", exclude_defaults=True)
    assert PYDANTIC.validate_python(named(body)) == mirrored(rollout)
    assert list(body) == list(theirs)
    assert {**body, "judge": None} == {**theirs, "judge": None}
    text = json.dumps(body)
    assert codec.made(Rollout, json.loads(text)) == codec.made(Rollout, theirs) == rollout


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, inner in inside for each in places(inner, (*path, key)))]


junk = st.none() | st.booleans() | st.integers() | st.floats() | words | st.lists(words) | st.just({}) | st.sampled_from(
    ["PT", "P", "P1D", "P1W", "-PT1S", "PT1.5H", "PT0.1234567S", "2030-01-01", "2030-01-01T00:00:00", "rolling", "0", 10**400]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rollouts, junk, st.data())
def test_what_pydantic_refuses_is_refused(rollout: Rollout, thing: Any, data: st.DataObject) -> None:
    """And what is not, is what it makes of it. It takes more: "5" for a number, a number for a moment."""
    body: Any = codec.plain(rollout)
    *way, last = data.draw(st.sampled_from(places(body)[1:]))
    holder = body
    for step in way:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[last] = thing
    else:
        del holder[last]
    try:
        ours = codec.made(Rollout, body)
    except (codec.Misfit, OverflowError):
        return
    assert mirrored(ours) == PYDANTIC.validate_python(named(body)) or "nan" in repr(ours)


@settings(max_examples=100, deadline=None)
@given(st.timedeltas(), st.text("PYDTHMS0123456789.-", max_size=12))
def test_durations(length: timedelta, text: str) -> None:
    adapter = TypeAdapter(timedelta)
    iso = adapter.dump_python(length, mode="json")
    assert codec.plain(length) == iso
    assert codec._duration(iso) == length
    try:
        ours = codec._duration(text)
    except (ValueError, OverflowError):
        return
    assert ours == adapter.validate_python(text)
