"""Expected events: the short form, options, and fields that are called like an option."""

from __future__ import annotations

import pytest

from pipeline.config.expectation import group
from pipeline.probe.matching import Expectation, Predicate


@pytest.mark.parametrize(
    ("item", "made"),
    [
        ("agent_started", [Expectation({"type": "agent_started"})]),
        ({"type": "done", "payload.status": "ok"}, [Expectation({"type": "done", "payload.status": "ok"})]),
        ({"type": "token", "repeats": True}, [Expectation({"type": "token"}, most=None)]),
        ({"type": "token", "repeats": False}, [Expectation({"type": "token"})]),
        ({"match": {"repeats": 3, "match": "x"}}, [Expectation({"repeats": 3, "match": "x"})]),
        ({"type": "a", "match": {"repeat": True}, "repeats": True},
         [Expectation({"type": "a", "repeat": True}, most=None)]),
        ({"type": "a", "repeats": {"min": 2, "max": 9}}, [Expectation({"type": "a"}, 2, 9)]),
        ({"type": "a", "repeats": {"min": 0}}, [Expectation({"type": "a"}, 0, None)]),
        ({"type": "a", "save": {"user": "data.user"}}, [Expectation({"type": "a"}, save={"user": "data.user"})]),
        ({"type": "a", "within": "1m"}, [Expectation({"type": "a"}, within_s=60.0)]),
        ({"type": "a", "n": {"gt": 1, "lt": 5}}, [Expectation({"type": "a", "n": Predicate({"gt": 1, "lt": 5})})]),
        ({"type": "a", "n": {"status": "ok"}}, [Expectation({"type": "a", "n": {"status": "ok"}})]),
        ({"type": "a", "n": {"equals": {"gt": 1}}}, [Expectation({"type": "a", "n": Predicate({"equals": {"gt": 1}})})]),
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
        ({"type": "a", "optional": True}, "an event has match, repeats, save, within."),
        ({"type": "a", "within": 5}, "5 is not a duration"),
        ({"type": "a", "withn": "5s"}, "unknown key withn, did you mean within?"),
        ({"type": "a", "sav": {"user": "id"}}, "unknown key sav, did you mean save?"),
        ({"type": "a", "save": "id"}, "save: must be a mapping of variables to paths"),
        ({"type": "a", "save": {"user": ""}}, "save: must be a mapping of variables to paths"),
        ({"type": "a", "save": {"now": "id"}}, "'now' cannot be a variable's name"),
        ({"type": "a", "save": {"a b": "id"}}, "'a b' cannot be a variable's name"),
        ({"type": "a", "repeats": "false"}, "must be true, false or {min: N, max: N}, got 'false'"),
        ({"type": "a", "repeats": "true"}, "must be true, false or"),
        ({"type": "a", "repeats": 1}, "must be true, false or {min: N, max: N}, got 1"),
        ({"type": "a", "repeats": None}, "must be true, false or {min: N, max: N}, got nothing"),
        ({"type": "a", "repeats": {"least": 1}}, "must be true, false or {min: N, max: N}, got a mapping"),
        ({"type": "a", "repeats": {}}, "must be true, false or {min: N, max: N}, got a mapping"),
        ({"type": "a", "repeats": {"min": -1}}, "min must be a whole number from 0, got -1"),
        ({"type": "a", "repeats": {"max": 0}}, "max must be a whole number from 1, got 0"),
        ({"type": "a", "repeats": {"min": True}}, "min must be a whole number from 0, got true"),
        ({"type": "a", "repeats": {"min": 5, "max": 3}}, "can never be: at least 5 and at most 3"),
        ({"type": "a", "n": {"gt": 1, "size": 2}}, "n: no test size; tests: exists"),
        ({"type": "a", "n": {"mathces": "x"}}, "n: no test mathces, did you mean matches?"),
        ({"type": "a", "n": {"one_of": [1]}}, "n: no test one_of, did you mean one-of?"),
        ({"type": "a", "n": {"gt": "3"}}, "n: gt must be a number, got '3'"),
        ({"type": "a", "n": {"exists": 1}}, "n: exists must be true or false, got 1"),
        ({"type": "a", "n": {"one-of": 1}}, "n: one-of must be a list of values, got 1"),
        ({"type": "a", "n": {"is": "strng"}}, "n: is: no kind 'strng', did you mean string?"),
        ({"type": "a", "n": {"is": 3}}, "n: is: no kind 3, it is one of string"),
        ({"type": "a", "n": {"matches": "("}}, "n: matches: '(' is no regular expression"),
        ({"type": "a", "n": {"matches": 5}}, "n: matches: 5 is no regular expression"),
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
