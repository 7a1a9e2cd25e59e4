"""Each framing by itself: what it says first, what its frames hold, what it answers at once, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.framing.choice import Choice
from pipeline.framing.names import FRAMINGS
from pipeline.framing.own import own
from pipeline.framing.protocol import MOST_MESSAGES, BadFrame, CannotSpeak, Declined, Framing
from tests.fuzzing import draws

RUN = {"type": "run", "data": {"kind": "agent", "n": 1}}


def spoken(name: str, **options: object) -> Framing:
    return Choice(name, options).connect()


def heard(framing: Framing, *frames: str | bytes) -> list[object]:
    return [message for frame in frames for message in framing.decode(frame).messages]


PLACE = '{"_placeholder":true,"num":0}'  # of an attachment


@pytest.mark.parametrize(
    ("name", "options", "frame", "messages"),
    [
        ("json", {}, '{"a":1}', [{"a": 1}]),
        ("json", {}, "[1]", [[1]]),
        ("json", {"binary": True}, b'{"a":1}', [{"a": 1}]),
        ("json-array", {}, '[{"a":1},{"b":2}]', [{"a": 1}, {"b": 2}]),
        ("json-array", {}, '{"a":1}', [{"a": 1}]),
        ("json-array", {"binary": True}, b"[1,2]", [1, 2]),
        ("json-lines", {}, '{"a":1}\n{"b":"\\n"}\r\n\n', [{"a": 1}, {"b": "\n"}]),
        ("json-lines", {"separator": "0x1e"}, '{"a":1}\x1e{"b":2}\x1e', [{"a": 1}, {"b": 2}]),
        ("json-lines", {}, "[1]\n[2]", [[1], [2]]),
        ("text", {}, "READY", [{"text": "READY"}]),
        ("text", {"pattern": r"^(?P<type>\w+)( (?P<rest>.+))?$"}, "DONE 7", [{"text": "DONE 7", "type": "DONE", "rest": "7"}]),
        ("text", {"pattern": r"^(?P<type>\w+)( (?P<rest>.+))?$"}, "DONE", [{"text": "DONE", "type": "DONE"}]),
        ("text", {"pattern": "^x(?P<n>.)"}, "y", [{"text": "y"}]),
        ("msgpack", {}, msgpack.packb({"a": [1, b"x"]}), [{"a": [1, b"x"]}]),
        ("msgpack", {}, msgpack.packb({"a": 1}) + msgpack.packb({1: 2}), [{"a": 1}, {1: 2}]),
        ("socket.io", {}, '42["done",{"n":1},2]', [{"type": "done", "data": {"n": 1}, "args": [{"n": 1}, 2]}]),
        ("socket.io", {}, '42["done"]', [{"type": "done", "args": []}]),
        ("socket.io", {}, '4217["ask","?"]', [{"type": "ask", "data": "?", "args": ["?"], "id": 17}]),
        ("socket.io", {}, '433["ok"]', [{"type": "ack", "data": "ok", "args": ["ok"], "id": 3}]),
        ("socket.io", {}, '42/chat,["done"]', []),
        ("socket.io", {"namespace": "/chat"}, '42/chat,["done"]', [{"type": "done", "args": []}]),
        ("socket.io", {"namespace": "/chat"}, '42["done"]', []),
        ("socket.io", {}, "41", [{"type": "disconnect", "data": None}]),
        ("graphql-transport-ws", {}, '{"type":"next","id":"1","payload":{}}', [{"type": "next", "id": "1", "payload": {}}]),
        ("signalr", {}, '{}\x1e{"type":1,"target":"done","arguments":[1]}\x1e', [{"type": 1, "target": "done", "arguments": [1]}]),
        ("signalr", {}, '{"type":3,"invocationId":"1"}\x1e', [{"type": 3, "invocationId": "1"}]),
        ("centrifugo", {}, '{"id":1,"connect":{}}\n{"push":{"channel":"c"}}\n', [{"id": 1, "connect": {}}, {"push": {"channel": "c"}}]),
        ("sse", {}, 'event: token\ndata: {"n":\ndata: 1}\nid: 9\n\n: beat\n\ndata: x\n\n',
         [{"type": "token", "data": {"n": 1}, "id": "9"}, {"type": "message", "data": "x", "id": "9"}]),
        ("sse", {}, b"\xef\xbb\xbfdata:x\r\n\r\ndata: half", [{"type": "message", "data": "x"}]),
    ],
)  # fmt: skip
def test_what_a_frame_holds(
    name: str, options: dict[str, object], frame: str | bytes, messages: list[object]
) -> None:
    assert heard(spoken(name, **options), frame) == messages


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_stream_of_events_may_be_cut_anywhere(size: int) -> None:
    body = "event: a\r\ndata: ü\r\n\r\ndata: 1\rdata: 2\r\rdata: 3\n\n".encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    found = heard(spoken("sse"), *pieces)
    assert found == [
        {"type": kind, "data": data} for kind, data in [("a", "ü"), ("message", "1\n2"), ("message", 3)]
    ]


@pytest.mark.parametrize(
    ("name", "options", "message", "frames"),
    [
        ("json", {}, RUN, [json.dumps(RUN)]),
        ("json", {"binary": True}, RUN, [json.dumps(RUN).encode()]),
        ("json-lines", {}, [1], ["[1]\n"]),
        ("json-lines", {"separator": "0x1e"}, [1], ["[1]\x1e"]),
        ("json-array", {}, [RUN], [json.dumps([RUN])]),
        ("text", {}, "RUN x", ["RUN x"]),
        ("text", {}, {"text": "RUN x"}, ["RUN x"]),
        ("msgpack", {}, RUN, [msgpack.packb(RUN)]),
        ("socket.io", {}, RUN, ['42["run", {"kind": "agent", "n": 1}]']),
        ("socket.io", {}, {"type": "run", "args": [1, 2], "id": 0}, ['420["run", 1, 2]']),
        ("socket.io", {"namespace": "/chat"}, {"type": "ack", "id": 4, "data": "ok"}, ['43/chat,4["ok"]']),
        ("graphql-transport-ws", {}, {"payload": {"query": "q"}}, ['{"type": "subscribe", "id": "1", "payload": {"query": "q"}}']),
        ("signalr", {}, {"target": "Run", "arguments": [1]}, ['{"type": 1, "arguments": [1], "target": "Run"}\x1e']),
        ("centrifugo", {}, {"rpc": {"method": "run"}}, ['{"id": 2, "rpc": {"method": "run"}}']),
        ("centrifugo", {}, {"send": {"data": 1}}, ['{"send": {"data": 1}}']),
    ],
)  # fmt: skip
def test_how_a_message_is_said(
    name: str, options: dict[str, object], message: object, frames: list[str | bytes]
) -> None:
    said = list(spoken(name, **options).encode(message))
    assert said == frames
    assert len(heard(spoken(name, **options), *said)) == 1  # the middleware reads the same


@pytest.mark.parametrize(
    ("name", "options", "opening", "answers", "replies"),
    [
        ("socket.io", {}, [], ['0{"sid":"x"}', '40{"sid":"y"}'], ["40"]),
        ("socket.io", {"namespace": "/c", "auth": {"token": "t"}}, [], ["0{}", "40/c,{}"], ['40/c,{"token": "t"}']),
        ("graphql-transport-ws", {}, ['{"type": "connection_init"}'], ['{"type":"connection_ack"}'], []),
        ("graphql-transport-ws", {"payload": 1}, ['{"type": "connection_init", "payload": 1}'], ['{"type":"connection_ack"}'], []),
        ("signalr", {}, ['{"protocol": "json", "version": 1}\x1e'], ["{}\x1e"], []),
        ("centrifugo", {"token": "t", "data": 1}, ['{"id": 1, "connect": {"token": "t", "data": 1}}'], ['{"id":1,"connect":{}}'], []),
    ],
)  # fmt: skip
def test_nothing_is_sent_before_the_protocol_is_ready(
    name: str, options: dict[str, object], opening: list[str], answers: list[str], replies: list[str]
) -> None:
    framing = spoken(name, **options)
    assert list(framing.opening()) == opening
    said: list[str | bytes] = []
    for answer in answers:
        assert not framing.is_ready
        said += framing.decode(answer).replies
    assert framing.is_ready
    assert said == replies


@pytest.mark.parametrize(
    ("name", "ping", "pong"),
    [
        ("socket.io", "2", "3"),
        ("socket.io", "2probe", "3probe"),
        ("graphql-transport-ws", '{"type":"ping","payload":{}}', '{"type": "pong"}'),
        ("signalr", '{}\x1e{"type":6}\x1e', '{"type": 6}\x1e'),
        ("centrifugo", "{}", "{}"),
    ],
)
def test_a_ping_is_answered_at_once_and_is_no_message(name: str, ping: str, pong: str) -> None:
    decoded = spoken(name).decode(ping)
    assert (decoded.messages, decoded.replies) == ((), (pong,))


@pytest.mark.parametrize(
    ("name", "frame", "words"),
    [
        ("socket.io", '44{"message":"not authorized"}', "namespace / refused us: not authorized"),
        ("signalr", '{"error":"no such protocol"}\x1e', "the handshake was refused: no such protocol"),
        ("centrifugo", '{"id":1,"error":{"code":109,"message":"token expired"}}', "connect was refused: 109 token expired"),
        ("centrifugo", '{"id":1,"error":"token expired"}', "connect was refused: token expired"),
        ("centrifugo", '{"id":1,"error":{"code":3}}', "connect was refused: 3"),
    ],
)  # fmt: skip
def test_a_refusal_in_the_protocols_own_words(name: str, frame: str, words: str) -> None:
    with pytest.raises(Declined, match=words):
        spoken(name).decode(frame)


@pytest.mark.parametrize(
    ("name", "options", "frames", "words"),
    [
        ("json", {}, [b"{}"], "a binary message of 2 bytes, expected JSON text"),
        ("json", {"binary": True}, ["{}"], "a text message of 2 bytes, expected binary JSON"),
        ("json", {}, ["{"], "a message that is not JSON"),
        ("json", {}, ["NaN"], "NaN is not JSON"),
        ("json-lines", {}, ['{"a":1}\n{'], "a message that is not JSON"),
        ("json-lines", {"binary": True}, [b"\xff"], "not UTF-8"),
        ("json-lines", {}, ["1\n" * (MOST_MESSAGES + 1)], "messages in one frame"),
        ("json-array", {}, [json.dumps([1] * (MOST_MESSAGES + 1))], "messages in one frame"),
        ("text", {}, [b"x"], "a binary message of 1 bytes, expected text"),
        ("msgpack", {}, ["x"], "a text message of 1 characters, expected MessagePack"),
        ("msgpack", {}, [b"\xc1"], "not MessagePack"),
        ("msgpack", {}, [msgpack.packb({"a": 1})[:-1]], "it breaks off after 0"),
        ("msgpack", {}, [b"\xdd\xff\xff\xff\xff\x01"], "not MessagePack"),  # says four billion items
        ("msgpack", {}, [b"\x81\x90\x01"], "not MessagePack"),  # a list as a key
        ("msgpack", {}, [b"\x91" * 100_000], "not MessagePack"),
        ("msgpack", {}, [b"\x01" * (MOST_MESSAGES + 1)], "messages in one frame"),
        ("socket.io", {}, ["hello"], "no packet of Engine.IO"),
        ("socket.io", {}, ["4x"], "no packet of socket.io"),
        ("socket.io", {}, ["42{}"], "no list"),
        ("socket.io", {}, ["42[1]"], "without a name"),
        ("socket.io", {}, [b"x"], "belongs to no event"),
        ("socket.io", {}, ['451-["a",{"_placeholder":true,"num":0}]', "2"], "an attachment of a binary event should be"),
        ("socket.io", {}, ['451-["a",{"_placeholder":true,"num":9}]', b"x"], "names attachment 9, which is none"),
        ("socket.io", {}, [f'451-["a",{",".join([PLACE] * 2)}]', b"x"], "names attachment 0, which is none or taken"),
        ("socket.io", {}, [f'453-["a",{PLACE}]', *[b"x" * 400_000] * 3], "attachments that are too large"),
        ("socket.io", {"most": 9}, [f'451-["a",{PLACE}]', b"x" * 10], "too large .over 9 bytes"),
        ("socket.io", {}, ['45999999-["a"]'], "999999 attachments"),
        ("graphql-transport-ws", {}, ["[]"], "a JSON list instead of an object"),
        ("signalr", {}, ["[]\x1e"], "a JSON list instead of an object"),
        ("centrifugo", {}, [""], "an empty message"),
        ("sse", {}, ["data: " + "x" * (2 << 20)], "an event that is too large"),
        ("sse", {}, ["data: " + "x" * (1 << 19) + "\n"] * 3, "an event that is too large"),
        ("sse", {}, ["data\n" * 200_000] * 6, "an event that is too large"),
    ],
)  # fmt: skip
def test_what_is_not_of_a_framing_is_said_so(
    name: str, options: dict[str, object], frames: list[str | bytes], words: str
) -> None:
    with pytest.raises(BadFrame, match=words):
        heard(spoken(name, **options), *frames)


def test_of_another_namespace_nothing_is_kept() -> None:
    framing = spoken("socket.io", namespace="/chat")
    assert heard(framing, f'452-["a",{PLACE}]', b"x" * 500_000, b"y", '42/chat,["b"]') == [
        {"type": "b", "args": []}
    ]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ('0{"sid":"x","upgrades":[]}', "set framing: socket.io"),
        ('{"type":1}\x1e', "set framing: signalr, or json-lines"),
        ('{"a":1}\n{"b":2}\n', "set framing: json-lines"),
        (b'{"a":1}', "set framing: {name: json, binary: true}"),
        (msgpack.packb({"a": 1}), "set framing: msgpack, if it is that"),
        ("hello", ""),
        ("[" * 100_000, ""),
        (b"", ""),
        (b"\xff\x00", ""),
    ],
)
def test_who_has_named_no_framing_is_told_which_it_looks_like(frame: str | bytes, words: str) -> None:
    with pytest.raises(BadFrame) as told:
        spoken("json").decode(frame)
    assert (words in str(told.value)) if words else ("set framing" not in str(told.value))


def test_attachments_take_their_places() -> None:
    framing = spoken("socket.io")
    text = '452-["file",{"parts":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]}]'
    (message,) = heard(framing, text, b"one", b"two")
    assert message == {
        "type": "file",
        "data": {"parts": [b"two", b"one"]},
        "args": [{"parts": [b"two", b"one"]}],
    }
    assert heard(framing, '42["next"]') == [{"type": "next", "args": []}]


def test_heartbeats_are_no_messages() -> None:
    framing = Choice("json", {}, "data.kind", ("ping", "beat")).connect()
    assert heard(framing, "ping", '{"data":{"kind":"beat"}}', '{"data":{"kind":"x"}}') == [
        {"data": {"kind": "x"}}
    ]


FRAMES = st.text(max_size=60) | st.binary(max_size=60) | st.builds(
    str.__add__, st.sampled_from(["4", "42", "451-", "40", "0", "2", "data: ", "{}\x1e"]), st.text('["a]{}:,1_\x1e\n/', max_size=30)
)  # fmt: skip


@draws(400)
@given(st.sampled_from(list(FRAMINGS)), st.lists(FRAMES, max_size=5))
def test_whatever_comes_is_read_or_refused(name: str, frames: list[str | bytes]) -> None:
    framing = spoken(name)
    list(framing.opening())
    for frame in frames:
        try:
            decoded = framing.decode(frame)
        except BadFrame:
            return
        assert all(isinstance(reply, str | bytes) for reply in decoded.replies)


OWN = """
from pipeline.framing.protocol import BadFrame, Decoded

class Upper:
    is_ready = True
    def __init__(self, *, end="!"):
        self.end = end
    def opening(self):
        return ()
    def encode(self, message):
        return (message["type"].upper() + self.end,)
    def decode(self, frame):
        if not frame.endswith(self.end):
            raise BadFrame("a message without its end")
        return Decoded(({"type": frame[:-1].lower()},))

class Broken(Upper):
    def decode(self, frame):
        return {}[frame]

class Wrong(Upper):
    def decode(self, frame):
        return [frame]

class Numbers(Upper):
    def encode(self, message):
        return (1,)

class Strange:
    def __eq__(self, other): raise RuntimeError
    __hash__ = None

class StrangeError(Exception):
    def __str__(self): raise RuntimeError

def gives(*parts):
    class Gives(Upper):
        def decode(self, frame):
            if isinstance(parts[0], BaseException):
                raise parts[0]
            return Decoded(*parts)
    return Gives

class Many(Upper):
    def decode(self, frame):  # made here: each test's copy of this module stays loaded
        return Decoded((), ("x",) * 1_000_000)

def endless():
    while True:
        yield {"type": "x"}

def cyclic():
    made = {}
    made["made"] = made
    return made

class Endless(Upper):
    def encode(self, message):
        return endless()
    opening = endless

NoMessages, OneNumber, NoReplies, Odd = gives(None), gives(5), gives((), None), gives(({"type": [Strange()]},))
OddKey, TextReply = gives(({Strange: 1},)), gives((), (1,))
Leaves, Stops, Unsaid = gives(SystemExit(3)), gives(GeneratorExit()), gives(StrangeError())
WithoutEnd, Cyclic = gives(endless()), gives((cyclic(),))
"""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Any]:
    """A class of the user's, by its name."""
    package = f"proto_{tmp_path.name}".replace("-", "_")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "said.py").write_text(OWN)
    (tmp_path / package / "ends.py").write_text("raise SystemExit(3)")

    def make(name: str, **options: object) -> Framing:
        full = f"{package}.{name}"
        return Choice(full, options, own=own(full, str(tmp_path))).connect()

    return make


def test_a_framing_of_ones_own(made: Callable[..., Any]) -> None:
    framing = made("said:Upper", end="?")
    assert framing.encode({"type": "run"}) == ("RUN?",)
    assert heard(framing, "DONE?") == [{"type": "done"}]
    with pytest.raises(BadFrame, match="without its end"):
        framing.decode("DONE")
    with pytest.raises(CannotSpeak, match="failed in encode: KeyError"):
        framing.encode({})
    with pytest.raises(TypeError):  # as of any message that cannot be said
        framing.encode([])


def test_each_folder_has_its_own_framing_of_a_name(tmp_path: Path) -> None:
    """One process sees to many services, and every second one calls its module ``framing``."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "spoken_words.py").write_text(f"WORD = {name!r}\n")
        (tmp_path / name / "spoken.py").write_text(
            "from spoken_words import WORD\nclass Own:\n    is_ready = True\n    def opening(self):\n        return [WORD]\n"
        )
    for name in ("a", "b", "a"):
        assert own("spoken:Own", str(tmp_path / name))().opening() == (name,)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere:Upper", "cannot be imported: ModuleNotFoundError"),
        ("said:Lower", "cannot be imported: AttributeError"),
        ("ends:Upper", "cannot be imported: SystemExit"),
        ("said:Broken", "failed in decode: KeyError"),
        ("said:Wrong", "decode returned list"),
        ("said:Numbers", "encode returned a frame of type int"),
        ("said:BadFrame", "failed in "),
        ("said:NoMessages", "failed in decode: TypeError: 'NoneType' object is not iterable"),
        ("said:OneNumber", "failed in decode: TypeError"),
        ("said:NoReplies", "failed in decode: TypeError"),
        ("said:Odd", "decode returned a message with a Strange in it"),
        ("said:OddKey", "decode returned a message with a type in it"),
        ("said:TextReply", "decode returned a frame of type int"),
        ("said:Many", "decode returned more than 10000 frames"),
        ("said:WithoutEnd", "decode returned more than 10000 messages"),
        ("said:Endless", "encode returned more than 10000 frames"),
        ("said:Leaves", "failed in decode: SystemExit: 3"),
        ("said:Stops", "failed in decode: GeneratorExit"),
        ("said:Unsaid", "failed in decode: StrangeError: .its text fails, too."),
    ],
)
def test_what_a_class_does_wrong_is_never_the_services_fault(
    made: Callable[..., Any], name: str, words: str
) -> None:
    def speak() -> None:
        framing = made(name)
        framing.encode({"type": "run"})
        framing.decode("x!")

    with pytest.raises(CannotSpeak, match=words):
        speak()


def test_a_message_of_ones_own_that_has_no_end_is_unreadable(made: Callable[..., Any]) -> None:
    with pytest.raises(BadFrame, match="nested too deep"):
        made("said:Cyclic").decode("x!")
