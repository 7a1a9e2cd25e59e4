"""What a stretch of log lines shows of a service's users, before a rollout rests on it."""

from __future__ import annotations

import pytest

from pipeline.app import who_counts
from pipeline.judging.population import population
from pipeline.judging.reading import Arm
from pipeline.model import REQUEST_LOG, LogLine, Request
from tests.crowd import SAMPLING
from tests.fakes import START
from tests.lines import STABLE, accept, conversation, run

ARM = Arm(STABLE, f"n-{STABLE}")


def words(lines: list[LogLine]) -> str:
    return "\n".join(population(lines, ARM, SAMPLING).lines("in the last 15m", 10))


def test_a_service_with_many_users_is_told_so_and_nothing_else() -> None:
    lines = [entry for n in range(200) for entry in conversation(n, f"s{n}", STABLE)]
    assert words(lines) == "seen       200 runs of 200 clients in the last 15m"


def test_a_service_with_few_users_is_told_that_it_will_be_held() -> None:
    lines = [entry for n in range(200) for entry in conversation(n, f"s{n}", STABLE, client=f"c{n % 9}")]
    said = "a stage needs runs of 10 clients on the candidate, and in all of this time there were 9: it would be held"
    assert f"warning: {said}" in words(lines)


def test_a_load_balancer_is_suspected_and_an_office_is_one() -> None:
    others = [entry for n in range(90) for entry in conversation(n, f"s{n}", STABLE)]
    one = [accept(0, "a", STABLE), *(run(n, "ok", "a", STABLE) for n in range(60))]
    assert "write evidence.client: {forwarded-for: 2}" in words([*others, *one])
    office = [entry for n in range(60) for entry in conversation(n, f"o{n}", STABLE, client="o")]
    assert "one has 40% of them on many sockets: an office" in words([*others, *office])
    assert population([*others, *office], ARM, SAMPLING).clients == 150


def test_without_telemetry_it_is_said_what_cannot_be_seen() -> None:
    ended = LogLine("r", START, STABLE, log=REQUEST_LOG, request=Request(101, 30.0, "203.0.113.1"))
    assert words([]) == "seen       no telemetry line of a user's run in the last 15m"
    assert (
        "What cannot be seen: sockets while they are open, and answers that never come on them"
        in " ".join(words([ended]).split())
    )


@pytest.mark.parametrize(
    ("client", "rule"),
    [
        ("", "address, the last entry of X-Forwarded-For, which is Cloud Run's own"),
        ('{"header":"x-user"}', "the request header x-user, and by address where it is not there"),
        (
            '{"forwarded-for":2}',
            "address, entry 2 of X-Forwarded-For from the end: 1 of our own proxies stand before",
        ),
    ],
)
def test_the_rule_in_words(client: str, rule: str) -> None:
    assert who_counts.rule(client).startswith(rule)
