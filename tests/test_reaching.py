"""Probes that go by a load balancer's addresses: who answered is proven, and nobody is judged for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NoReturn

import pytest
import uvicorn
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route as HttpRoute
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from pipeline.config import schema
from pipeline.doctor import service
from pipeline.doctor.answer import Verdict
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.errors import ConfigError, PlanRefused
from pipeline.judging.terms import Probing, Verification
from pipeline.model import Outcome
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.matching import Expectation
from pipeline.probe.round import run_round
from pipeline.probe.route import Route, Ways
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.probe.steps import HttpStep
from pipeline.telemetry import SpillwayTelemetry
from pipeline.telemetry.proof import PROBE_HEADER, probe_key, revision_mark
from tests.fakes import START
from tests.rollouts import CANDIDATE, REF, SCENARIO, SECOND, STABLE, Scene, a_wish
from tests.test_config import GOOD
from tests.test_plan import propose, revision

BOTH = {PROBE_HEADER.decode(): f"{probe_key('new')}, {probe_key('old')}"}
HELLO = (Expectation({"type": "hello"}),)


async def _hello(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"type": "hello"})
    await socket.receive()


async def _forbid(socket: WebSocket) -> None:
    await socket.close()


async def _raise(_socket: WebSocket) -> None:
    raise RuntimeError("no store")


async def _health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


APP = Starlette(
    routes=[
        WebSocketRoute("/ws", _hello),
        WebSocketRoute("/forbidden", _forbid),
        WebSocketRoute("/broken", _raise),
        HttpRoute("/healthz", _health),
    ]
)


@asynccontextmanager
async def served(nonce: str | None) -> AsyncIterator[str]:
    """The service as the revision with this nonce; None: without the middleware."""
    app: Any = APP
    if nonce is not None:
        app = SpillwayTelemetry(APP, environ={"SPILLWAY_NONCE": nonce}, write=lambda _line: None)
    config = uvicorn.Config(app, "127.0.0.1", 0, ws="websockets-sansio", log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


def candidate_at(url: str) -> Route:
    return Ways("http://127.0.0.1:9", url).to_candidate(revision_mark("new"), revision_mark("old"))


def stable_at(url: str) -> Route:
    return Ways(url, "http://127.0.0.1:9").to_stable(revision_mark("old"), revision_mark("new"))


async def hold(
    route: Route, path: str = "/ws", headers: Mapping[str, str] = BOTH, **more: Any
) -> Conversation:
    groups = (HELLO,) if path else ()
    return await hold_conversation(Scenario.short("s", path, (), groups, **more), route.url, headers, route)


async def test_a_conversation_counts_where_the_revision_proves_itself() -> None:
    async with served("new") as url:
        assert (await hold(candidate_at(url))).is_ok
        health = (HttpStep("GET", "/healthz", 200, {}),)
        assert (await hold(candidate_at(url), "", http=health)).is_ok


@pytest.mark.parametrize("path", ["/forbidden", "/broken"])
async def test_a_refusal_that_is_proven_is_the_revisions(path: str) -> None:
    async with served("new") as url:
        assert (await hold(candidate_at(url), path)).kind is Kind.REFUSED


async def test_what_another_revision_answered_is_not_the_candidates() -> None:
    async with served("old") as url:
        for path in ("/ws", "/forbidden", "/broken"):
            seen = await hold(candidate_at(url), path)
            assert seen.kind is Kind.UNPROVEN
            assert f"the address of the candidate ({url}) leads to stable" in seen.detail


@pytest.mark.parametrize("nonce", ["somebody", None])
async def test_what_cannot_be_proven_is_not_the_candidates(nonce: str | None) -> None:
    async with served(nonce) as url:
        seen = await hold(candidate_at(url))
        assert (seen.kind, "may lead to another revision" in seen.detail) == (Kind.UNPROVEN, True)
        health = (HttpStep("GET", "/healthz", 500, {}),)
        assert (await hold(candidate_at(url), "", http=health)).kind is Kind.UNPROVEN


async def test_nobody_at_the_balancers_address_says_nothing_of_the_candidate() -> None:
    seen = await hold(candidate_at("http://127.0.0.1:1"))
    assert (seen.kind, "nobody answered" in seen.detail) == (Kind.UNPROVEN, True)


async def test_stable_counts_unless_it_is_the_candidate_that_answers() -> None:
    async with served(None) as older, served("new") as candidate, served("old") as stable:
        assert (await hold(stable_at(stable))).is_ok
        assert (await hold(stable_at(older))).is_ok
        assert "leads to the candidate" in (await hold(stable_at(candidate))).detail


async def test_a_round_at_a_candidates_address_that_leads_to_stable_is_blind() -> None:
    """What stable does well is no proof that the candidate did it badly."""
    unheard = Scenario.short("s", "/ws", (), ((Expectation({"type": "never"}),),), within_s=0.2)
    async with served("old") as url:
        key = BOTH[PROBE_HEADER.decode()]
        ways = Address(url, "", key, candidate_at(url)), Address(url, "", key, stable_at(url))
        for scenario in (Scenario.short("s", "/ws", (), (HELLO,)), unheard):
            ask = ProbeAsk((scenario,), *ways, 2, 2)
            report = await asyncio.to_thread(run_round, ask, lambda: START)
            assert {each.kind for each in report.candidate} == {Kind.UNPROVEN}
            assert "leads to stable" in report.unspoken
            assert (report.is_blind, report.is_worse, report.confirming) == (True, False, ())


async def test_only_a_probe_that_knows_the_revision_is_told_which_it_is() -> None:
    async with served("new") as url:
        for headers in ({}, {PROBE_HEADER.decode(): probe_key("old")}, {PROBE_HEADER.decode(): ""}):
            assert (await hold(candidate_at(url), headers=headers)).kind is Kind.UNPROVEN


# --- a rollout


WAYS = Ways("https://chat.example.com", "https://chat.example.com", "X-Revision", "stable", "candidate")


def driven(scene: Scene, ways: Ways) -> Engine:
    """An engine whose probes go these ways."""
    observer = Observer(REF, scene.world, (SCENARIO,), ways=ways)
    return Engine(observer, scene.world, driver="host/1", rhythm=Rhythm(look=SECOND))


def test_probes_and_commands_go_the_balancers_way_and_show_both_keys() -> None:
    scene = Scene()
    engine = driven(scene, WAYS)
    wish = a_wish(verify=(Verification("smoke", (0,), timedelta(minutes=1)),), is_reached=True)
    scene.start(wish, engine)
    assert engine.run(until=scene.clock.now() + timedelta(hours=1)) is Outcome.PROMOTED
    ask = scene.prober.rounds[-1]
    assert ask.control is not None
    keys = [probe_key(f"n-{name}") for name in (CANDIDATE, STABLE)]
    assert [ask.candidate.key, ask.control.key] == [", ".join(keys), ", ".join(reversed(keys))]
    assert ask.candidate.route == WAYS.to_candidate(
        *(revision_mark(f"n-{name}") for name in (CANDIDATE, STABLE)), CANDIDATE
    )
    assert ask.control.route is not None
    assert ask.control.route.headers == (("X-Revision", "stable"),)
    command = scene.verifier.started[0]
    assert (command.url, command.header) == ("https://chat.example.com", "X-Revision: candidate")
    assert (command.stable_url, command.stable_header) == (
        "https://chat.example.com",
        "X-Revision: stable",
    )


@pytest.mark.parametrize(("asked", "audience"), [("", "http://main"), ("client-of-iap", "client-of-iap")])
def test_a_token_is_for_the_service_or_for_the_proxy_before_it(asked: str, audience: str) -> None:
    scene = Scene()
    ways = replace(WAYS, audience=asked)
    observer = Observer(REF, scene.world, (SCENARIO,), ways=ways, authenticated=True)
    engine = Engine(observer, scene.world, driver="host/1", rhythm=Rhythm(look=SECOND))
    scene.start(a_wish(is_reached=True), engine)
    engine.run(until=scene.clock.now() + timedelta(hours=1))
    ask = scene.prober.rounds[-1]
    assert ask.control is not None
    assert (ask.candidate.audience, ask.control.audience) == (audience, audience)


@pytest.mark.parametrize("closed", [{"ingress_all": False}, {"default_uri_disabled": True}])
def test_a_plan_says_what_a_closed_service_needs_and_takes_it(closed: dict[str, bool]) -> None:
    with pytest.raises(PlanRefused, match=r"probes\.address") as refused:
        propose(**closed)
    assert "404" in refused.value.why
    assert propose(a_wish(is_reached=True), **closed).plan.candidate == CANDIDATE


@pytest.mark.parametrize("is_reached", [True, False])
def test_a_stable_that_cannot_be_proven_is_told(is_reached: bool) -> None:
    foreign = replace(revision(STABLE), nonce="")
    made = propose(a_wish(is_reached=is_reached), (foreign,))
    assert any("taken on trust" in warning for warning in made.warnings) == is_reached


# --- spillway.yaml

STABLE_URL, CANDIDATE_URL = "https://stable.example.com", "https://candidate.example.com"
ONE = "stable: 'https://chat.example.com', candidate: 'https://chat.example.com'"
LED = "header: {name: X-Revision, stable: s, candidate: c}"


def parsed(address: str, text: str = GOOD) -> schema.Config:
    return schema.parse(f"{text}probes:\n  address: {{{address}}}\n")


def test_each_environment_may_have_addresses_of_its_own() -> None:
    own = f"probe-address: {{{ONE}, {LED}}}"
    text = GOOD.replace(
        "  local: {endpoint: local}\n",
        f"  a: {{endpoint: local}}\n  b: {{endpoint: local, service: b, {own}}}\n",
    )
    made = parsed(f"stable: '{STABLE_URL}', candidate: '{CANDIDATE_URL}', audience: iap", text)
    assert made.ways(made.environments["a"]) == Ways(STABLE_URL, CANDIDATE_URL, audience="iap")
    url = "https://chat.example.com"
    assert made.ways(made.environments["b"]) == Ways(url, url, "X-Revision", "s", "c")
    assert schema.parse(GOOD).ways(schema.parse(GOOD).environments["local"]) is None


def test_another_address_makes_no_other_rollout() -> None:
    assert parsed(f"{ONE}, {LED}").fingerprint() == schema.parse(GOOD).fingerprint()


@pytest.mark.parametrize(
    ("address", "place", "words"),
    [
        (ONE, "18:49", "the same URL as that of stable"),
        (f"{ONE}, header: {{name: X-Revision, stable: s, candidate: s}}", "18:", "leads to stable"),
        (f"{ONE}, header: {{name: Host, stable: s, candidate: c}}", "18:", "a header of your own"),
        (f"{ONE}, header: {{name: X, stable: s}}", "18:", "candidate"),
        (f"stable: '{STABLE_URL}'", "18:", "candidate"),
        (f"stable: ftp://a, candidate: '{CANDIDATE_URL}'", "18:13", "a URL that starts with"),
        (f"stable: '{STABLE_URL}', candidate: 'http://169.254.169.254'", "18:", "metadata server"),
        (f"stable: '{STABLE_URL}', candidate: 'https://u:p@a.example.com'", "18:", "carries credentials"),
        (f"stable: '{STABLE_URL}', candidate: 'https://a.example.com/?x=1'", "18:", "query or fragment"),
    ],
)
def test_an_address_that_cannot_be(address: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f":{place}") as refused:
        parsed(address)
    assert words in str(refused.value)


def test_an_internal_ingress_is_asked_for_with_addresses_alone() -> None:
    internal = f"{GOOD}container: {{service: {{ingress: INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER}}}}\n"
    with pytest.raises(ConfigError, match=r"without .*probes\.address"):
        schema.parse(internal)
    assert parsed(f"{ONE}, {LED}", internal).container.service


def test_doctor_asks_for_open_ingress_only_where_probes_go_by_the_tags() -> None:
    closed = replace(Scene().live, ingress_all=False, default_uri_disabled=True)
    wrong = [each.name for each in service.settings(closed) if each.verdict is Verdict.WRONG]
    assert wrong == ["ingress", "address"]
    assert all(each.verdict is Verdict.OK for each in service.settings(closed, WAYS))


def test_doctor_asks_nothing_of_the_outside_where_a_job_holds_the_probes() -> None:
    closed = replace(Scene().live, ingress_all=False)
    assert all(each.verdict is Verdict.OK for each in service.settings(closed, is_inside=True))
    assert [each.verdict for each in service.tags(closed, is_inside=True)] == [Verdict.UNASKED]


# --- which way is needed, and why


@pytest.mark.parametrize(
    ("closed", "why", "fix"),
    [
        ({"ingress_all": False}, "the network alone", "Hold the probes inside the network with probes.from: job"),
        (
            {"ingress_all": False, "ingress_balanced": True}, "the network and a load balancer",
            "Name a load balancer's addresses of both tags under probes.address, or hold the probes inside",
        ),
        ({"default_uri_disabled": True}, "no addresses", "Name a load balancer's addresses"),
        ({"default_uri_disabled": True, "ingress_all": False}, "no addresses", "Name a load balancer's addresses"),
    ],
)  # fmt: skip
def test_a_plan_names_the_way_that_is_needed_and_why(closed: dict[str, bool], why: str, fix: str) -> None:
    with pytest.raises(PlanRefused) as refused:
        propose(**closed)
    assert why in refused.value.why
    assert refused.value.fix.startswith(fix)
    assert propose(a_wish(is_reached=True), **closed)
    if "default_uri_disabled" in closed:  # inside the network there is no address of the tags either
        with pytest.raises(PlanRefused, match="the default address is disabled"):
            propose(a_wish(is_inside=True), **closed)
    else:
        assert propose(a_wish(is_inside=True), **closed)


@pytest.mark.parametrize("way", ["is_reached", "is_inside"])
@pytest.mark.parametrize("evidence", ["users", "probes"])
def test_a_plan_says_that_answers_are_unproven_without_the_telemetry(way: str, evidence: str) -> None:
    made = propose(a_wish(evidence=evidence, criteria=(), **{way: True}))
    told = [each for each in made.warnings if "every answer is unproven" in each]
    assert bool(told) == (evidence == "probes"), "users' evidence needs the middleware anyway"
    assert not [
        each for each in propose(a_wish(evidence=evidence, criteria=())).warnings if "unproven" in each
    ]


def test_a_plan_says_that_a_round_which_hangs_would_say_nothing() -> None:
    """A candidate that hangs is to be seen to hang, and not to be taken for a job that does not end."""
    probing = Probing(
        SECOND, sessions=20, concurrency=4
    )  # 5 batches cold, 5 warm, 2 of 2 to confirm, of 10 s
    short, long = (
        propose(a_wish(is_inside=True, probing=probing, round_within=SECOND * n)) for n in (140, 141)
    )
    assert any("takes up to 2m20s and then says nothing" in each for each in short.warnings)
    assert not any("says nothing" in each for each in long.warnings)
    assert not any("says nothing" in each for each in propose(a_wish(probing=probing)).warnings)


def test_a_plan_says_that_commands_of_ones_own_stay_outside() -> None:
    wish = a_wish(is_inside=True, verify=(Verification("smoke"),))
    assert any("verify" in each for each in propose(wish, ingress_all=False).warnings)
    assert not any("verify" in each for each in propose(wish).warnings)


# --- probes.from: job in spillway.yaml


def held(probes: str, text: str = GOOD) -> schema.Config:
    return schema.parse(f"{text}probes: {probes}\n")


JOB = "{image: probe, network: default}"


def test_each_environment_may_have_a_job_of_its_own() -> None:
    text = GOOD.replace(
        "  local: {endpoint: local}\n",
        "  a: {endpoint: local}\n  b: {endpoint: local, service: b, probe-job: {image: other, subnetwork: s}}\n",
    )
    made = held(f"{{from: job, job: {JOB}}}", text)
    assert [(made.probe_job(each) or fail()).image for each in made.environments.values()] == [
        "probe",
        "other",
    ]
    here = schema.parse(GOOD)
    assert here.probe_job(here.environments["local"]) is None


def fail() -> NoReturn:
    raise AssertionError("a job was asked for")


def test_who_holds_the_probes_makes_no_other_rollout() -> None:
    assert held(f"{{from: job, job: {JOB}}}").fingerprint() == schema.parse(GOOD).fingerprint()


def test_the_fingerprint_of_the_scenarios_is_theirs_alone() -> None:
    one = schema.parse(GOOD).scenarios_fingerprint()
    assert schema.parse(GOOD.replace("limit: 0.1%", "limit: 0.2%")).scenarios_fingerprint() == one
    assert schema.parse(GOOD.replace("within: 10s", "within: 11s")).scenarios_fingerprint() != one


@pytest.mark.parametrize(
    ("probes", "place", "words"),
    [
        ("{from: job}", "17:10", "no job for the environment local"),
        (f"{{job: {JOB}}}", "17:", "the driver holds the probes itself"),
        ("{from: job, job: {image: probe}}", "17:", "needs a network"),
        ("{from: job, job: {network: default}}", "17:", "missing key probes.job.image"),
        ("{from: inside}", "17:10", "must be here or job"),
        (f"{{from: job, job: {JOB[:-1]}, within: 2h}}}}", "17:", "between 10s and 9m"),
    ],
)
def test_a_job_that_cannot_be(probes: str, place: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f":{place}") as refused:
        held(probes)
    assert words in str(refused.value)


@pytest.mark.parametrize("ingress", ["INTERNAL_LOAD_BALANCER", "INTERNAL_ONLY"])
def test_an_internal_ingress_is_asked_for_with_a_job(ingress: str) -> None:
    internal = f"{GOOD}container: {{service: {{ingress: INGRESS_TRAFFIC_{ingress}}}}}\n"
    assert held(f"{{from: job, job: {JOB}}}", internal).container.service
    disabled = internal.replace("}}", ", default_uri_disabled: true}}")
    with pytest.raises(ConfigError, match="default address must stay enabled"):
        held(f"{{from: job, job: {JOB}}}", disabled)
