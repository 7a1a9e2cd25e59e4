"""Who is compared with whom, and how often: whole streams of users through evidence and judge."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from pipeline.core import plan
from pipeline.judging import evidence
from pipeline.judging.clients import Clients, place_of
from pipeline.judging.counts import Counts
from pipeline.judging.instances import LOOKBACK
from pipeline.judging.spans import Span, Windows
from pipeline.judging.terms import Criterion
from pipeline.model import LogLine
from tests.containers import exits, requests
from tests.crowd import ARMS, SAMPLING, SECOND, blocks_of, crowd_of, is_sent_back, judged
from tests.fakes import START
from tests.lines import CANDIDATE, STABLE, accept, conversation, run, text
from tests.rollouts import a_wish

COMPLETED = Criterion("agent_completed")

ABANDONED = Criterion("abandoned", weight=0.25)

ERRORS = Criterion("log_serialisation_errors")

EXITS = Criterion("container_exits")

REFUSED = Criterion("refused_requests")

NOBODY = Windows(())  # all sockets are of one window, as if nobody had asked when they were accepted

SAID = "TypeError: Object of type WebSocketState is not JSON serializable"


def _at(seconds: float) -> float:
    return (START + seconds * SECOND).timestamp()


def a_plan(*criteria: Criterion) -> plan.Plan:
    return plan.first(a_wish(criteria=criteria or (COMPLETED,)))


@pytest.mark.parametrize("always_fail", [0.01, 0.05])
def test_stables_old_sockets_are_not_held_against_the_candidates_new_ones(always_fail: float) -> None:
    """The candidate is as good as stable; some clients always fail and come back at once, the healthy stay."""
    made, back, mixed = a_plan(), 0, 0
    for seed in range(60):
        crowd = crowd_of(100, seed, 0.25, always_fail=always_fail).live(16)
        back += is_sent_back(made, blocks_of(crowd.lines, made, 16))
        if seed < 10:
            mixed += _is_sent_back_per_block(made, crowd.lines)
    assert back == 0
    if always_fail == 0.05:
        assert mixed >= 8  # what it would be without strata, and with each client once a block


def _is_sent_back_per_block(made: plan.Plan, lines: list[LogLine]) -> bool:
    """As it was: one window for all, and nobody remembered from block to block."""
    span, now = Span(START, None, 1, 25, START), START + 18 * SAMPLING.block
    blocks = [
        evidence.closed_blocks(
            lines, span, ARMS, SAMPLING, made.terms.criteria, now, windows=NOBODY, clients=Clients(), after=n
        )[0]
        for n in range(-1, 15)
    ]
    return is_sent_back(made, tuple(blocks))


@pytest.mark.parametrize("share_failing", [0.002, 0.01])
def test_long_lived_clients_that_always_fail_send_nobody_back(share_failing: float) -> None:
    """Whichever revision they are on, they keep their socket; with few on it a block alone would count them for ever."""
    made, back = a_plan(), 0
    for seed in range(20):
        crowd = crowd_of(500, seed, 0.05, always_fail=share_failing, fails_reconnects=0.0)
        for client in crowd.clients:  # all were accepted in this window, at its shares
            client.revision = CANDIDATE if crowd.rng.random() < 0.05 else STABLE
            client.accepted = 0.0
        back += is_sent_back(made, blocks_of(crowd.live(12).lines, made, 12, percent=5))
    assert back == 0


def test_a_fault_that_begins_later_among_returning_clients_is_found() -> None:
    """Once an epoch alone would have counted each of them before it broke."""
    made, found = a_plan(), 0
    for seed in range(20):
        crowd = crowd_of(80, seed, 0.25, fails=lambda _, revision, at: revision == CANDIDATE and at >= 100)
        for client in crowd.clients:
            client.revision = CANDIDATE if crowd.rng.random() < 0.25 else STABLE
            client.accepted = 0.0
        blocks = blocks_of(crowd.live(20).lines, made, 20)
        assert not is_sent_back(made, blocks[:10])
        found += is_sent_back(made, blocks)
    assert found == 20


def test_a_hang_whose_users_leave_before_the_deadline_is_found() -> None:
    """None of its runs is decided, so by them alone the candidate would have shown nothing."""
    found = 0
    for seed in range(10):
        crowd = crowd_of(
            60, seed, 0.25, reconnects=0.3, leaves=lambda _, revision, at: revision == CANDIDATE and at > 60
        )
        blocks = blocks_of(crowd.live(16).lines, a_plan(COMPLETED, ABANDONED), 16)
        assert not is_sent_back(a_plan(), blocks)
        *_, state = judged(a_plan(COMPLETED, ABANDONED), blocks)
        found += state.blamed == "abandoned"
    assert found == 10


def test_in_a_block_that_is_all_warm_up_no_instance_is_at_risk() -> None:
    lines = [
        replace(text(n, "tick", revision), instance=revision)
        for n in range(40)
        for revision in (CANDIDATE, STABLE)
    ]
    warm = replace(SAMPLING, warm_up=15 * SECOND)
    blocks = blocks_of(lines, a_plan(EXITS), 3, sampling=warm)
    assert [b.whole("container_exits") for b in blocks[:3]] == [
        Counts(),
        Counts(1, 0, 1, 0),
        Counts(1, 0, 1, 0),
    ]


@pytest.mark.parametrize(("always", "now_and_then"), [(0.05, 0.02), (0.2, 0.3)])
def test_users_who_leave_both_revisions_alike_send_nobody_back(always: float, now_and_then: float) -> None:
    back, made = 0, a_plan(COMPLETED, ABANDONED)
    for seed in range(12):
        impatient = {f"c{seed}-{n}" for n in range(round(100 * always))}
        mood = random.Random(seed)
        crowd = crowd_of(
            100, seed, 0.25, leaves=lambda client, _, __: client.name in impatient or mood.random() < now_and_then  # noqa: B023
        )  # fmt: skip
        back += is_sent_back(made, blocks_of(crowd.live(16).lines, made, 16))
    assert back == 0


def test_runs_that_users_left_do_not_speak_for_a_stage() -> None:
    made = a_plan(COMPLETED, ABANDONED)
    crowd = crowd_of(60, 1, 0.5, reconnects=0.5, leaves=lambda *_: True)
    *_, state = judged(made, blocks_of(crowd.live(8).lines, made, 8))
    assert (state.comparable, state.fresh["agent_completed"]) == (0, Counts())
    assert state.total["abandoned"].candidate_trials > 10


def test_whose_connections_came_to_which_revision_is_told_of_new_clients_alone() -> None:
    crowd = crowd_of(200, 3, 0.25, reconnects=0.5).live(6)
    blocks = blocks_of(crowd.lines, a_plan(), 6)
    assert 70 < blocks[0].came.candidate_trials + blocks[0].came.stable_trials < 130  # half of them, once
    assert 10 < blocks[0].came.candidate_trials < 40
    assert not any(c.came.candidate_trials + c.came.stable_trials for c in blocks[1:6])


def test_a_client_is_out_after_its_first_failure_and_of_no_other_metric() -> None:
    dropped = Criterion("abnormal_1006")
    lines = [
        entry
        for block in range(3)
        for entry in (
            accept(block * 10 + 1, f"s{block}", client="c"), run(block * 10 + 1, "timeout", f"s{block}", took=5, client="c"),
        )
    ]  # fmt: skip
    blocks = blocks_of(lines, a_plan(COMPLETED, dropped), 3)
    assert [b.whole("agent_completed") for b in blocks[:3]] == [Counts(1, 1, 0, 0), Counts(), Counts()]
    assert [b.whole("abnormal_1006").candidate_trials for b in blocks[:3]] == [1, 1, 1]
    assert [b.fresh["agent_completed"].candidate_trials for b in blocks[:3]] == [1, 0, 0]
    assert [b.clients for b in blocks[:3]] == [1, 0, 0]


def test_blocks_folded_one_by_one_through_the_record_are_those_of_one_look() -> None:
    made = a_plan(COMPLETED, ERRORS, EXITS, REFUSED)
    crowd = crowd_of(60, 5, 0.3, always_fail=0.1, reconnects=0.2).live(12)
    lines = sorted([*crowd.lines, *(text(n * 3.5, SAID) for n in range(30))], key=lambda each: each.at)
    at_once = blocks_of(lines, made, 12)
    clients, piecewise = Clients(), []
    for index in range(len(at_once)):
        since = START + index * SAMPLING.block - LOOKBACK
        recent = [each for each in lines if each.at >= since]
        span, now = Span(START, None, 1, 25, START), at_once[index].end + SAMPLING.within + SAMPLING.lateness
        found = evidence.closed_blocks(
            [each for each in recent if each.at <= now], span, ARMS, SAMPLING, made.terms.criteria, now,
            after=index - 1, clients=clients,
        )  # fmt: skip
        piecewise += found
        clients = found[-1].memory
    assert tuple(piecewise) == at_once


def test_lines_in_any_order_and_twice_come_to_the_same() -> None:
    made = a_plan(COMPLETED, ERRORS, EXITS, REFUSED)
    crowd = crowd_of(60, 6, 0.3, always_fail=0.1, reconnects=0.2).live(8)
    lines = [*crowd.lines, *(text(n * 3.5, SAID) for n in range(20)), *exits(7.0, 23.0), *requests(5)]
    straight = blocks_of(sorted(lines, key=lambda each: each.at), made, 8)
    mixed = [*lines, *lines[::3]]
    random.Random(1).shuffle(mixed)
    assert blocks_of(mixed, made, 8) == straight


def test_lines_that_are_lost_on_both_arms_send_nobody_back() -> None:
    made = a_plan()
    for seed in range(10):
        crowd = crowd_of(100, seed, 0.25, reconnects=1.0).live(12)
        kept = [each for each in crowd.lines if crowd.rng.random() > 0.2]
        assert not is_sent_back(made, blocks_of(kept, made, 12))


def test_what_is_compared_was_accepted_in_the_same_window() -> None:
    borders = tuple(START + s * SECOND for s in (-100, 0, 20))
    windows = Windows(borders)

    def a_run(session: str, accepted: float, revision: str) -> LogLine:
        moment = (START + accepted * SECOND).timestamp()
        return run(31, "ok", session, revision, spillway=2, accepted=moment)

    ages = {"before": -500, "last": -50, "moving": 5, "now": 25}
    lines = [a_run(f"{name}{r}", at, r) for name, at in ages.items() for r in (CANDIDATE, STABLE)]
    lines += [run(31, "ok", "unknown", CANDIDATE), run(31, "ok", "unknown too", STABLE)]
    block = blocks_of(lines, a_plan(), 6, windows=windows)[3]
    one = Counts(1, 0, 1, 0)
    alone, newcomers = (Counts(1, 0, 0, 0), Counts(0, 0, 1, 0)), (one, Counts())
    assert block.counts["agent_completed"] == alone + 4 * newcomers


def test_newcomers_are_compared_with_newcomers() -> None:
    """Of those who stay the candidate has fewer than its share, by chance; whoever comes new fails, on either alike."""
    lines = []
    for block in range(60):
        at = block * 10
        for n in range(20):
            session, revision = f"stays{n}", STABLE if n else CANDIDATE
            lines.append(run(at + 5, "ok", session, revision, spillway=2, accepted=_at(1)))
        for n in range(4):
            session, revision = f"new{block}-{n}", STABLE if n else CANDIDATE
            lines += conversation(at + 2 + n, session, revision, ok=False)
    made = a_plan()
    blocks = blocks_of(lines, made, 60)
    assert blocks[1].counts["agent_completed"][-2:] == (Counts(1, 1, 3, 3), Counts(1, 0, 19, 0))
    assert not is_sent_back(made, blocks)


def test_a_newcomer_that_shares_a_bit_is_none_of_those_who_stay() -> None:
    taken = place_of("run/stays")
    twin = next(name for n in range(10**6) if place_of(f"run/{(name := f'twin{n}')}") == taken)
    lines = [run(n * 10 + 5, "ok", "stays", STABLE, spillway=2, accepted=_at(1)) for n in range(2)]
    lines += conversation(16, twin, CANDIDATE, ok=False, spillway=2, accepted=_at(16))
    second = blocks_of(lines, a_plan(), 2)[1]
    assert second.counts["agent_completed"][-2:] == (Counts(1, 1, 0, 0), Counts(0, 0, 1, 0))


def test_an_address_that_retries_in_a_loop_is_no_office_after_its_first_block() -> None:
    """Its sockets are many; that all of them fail is seen once in an epoch, not in each block anew."""
    lines = []
    for block in range(6):
        at = block * 10
        for n in range(80):
            revision = STABLE if n % 4 else CANDIDATE
            lines += conversation(at + n / 10, f"r{block}-{n}", revision, client=f"r{n}")
        for n in range(25):
            session, revision = f"b{block}-{n}", STABLE if n % 4 else CANDIDATE
            lines += conversation(at + n / 5, session, revision, ok=False, client="broken")
    counts = [block.whole("agent_completed") for block in blocks_of(lines, a_plan(), 6)[:6]]
    assert [(c.candidate_failures, c.stable_failures) for c in counts] == [(7, 18)] + [(0, 0)] * 5


def test_an_office_of_which_some_sockets_fail_stays_one() -> None:
    lines = []
    for block in range(3):
        for n in range(120):
            session, ok = f"o{block}-{n}", n % 3 > 0
            lines += conversation(block * 10 + n / 20, session, STABLE, ok=ok, client="office")
    blocks = blocks_of(lines, a_plan(), 3)[:3]
    assert all(block.whole("agent_completed").stable_trials >= 110 for block in blocks)  # a few share a bit


def test_an_office_needs_many_sockets_and_its_clients_are_its_sockets() -> None:
    others = [entry for n in range(80) for entry in conversation(n / 10, f"x{n}", STABLE)]

    def office(sockets: int) -> list[LogLine]:
        lines = [accept(0, f"o{n}", STABLE, client="office") for n in range(sockets)]
        return lines + [run(n / 5, "ok", f"o{n % sockets}", STABLE, client="office") for n in range(40)]

    def counted(lines: list[LogLine]) -> int:
        return blocks_of([*lines, *others], a_plan(), 1)[0].whole("agent_completed").stable_trials

    assert counted(office(1)) == 80 + 1
    assert counted(office(19)) == 80 + 1
    assert counted(office(20)) == 80 + 20
    assert counted(office(40)) == 80 + 40
