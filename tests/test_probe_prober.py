"""Rounds: bounded concurrency, the control, aborts; what is refused; the summary of a round."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.driving.ports import Prober
from pipeline.errors import AccessError, UserError
from pipeline.framing.choice import Choice
from pipeline.framing.own import own
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.matching import Expectation
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.prober import ThreadedProber
from pipeline.probe.round import DETAIL_CHARS, TRANSCRIPTS_PER_KIND, run_round
from pipeline.probe.steps import Close, HttpStep, Open, Send, When
from pipeline.probe.summary import Row, summarise
from tests.hostile import FIVE, Hostile, hostile, scenario

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[Hostile]:
    async with hostile() as running:
        yield running


def now() -> datetime:
    return NOON


def asking(server: Hostile, *paths: str, control: Address | None = None, sessions: int = 5) -> ProbeAsk:
    return ProbeAsk(
        tuple(map(scenario, paths)), Address(server.url), control, sessions=sessions, concurrency=5
    )


async def hold(ask: ProbeAsk) -> ProbeReport:
    return await asyncio.to_thread(run_round, ask, now)


def is_busy(prober: Prober) -> bool:
    return prober.is_busy


async def finished(prober: Prober) -> ProbeReport:
    while (report := prober.poll()) is None:
        await asyncio.sleep(0.01)
    return report


async def test_a_good_round(server: Hostile) -> None:
    report = await hold(asking(server, "/five", "/impatient", control=Address(server.url)))
    assert len(report.candidate) == 10
    assert not report.failures
    assert {c.scenario for c in report.control} == {"five", "impatient"}  # stable is looked at each time
    assert not report.stable_fails
    assert report.started == NOON
    assert not any(c.transcript for c in report.candidate)


async def test_concurrency_is_bounded(server: Hostile) -> None:
    ask = replace(asking(server, "/five", sessions=60), concurrency=7)
    assert not (await hold(ask)).failures
    assert 1 < server.most_open <= 7


async def test_both_hold_what_failed(server: Hostile) -> None:
    """The same paths misbehave at the control: both bad, so nobody is blamed."""
    report = await hold(asking(server, "/five", "/1011", control=Address(server.url)))
    assert Counter(c.scenario for c in report.control) == {"five": 1, "1011": 1}
    (block,) = report.confirming
    assert {c.scenario for c in (*block.candidate, *block.control)} == {"1011"}
    assert block.words == "5 of 5 against 5 of 5"
    assert report.stable_fails.startswith("closed_early")
    assert report.is_blind


async def test_a_control_that_holds_confirms(server: Hostile) -> None:
    async with hostile() as stable:
        ask = asking(server, "/five", control=Address(stable.url))
        assert not (await hold(ask)).is_worse
        bad = replace(ask, candidate=Address("http://127.0.0.1:1"))
        report = await hold(bad)
    assert report.is_worse
    assert (
        report.confirming_words
        == "confirming with 5 on each: 5 of 5 against 0 of 5; again: 5 of 5 against 0 of 5"
    )
    without = await hold(replace(bad, control=None))
    assert without.is_worse
    assert without.confirming_words == "confirming with 5 more: 5 of 5; again: 5 of 5"
    assert not without.control_wanted


async def test_candidate_and_control_are_asked_at_the_same_moments(server: Hostile) -> None:
    """Each pair waits for its slower half, so that an incident between them meets both."""
    async with hostile() as stable:
        ask = replace(asking(server, "/silent", control=Address(stable.url), sessions=1), concurrency=1)
        asked = asyncio.create_task(
            hold(replace(ask, scenarios=(replace(scenario("/silent"), within_s=0.2),)))
        )
        together = 0
        while not asked.done():
            together = max(together, min(server.open, stable.open))
            await asyncio.sleep(0.005)
        assert together == 1
        assert [c.is_ok for c in (await asked).confirming[0].control] == [False] * 5


async def test_transcripts_of_the_first_failures_only(server: Hostile) -> None:
    report = await hold(asking(server, "/1011", "/swapped", sessions=10))
    for kind in (Kind.CLOSED_EARLY, Kind.OUT_OF_ORDER):
        kept = [c for c in report.candidate if c.kind is kind and c.transcript]
        assert len(kept) == TRANSCRIPTS_PER_KIND


async def test_a_service_cannot_make_a_detail_as_long_as_it_likes(server: Hostile) -> None:
    step = HttpStep("GET", "/endless-status-line")
    ask = ProbeAsk((scenario("", http=(step,), groups=(), send=()),), Address(server.url), None, 1, 1)
    report = await hold(replace(ask, confirms=False))
    assert report.failures[0].detail.startswith("GET /endless-status-line: ")
    assert len(report.failures[0].detail) == DETAIL_CHARS


async def test_the_thread_hands_out_each_report_once(server: Hostile) -> None:
    with closing(ThreadedProber(now)) as prober:
        assert prober.poll() is None
        for _ in range(2):
            prober.start(asking(server, "/five"))
            assert is_busy(prober)
            assert not (await finished(prober)).failures
            assert not is_busy(prober)
            assert prober.poll() is None


async def test_a_prober_that_waits_has_its_report_when_it_was_started(server: Hostile) -> None:
    with closing(ThreadedProber(now, waits=True)) as prober:
        await asyncio.to_thread(prober.start, asking(server, "/five"))
        report = prober.poll()
    assert report is not None
    assert not report.failures


async def test_who_is_told_to_stop_waits_for_no_round(server: Hostile) -> None:
    stopped = threading.Event()
    ask = replace(asking(server), scenarios=(replace(scenario("/silent"), within_s=60),))
    with closing(ThreadedProber(now, waits=True, is_stopped=stopped.is_set)) as prober:
        started = asyncio.create_task(asyncio.to_thread(prober.start, ask))
        while not server.open:
            await asyncio.sleep(0.01)
        assert not started.done()
        stopped.set()
        await started
        assert is_busy(prober)


async def test_close_aborts_a_round(server: Hostile) -> None:
    prober = ThreadedProber(now)
    prober.start(asking(server, "/silent", sessions=50))
    while server.open < 5:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(prober.close)
    assert prober.poll() is None
    while server.open:
        await asyncio.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("probe")]


async def test_close_right_after_start_and_after_the_end(server: Hostile) -> None:
    early = ThreadedProber(now)
    early.start(asking(server, "/silent"))
    early.close()
    late = ThreadedProber(now)
    late.start(asking(server, "/five"))
    while not late._round or not late._round.done():
        await asyncio.sleep(0.01)
    late.close()
    assert not late.is_busy


async def test_id_tokens(server: Hostile) -> None:
    wanted = scenario(
        "/echo", send=(1, 2), groups=((Expectation({"headers.authorization": "Bearer for-a"}),),)
    )
    ask = ProbeAsk((wanted,), Address(server.url, audience="a"), None, sessions=1)
    report = await asyncio.to_thread(run_round, ask, now, lambda audience: f"for-{audience}")
    assert not report.failures
    with closing(ThreadedProber(now)) as prober:
        prober.start(ask)
        with pytest.raises(AccessError, match="needs an ID token for a"):
            await finished(prober)
        assert not is_busy(prober)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host", "not a http, https, ws or wss URL"),
        ("http://", "with a host"),
        ("host:80", "not a http, https, ws or wss URL"),
        ("https://user:secret@host", "credentials"),
        ("https://host/?q=1", "query or fragment"),
        ("http://host:port", "cannot probe this URL"),
        ("http://a..b", "cannot probe this URL"),
        ("http://169.254.169.254", "metadata server"),
        ("http://2852039166", "metadata server"),
        ("http://0xa9fea9fe/", "metadata server"),
        ("http://[::ffff:169.254.169.254]", "metadata server"),
        ("http://[fd20:ce::254]", "metadata server"),
        ("ws://metadata.google.internal", "metadata server"),
        ("ws://METADATA.google.internal.", "metadata server"),
    ],
)
def test_refused_addresses(url: str, words: str) -> None:
    for ask in (
        ProbeAsk((scenario(),), Address(url), None),
        ProbeAsk((scenario(),), Address("http://127.0.0.1:1"), Address(url)),
    ):
        with pytest.raises(UserError, match=words) as refusal:
            run_round(ask, now)
        assert "secret" not in str(refusal.value)


def test_an_id_token_never_travels_unencrypted() -> None:
    ask = ProbeAsk((scenario(),), Address("http://example.test", audience="a"), None)
    with pytest.raises(UserError, match="unencrypted"):
        run_round(ask, now, lambda _: "token")


@pytest.mark.parametrize(
    "changes",
    [
        {"close": Close(1006)},
        {"close": Close(1015)},
        {"steps": (Send((NOON,)),)},
        {"steps": (Send((float("nan"),)),)},
        {"steps": (When(Expectation({"type": "a"}), (NOON,)),)},
        {"steps": (Open("ws", "other"),)},
        {"path": "@evil.test/ws"},
        {"path": "/ws#part"},
        {"path": "/a b"},
        {"http": (HttpStep("GET", "health"),)},
        {"headers": {"X-Team": "a\r\nHost: evil"}},
        {"headers": {"X Team": "a"}},
        {"subprotocols": ("a b",)},
    ],
    ids=str,
)
def test_refused_scenarios(changes: dict[str, Any]) -> None:
    ask = ProbeAsk((replace(scenario(), **changes),), Address("http://127.0.0.1:1"), None)
    with pytest.raises(UserError, match="cannot be held"):
        run_round(ask, now)


def test_summary() -> None:
    def ended(
        kind: Kind, first: float | None = None, code: int | None = None, reason: str = ""
    ) -> Conversation:
        return Conversation(
            "run", kind, 1.0, close_code=code, close_reason=reason, first_event_s=first, events=FIVE
        )

    report = ProbeReport(
        started=NOON,
        seconds=1.0,
        candidate=(
            *(ended(Kind.OK, first=n / 1000, code=1000) for n in range(1, 21)),
            *[ended(Kind.CLOSED_EARLY, code=1011)] * 3,
            ended(Kind.CLOSED_EARLY, code=1011, reason="keepalive ping timeout"),
            replace(ended(Kind.REFUSED), status=503),
        ),
        control=(ended(Kind.TIMED_OUT),),
    )
    outcomes = (("ok", 20), ("closed_early 1011", 3), ("closed_early 1011 keepalive", 1), ("refused 503", 1))
    assert summarise(report) == (
        Row("candidate", "run", 25, 20, outcomes, 10.0, 19.0),
        Row("control", "run", 1, 0, (("timed_out", 1),), None, None),
    )


async def test_a_class_of_the_users_that_blocks_does_not_hold_up_the_end(
    server: Hostile, tmp_path: Path
) -> None:
    (tmp_path / "blocks_for_ever.py").write_text(
        "import threading\n"
        "begun, end = threading.Event(), threading.Event()\n"
        "class Framing:\n"
        "    is_ready = True\n"
        "    def opening(self):\n"
        "        begun.set(); end.wait(); return ()\n"
        "    def encode(self, message): return ()\n"
    )
    name = "blocks_for_ever:Framing"
    blocking = replace(scenario(), framing=Choice(name, own=own(name, str(tmp_path))))
    blocking.framing.connect()  # so that its module is there
    module = sys.modules["blocks_for_ever"]
    prober = ThreadedProber(now, patience_s=0.05)
    prober.start(replace(asking(server, "/five"), scenarios=(blocking,)))
    try:
        assert await asyncio.to_thread(module.begun.wait, 60)
        await asyncio.to_thread(prober.close)
        assert not prober.is_busy
    finally:
        module.end.set()
        while prober._thread.is_alive():
            await asyncio.sleep(0.01)
