"""Plain HTTP before the socket: a login whose answers open it, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web

from pipeline.errors import ConfigError
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.round import run_round
from pipeline.probe.session import hold_conversation
from pipeline.redact import SINK
from tests.conversations import scenario
from tests.fakes import START

SESSION, TICKET, CSRF = "s-4711-of-ann", "ticket/with?odd&parts", "csrf-of-the-day"


class Shop:
    """A service that is entered by a form, a ticket and a token, and that forgets what its path says."""

    def __init__(self, *forgets: str) -> None:
        self.forgets = forgets
        self.requests: list[web.Request] = []

    async def login(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        form = await request.post()
        if form.get("password") != "a password & more":
            raise web.HTTPForbidden(text=f"password {form.get('password')} is wrong")
        answer = web.Response(status=303, headers={"Location": "/home"})
        if "cookie" not in self.forgets:
            answer.set_cookie("other", "1")
            answer.set_cookie("sid", SESSION, httponly=True)
        return answer

    async def tickets(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if request.cookies.get("sid") != SESSION:
            raise web.HTTPUnauthorized(text="who are you?")
        said = await request.json()
        assert said == {"room": "lobby"}
        headers = {} if "header" in self.forgets else {"X-CSRF": CSRF}
        if "json" in self.forgets:
            return web.Response(text="<html>", headers=headers)
        data = {} if "field" in self.forgets else {"ticket": TICKET + "\r\n" * ("line" in self.forgets)}
        return web.json_response(
            {"uses": 0 if "uses" in self.forgets else True if "text" in self.forgets else 3, "data": data},
            headers=headers,
        )

    async def socket(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if (request.query["ticket"], request.cookies.get("sid")) != (TICKET, SESSION):
            raise web.HTTPForbidden(text=f"no ticket {request.query['ticket']}")
        opened = web.WebSocketResponse()
        await opened.prepare(request)
        async for message in opened:
            if message.type is WSMsgType.TEXT:
                is_known = message.json() == {"type": "hello", "csrf": CSRF, "uses": "3"}
                await opened.send_json({"type": "welcome" if is_known else f"who? {message.data}"})
        return opened


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(
        [web.post("/login", shop.login), web.post("/tickets", shop.tickets), web.get("/ws", shop.socket)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


ENTERED = r"""
path: /ws?ticket=${ticket}
headers: {Cookie: "sid=${session}", X-Run: "${uuid:run}"}
http:
  - {method: POST, path: /login, form: {user: probe, password: "${env:SHOP_PASSWORD}"}, status: 303, save: {session: "cookie:sid"}}
  - method: POST
    path: /tickets?run=${run}
    headers: {x-run: "${run}-2", X-Reason: probe}
    send: {room: lobby}
    body: {uses: {one-of: [1, 2, 3, true]}}
    save: {ticket: data.ticket, csrf: "header:X-CSRF", uses: 'text:"uses": (\d+)'}
send: {type: hello, csrf: "${csrf}", uses: "${uses}"}
expect: [welcome]
"""


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "a password & more")


async def entered(shop: Shop, text: str = ENTERED) -> Conversation:
    async with serving(shop) as url:
        return await hold_conversation(scenario(text), url, {"X-Spillway-Probe": "ours"})


async def test_what_a_login_brings_opens_the_socket_and_is_said_there() -> None:
    shop = Shop()
    seen = await entered(shop)
    assert (seen.kind, seen.detail) == (Kind.OK, ""), seen.transcript
    login, tickets, socket = shop.requests
    run = login.headers["X-Run"]
    assert "Cookie" not in login.headers, "nothing is known of it yet"
    assert (tickets.query["run"], tickets.headers.getall("X-Run")) == (run, [f"{run}-2"])
    assert (socket.headers["X-Run"], socket.headers["Cookie"]) == (run, f"sid={SESSION}")
    assert {each.headers["X-Spillway-Probe"] for each in shop.requests} == {"ours"}


@pytest.mark.parametrize("value", [SESSION, TICKET, CSRF, "ticket%2Fwith%3Fodd%26parts"])
async def test_what_it_brought_is_secret(value: str) -> None:
    await entered(Shop())
    assert value not in SINK.text(f"GET /ws?ticket={value}&x=1 {value}")


@pytest.mark.parametrize(
    ("forgotten", "words"),
    [
        ("cookie", "POST /login: cookie sid is absent, to be saved as session"),
        ("header", "header X-CSRF is absent, to be saved as csrf"),
        ("field", "data.ticket is absent, to be saved as ticket"),
        ("uses", "uses is 0, expected one of [1, 2, 3, True]"),
        ("json", "the body is not JSON (Expecting value"),
        ("text", 'text "uses": (\\d+) is absent, to be saved as uses'),
    ],
)
async def test_what_it_does_not_bring_is_told(forgotten: str, words: str) -> None:
    seen = await entered(Shop(forgotten))
    assert seen.kind is Kind.HTTP_MISMATCH
    assert words in seen.detail


async def test_a_password_that_is_wrong_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "an old & wrong one")
    seen = await entered(Shop())
    assert (seen.kind, seen.status) == (Kind.HTTP_MISMATCH, 403)
    assert SINK.text(seen.detail) == ("POST /login: status 403, expected 303: password [redacted] is wrong")


async def test_what_an_answer_brings_that_is_not_the_wanted_one_is_secret_too() -> None:
    seen = await entered(Shop(), ENTERED.replace("X-Reason: probe}", "X-Reason: probe}\n    status: 201"))
    assert "status 200, expected 201" in seen.detail
    assert TICKET not in SINK.text(seen.detail)


async def test_what_no_header_can_carry_is_not_sent() -> None:
    shop = Shop("line")
    seen = await entered(shop, ENTERED.replace('"${uuid:run}"}', '"${uuid:run}", X-Ticket: "${ticket}"}'))
    assert (seen.kind, len(shop.requests)) == (Kind.NOT_SPOKEN, 2)
    assert seen.detail == "what is filled in to the header X-Ticket is nothing that HTTP can carry"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTERED.replace("send: {room: lobby}", "send: a\n    form: {a: b}"), "one body: send or form"),
        (ENTERED.replace("${csrf}", "${csfr}"), "did you mean ${csrf}?"),
        (ENTERED.replace(", csrf: \"${csrf}\"", ""), "save: csrf is never used"),
        (ENTERED.replace("form: {user: probe", "form: {user: \"${ticket}\""), "is not known yet"),
        (ENTERED.replace("{one-of: [1, 2, 3, true]}", "{gte: one}"), "gte must be a number"),
        (ENTERED.replace("(\\d+)", "\\d+"), "has no group: (...) is what is saved"),
        (ENTERED.replace("(\\d+)", "(\\d+"), "is no regular expression"),
        (ENTERED.replace("session: \"cookie:sid\"", "uuid: \"cookie:sid\""), "cannot be a variable's name"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"\d+:\d+") as refused:
        scenario(text)
    assert words in str(refused.value)


async def test_of_very_many_logins_no_token_is_shown_later() -> None:
    """The sink forgets what a conversation was given, in time; what is told of that conversation has none of it."""
    wrong = ENTERED.replace("expect: [welcome]", "expect: [farewell]\nwithin: 300ms").replace(
        'csrf: "${csrf}"', 'csrf: "${csrf}!"'
    )
    async with serving(Shop()) as url:
        ask = ProbeAsk((scenario(wrong),), Address(url), None, 1, 1, confirms=False)
        report = await asyncio.to_thread(run_round, ask, lambda: START)
    (failed,) = report.failures
    assert "[redacted]" in failed.detail
    for value in (SESSION, TICKET, CSRF):
        assert value not in repr(report)
    SINK.learn_passing(*(f"token-{number:06}" for number in range(1001)))
    assert SINK.text(f"{CSRF} token-000000 token-001000") == f"{CSRF} token-000000 [redacted]"
