"""Expected events: the short form, options, and fields that are called like an option."""

from __future__ import annotations

import pytest

from pipeline.config.expectation import group
from pipeline.probe.scenario import Expectation


@pytest.mark.parametrize(
    ("item", "made"),
    [
        ("agent_started", [Expectation({"type": "agent_started"})]),
        ({"type": "done", "payload.status": "ok"}, [Expectation({"type": "done", "payload.status": "ok"})]),
        ({"type": "token", "repeats": True}, [Expectation({"type": "token"}, repeats=True)]),
        ({"type": "token", "repeats": False}, [Expectation({"type": "token"})]),
        ({"match": {"repeats": 3, "match": "x"}}, [Expectation({"repeats": 3, "match": "x"})]),
        ({"type": "a", "match": {"repeat": True}, "repeats": True},
         [Expectation({"type": "a", "repeat": True}, repeats=True)]),
        (["a", {"type": "b"}], [Expectation({"type": "a"}), Expectation({"type": "b"})]),
        ({"batch": 3, "status": None, "n": 1.5}, [Expectation({"batch": 3, "status": None, "n": 1.5})]),
    ],
)  # fmt: skip
def test_events(item: object, made: list[Expectation]) -> None:
    assert list(group(item)) == made


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "a", "repeat": True}, "unknown key repeat, did you mean repeats?"),
        ({"type": "a", "Repeats": True}, "did you mean repeats?"),
        ({"type": "a", "repeated": True}, "did you mean repeats?"),
        ({"type": "a", "macth": {"b": 1}}, "did you mean match?"),
        ({"type": "a", "optional": True}, "an event has match and repeats"),
        ({"type": "a", "within": "5s"}, "goes under match: {within: ...}"),
        ({"type": "a", "save": {"user": "id"}}, "unknown key save"),
        ({"type": "a", "repeats": "false"}, "must be true or false, got 'false'"),
        ({"type": "a", "repeats": "true"}, "must be true or false"),
        ({"type": "a", "repeats": 1}, "must be true or false, got 1"),
        ({"type": "a", "repeats": None}, "must be true or false, got nothing"),
        ({"type": "a", "repeats": {"min": 1}}, "must be true or false, got a mapping"),
        ({"type": "a", "match": "b"}, "match: must be a mapping"),
        ({"type": "a", "match": {"type": "b"}}, "type is asked for twice"),
        ({"repeats": True}, "needs its type"),
        ({"match": {}}, "needs its type"),
        ({}, "is not an event"), ([], "an empty list"), ([[]], "is not an event"), (3, "3 is not an event"),
        ("", "is not an event"), (None, "nothing is not an event"), ([["a"]], "a list is not an event"),
    ],
)  # fmt: skip
def test_what_is_no_event(item: object, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are looked at
        group(item)
    assert words in str(caught.value)
