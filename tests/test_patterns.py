"""Patterns in texts that a service chose: found as ``re`` finds them, and in time."""

from __future__ import annotations

import random
import re
import sys
from contextlib import suppress

import pytest

from pipeline.errors import ConfigError
from pipeline.framing.automaton import Unbounded, automaton
from pipeline.framing.patterns import LONGEST, finds, reach, refusal, searched
from pipeline.probe.conversation import Kind
from tests.conversations import play, scenario

ATOMS = ["a", "b", "[ab]", "[^a]", ".", r"\d", r"\w", r"\s", "x", "(?i:A)", r"\n", "a", ".", "^", "$"]
REPEATS = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?", "??"]


def drawn(draw: random.Random, depth: int) -> str:
    kind = draw.random()
    if depth == 0 or kind < 0.3:
        return draw.choice(ATOMS)
    if kind < 0.5:
        return drawn(draw, depth - 1) + drawn(draw, depth - 1)
    if kind < 0.7:
        return f"(?:{drawn(draw, depth - 1)}|{draw.choice(['', drawn(draw, depth - 1)])})"
    return f"(?:{drawn(draw, depth - 1)}){draw.choice(REPEATS)}"


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "(ab|a|b)*c", "((a+)+)b"])
def test_alternatives_of_which_one_begins_another_multiply(pattern: str) -> None:
    assert "inside of a repeat" in refusal(pattern, has_groups=True)


@pytest.mark.parametrize("seed", range(4))
def test_the_automaton_finds_what_re_finds(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(400):
        edges = draw.choice(["", "^", r"\A"]), draw.choice(["", "$", r"\Z"])
        pattern = edges[0] + drawn(draw, 3) + edges[1]
        text = "".join(draw.choices("abx1 \nA", k=draw.randrange(7)))
        with suppress(Unbounded):
            assert automaton(pattern).finds(text) == (re.search(pattern, text) is not None), (pattern, text)


CATASTROPHES = [
    "(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*)*x", r"^(\w+\s?)*$", "(x+x+)+y", ".*.*.*.*=;", "a?" * 30 + "a" * 30 + "!",
    "(a?){30}a{30}!", r"^(([a-z])+.)+[A-Z]([a-z])+$", "(?:a|b|ab)*c", r"(?i)(\w|\d)+!!", "^(a|.)*?!!$", "(a*)*b", "((a*)*)*b",
]  # fmt: skip


@pytest.mark.parametrize("pattern", CATASTROPHES)
@pytest.mark.parametrize("text", ["a" * LONGEST + "!", "ab" * (LONGEST // 2), "a" * 40 + "\n"])
def test_no_text_makes_a_pattern_endless(pattern: str, text: str) -> None:
    assert refusal(pattern) == ""
    assert finds(pattern, text) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(a+)+\1", "it has a reference to a group"),
        ("(?=(a+)+)x", "it has look-around"),
        (r"\b(a+)+$", "an anchor of lines"),
        ("(?m)^(a+)+$", "an anchor of lines"),
        ("(?:a{1,400}){1,400}b", "more than 500 characters"),
        ("(a+$)+b", "it has $ inside"),
        ("((?>a+))+b", "what cannot be looked for otherwise"),
    ],
)
def test_what_no_time_can_be_promised_for_is_refused(pattern: str, why: str) -> None:
    assert "in too many ways" in refusal(pattern)
    assert why in refusal(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["^ok", r"^\d+ of \d+$", "^(foo|bar|baz)+$", r"(?<=id: )\d+", r"^(\w)\1", r"\bdone\b", "(?i)^[a-z]+!$"],
)
def test_usual_patterns_are_taken_as_they_are(pattern: str) -> None:
    assert refusal(pattern) == refusal(pattern, has_groups=True) == ""


def test_groups_are_looked_for_around_the_match_in_a_long_text() -> None:
    page = "<p> name='" * 20_000 + "<input name='csrf' value='a-token'>" + "x" * 100_000
    found = searched("name='csrf' value='([^']+)'", page)
    assert found is not None
    assert found[1] == "a-token"
    assert searched("^<input value='([^']+)'", page) is None
    assert searched("value='(b[^']+)'", page) is None
    assert "inside of a repeat" in refusal("((a+)+)b", has_groups=True)
    assert reach("value='([^']+)'") > 10_000


SAID = r"""
path: /ws
steps:
  - expect: [{type: hello, save: {name: name}}]
  - expect: [{type: bye, text: {matches: "^bye ${name}$"}}]
"""


@pytest.mark.parametrize("name", ["ann", "a.n+", "((((", "(a+)+$", "[", "\\"])
def test_what_is_filled_in_to_a_pattern_is_looked_for_as_it_is(name: str) -> None:
    hello = {"type": "hello", "name": name}
    held = play(scenario(SAID), hello, {"type": "bye", "text": f"bye {name}"})
    assert (held.conversation.kind, held.conversation.detail) == (Kind.OK, "")
    other = play(scenario(SAID), hello, {"type": "bye", "text": "bye anna"})
    assert other.conversation.kind is Kind.TIMED_OUT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("^bye ${name}$", r"(${name}+)+\\1"), "could take for ever: it may be tried in too many ways"),
        (("^bye ${name}$", "(${name}"), "is no regular expression: missing )"),
        (("^bye", "(?<=a+)"), "is no regular expression: look-behind requires fixed-width"),
        (("path: /ws", "path: /ws\nclose: {reason: '((a+)+)\\1'}"), "could take for ever"),
        (("path: /ws", "path: /ws\nframing: {name: text, pattern: '(a+)+'}"), "without repeats inside of repeats"),
        (("path: /ws", "path: /ws\nhttp: [{path: /a, save: {b: 'text:((a+)+)'}}]"), "could take for ever"),
        (("^bye", "(" * 5000), "is no regular expression"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_be_bounded_is_refused_with_its_place(
    change: tuple[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=r"\d+:\d+") as refused:
        scenario(SAID.replace(*change))
    assert words in str(refused.value)


FILLED = r"""
path: /ws
steps:
  - expect: [{type: hello, save: {name: name}}]
  - expect: [{type: bye, text: {matches: 'PATTERN'}}]
"""


@pytest.mark.parametrize(
    ("pattern", "name", "words"),
    [
        ("[a-${name}]", "A", "is no regular expression"),
        ("[${name}]", "", "is no regular expression"),
        (r"(?:b|${name}){30}\b", "b", "could take for ever"),
        (r"\ba{${name}}", "99999999999", "is no regular expression"),
        (r"\b(a+){${name}}$", 30, "could take for ever"),
    ],
)
def test_a_pattern_that_what_is_filled_in_makes_unbounded_is_nobodys_fault(
    pattern: str, name: object, words: str
) -> None:
    """Neither an error of ours in the middle of a round nor one that the service is judged by."""
    hello: dict[str, object] = {"type": "hello", "name": name}
    held = play(scenario(FILLED.replace("PATTERN", pattern)), hello, {"type": "bye", "text": "bye"})
    assert held.conversation.kind is Kind.NOT_SPOKEN
    assert pattern in held.conversation.detail
    assert words in held.conversation.detail


ASKED = r"""
path: /ws
steps:
  - expect: [{type: hello, save: {name: name}}]
  - when: {type: ask, text: {matches: '[a-${name}]'}}
    reply: {type: answer}
  - expect: [bye]
"""


def test_so_is_one_of_what_is_replied_to() -> None:
    held = play(scenario(ASKED), {"type": "hello", "name": "A"}, {"type": "ask", "text": "b"})
    assert (held.conversation.kind, "[a-${name}]" in held.conversation.detail) == (Kind.NOT_SPOKEN, True)


@pytest.mark.parametrize("pattern", ["(?:a+)+[ab]{400}c", "(?:a+)+(?:[ab]|b){200}c"])
def test_hundreds_of_places_that_ask_the_same_cost_no_more_than_one(pattern: str) -> None:
    """Each character of the text makes a state that was never met, which has about half of the places."""
    draw, calls = random.Random(1), 0
    text = "".join(draw.choices("ab", k=1000))

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    assert "c" not in text
    automaton(pattern)
    sys.setprofile(count)
    try:
        assert not finds(pattern, text)
    finally:
        sys.setprofile(None)
    assert calls < 8 * len(text)


def test_what_is_repeated_and_has_no_character_is_looked_at_once() -> None:
    assert refusal("(a+)+(?:){4000000000}b") == ""
    assert finds("(a+)+(?:){4000000000}b", "xxaab")
