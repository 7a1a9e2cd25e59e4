"""Cohorts: what the platform says of containers and requests, and error lines."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.judging.counts import Counts
from pipeline.judging.exposure import exposure
from pipeline.judging.reading import Arm
from pipeline.judging.terms import Criterion, Sampling
from pipeline.model import LogLine
from tests.containers import alive, exits, requests, system
from tests.crowd import ARMS, SAMPLING, SECOND, blocks_of, is_sent_back
from tests.fakes import START
from tests.lines import CANDIDATE, STABLE, accept, close, conversation, line, run, text
from tests.test_cohorts import COMPLETED, ERRORS, EXITS, REFUSED, SAID, a_plan


def test_a_container_that_exits_counts_once_whatever_its_code_and_however_many_runs_it_takes_along() -> None:
    steady = alive("s", STABLE, 0, 60) + alive("c", CANDIDATE, 0, 60)
    for code in (0, 1, 137):
        lines = sorted([*steady, *exits(15.5, instance="d", code=code)], key=lambda each: each.at)
        (first, second, *_) = blocks_of(lines, a_plan(EXITS), 5)
        assert first.whole("container_exits") == Counts(2, 0, 1, 0)
        assert second.whole("container_exits") == Counts(2, 1, 1, 0)


def test_an_instance_that_the_platform_gave_up_while_it_was_idle_did_not_crash() -> None:
    lines = [
        *alive("i", CANDIDATE, 0, 5),
        system(100, "Container called exit(0).", "i"),
        *alive("s", STABLE, 0, 140),
    ]
    assert (
        sum(b.whole("container_exits").candidate_failures for b in blocks_of(lines, a_plan(EXITS), 12)) == 0
    )
    crash = [
        *alive("i", CANDIDATE, 0, 5),
        system(100, "Container called exit(3).", "i"),
        *alive("s", STABLE, 0, 140),
    ]
    assert (
        sum(b.whole("container_exits").candidate_failures for b in blocks_of(crash, a_plan(EXITS), 12)) == 1
    )


def test_the_farewell_of_an_idle_instance_is_no_use_of_it() -> None:
    """On SIGTERM a server prints that it shuts down; one that had just begun, or was in use, has crashed all the same."""

    def exits_after(*last: LogLine) -> int:
        ends = [*last, system(100, "Container called exit(0).", "i")]
        lines = sorted([*alive("i", CANDIDATE, 0, 5), *alive("s", STABLE, 0, 140), *ends], key=lambda e: e.at)
        return sum(b.whole("container_exits").candidate_failures for b in blocks_of(lines, a_plan(EXITS), 12))

    def said(at: float) -> LogLine:
        return replace(text(at, "INFO:     Shutting down"), instance="i")

    assert exits_after(said(99.7), said(99.9)) == 0
    assert exits_after(said(80)) == 1
    assert exits_after(system(96, "Starting new instance. Reason: AUTOSCALING", "i"), said(98)) == 1
    assert exits_after(replace(accept(99, "a"), instance="i")) == 1


@pytest.mark.parametrize("at", [9e11, -9e11, 2.6e11])
def test_a_time_that_no_calendar_has_is_left_out(at: float) -> None:
    lines = [accept(1, "a"), close(2, 1011, "a")]
    broken = [replace(entry, payload={**entry.payload, "at": at}) for entry in lines]
    assert exposure(broken, ARMS[0], SAMPLING, START + 60 * SECOND).sessions == 0


def test_what_a_service_prints_ends_no_instance() -> None:
    printed = LogLine(
        "p", START + 5 * SECOND, CANDIDATE, text="Container called exit(1).", instance="i", log="stdout"
    )
    lines = [*alive("i", CANDIDATE, 0, 5), printed, *alive("s", STABLE, 0, 10)]
    assert blocks_of(lines, a_plan(EXITS), 1)[0].whole("container_exits") == Counts(1, 0, 1, 0)


def test_a_socket_whose_instance_exits_ended_then_with_1006() -> None:
    """The process that would have written its close is gone."""
    dropped = Criterion("abnormal_1006")
    opened = [
        accept(1, "a"),
        run(1, "ok", "a"),
        accept(12, "b"),
        line(12.1, "agent_start", "b", spillway=2, run=1),
    ]
    lines = [LogLine(**{**_fields(each), "instance": "i"}) for each in opened]
    lines += exits(14, instance="i")
    first, second, *_ = blocks_of(lines, a_plan(COMPLETED, dropped), 4)
    assert first.whole("abnormal_1006") == Counts(1, 0, 0, 0)  # its run was long over
    assert second.whole("abnormal_1006") == Counts(1, 1, 0, 0)
    assert second.whole("agent_completed") == Counts(1, 1, 0, 0)
    seen = exposure(lines, ARMS[0], SAMPLING, START + 60 * SECOND)
    assert (seen.open_sockets, seen.exits, seen.closes) == (0, 1, {"abnormal_1006": 2})


def _fields(each: LogLine) -> dict[str, object]:
    return {name: getattr(each, name) for name in LogLine.__slots__}


def test_one_crash_an_instance_and_day_on_both_arms_sends_nobody_back() -> None:
    """The candidate has one of twenty instances; each takes 50 runs along when it goes."""
    made, day = a_plan(EXITS), Sampling(timedelta(minutes=10), 5 * SECOND, 2 * SECOND, timedelta(0), 10)
    for seed in range(40):
        rng, lines = random.Random(seed), list[LogLine]()
        for number in range(20):
            revision = CANDIDATE if number == 0 else STABLE
            begun, count = 0.0, 0
            while begun < 86_400:
                ends, name = begun + rng.expovariate(1 / 86_400), f"{seed}/{number}/{count}"
                lines += alive(name, revision, begun, min(ends, 86_400), every=100.0)
                lines += [system(ends, "Container called exit(1).", name, revision)] if ends < 86_400 else []
                begun, count = ends, count + 1
        lines.sort(key=lambda each: each.at)
        assert not is_sent_back(made, blocks_of(lines, made, 140, percent=5, sampling=day))


def test_a_crash_loop_is_found_by_its_instances() -> None:
    made = a_plan(EXITS)
    stable = [entry for n in range(5) for entry in alive(f"s{n}", STABLE, 0, 400)]
    loop = [entry for n in range(9) for entry in alive(f"c{n}", CANDIDATE, n * 40, n * 40 + 35)]
    loop += [system(n * 40 + 35.5, "Container called exit(0).", f"c{n}") for n in range(9)]
    lines = sorted([*stable, *loop], key=lambda each: each.at)
    blocks = blocks_of(lines, made, 38)
    assert sum(b.whole("container_exits").candidate_failures for b in blocks) == 9
    assert is_sent_back(made, blocks)


def test_refusals_are_shares_of_the_requests_of_the_same_age() -> None:
    lines = [*requests(6, seconds=0.5), *requests(3, 503, seconds=0.5), *requests(9, 101, STABLE, seconds=0.5),
             *requests(1, 429, STABLE, seconds=0.5), *requests(4, 404, STABLE), *requests(9, 101, STABLE, seconds=500)]  # fmt: skip
    block = blocks_of(sorted(lines, key=lambda each: each.at), a_plan(REFUSED), 1)[0]
    assert block.counts["refused_requests"][-2] == Counts(9, 3, 10, 1)
    assert block.whole("refused_requests") == Counts(9, 3, 19, 1)


def test_without_telemetry_sockets_that_ended_early_are_compared() -> None:
    lines = [*requests(9, seconds=2.0), *requests(9, 101, STABLE, seconds=7.0), *requests(2, 503)]
    block = blocks_of(sorted(lines, key=lambda each: each.at), a_plan(Criterion("ended_early")), 1)[0]
    assert block.whole("ended_early") == Counts(9, 9, 9, 0)


def test_twenty_error_lines_a_run_send_no_healthy_candidate_back() -> None:
    """One run in a hundred complains twenty times, on both revisions, while others begin."""
    made, back = a_plan(ERRORS), 0
    for seed in range(40):
        rng, lines = random.Random(seed), list[LogLine]()
        for number in range(600):
            at, revision = number / 4, CANDIDATE if rng.random() < 0.1 else STABLE
            lines += conversation(at, f"s{number}", revision)
            if rng.random() < 0.01:
                lines += [text(at + n / 5, SAID, revision) for n in range(20)]
        lines.sort(key=lambda each: each.at)
        back += is_sent_back(made, blocks_of(lines, made, 15, percent=10))
    assert back == 0


def test_a_service_that_complains_in_every_run_is_found() -> None:
    made = a_plan(ERRORS)
    lines = [
        e for n in range(300) for e in conversation(n / 3, f"s{n}", CANDIDATE if n % 10 == 0 else STABLE)
    ]
    lines += [text(n / 3 + 0.05, SAID) for n in range(0, 300, 10)]
    assert is_sent_back(made, blocks_of(sorted(lines, key=lambda each: each.at), made, 10, percent=10))


def test_a_line_that_names_its_session_counts_for_that_one_and_a_probes_for_none() -> None:
    def said(at: float, session: str) -> LogLine:
        return LogLine(
            f"e{at}", START + at * SECOND, CANDIDATE, "ERROR", "", {"message": SAID, "session": session}
        )

    lines = [*conversation(1, "a"), *conversation(1.1, "b"), said(1.2, "a"), said(1.3, "a")]
    assert blocks_of(lines, a_plan(ERRORS), 1)[0].whole("log_serialisation_errors") == Counts(2, 1, 0, 0)
    probe = [*conversation(1, "a"), *conversation(2, "p", probe=True), said(2.1, "p"), text(2.2, SAID)]
    assert blocks_of(probe, a_plan(ERRORS), 1)[0].whole("log_serialisation_errors") == Counts(1, 0, 0, 0)
    arm = Arm(CANDIDATE, f"n-{CANDIDATE}")
    assert exposure(probe, arm, SAMPLING, START + 60 * SECOND).errors == 1  # the one that names nobody


def test_a_close_whose_reason_is_ignored_is_not_ours() -> None:
    relayed = Criterion("server_error_1011", ignore_reasons=("upstream *",))
    lines = conversation(1, "a", ok=False) + [
        LogLine(**{**_fields(each), "payload": {**each.payload, "reason": "upstream model overloaded"}})
        for each in conversation(2, "b", ok=False)
    ]
    block = blocks_of(lines, a_plan(relayed, COMPLETED), 1)[0]
    assert block.whole("server_error_1011") == Counts(2, 1, 0, 0)
    assert block.whole("agent_completed") == Counts(2, 2, 0, 0)  # the run came to nothing all the same
    seen = exposure(lines, ARMS[0], SAMPLING, START + 60 * SECOND, ignored=("upstream *",))
    assert seen.closes == {"server_error_1011": 1, "ignored": 1}


def test_newborn_instances_are_compared_with_newborn_ones() -> None:
    """A start is dangerous for every instance, and after a shift it is the candidate's that start."""
    settled = [entry for n in range(9) for entry in alive(f"s{n}", STABLE, -30, 10)]
    born = [
        entry
        for n in range(3)
        for entry in (*alive(f"c{n}", CANDIDATE, 1, 4), system(4, "Container called exit(1).", f"c{n}"))
    ]
    born += alive("s-new", STABLE, 2, 9)
    block = blocks_of(sorted([*settled, *born], key=lambda each: each.at), a_plan(EXITS), 1)[0]
    assert block.counts["container_exits"] == (Counts(3, 3, 1, 0), Counts(0, 0, 9, 0))


def test_at_0_percent_containers_alone_are_judged() -> None:
    made = a_plan(COMPLETED, EXITS, REFUSED)
    lines = [*conversation(1, "s", STABLE), *alive("i", CANDIDATE, 0, 9)]
    assert blocks_of(lines, made, 1, percent=0)[0].counts.keys() == {"container_exits"}
