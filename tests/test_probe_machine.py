"""What a scenario may ask for, each with what can come of it, and the words that a person reads then."""

from __future__ import annotations

import pytest

from pipeline.probe.conversation import Kind
from pipeline.probe.verdict import Closing, Ending
from tests.conversations import TOKEN, Happening, play, scenario
from tests.fakes import START

PING, ERROR = {"type": "ping", "id": 3}, {"type": "error", "message": "quota"}
ACK, DONE, TICK = {"type": "ack", "data": {"id": "7", "user": "ann"}}, {"type": "done"}, {"type": "tick"}
LEFT, LOST, BOOM = Closing(1000), Closing(1006, cause="reset"), Closing(1011, "boom")

SHORT = "path: /ws\nsend: {type: run}\nexpect: [ack, done]"
TURNS = """
path: /ws
steps:
  - send: {type: login}
  - expect: [{type: ack, save: {user: data.user}}]
  - send: {type: run, user: "${user}"}
  - expect: [done]
"""
FIELD = "path: /ws\nexpect: [{type: ack, data.id: %s}]"
TEST = "path: /ws\nexpect: [{type: ack, n: {%s}}]"
COUNTED = "path: /ws\nexpect: [{type: tick, repeats: %s}, done]"
NEVER = "path: /ws\nnever: [{type: tick, bad: true}]\nexpect: [ack, done]"
WHEN = """
path: /ws
steps:
  - when: {type: ping}
    reply: {type: pong, id: "${message.id}"}
  - expect: [done]
"""
STAY = "path: /ws\nnever: [tick]\nsteps: [{expect: [ack]}, {stay: 30s}]"
CLOSE = "path: /ws\nexpect: [ack]\nclose: %s"
TWO = """
path: /ws
steps:
  - {open: /watch, socket: watcher}
  - send: {type: run}
  - expect: [ack]
  - {expect: [done], socket: watcher}
"""
AGAIN = """
path: /ws
steps:
  - expect: [{type: ack, save: {handle: data.id}}]
  - reconnect: /ws?resume=${handle}
  - expect: [done]
"""


def n(value: object) -> dict[str, object]:
    return {"type": "ack", "n": value}


Row = tuple[str, tuple[Happening, ...], Kind, str]
ROWS: dict[str, Row] = {
    # the short form
    "short": (SHORT, (ACK, DONE), Kind.OK, ""),
    "short: silence": (SHORT, (), Kind.TIMED_OUT, "nothing more within 10 s; still awaited: ack, done"),
    "short: strangers": (SHORT, (TICK, TICK, {"type": "tock"}), Kind.TIMED_OUT, "still awaited: ack, done; what came: tick, tock"),
    "short: the last alone": (SHORT, (DONE,), Kind.MISSING_EVENTS, "done came, but never ack; done came before ack"),
    "short: closed early": (SHORT, (ACK, BOOM), Kind.CLOSED_EARLY, 'server closed with 1011 "boom"; still awaited: done'),
    "short: lost": (SHORT, (ACK, LOST), Kind.CLOSED_EARLY, "connection lost without a close frame (1006: reset); still awaited: done"),
    "short: twice": (SHORT, (ACK, ACK, DONE), Kind.OUT_OF_ORDER, "ack came twice"),
    "short: the server closes first": (SHORT, (ACK, DONE), Kind.OK, ""),
    "short: the handshake is refused": (SHORT, (Ending(Kind.REFUSED, "handshake got 403", 403),), Kind.REFUSED, "handshake got 403"),
    "short: the same once more": ("path: /ws\nexpect: [ack, ack]", (ACK, BOOM), Kind.CLOSED_EARLY, "still awaited: ack once more"),
    "type: it stands elsewhere": (
        SHORT, ({"data": {"type": "ack"}},), Kind.TIMED_OUT, "ack came at data.type, not at type: set type: data.type",
    ),
    "type: under another name": (SHORT, ({"event": "ack"},), Kind.TIMED_OUT, "ack came at event, not at type: set type: event"),
    "type: none": (SHORT, ({"code": 4, "text": "x"},), Kind.TIMED_OUT, "what came: a message with code, text"),
    "type: no object": (SHORT, ("ack",), Kind.TIMED_OUT, "what came: a message that is a text, no object"),
    # turns
    "turns": (TURNS, (ACK, DONE), Kind.OK, ""),
    "turns: the first is not answered": (TURNS, (), Kind.TIMED_OUT, "step 2: nothing more within 10 s; still awaited: ack"),
    "turns: the second is not answered": (TURNS, (ACK,), Kind.TIMED_OUT, "step 4: nothing more within 10 s; still awaited: done"),
    "turns: closed between them": (TURNS, (ACK, BOOM), Kind.CLOSED_EARLY, 'step 4: server closed with 1011 "boom"; still awaited: done'),
    "turns: out of turn": (TURNS, (DONE, ACK), Kind.TIMED_OUT, "step 4: nothing more within 10 s; still awaited: done"),
    "turns: the first turn's events may come again": (TURNS, (ACK, ACK, DONE), Kind.OK, ""),
    "turns: what is to be saved is not there": (TURNS, ({"type": "ack"},), Kind.TIMED_OUT, "ack came, but data.user is absent, to be saved"),
    # fields and tests of them
    "field": (FIELD % "'7'", (ACK,), Kind.OK, ""),
    "field: another": (FIELD % "'8'", (ACK,), Kind.TIMED_OUT, "still awaited: ack; ack came, but data.id is '7', expected '8'"),
    "field: another type": (FIELD % 7, (ACK,), Kind.TIMED_OUT, "ack came, but data.id is '7', expected 7"),
    "field: absent": (FIELD % "'7'", ({"type": "ack"},), Kind.TIMED_OUT, "ack came, but data.id is absent, expected '7'"),
    "field: closed after a near miss": (FIELD % 7, (ACK, BOOM), Kind.CLOSED_EARLY, "still awaited: ack; ack came, but data.id is '7', expected 7"),
    "field without a type": ("path: /ws\nexpect: [{id: 7}]", ({"id": 8},), Kind.TIMED_OUT, "still awaited: id=7; a message came, but id is 8, expected 7"),
    "exists": (TEST % "exists: true", (n(None),), Kind.OK, ""),
    "exists: not": (TEST % "exists: true", (ACK,), Kind.TIMED_OUT, "ack came, but n is absent, expected that it is there"),
    "exists: false": (TEST % "exists: false", (n(1),), Kind.TIMED_OUT, "ack came, but n is 1, expected that it is absent"),
    "matches": (TEST % "matches: '^v[0-9]'", (n("v12"),), Kind.OK, ""),
    "matches: not": (TEST % "matches: '^v[0-9]'", (n("12"),), Kind.TIMED_OUT, "n is '12', expected a text that matches '^v[0-9]'"),
    "matches: no text": (TEST % "matches: '1'", (n(1),), Kind.TIMED_OUT, "n is 1, expected a text that matches '1'"),
    "gt and lt": (TEST % "gt: 1, lt: 5", (n(3),), Kind.OK, ""),
    "gt and lt: too large": (TEST % "gt: 1, lt: 5", (n(5),), Kind.TIMED_OUT, "n is 5, expected > 1 and < 5"),
    "gt: a text": (TEST % "gt: 1", (n("3"),), Kind.TIMED_OUT, "n is '3', expected > 1"),
    "gt: true is no number": (TEST % "gt: 0", (n(True),), Kind.TIMED_OUT, "n is True, expected > 0"),
    "gte and lte": (TEST % "gte: 1, lte: 1", (n(1),), Kind.OK, ""),
    "one-of": (TEST % "one-of: [a, b]", (n("b"),), Kind.OK, ""),
    "one-of: none": (TEST % "one-of: [a, b]", (n("c"),), Kind.TIMED_OUT, "n is 'c', expected one of ['a', 'b']"),
    "one-of: true is not 1": (TEST % "one-of: [1]", (n(True),), Kind.TIMED_OUT, "n is True, expected one of [1]"),
    "is": (TEST % "is: integer", (n(3),), Kind.OK, ""),
    "is: another": (TEST % "is: integer", (n(3.5),), Kind.TIMED_OUT, "n is 3.5, expected an integer"),
    "is: absent is no null": (TEST % "is: 'null'", (ACK,), Kind.TIMED_OUT, "n is absent, expected a null"),
    "equals": (TEST % "equals: {gt: 1}", (n({"gt": 1}),), Kind.OK, ""),
    # a name that is spelt otherwise
    "name: case": (SHORT, (ACK, {"type": "Done"}), Kind.TIMED_OUT, "still awaited: done; a message came, but type is 'Done', expected 'done'"),
    "name: hyphens": ("path: /ws\nexpect: [{type: agent_done, ok: true}]", ({"type": "agent-done", "ok": True},), Kind.TIMED_OUT, "type is 'agent-done', expected 'agent_done'"),
    "name: a number": ("path: /ws\nexpect: ['7']", ({"type": 7},), Kind.TIMED_OUT, "type is 7, expected '7'"),
    "name: another": (SHORT, (ACK, {"type": "undone"}), Kind.TIMED_OUT, "still awaited: done; what came: undone"),
    # how often
    "repeats": (COUNTED % "true", (TICK, TICK, TICK, DONE), Kind.OK, ""),
    "repeats: too few": (COUNTED % "{min: 3}", (TICK, TICK, LEFT), Kind.CLOSED_EARLY, "still awaited: tick (2 of at least 3 came), done"),
    "repeats: enough": (COUNTED % "{min: 2, max: 3}", (TICK, TICK, TICK, DONE), Kind.OK, ""),
    "repeats: too many": (COUNTED % "{min: 2, max: 3}", (TICK,) * 4 + (DONE,), Kind.OUT_OF_ORDER, "tick came more than 3 times"),
    "repeats: need not come": (COUNTED % "{min: 0}", (DONE,), Kind.OK, ""),
    # time
    "within": ("path: /ws\nexpect: [{type: ack, within: 2s}, done]", (1.0, ACK, 8.0, DONE), Kind.OK, ""),
    "within: late": ("path: /ws\nexpect: [{type: ack, within: 2s}, done]", (3.0, ACK, DONE), Kind.TIMED_OUT, "ack did not come within 2 s"),
    "within: a near miss in time": (
        "path: /ws\nexpect: [{type: ack, data.id: 7, within: 2s}]", (ACK,), Kind.TIMED_OUT,
        "ack did not come within 2 s; ack came, but data.id is '7', expected 7",
    ),
    "within: of its step": (
        "path: /ws\nsteps: [{expect: [ack]}, {expect: [{type: done, within: 2s}]}]", (5.0, ACK, 1.0, DONE), Kind.OK, "",
    ),
    # never
    "never": (NEVER, (ACK, TICK, DONE), Kind.OK, ""),
    "never: it came": (NEVER, (ACK, {"type": "tick", "bad": True}, DONE), Kind.UNWANTED_EVENT, "tick came, which must never come"),
    "never: by a test": (
        "path: /ws\nnever: [{oops: {exists: true}}]\nexpect: [ack]", ({"oops": 1},), Kind.UNWANTED_EVENT,
        "oops (any) came, which must never come",
    ),
    # what the server asks
    "when": (WHEN, (PING, PING, DONE), Kind.OK, ""),
    "when: its field is not there": (WHEN, ({"type": "ping"},), Kind.NOT_SPOKEN, "the reply to ping: ${message.id} has no value"),
    # errors
    "error": (SHORT, (ACK, ERROR), Kind.ERROR_EVENT, "the server said error: {'type': 'error', 'message': 'quota'}; still awaited: done"),
    "error: of JSON-RPC": (SHORT, ({"id": 1, "error": {"code": -32601}},), Kind.ERROR_EVENT, "'code': -32601"),
    "error: by another field": (SHORT, ({"event": "chat.error"},), Kind.ERROR_EVENT, "chat.error"),
    "error: in one word": (SHORT, ({"type": "serverError", "message": "m"},), Kind.ERROR_EVENT, "the server said error: {'type': 'serverError'"),
    "error: with its kind behind": (SHORT, ({"type": "error.quota"},), Kind.ERROR_EVENT, "error.quota"),
    "error: where this service says it": (
        "path: /ws\ntype: e.kind\nexpect: [done]", ({"e": {"kind": "error", "text": "no"}},), Kind.ERROR_EVENT,
        "the server said error: {'e': {'kind': 'error', 'text': 'no'}}",
    ),
    "error: by what it does": (SHORT, ({"action": "error", "text": "no"},), Kind.ERROR_EVENT, "'text': 'no'"),
    "error: by its status": (SHORT, ({"status": "error", "text": "no"},), Kind.ERROR_EVENT, "'text': 'no'"),
    "error: of a request by its name": (SHORT, ({"action": "run", "error": "no"},), Kind.ERROR_EVENT, "'error': 'no'"),
    "error: no word of it": (SHORT, ({"type": "terror"}, {"type": "error_rate"}, {"type": "x", "status": "error"}, ACK, 5.0, DONE), Kind.OK, ""),
    "error: in an event without a name": (SHORT, ({"type": "message", "data": {"error": {"message": "quota"}}},), Kind.ERROR_EVENT, "'message': 'quota'"),
    "error: instead of a result": (SHORT, ({"type": "next", "payload": {"errors": [{"message": "no"}], "data": None}},), Kind.ERROR_EVENT, "'message': 'no'"),
    "error: beside a result": (SHORT, ({"type": "next", "payload": {"errors": [1], "data": {"a": 1}}}, ACK, 5.0, DONE), Kind.OK, ""),
    "error: in a line of text": ("path: /ws\nframing: text\nexpect: [done]", ({"text": "error: quota"},), Kind.ERROR_EVENT, "error: quota"),
    "error: a sentence of none": ("path: /ws\nframing: text\nexpect: [done]", ({"text": "so far no error"}, 5.0, {"text": "done"}), Kind.OK, ""),
    "error: it goes on": (SHORT, (ERROR, 1.5, ACK, 1.5, DONE), Kind.OK, ""),
    "error: and closes": (SHORT, (ACK, ERROR, BOOM), Kind.CLOSED_EARLY, "still awaited: done; before, the server said error: {'type': 'error'"),
    "error: expected": ("path: /ws\nexpect: [{type: error, code: 4}, done]", ({"type": "error", "code": 4}, 9.0, DONE), Kind.OK, ""),
    "error: of another kind than expected": (
        "path: /ws\nexpect: [{type: error, code: 4}]", ({"type": "error", "code": 5},), Kind.ERROR_EVENT,
        "error came, but code is 5, expected 4",
    ),
    "error: none": (SHORT, ({"type": "report", "error": "none"}, ACK, 5.0, DONE), Kind.OK, ""),
    # staying
    "stay": (STAY, (ACK, 30.0), Kind.OK, ""),
    "stay: strangers": (STAY, (ACK, 20.0, DONE, 10.0), Kind.OK, ""),
    "stay: closed": (STAY, (ACK, 20.0, LEFT), Kind.CLOSED_EARLY, "step 2: server closed with 1000; it should have stayed open"),
    "stay: lost": (STAY, (ACK, 20.0, LOST), Kind.CLOSED_EARLY, "connection lost without a close frame (1006: reset); it should have"),
    "stay: what must not come": (STAY, (ACK, 20.0, TICK), Kind.UNWANTED_EVENT, "step 2: tick came, which must never come"),
    "stay: error": (STAY, (ACK, 20.0, ERROR), Kind.ERROR_EVENT, "step 2: the server said error: "),
    # the close
    "close": (CLOSE % 4001, (ACK,), Kind.OK, ""),
    "close: by the server": (CLOSE % "{code: 4001, reason: '^bye', by: server}", (ACK, Closing(4001, "bye now")), Kind.OK, ""),
    "close: never": (CLOSE % "{code: 4001, by: server}", (ACK,), Kind.WRONG_CLOSE, "server did not close, expected it to, with 4001"),
    "close: another code": (CLOSE % "{code: 4001, by: server}", (ACK, LEFT), Kind.WRONG_CLOSE, "server closed with 1000, expected 4001"),
    "close: another reason": (
        CLOSE % "{code: 4001, reason: '^bye', by: server}", (ACK, Closing(4001, "go")), Kind.WRONG_CLOSE,
        "server closed with 4001 \"go\", expected a reason that matches '^bye'",
    ),
    # two sockets
    "two": (TWO, (ACK, ("watcher", DONE)), Kind.OK, ""),
    "two: the other was faster": (TWO, (("watcher", DONE), ACK), Kind.OK, ""),
    "two: nothing on the other": (TWO, (ACK, DONE), Kind.TIMED_OUT, "step 4, watcher: nothing more within 10 s; still awaited: done"),
    "two: the other was closed": (TWO, (("watcher", BOOM), ACK), Kind.CLOSED_EARLY, 'step 4, watcher: server closed with 1011 "boom"; still awaited: done'),
    "two: a flood": (TWO, (*(("watcher", DONE) for _ in range(300)), ACK), Kind.UNREADABLE, "watcher: a flood"),
    # opened again
    "again": (AGAIN, (ACK, DONE), Kind.OK, ""),
    "again: refused": (AGAIN, (ACK, Ending(Kind.REFUSED, "handshake got 404", 404)), Kind.REFUSED, "step 2: handshake got 404"),
    "again: closed at once": (AGAIN, (ACK, Closing(4404, "no such handle")), Kind.CLOSED_EARLY, 'step 3: server closed with 4404 "no such handle"'),
    "again: the handle is null": (
        AGAIN, ({"type": "ack", "data": {"id": None}},), Kind.NOT_SPOKEN, "step 2: what is filled in to a path is null",
    ),
    "again: the handle is an object": (
        AGAIN, ({"type": "ack", "data": {"id": {}}},), Kind.NOT_SPOKEN, "what is filled in to a path is an object",
    ),
    # what we do not speak
    "a JSON array": (SHORT, ([ACK, DONE],), Kind.NOT_SPOKEN, "a JSON array came: set framing"),
    "a JSON array after all was well": (SHORT, (ACK, [DONE]), Kind.TIMED_OUT, "still awaited: done; what came: a JSON array"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_comes_of_a_scenario(name: str) -> None:
    text, script, kind, words = ROWS[name]
    seen = play(scenario(text), *script).conversation
    assert seen.kind is kind, seen.detail
    assert words in seen.detail if words else not seen.detail


def test_there_are_enough_of_them() -> None:
    assert len(ROWS) >= 60


def test_an_error_is_told_long_before_the_time_is_over() -> None:
    slow = scenario("path: /ws\nwithin: 1h\nexpect: [done]")
    assert play(slow, ERROR).seconds == 2.0
    assert play(slow).seconds == 3600.0


def test_a_value_that_an_answer_brought_is_said() -> None:
    assert play(scenario(TURNS), ACK, DONE).messages == [{"type": "login"}, {"type": "run", "user": "ann"}]


def test_each_question_is_answered_with_its_own_values() -> None:
    held = play(scenario(WHEN), PING, {"type": "ping", "id": "x"}, DONE)
    assert held.messages == [{"type": "pong", "id": 3}, {"type": "pong", "id": "x"}]


def test_an_event_of_one_group_may_use_what_one_before_saved() -> None:
    wanted = scenario("path: /ws\nexpect: [{type: ack, save: {id: data.id}}, {type: done, id: '${id}'}]")
    assert play(wanted, ACK, {"type": "done", "id": "7"}).conversation.is_ok
    assert (
        "done came, but id is '8', expected '7'"
        in play(wanted, ACK, {"type": "done", "id": "8"}).conversation.detail
    )


def test_whole_values_keep_their_type_and_names_their_value() -> None:
    text = """
    path: /ws/${uuid:room}?n=${counter}
    steps:
      - expect: [{type: ack, save: {all: data}}]
      - send: [{room: "${room}", again: "${uuid}", all: "${all}", text: "in ${all}", at: "${now}", n: "${counter}", dollar: "$${x}"}]
      - expect: [done]
    """
    held = play(
        scenario("\n".join(line[4:] for line in text.splitlines())), {"type": "ack", "data": [1, "é/"]}, DONE
    )
    assert held.opened == [("main", "/ws/uuid-1?n=1")]
    assert held.messages == [{
        "room": "uuid-1", "again": "uuid-2", "all": [1, "é/"], "text": 'in [1, "\\u00e9/"]',
        "at": "2026-01-01T12:00:00.000000Z", "n": 2, "dollar": "${x}",
    }]  # fmt: skip


def test_secrets_are_filled_in_where_they_are_said() -> None:
    held = play(
        scenario(
            'path: /ws\nsend: {token: "Bearer ${env:WS_TOKEN}", key: "${file:key.txt}"}\nexpect: [done]'
        ),
        DONE,
    )
    assert held.messages == [{"token": f"Bearer {TOKEN}", "key": "from a file"}]


def test_keys_are_filled_in_as_values_are() -> None:
    text = """
path: /ws
send: {"${env:WS_TOKEN}": 1, "n ${counter}": [{"${uuid:a}": "${a}"}], "$${x}": 2}
expect: [done]
"""
    assert play(scenario(text), DONE).messages == [
        {TOKEN: 1, "n 1": [{"uuid-1": "uuid-1"}], "${x}": 2}
    ]  # fmt: skip


@pytest.mark.parametrize("use", ['send: "a ${user}"', "reconnect: '/ws?u=${user}'", "send: {'${user}': 1}"])
@pytest.mark.parametrize("value", [b"\xff", {b"k": 1}, START])
def test_what_has_no_spelling_in_a_text_is_not_said(use: str, value: object) -> None:
    wanted = scenario(
        f"path: /ws\nsteps:\n  - expect: [{{type: ack, save: {{user: id}}}}]\n  - {use}\n  - expect: [done]"
    )
    seen = play(wanted, {"type": "ack", "id": value}).conversation
    assert seen.kind is Kind.NOT_SPOKEN
    assert "what is filled in to a" in seen.detail


def test_an_index_of_thousands_of_digits_is_none() -> None:
    wanted = scenario(
        f"path: /ws\nexpect: [{{type: ack, save: {{u: items.{'9' * 5000}}}}}, {{type: done, u: '${{u}}'}}]"
    )
    assert play(wanted, {"type": "ack", "items": [1]}).conversation.kind is Kind.TIMED_OUT


def test_a_socket_is_opened_again_where_the_handle_says_escaped() -> None:
    handle = {"type": "ack", "data": {"id": "a/b?c=d&é"}}
    held = play(scenario(AGAIN), handle, DONE)
    assert held.conversation.is_ok
    assert held.opened == [("main", "/ws"), ("main", "/ws?resume=a%2Fb%3Fc%3Dd%26%C3%A9")]


def test_an_answer_to_our_close_is_looked_at() -> None:
    assert (
        play(scenario(SHORT), ACK, DONE, answer=Closing(1011, by_server=False)).conversation.kind
        is Kind.WRONG_CLOSE
    )
    ours = scenario(CLOSE % "{code: 1000, by: us}")
    assert play(ours, ACK).conversation.is_ok
    other = play(scenario(TWO), ACK, ("watcher", DONE), answer=Closing(1011, by_server=False)).conversation
    assert (other.kind, other.detail) == (
        Kind.WRONG_CLOSE,
        "watcher: server answered our close with 1011, expected 1000",
    )


def test_time_that_is_stayed_for_is_not_taken_from_the_rest() -> None:
    wanted = scenario("path: /ws\nwithin: 5s\nsteps: [{stay: 1m}, {expect: [done]}]")
    assert wanted.longest_s == 65
    assert play(wanted, 60.0, 4.0, DONE).conversation.is_ok
    assert play(wanted, 60.0, 6.0, DONE).conversation.kind is Kind.TIMED_OUT
