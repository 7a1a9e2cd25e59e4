"""Blocks: cohorts by start, the same closing moment for both arms, one trial a client, cuts, warm-up; exposure."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import plan
from pipeline.judging import evidence, judge
from pipeline.judging.counts import Block, Counts
from pipeline.judging.exposure import Exposure, exposure
from pipeline.judging.judgement import Verdict
from pipeline.judging.probes import Round
from pipeline.judging.reading import Arm
from pipeline.judging.spans import Span, horizon, last_closed
from pipeline.judging.terms import Criterion, Sampling
from pipeline.model import LogLine
from tests.crowd import blocks_of, is_sent_back
from tests.fakes import START
from tests.lines import CANDIDATE, STABLE, accept, close, conversation, line, run, start, text
from tests.rollouts import a_wish

SECOND = timedelta(seconds=1)
SAMPLING = Sampling(
    block=10 * SECOND, within=5 * SECOND, lateness=2 * SECOND, warm_up=timedelta(0), min_trials=10
)
ARMS = (Arm(CANDIDATE, f"n-{CANDIDATE}"), Arm(STABLE, f"n-{STABLE}"))
SPAN = Span(START, None, 1, 5, START)
COMPLETED = Criterion("agent_completed")


def blocks(
    lines: list[LogLine], at: float = 600, *criteria: Criterion, span: Span = SPAN, sampling: Sampling = SAMPLING,
    after: int = -1, arms: tuple[Arm, Arm | None] = ARMS,
) -> tuple[Block, ...]:  # fmt: skip
    moment = START + at * SECOND
    seen = [entry for entry in lines if entry.at <= moment]
    return evidence.closed_blocks(seen, span, arms, sampling, criteria or (COMPLETED,), moment, after=after)


def counts(
    lines: list[LogLine],
    *criteria: Criterion,
    span: Span = SPAN,
    sampling: Sampling = SAMPLING,
    arms: tuple[Arm, Arm | None] = ARMS,
) -> Counts:
    """Of the first block."""
    wanted = criteria or (COMPLETED,)
    return blocks(lines, 600, *wanted, span=span, sampling=sampling, arms=arms)[0].whole(wanted[0].metric)


def test_a_block_closes_at_its_end_plus_deadline_plus_lateness() -> None:
    assert blocks([], 16.999) == ()
    (first,) = blocks([], 17)
    assert (first.index, first.start, first.end) == (0, START, START + 10 * SECOND)
    assert [b.index for b in blocks([], 47)] == [0, 1, 2, 3]
    assert [b.index for b in blocks([], 47, after=1)] == [2, 3]


def test_silence_is_a_block_with_nothing_in_it() -> None:
    assert counts([]) == Counts(0, 0, 0, 0)


def test_a_trial_belongs_to_the_block_in_which_it_began() -> None:
    late = [accept(9.9, "s"), run(9.9, "timeout", "s", took=5)]
    first, second, *_ = blocks(late)
    assert first.whole("agent_completed") == Counts(1, 1, 0, 0)
    assert second.whole("agent_completed") == Counts()


def test_a_trial_that_began_with_a_block_is_in_that_one_alone() -> None:
    first, second, *_ = blocks(conversation(10, "s"))
    assert (first.whole("agent_completed"), second.whole("agent_completed")) == (
        Counts(),
        Counts(1, 0, 0, 0),
    )


def test_early_failures_are_not_counted_before_the_successes_of_their_cohort() -> None:
    """Length bias: a broken run ends at once, a good one takes four seconds. Both arms are alike."""
    lines: list[LogLine] = []
    for number in range(100):
        at, revision, bad = number / 10, (CANDIDATE, STABLE)[number % 2], number % 10 < 2
        lines += [
            accept(at, f"s{number}", revision),
            run(at, "timeout" if bad else "ok", f"s{number}", revision, took=0.01 if bad else 4),
        ]
    for moment in (1, 5, 9, 12, 16):
        assert blocks(lines, moment) == ()
    assert blocks(lines, 17)[0].whole("agent_completed") == Counts(50, 10, 50, 10)


def test_a_new_split_cuts_the_last_block_and_does_not_discard_it() -> None:
    cut = Span(START, START + 13 * SECOND, 1, 5)
    lines = [*conversation(12, "in"), *conversation(14, "after")]
    assert [b.index for b in blocks(lines, 19.9, span=cut)] == [0]
    first, last = blocks(lines, 20, span=cut)
    assert (last.start, last.end) == (START + 10 * SECOND, START + 13 * SECOND)
    assert last.whole("agent_completed") == Counts(1, 0, 0, 0)
    assert blocks(lines, 900, span=cut) == (first, last)


@pytest.mark.parametrize(("end_s", "last"), [(0.001, 0), (9.999, 0), (10, 0), (10.001, 1), (20, 1)])
def test_how_many_blocks_a_span_that_ended_has(end_s: float, last: int) -> None:
    cut = Span(START, START + end_s * SECOND, 1, 5)
    assert last_closed(cut, SAMPLING, START + 100 * SECOND) == last


def test_a_clients_first_trial_over_both_arms_is_judged_and_the_rest_shown() -> None:
    lines = [
        *conversation(1, "a", client="c"),
        *conversation(2, "b", STABLE, client="c"),
        *conversation(3, "d", ok=False, client="c"),
    ]
    (first, *_) = blocks(lines)
    assert first.whole("agent_completed") == Counts(1, 0, 0, 0)
    assert first.shown == 1


def test_an_office_behind_one_address_is_exempt_and_needs_to_be_one() -> None:
    office = [entry for n in range(40) for entry in conversation(n / 10, f"o{n}", STABLE, client="office")]
    others = [entry for n in range(80) for entry in conversation(n / 10, f"x{n}", STABLE)]
    assert counts([*office, *others]).stable_trials == 120
    assert (
        counts([*office, *others[: 3 * 30]]).stable_trials == 1 + 30
    )  # 70 trials: too few to call it an office
    few = [entry for n in range(20) for entry in conversation(n / 10, f"o{n}", STABLE, client="office")]
    assert counts([*few, *others]).stable_trials == 1 + 80  # exactly a fifth is not more than a fifth


def _day(rng: random.Random, *, broken_client: bool, block: int) -> list[LogLine]:
    """Sixty good users in a block, and perhaps one whose own network breaks each of twenty tries to reconnect."""
    begun = block * 10.0
    lines: list[LogLine] = []
    for number in range(60):
        revision = CANDIDATE if rng.random() < 0.05 else STABLE
        lines += conversation(begun + number / 10, f"{block}/{number}", revision)
    for number in range(20 if broken_client else 0):
        revision = CANDIDATE if rng.random() < 0.05 else STABLE
        lines += conversation(begun + number / 5, f"{block}/x{number}", revision, ok=False, client="broken")
    return lines


def test_one_broken_client_that_reconnects_does_not_send_a_healthy_candidate_back() -> None:
    made = plan.first(a_wish(criteria=(Criterion("server_error_1011"),)))
    for seed in range(8):
        rng = random.Random(seed)
        lines = [entry for block in range(15) for entry in _day(rng, broken_client=True, block=block)]
        state = judge.observe_probes(judge.begin(made), made, Round(ok=1))
        for each in blocks(lines, 600, *made.terms.criteria):
            state = judge.observe(state, made, each)
            assert judge.judge_stage(state, made, 1).verdict is not Verdict.FAIL


def test_warm_up_is_shown_not_judged() -> None:
    warm = Sampling(10 * SECOND, 5 * SECOND, 2 * SECOND, 4 * SECOND, 10)
    lines = [*conversation(3.9, "cold", ok=False), *conversation(4, "warm")]
    first, second, *_ = blocks([*lines, *conversation(11, "later")], 600, sampling=warm)
    assert first.whole("agent_completed") == Counts(1, 0, 0, 0)
    assert first.shown == 1
    assert second.whole("agent_completed") == Counts(1, 0, 0, 0)  # only a stage's beginning is warm-up


@pytest.mark.parametrize(
    ("arrived", "warm_up", "judged_from"),
    [(0, 4, 4), (20, 4, 24), (60, 4, 64), (61, 4, 64), (None, 4, 64), (20, 0, 0), (None, 0, 0)],
)
def test_warm_up_begins_when_the_split_was_seen_and_soon(
    arrived: int | None, warm_up: int, judged_from: int
) -> None:
    span = replace(SPAN, arrived=None if arrived is None else START + arrived * SECOND)
    assert span.warm_from(warm_up * SECOND) == START + judged_from * SECOND


@pytest.mark.parametrize("revision", [CANDIDATE, STABLE])
def test_what_is_complained_of_while_warming_up_is_not_judged(revision: str) -> None:
    warm = Sampling(10 * SECOND, 5 * SECOND, 2 * SECOND, 4 * SECOND, 10)
    lines = [*conversation(5, "s", revision), text(2, "Object of type X is not JSON serializable", revision)]
    seen = counts(lines, Criterion("log_serialisation_errors"), sampling=warm)
    assert (seen.candidate_failures, seen.stable_failures) == (0, 0)


@pytest.mark.parametrize("revision", [CANDIDATE, STABLE])
def test_a_session_that_complained_while_warming_up_is_not_blamed_for_its_later_run(revision: str) -> None:
    warm = Sampling(10 * SECOND, 5 * SECOND, 2 * SECOND, 4 * SECOND, 10)
    first, later = run(1, "ok", "s", revision), run(5, "ok", "s", revision)
    cold = text(1.1, "Object of type X is not JSON serializable", revision)
    seen = counts(
        [accept(1, "s", revision), first, cold, later], Criterion("log_serialisation_errors"), sampling=warm
    )
    assert (seen.candidate_trials + seen.stable_trials, seen.candidate_failures + seen.stable_failures) == (
        1,
        0,
    )


def test_what_comes_late_or_never_is_slow() -> None:
    slow = Criterion("first_event", slower_than=timedelta(milliseconds=100))
    lines = [accept(1, "a"), run(1, "ok", "a", first=150.0), accept(1, "b"), run(1, "ok", "b", first=90.0),
             accept(1, "c"), run(1, "timeout", "c", took=5, first=None)]  # fmt: skip
    assert counts(lines, slow) == Counts(3, 2, 0, 0)


def test_error_lines_are_failures_but_never_more_than_there_are_trials() -> None:
    lines = conversation(1, "s") + [text(2, "TypeError: Object of type X is not JSON serializable")] * 3
    assert counts(lines, Criterion("log_serialisation_errors")) == Counts(1, 1, 0, 0)


def test_forged_lines_move_nothing() -> None:
    """A user who can print lines: a hundred failures without the nonce, on the candidate."""
    honest = [entry for n in range(20) for entry in conversation(n / 3, f"s{n}")]
    forged = [line(n / 30, "ws_accept", f"f{n}", nonce="guess") for n in range(100)]
    assert counts(honest + forged) == counts(honest) == Counts(20, 0, 0, 0)


def test_a_service_that_falls_silent_after_accepting_fails() -> None:
    silent = [accept(n / 2, f"s{n}") for n in range(8)]
    assert counts(silent) == Counts(8, 8, 0, 0)


def test_without_a_stable_revision_its_side_is_empty() -> None:
    alone = Span(START, None, 1, 100)
    assert counts(
        [*conversation(1, "a"), *conversation(1, "b", STABLE)], span=alone, arms=(ARMS[0], None)
    ) == Counts(1, 0, 0, 0)


def test_the_horizon_is_counted_in_blocks() -> None:
    assert horizon([timedelta(minutes=5), timedelta(minutes=10)], SAMPLING) == 90
    assert horizon([], SAMPLING) == 1


def test_exposure_tells_what_users_met() -> None:
    lines = [
        *conversation(1, "good"), *conversation(2, "bad", ok=False), accept(3, "open"), run(3, "ok", "open"),
        accept(4, "left"), run(4, "closed", "left"), close(4.5, 1000, "left", by="client"),
        line(5, "ws_accept", "forged", nonce="x"), accept(6, "probe", probe=True),
    ]  # fmt: skip
    seen = exposure(lines, ARMS[0], SAMPLING, START + 60 * SECOND)
    assert (seen.sessions, seen.affected, seen.open_sockets, seen.runs) == (4, 1, 1, 4)
    assert (seen.abandoned, seen.forged) == (1, 1)
    assert seen.closes == {"normal": 2, "server_error_1011": 1}
    assert seen.first_bad_at == START + 2 * SECOND
    assert seen.last_line_at == START + 6 * SECOND


def test_a_user_whose_own_end_was_abnormal_was_not_affected() -> None:
    lines = [
        accept(1, "s"),
        run(1, "ok", "s"),
        close(20, 1006, "s", by="lost"),
        accept(2, "t"),
        close(3, 1011, "t", by="client"),
    ]
    seen = exposure(lines, ARMS[0], SAMPLING, START + 60 * SECOND)
    assert (seen.sessions, seen.affected, seen.first_bad_at) == (2, 0, None)


def test_a_handshake_that_could_not_be_answered_is_a_session_that_was_refused() -> None:
    lines = [*conversation(1, "s"), line(2, "ws_refused", "r", status=500)]
    seen = exposure(lines, ARMS[0], SAMPLING, START + 60 * SECOND)
    assert (seen.sessions, seen.refused, seen.affected) == (2, 1, 1)


def test_nobody_is_exposed_by_no_lines() -> None:
    assert exposure([], ARMS[0], SAMPLING, START) == Exposure()


def test_exposure_counts_lines_that_complain_and_lines_that_are_missing() -> None:
    complaint = LogLine(
        "e1", START + 7 * SECOND, CANDIDATE, text="Object of type WebSocketState is not JSON serializable"
    )
    lines = [
        *conversation(1, "good"),
        accept(2, "silent"),
        accept(3, "open"),
        run(3, "ok", "open"),
        complaint,
    ]
    seen = exposure(lines, ARMS[0], SAMPLING, START + 60 * SECOND)
    assert (seen.errors, seen.silent) == (1, 1)
    assert seen.last_close_at == START + 1.3 * SECOND
    early = exposure(lines, ARMS[0], SAMPLING, START + 4 * SECOND)
    assert early.silent == 0  # its answer is not due yet


def test_exposure_is_of_the_sessions_that_began_in_it_and_they_add_up() -> None:
    old = [
        run(2, "closed", "old"),
        close(3, 1011, "old", by="server"),
    ]  # accepted before the first line that was read
    lines = [
        *old, accept(1, "a"), close(2, 1011, "a", by="server"), accept(1, "b"), close(2, 1011, "b", by="client"),
        accept(1, "c"), close(2, 1006, "c", by="lost"), accept(1, "d"),
    ]  # fmt: skip
    seen = exposure(lines, ARMS[0], SAMPLING, START + 4 * SECOND)
    assert seen.closes == {"server_error_1011": 1, "by_client": 1, "lost": 1}
    assert (seen.sessions, seen.affected, seen.open_sockets, seen.runs) == (4, 1, 1, 0)


@pytest.mark.parametrize(("first", "second"), [(CANDIDATE, STABLE), (STABLE, CANDIDATE)])
def test_of_a_client_on_both_arms_the_run_that_began_first_counts(first: str, second: str) -> None:
    lines = [*conversation(1, "a", first, client="c"), *conversation(2, "b", second, client="c", ok=False)]
    assert counts(lines) == (Counts(1, 0, 0, 0) if first == CANDIDATE else Counts(0, 0, 1, 0))


def of_version_1(lines: Iterable[LogLine], *revisions: str) -> list[LogLine]:
    """The same service with the middleware of then: no line at a run's start, and none that repeats the accept."""
    found = []
    for each in lines:
        if each.revision not in revisions:
            found.append(each)
        elif each.payload["event"] != "agent_start":
            told = {key: value for key, value in each.payload.items() if key != "accepted"}
            found.append(replace(each, payload={**told, "spillway": 1}))
    return found


def unended(seed: int, *, rate: float, rates: tuple[float, float] | None = None) -> list[LogLine]:
    """Sockets of two runs; of the second one nothing more is heard, for a share of them.

    Args:
        rates: of the candidate, and of stable; else ``rate``.
    """
    rng, lines = random.Random(seed), []
    of_candidate, of_stable = rates or (rate, rate)
    for n in range(600):
        at, name = n * 0.25, f"s{seed}-{n}"
        revision = CANDIDATE if rng.random() < 0.25 else STABLE
        told = {"spillway": 2, "accepted": (START + timedelta(seconds=at)).timestamp()}
        lines += [accept(at, name, revision, **told), start(at + 0.1, name, revision, **told)]
        lines += [run(at + 0.1, "ok", name, revision, **told), start(at + 11, name, revision, run=2, **told)]
        if rng.random() >= (of_candidate if revision == CANDIDATE else of_stable):
            later = (START + timedelta(seconds=at + 11)).timestamp()
            ended = {**told, "run": 2, "started": later, "outcome": "ok", "first_event_ms": 1.0}
            lines.append(line(at + 11.1, "agent_run", name, revision, **ended))
            lines.append(close(at + 12, 1000, name, revision, by="client", **told))
    return sorted(lines, key=lambda each: each.at)


def test_a_run_that_never_ended_is_held_against_a_revision_only_beside_one_that_would_have_told_it() -> None:
    made, back = plan.first(a_wish(criteria=(Criterion("agent_completed"),))), 0
    for seed in range(4):
        lines = unended(seed, rate=0.3)
        for revisions in ((STABLE,), (CANDIDATE,)):
            told = of_version_1(lines, *revisions)
            back += is_sent_back(made, blocks_of(told, made, 15))
            as_both = blocks_of(of_version_1(lines, STABLE, CANDIDATE), made, 15)
            assert [b.counts for b in blocks_of(told, made, 15)] == [b.counts for b in as_both]
        assert not is_sent_back(made, blocks_of(lines, made, 15))
    assert back == 0
    assert is_sent_back(made, blocks_of(unended(1, rate=0.0, rates=(1.0, 0.0)), made, 15))


def test_where_stable_was_not_heard_the_candidates_unended_runs_wait_for_nobody() -> None:
    """What stable would have told is known of no one; stable's own are its failures all the same."""
    made = plan.first(a_wish(criteria=(Criterion("agent_completed"),)))
    lines = unended(1, rate=1.0)
    alone = blocks_of([each for each in lines if each.revision == CANDIDATE], made, 15)
    assert not sum(b.whole("agent_completed").candidate_failures for b in alone)
    assert sum(b.whole("agent_completed").candidate_trials for b in alone)
    at_100 = blocks_of([each for each in lines if each.revision == CANDIDATE], made, 15, percent=100)
    assert sum(b.whole("agent_completed").candidate_failures for b in at_100) > 50
    of_stable = blocks_of([each for each in lines if each.revision == STABLE], made, 15)
    assert sum(b.whole("agent_completed").stable_failures for b in of_stable) > 50


def test_beside_version_1_nobody_knows_of_either_how_old_its_sockets_are() -> None:
    """Stable's old ones tell it no more; the candidate's old ones against stable's young ones would be no comparison."""
    old = {"spillway": 2, "accepted": (START - timedelta(minutes=5)).timestamp()}
    for version, of_unknown_age in ((1, [Counts(1, 0, 0, 0), Counts(0, 0, 1, 0)]), (2, [Counts(), Counts()])):
        beside = old if version == 2 else {}
        found, *_ = blocks([run(1, "ok", "a", **old), run(1, "ok", "b", STABLE, **beside)])
        assert list(found.counts["agent_completed"][:2]) == of_unknown_age
