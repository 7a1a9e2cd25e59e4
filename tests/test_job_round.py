"""Rounds that a job holds: what becomes of its lines, and that nothing that befalls a job is the service's fault."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core.rollout import Phase
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.errors import AccessError, PlatformUnavailable, RequestRejected, SpillwayError, UserError
from pipeline.events import Looked
from pipeline.model import Outcome
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind, Message
from pipeline.probe.course import course
from pipeline.probe.job_round import JobRound, RunState
from pipeline.probe.order import Order
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.prober import BackgroundProber
from pipeline.probe.result_lines import end_line, lines_of, read, refusal_line, report_of
from pipeline.probe.route import Ways
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import HttpStep
from pipeline.telemetry.proof import revision_mark
from pipeline.view.gate_lines import gate_lines
from tests.fakes import START, FakeClock, followed
from tests.probe_jobs import FakeJobs, JobProber, Payload, Talk, failed, held_by, marked, payload_of, round_of
from tests.rollouts import CANDIDATE, REF, SCENARIO, SECOND, STABLE, Scene, a_wish, stages

NEW, OLD = revision_mark("new"), revision_mark("old")
WAYS = Ways("http://stable", "http://candidate")
ASK = ProbeAsk(
    (SCENARIO,),
    Address("http://candidate", "", "k1, k2", WAYS.to_candidate(NEW, OLD)),
    Address("http://stable", "", "k2, k1", WAYS.to_stable(OLD, NEW)),
    sessions=3,
)


def good(_scenario: Scenario, address: Address) -> Conversation:
    return marked(NEW if address.base_url == "http://candidate" else OLD)


def bad(_scenario: Scenario, address: Address) -> Conversation:
    return failed(NEW) if address.base_url == "http://candidate" else marked(OLD)


def jobs(talk: Talk = good, **options: Any) -> FakeJobs:
    return FakeJobs(FakeClock(), (SCENARIO,), talk, **options)


def hold(**options: Any) -> ProbeReport:
    return held_by(jobs(**options), ASK)


def without_the_lines(report: ProbeReport) -> tuple[object, ...]:
    return report.candidate, report.control, report.warm_up, report.confirming, report.control_wanted


# --- what the lines come to


@pytest.mark.parametrize("talk", [good, bad])
@pytest.mark.parametrize("warm_up", [False, True])
def test_a_round_is_what_it_would_have_been_here(talk: Talk, warm_up: bool) -> None:
    ask = replace(ASK, warm_up=warm_up)
    here = followed(course(ask, START), talk, 2.5)
    there = held_by(jobs(talk), ask)
    assert without_the_lines(there) == without_the_lines(here)
    assert (there.seconds, there.is_worse, there.is_blind) == (2.5, talk is bad, False)


def test_a_conversation_comes_back_whole() -> None:
    said = Conversation(
        "agent-run", Kind.UNWANTED_EVENT, 1.5, 'it said "no"\u2028', 503, 1011, "why", 0.25, ("a", "b"),
        (Message(0.1, sent=True, text="\x1b[31mhello"), Message(0.2, sent=False, text="x" * 9)), (NEW, None, ""),
    )  # fmt: skip
    order = Order.of(ASK, "abc", round_id="0" * 32, key="1" * 64)
    (line,) = lines_of(order, 0, [(said,)])
    assert read([payload_of(line)], order).conversations == {(0, 0, 0): said}
    huge = replace(said, transcript=(Message(0.1, sent=False, text='"' * 4096),) * 200, detail="y" * 10**6)
    (line,) = lines_of(order, 0, [(huge,)])
    assert len(line) < 256 * 1024, "an entry of Cloud Logging"
    (found,) = read([payload_of(line)], order).conversations.values()
    assert found.transcript[0] == huge.transcript[0]


def test_lines_that_come_late_twice_and_out_of_order_are_the_same_round() -> None:
    def shuffled(lines: list[Payload]) -> list[Payload]:
        return [*reversed(lines), *lines]

    late = jobs(bad, late=timedelta(seconds=40), spoilt=shuffled)
    assert without_the_lines(held_by(late, ASK)) == without_the_lines(hold(talk=bad))
    assert late.searches <= 6, "each is a call of the log's quota"


def test_lines_of_an_older_round_count_for_nothing() -> None:
    older = jobs(bad)
    held_by(older, ASK)
    assert not hold(talk=good, spoilt=lambda lines: [*older._lines, *lines]).failures


def _forged(change: Callable[[Payload], Payload]) -> Callable[[list[Payload]], list[Payload]]:
    return lambda lines: [*map(change, lines), *lines]


def _all_is_well(line: Payload) -> Payload:
    return {**line, "said": str(line["said"]).replace("closed_early", "ok")}


def _signed_by_itself(line: Payload) -> Payload:
    return {**_all_is_well(line), "signed": "0" * 64}


@pytest.mark.parametrize("change", [_all_is_well, _signed_by_itself])
def test_a_line_that_the_service_forged_counts_for_nothing(change: Callable[[Payload], Payload]) -> None:
    report = hold(talk=bad, spoilt=_forged(change))
    assert (report.is_worse, len(report.failures)) == (True, 13)


HOSTILE: tuple[Payload, ...] = (
    {}, {"said": None, "signed": None}, {"said": "{}", "signed": "\u00e9"}, {"said": "[" * 10_000, "signed": ""},
    {"said": 7.0, "signed": 7.0}, {"said": "{}"},
)  # fmt: skip


def test_what_is_no_line_at_all_harms_nobody() -> None:
    def among(lines: list[Payload]) -> list[Payload]:
        return [*({**lines[0], **each} for each in HOSTILE), *HOSTILE, *lines]

    assert not hold(spoilt=among).is_blind


@pytest.mark.parametrize(
    "said", ["[]", "7", "{", '{"at": 1, "conversation": {}}', '{"ended": null}', '{"at": [0, 0, 0], "conversation": 1}']
)  # fmt: skip
def test_a_signed_line_of_another_spillway_is_as_if_it_had_not_come(said: str) -> None:
    order = Order.of(ASK, "abc", round_id="0" * 32, key="1" * 64)
    signed = hmac.new(order.key.encode(), said.encode(), hashlib.sha256).hexdigest()
    made = read([{"round": order.round_id, "said": said, "signed": signed}], order)
    assert (made.conversations, made.seconds, made.refused, made.strange) == ({}, None, "", 0)


# --- who answered


@pytest.mark.parametrize(
    ("mark", "words"), [(OLD, "leads to stable"), (None, "carries no X-Spillway-Revision"), ("", "carries no")]
)  # fmt: skip
def test_what_another_revision_answered_is_held_against_nobody(mark: str | None, words: str) -> None:
    def led_astray(scenario: Scenario, address: Address) -> Conversation:
        return failed(mark) if address.base_url == "http://candidate" else good(scenario, address)

    report = hold(talk=led_astray)
    assert (report.is_blind, report.is_worse) == (True, False)
    assert words in report.unspoken


def test_the_job_is_told_no_mark_and_no_secret() -> None:
    there = jobs()
    held_by(there, replace(ASK, candidate=replace(ASK.candidate, audience="https://chat")))
    text = there.texts[0]
    assert NEW not in text
    assert OLD not in text
    order = there.orders[0]
    assert (order.ask.candidate.key, order.ask.candidate.audience) == ("k1, k2", "https://chat")


def test_a_header_that_leads_to_a_revision_goes_along() -> None:
    ways = Ways("https://chat", "https://chat", "X-Revision", "stable", "candidate")
    ask = replace(ASK, candidate=Address("https://chat", "", "k", ways.to_candidate(NEW, OLD)), control=None)
    order = Order.decode(Order.of(ask, "abc", round_id="0" * 32, key="1" * 64).encode())
    assert order.ask.candidate.route is None
    assert order.ask.candidate.headers == (
        ("X-Revision", "candidate"),
        ("User-Agent", "spillway-probe/00000000000000000000000000000000"),
    )


def test_both_revisions_are_asked_alike() -> None:
    order = Order.of(ASK, "abc", round_id="0" * 32, key="1" * 64)
    assert order.ask.control is not None
    assert order.ask.control.headers == order.ask.candidate.headers != ()


# --- answers without a mark, and the platform's request log

CRASHED = Conversation("agent-run", Kind.REFUSED, 0.1, "handshake got 503", status=503, marks=(None,))
LOGGED = replace(ASK, candidate=replace(ASK.candidate, route=WAYS.to_candidate(NEW, OLD, CANDIDATE)))


def crashing(scenario: Scenario, address: Address) -> Conversation:
    return CRASHED if address.base_url == "http://candidate" else good(scenario, address)


def logging(there: FakeJobs, errors: int) -> ProbeReport:
    asked: list[tuple[str, str]] = []

    def logged(agent: str, revision: str) -> int:
        asked.append((agent, revision))
        return errors if len(asked) > 1 else 0  # lines come late

    there.logged = logged
    report = held_by(there, LOGGED)
    assert set(asked) <= {(f"spillway-probe/{there.orders[0].round_id}", CANDIDATE)}
    return report


def test_a_candidate_that_crashes_before_it_answers_is_proven_by_the_request_log() -> None:
    report = logging(jobs(crashing), 13)
    assert (report.is_blind, report.is_worse, report.words) == (
        False, True, "3 of 3 conversations failed; confirming with 5 on each: 5 of 5 against 0 of 5; again: 5 of 5 against 0 of 5",
    )  # fmt: skip


def test_where_the_log_has_fewer_errors_another_may_have_given_one() -> None:
    there = jobs(crashing)
    report = logging(there, 12)
    assert (report.is_blind, report.is_worse) == (True, False)
    assert "carries no X-Spillway-Revision" in report.unspoken
    assert there.clock.seconds <= 30 + 10 + 70


def test_an_error_that_the_revision_itself_gave_is_in_the_log_as_well() -> None:
    def once(scenario: Scenario, address: Address) -> Conversation:
        held = crashing(scenario, address)
        if held is not CRASHED:
            return held
        counted.append(held)
        return replace(held, marks=(NEW,)) if len(counted) % 2 else held

    for errors, is_blind in ((12, True), (13, False)):
        counted: list[Conversation] = []
        assert logging(jobs(once), errors).is_blind is is_blind


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": 429}, id="no instance was free"),
        pytest.param({"status": None, "kind": Kind.UNREACHABLE, "marks": ()}, id="nobody answered"),
        pytest.param({"marks": (OLD,)}, id="stable answered"),
        pytest.param({"marks": ("",)}, id="a mark that is none"),
        pytest.param({"marks": (None, None)}, id="an answer before it was nobody's either"),
    ],
)
def test_what_the_log_cannot_prove_is_not_looked_for_there(change: dict[str, Any]) -> None:
    def talk(scenario: Scenario, address: Address) -> Conversation:
        held = crashing(scenario, address)
        return replace(held, **change) if held is CRASHED else held

    there = jobs(talk)
    there.logged = lambda *_: pytest.fail("asked for")
    assert held_by(there, LOGGED).is_blind


def test_a_scenario_that_wants_an_error_would_be_counted_with_them() -> None:
    wanted = replace(SCENARIO, http=(HttpStep("GET", "/down", 503),))
    there = FakeJobs(FakeClock(), (wanted,), crashing, logged=lambda *_: pytest.fail("asked for"))
    assert held_by(there, replace(LOGGED, scenarios=(wanted,))).is_blind


def test_a_request_log_that_cannot_be_read_proves_nothing() -> None:
    def logged(agent: str, revision: str) -> int:
        raise AccessError("read the request log: not allowed", "logging.logEntries.list denied")

    assert held_by(jobs(crashing, logged=logged), LOGGED).is_blind


# --- what befalls a job


@pytest.mark.parametrize(
    "refusal",
    [
        RequestRejected("run chat-probe: refused", "Image 'probe' not found."),
        AccessError("run chat-probe: not allowed", "Permission 'run.jobs.runWithOverrides' denied"),
        PlatformUnavailable("run chat-probe: too many calls", "Quota exceeded"),
    ],
)
def test_a_job_that_is_not_started(refusal: SpillwayError) -> None:
    report = hold(refuses=refusal)
    assert report.is_blind
    assert refusal.why in report.words
    assert refusal.why in report.unspoken


def test_a_job_that_never_begins_is_cancelled_after_its_time() -> None:
    there = jobs(takes=timedelta(hours=9))
    report = held_by(there, ASK)
    assert "did not end within 5m (Waiting for the image.), and was cancelled" in report.unspoken
    assert there.cancelled == ["projects/p/locations/l/jobs/agent-chat-probe/executions/run-1"]
    assert there.clock.seconds <= 310


def test_a_job_that_dies_midway() -> None:
    report = hold(talk=bad, dies_after=2)
    assert (report.is_blind, report.failures) == (True, ())
    assert "failed: The container exited with code 137.; 2 of its result lines came" in report.unspoken


def test_a_job_that_cannot_hold_the_round_says_why() -> None:
    def refused(_lines: list[Payload]) -> list[Payload]:
        return [payload_of(refusal_line(there.orders[0], "scenario a: ${env:WS_TOKEN} has no value"))]

    there = jobs(dies_after=0, spoilt=refused)
    report = held_by(there, ASK)
    assert "held no round: scenario a: ${env:WS_TOKEN} has no value" in report.unspoken


@pytest.mark.parametrize("lost", range(5))
def test_a_round_of_which_a_line_is_lost_says_nothing(lost: int) -> None:
    report = hold(spoilt=lambda lines: lines[:lost] + lines[lost + 1 :])
    assert report.is_blind
    assert "not all of its result lines came within 1m" in report.unspoken


def test_lines_that_come_too_late_are_as_lost() -> None:
    there = jobs(late=timedelta(seconds=90))
    report = held_by(there, ASK)
    assert "0 of its result lines came" in report.unspoken
    assert there.searches <= 8


def test_answers_that_fail_now_and_then_cost_a_round_nothing() -> None:
    away = PlatformUnavailable("look at run-1: no answer")
    assert not hold(blind=[away, away], deaf=[away, away]).is_blind


def test_a_run_that_may_not_be_looked_at_is_given_up() -> None:
    there = jobs(blind=[AccessError("look at run-1: not allowed", "run.executions.get denied")])
    assert "run.executions.get denied" in held_by(there, ASK).unspoken
    assert there.cancelled


def test_a_log_that_cannot_be_read_is_told() -> None:
    there = jobs(deaf=[AccessError("read the log: not allowed", "logging.logEntries.list denied")] * 99)
    assert "its log cannot be read: read the log: not allowed" in held_by(there, ASK).unspoken


def test_who_goes_away_cancels_the_run() -> None:
    there = jobs(takes=timedelta(hours=9))
    held = round_of(there, ASK)
    there.clock.at(15, held.abort)
    assert held.hold().is_blind
    assert there.cancelled
    assert there.clock.seconds <= 30


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[]",
        "{}",
        "nonsense",
        '{"version": 2}',
        json.dumps({"version": 1, "round": "../x", "key": "k"}),
    ],
)
def test_what_is_no_order(text: str) -> None:
    with pytest.raises(UserError, match="SPILLWAY_ROUND"):
        Order.decode(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sessions", 10**9),
        ("sessions", True),
        ("candidate", {"url": "http://a\r\nX: y"}),
        ("round", "a b"),
        ("key", 5),
    ],
)
def test_an_order_with_a_value_that_cannot_be(key: str, value: object) -> None:
    row = json.loads(Order.of(ASK, "abc", round_id="0" * 32, key="1" * 64).encode())
    with pytest.raises(UserError, match="not an order"):
        Order.decode(json.dumps({**row, key: value}))


def test_a_round_without_its_end_is_not_whole() -> None:
    order = Order.of(replace(ASK, control=None, sessions=1), "abc", round_id="0" * 32, key="1" * 64)
    lines = [payload_of(line) for line in lines_of(order, 0, [(marked(NEW),)])]
    ask = replace(ASK, control=None, sessions=1)
    assert report_of(read(lines, order), ask, START) is None
    assert report_of(read([*lines, payload_of(end_line(order, 1.0))], order), ask, START) is not None


# --- a whole rollout


def driven(scene: Scene, prober: Any) -> Engine:
    world = replace(scene.world, prober=prober)
    observer = Observer(REF, world, (SCENARIO,), listen=scene.told.append, is_inside=True)
    return Engine(observer, world, driver="host/1", listen=scene.told.append, rhythm=Rhythm(look=SECOND))


def by_revision(scene: Scene, kind: Callable[[str | None], Conversation]) -> Talk:
    """What a job meets at the tags' addresses, with the mark of who is there."""

    def talk(_scenario: Scenario, address: Address) -> Conversation:
        is_candidate = address.base_url == "http://candidate"
        name = CANDIDATE if is_candidate else STABLE
        mark = revision_mark(scene.platform.revision(REF, name).nonce)
        return kind(mark) if is_candidate else marked(mark)

    return talk


def test_a_bad_revision_is_stopped_at_zero_by_what_a_job_says() -> None:
    scene = Scene()
    prober = JobProber(FakeJobs(scene.clock, (SCENARIO,), by_revision(scene, failed)))
    assert scene.roll(engine=driven(scene, prober)) is Outcome.STOPPED_AT_ZERO


def test_one_that_crashes_before_it_answers_is_stopped_at_zero_by_what_the_platform_logs() -> None:
    scene = Scene()
    there = FakeJobs(scene.clock, (SCENARIO,), by_revision(scene, lambda _: CRASHED))
    there.logged = lambda agent, revision: 100 if revision == CANDIDATE else 0
    assert scene.roll(engine=driven(scene, JobProber(there))) is Outcome.STOPPED_AT_ZERO


def test_a_good_one_goes_on() -> None:
    scene = Scene()
    prober = JobProber(FakeJobs(scene.clock, (SCENARIO,), by_revision(scene, marked)))
    engine = driven(scene, prober)
    scene.reach(5, engine)
    assert scene.rollout.phase is Phase.ROLLING


def test_a_job_that_never_starts_pauses_the_rollout_at_its_deadline() -> None:
    scene = Scene()
    refusal = RequestRejected("run agent-chat-probe: refused", "Image 'probe' not found.")
    prober = JobProber(FakeJobs(scene.clock, (SCENARIO,), good, refuses=refusal))
    assert scene.roll(a_wish(stages=stages(0, 100)), driven(scene, prober)) is Outcome.PAUSED
    assert scene.shares[-1] == 0
    assert "Image 'probe' not found." in scene.rollout.reason
    looks = [event.look for event in scene.told if isinstance(event, Looked)]
    shown = " ".join(str(part) for line in gate_lines(looks[-1]) for part in line)
    assert "no conversation: the probes' job was not started" in shown


class _Hanging:
    """A job whose every answer hangs, until the test is over."""

    def __init__(self) -> None:
        self.over, self.begun = threading.Event(), threading.Event()

    def run(self, order: str, within: timedelta) -> str:
        self.begun.set()
        return "run-1"

    def state(self, run: str) -> RunState:
        self.over.wait(60)
        raise PlatformUnavailable("no answer")

    def cancel(self, run: str) -> None:
        """Nothing hangs for it."""

    def errors(self, agent: str, revision: str, since: object) -> int:
        return 0

    def said(self, run: str, round_id: str, since: object) -> list[Payload]:
        return []


def test_giving_traffic_back_waits_for_no_job() -> None:
    scene = Scene()
    engine = scene.engine()
    scene.reach(5, engine)
    hanging = _Hanging()

    def begin(ask: ProbeAsk) -> JobRound:
        return JobRound(ask, hanging, "abc", timedelta(minutes=5), scene.clock.now, sleep=lambda _: None)

    with closing(BackgroundProber(begin)) as prober:
        scene.users.failing[CANDIDATE] = 1.0
        outcome = driven(scene, prober).run(until=scene.clock.now() + timedelta(hours=1))
        assert hanging.begun.is_set()
        assert prober.is_busy
        hanging.over.set()
    assert outcome is Outcome.ROLLED_BACK
