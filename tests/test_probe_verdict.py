"""The partial order and the table of outcomes, as values."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.matching import Expectation, first_difference, matches
from pipeline.probe.probe_report import Confirming, ProbeReport
from pipeline.probe.scenario import Scenario
from pipeline.probe.server_errors import error_words
from pipeline.probe.steps import Close, Expect
from pipeline.probe.verdict import Closing, Ending, Progress, judge_conversation
from pipeline.redact import SINK
from tests.fakes import START
from tests.hostile import FIVE

Names = list[list[str]]
CLEAN = Ending(close=Closing(1000, by_server=False))
STILL_OPEN = Ending()

unhurried = settings(deadline=None)  # a busy machine is no finding


def at_start(groups: tuple[tuple[Expectation, ...], ...]) -> Progress:
    return Progress.at_start(groups)


def follow(groups: tuple[tuple[Expectation, ...], ...], *names: str) -> Progress:
    progress = at_start(groups)
    for name in names:
        progress = progress.after({"type": name})
    return progress


def expecting(groups: Names) -> Scenario:
    return Scenario.short(
        "s", "/ws", groups=tuple(tuple(Expectation({"type": n}) for n in group) for group in groups)
    )


def groups_of(wanted: Scenario) -> tuple[tuple[Expectation, ...], ...]:
    (step,) = wanted.steps
    assert isinstance(step, Expect)
    return step.groups


def outcome(groups: Names, names: list[str], ending: Ending = CLEAN) -> Conversation:
    wanted = expecting(groups)
    return judge_conversation(wanted, follow(groups_of(wanted), *names), ending, seconds=1.0)


def one_by_one(*names: str) -> Names:
    return [[name] for name in names]


# Groups of distinct events: sizes are drawn, names follow.
orders = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(
    lambda sizes: [[f"e{sum(sizes[:i])}.{j}" for j in range(size)] for i, size in enumerate(sizes)]
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Names, list[str]]:
    """A partial order and one of the sequences that it allows, with strangers strewn in."""
    groups = draw(orders)
    names = [name for group in groups for name in draw(st.permutations(group))]
    for position in draw(st.lists(st.integers(0, len(names)), max_size=5)):
        names.insert(position, "stranger")
    return groups, names


@unhurried
@given(conversations())
def test_any_order_inside_groups_is_ok_and_strangers_never_matter(drawn: tuple[Names, list[str]]) -> None:
    groups, names = drawn
    seen = outcome(groups, names)
    assert seen.kind is Kind.OK
    assert list(seen.events) == [name for name in names if name != "stranger"]


@unhurried
@given(conversations(), st.data())
def test_swapped_groups_are_out_of_order(drawn: tuple[Names, list[str]], data: st.DataObject) -> None:
    groups, _ = drawn
    shuffled = data.draw(st.permutations(groups))
    seen = outcome(groups, [name for group in shuffled for name in group])
    assert seen.kind is (Kind.OK if shuffled == groups else Kind.OUT_OF_ORDER)


@unhurried
@given(conversations(), st.data())
def test_a_dropped_event_is_named(drawn: tuple[Names, list[str]], data: st.DataObject) -> None:
    groups, names = drawn
    lost = data.draw(st.sampled_from([n for n in names if n != "stranger"]))
    names.remove(lost)
    seen = outcome(groups, names, STILL_OPEN)
    assert seen.kind is (Kind.TIMED_OUT if lost in groups[-1] else Kind.MISSING_EVENTS)
    assert lost in seen.detail
    assert outcome(groups, names, Ending(close=Closing(1011))).kind is Kind.CLOSED_EARLY


@unhurried
@given(conversations(), st.data())
def test_a_doubled_event_is_a_fault_unless_it_may_repeat(
    drawn: tuple[Names, list[str]], data: st.DataObject
) -> None:
    groups, names = drawn
    where = data.draw(st.integers(0, len(names) - 1).filter(lambda i: names[i] != "stranger"))
    again = data.draw(st.integers(where, len(names) - 1))
    doubled = [*names[: again + 1], names[where], *names[again + 1 :]]
    wanted = expecting(groups)
    progress = follow(groups_of(wanted), *doubled[:-1])
    if not progress.is_complete:  # what comes after the last expected event is not judged
        assert outcome(groups, doubled).kind is Kind.OUT_OF_ORDER
    lenient = tuple(tuple(replace(e, most=None) for e in group) for group in groups_of(wanted))
    assert not follow(lenient, *doubled).disorder
    assert follow(lenient, *doubled).is_complete


def test_a_sequence_may_name_an_event_twice() -> None:
    groups = one_by_one("ask", "answer", "ask", "answer")
    assert outcome(groups, ["ask", "answer", "ask", "answer"]).is_ok
    assert outcome(groups, ["ask", "ask", "answer", "answer"]).kind is Kind.OUT_OF_ORDER


def test_a_repeat_is_not_taken_for_a_later_group() -> None:
    token = Expectation({"type": "token"}, most=None)
    groups = ((token,), (Expectation({"type": "tool"}),), (token,))
    assert not follow(groups, "token", "token", "token", "tool", "token").disorder


def test_an_event_that_may_repeat_excuses_no_other() -> None:
    groups = ((Expectation({"type": "token"}, most=None),), *groups_of(expecting([["tool"], ["done"]])))
    assert follow(groups, "token", "token", "tool", "tool").disorder == "tool came twice"


def test_the_expectation_with_most_fields_takes_the_message() -> None:
    loose, tight = Expectation({"type": "t"}), Expectation({"type": "t", "n": 1})
    for group in ((loose, tight), (tight, loose)):
        progress = at_start((group,)).after({"type": "t", "n": 1}).after({"type": "t", "n": 2})
        assert progress.is_complete
        assert not progress.disorder


@pytest.mark.parametrize(
    ("names", "ending", "kind", "detail"),
    [
        pytest.param(FIVE, CLEAN, Kind.OK, "", id="ok"),
        pytest.param(FIVE, Ending(close=Closing(1000)), Kind.OK, "", id="server-first"),
        pytest.param(FIVE, Ending(close=Closing(1005)), Kind.OK, "", id="server-first-without-code"),
        pytest.param(FIVE, STILL_OPEN, Kind.WRONG_CLOSE, "did not answer our close (1000)", id="no-answer"),
        pytest.param(
            FIVE, Ending(close=Closing(1001)), Kind.WRONG_CLOSE, "closed with 1001, expected 1000", id="1001"
        ),
        pytest.param(
            FIVE[:2], Ending(close=Closing(1000)), Kind.CLOSED_EARLY, "server closed with 1000", id="early"
        ),
        pytest.param(
            FIVE[:4],
            Ending(close=Closing(1006, cause="reset")),
            Kind.CLOSED_EARLY,
            "connection lost without a close frame (1006: reset); still awaited: agent_completed",
            id="lost",
        ),
        pytest.param(FIVE[:4], STILL_OPEN, Kind.TIMED_OUT, "still awaited: agent_completed", id="silence"),
        pytest.param(FIVE[1:], STILL_OPEN, Kind.MISSING_EVENTS, "never agent_started", id="missing"),
        pytest.param(FIVE[1:], Ending(close=Closing(1011)), Kind.CLOSED_EARLY, "1011", id="missing-and-1011"),
        pytest.param(
            FIVE[:2],
            Ending(close=Closing(1011, "keepalive ping timeout")),
            Kind.CLOSED_EARLY,
            "it missed our pong",
            id="keepalive",
        ),
        pytest.param(FIVE, Ending(Kind.UNREADABLE, "why"), Kind.UNREADABLE, "why", id="a-fault-stands"),
    ],
)
def test_outcomes(names: tuple[str, ...], ending: Ending, kind: Kind, detail: str) -> None:
    seen = outcome(one_by_one(*FIVE), list(names), ending)
    assert seen.kind is kind
    assert detail in seen.detail


@pytest.mark.parametrize(
    ("fields", "difference"),
    [
        ({"a.b": 1}, ""),
        ({"list.1.c": "x"}, ""),
        ({"true": True, "one": 1}, ""),
        ({"true": 1}, "true is True, expected 1"),
        ({"one": True}, "one is 1, expected True"),
        ({"a.missing": None}, "a.missing is absent, expected None"),
        ({"list.7": 1}, "list.7 is absent, expected 1"),
        ({"one.deeper": 1}, "one.deeper is absent, expected 1"),
        ({"null": None}, ""),
    ],
)
def test_fields_match_by_dotted_path(fields: dict[str, object], difference: str) -> None:
    message = {"a": {"b": 1}, "list": [0, {"c": "x"}], "true": True, "one": 1, "null": None}
    assert first_difference(fields, message) == difference
    assert matches(fields, message) is not bool(difference)


@pytest.mark.parametrize(
    ("close", "kind"),
    [
        (Closing(4000), Kind.OK),
        (Closing(1005, by_server=False), Kind.OK),  # an answer need not repeat our code
        (Closing(1005), Kind.WRONG_CLOSE),
        (Closing(1000), Kind.WRONG_CLOSE),
    ],
    ids=str,
)
def test_a_close_without_a_code_is_not_the_one_that_was_wanted(close: Closing, kind: Kind) -> None:
    wanted = replace(expecting([["a"]]), close=Close(4000))
    seen = judge_conversation(wanted, follow(groups_of(wanted), "a"), Ending(close=close), seconds=1.0)
    assert seen.kind is kind


def held(*conversations: tuple[str, Kind]) -> tuple[Conversation, ...]:
    return tuple(Conversation(scenario, kind, 0.1) for scenario, kind in conversations)


OK, BAD, GONE = Kind.OK, Kind.CLOSED_EARLY, Kind.UNREACHABLE


def block(candidate: Sequence[Kind], control: Sequence[Kind]) -> Confirming:
    return Confirming(held(*(("chat", k) for k in candidate)), held(*(("chat", k) for k in control)))


@pytest.mark.parametrize(
    ("candidate", "control", "is_worse", "is_blind"),
    [
        pytest.param([BAD] * 5, [OK] * 5, True, False, id="stable-held"),
        pytest.param([BAD] * 5, [OK] * 4 + [BAD], True, False, id="stable-stumbled"),
        pytest.param([BAD] * 5, [BAD] * 5, False, True, id="both"),
        pytest.param([GONE] * 5, [GONE] * 3 + [OK] * 2, True, True, id="our-network"),
        pytest.param([OK] * 5, [OK] * 5, False, False, id="nothing-more"),
        pytest.param([OK] * 5, [BAD] * 5, False, False, id="stable-alone"),
        pytest.param([BAD] + [OK] * 4, [], True, False, id="nobody-to-compare-with"),
    ],
)
def test_what_both_show_at_the_same_moments(
    candidate: list[Kind], control: list[Kind], is_worse: bool, is_blind: bool
) -> None:
    report = ProbeReport(START, 1.0, held(("chat", BAD)), confirming=(block(candidate, control),))
    assert (report.is_worse, report.is_blind) == (is_worse, is_blind)


def test_the_last_block_tells() -> None:
    blocks = block([BAD] * 5, [OK] * 5), block([BAD] * 5, [BAD] * 5)
    report = ProbeReport(START, 1.0, held(("chat", BAD)), confirming=blocks)
    assert (report.is_worse, report.is_blind) == (False, True)
    assert report.confirming_words.endswith("again: 5 of 5 against 5 of 5, stable fails too")


@pytest.mark.parametrize("kind", Kind)
def test_stable_is_bad_only_where_it_answered_or_hung_like_the_candidate(kind: Kind) -> None:
    is_bad = kind not in (Kind.OK, Kind.UNREACHABLE, Kind.TIMED_OUT, Kind.NOT_SPOKEN, Kind.UNPROVEN)
    report = ProbeReport(START, 1.0, held(("chat", OK)), held(("chat", Kind.OK), ("files", kind)))
    assert report.is_stable_bad is is_bad
    for often, expected in ((5, is_bad or kind is Kind.TIMED_OUT), (3, is_bad), (1, False)):
        beside = block([BAD] * 5, [kind] * often + [OK] * (5 - often))
        again = ProbeReport(START, 1.0, held(("chat", BAD)), held(("chat", OK)), confirming=(beside,))
        assert again.is_stable_bad is expected


@pytest.mark.parametrize("message", ["text", 7, None, [], True])
def test_json_that_is_no_object_matches_nothing(message: object) -> None:
    progress = at_start(((Expectation({"type": "a"}),),))
    assert not progress.after(message).events


def test_what_is_told_of_a_message_has_no_half_of_a_secret() -> None:
    secret = "opaque" * 150
    SINK.learn(secret)
    said = {"type": "error", "message": f"no such token: {secret}", "token": secret}
    told = [
        error_words(said),
        first_difference({"token": "another"}, said),
        first_difference({"token": secret}, {}),
    ]
    assert not [words for words in told if "opaque" in words]
    assert error_words(said).startswith("{'type': 'error', 'message': 'no such token: [redacted]'")
    assert first_difference({"text": "a"}, {"text": "b" * 900}) == f"text is '{'b' * 199}, expected 'a'"
