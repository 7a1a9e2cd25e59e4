"""Which files may tell messages apart is seen in their text: each way of it, as it may be spelt, and nothing else is parsed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from checks.service import dispatch
from checks.service.outline import outline
from checks.service.source import Source
from tests.test_checks_examples import plant

_ENUM = "from enum import Enum\n\nclass Kind(str, Enum):\n    START = 'start'\n"
_HANDLERS = "async def start(ws): ...\n\nasync def stop(ws): ...\n\ndef keep(kind):\n    return lambda f: KEPT.append((kind, f))\n"
_WAYS = {
    "dict": "from h import start, stop\nTABLE = {\n    'a': start,  # first\n    'b': (h.stop),\n}\n",
    "annotated dict": "TABLE: dict[str, object] = (\n    {'a': start, 'b': stop}\n)\n",
    "dict of members": "from e import Kind\nWIRE = {'begin': Kind.START.value}\n",
    "decorator": "@bus.on(  # which\n    'a', once=True\n)\ndef begin(ws): ...\n",
    "own decorator": "@bus.keep('a')\nasync  def begin(ws): ...\n",
    "call": "def wire(bus):\n    bus.register('a',  # which\n        h.start)\n",
    "if": "def run(ws, msg):\n    if msg['type'] == 'a':\n        go()\n",
    "if get": 'def run(ws, msg):\n    kind = msg.get("type")\n    if "a" == kind: go()\n',
    "if in several lines": "def run(ws, event):\n    if (\n        rows[1:] == x\n        and event\n        in ('a', 'b')\n    ):\n        go()\n",
    "if of a member": "def run(ws, msg):\n    if x: pass\n    elif msg.type is e.Kind.START:\n        go()\n",
    "guard": "def run(ws, msg):\n    for _ in ws:\n        if msg.type != 'a': continue\n        go()\n",
    "match": "def run(ws, msg):\n    match msg['type']:\n        case 'a' | 'b':\n            go()\n",
    "match of members": "def run(ws, kind):\n    match kind:\n        case e.Kind.START: go()\n",
    "decorator in brackets": "@ (bus . on('a'))\ndef begin(ws): ...\n",
    "decorator that goes on": "@bus.\\\n    on('a')\ndef begin(ws): ...\n",
    "handler that goes on": "def \\\n  begin(ws): ...\nTABLE = {'a': begin}\n",
    "call with a blank": "bus.on ('a', start)\n",
    "call in brackets": "(bus.on)(('a'), (start))\n",
    "call of a member that goes on": "bus.on(Kind\\\n.START, start)\n",
    "if that goes on": "def run(ws, msg):\n    if msg.type \\\n       == 'a':\n        go()\n",
    "if of many": f"def run(ws, msg):\n    if msg.type in (\n{''.join(f'        {n!r},{chr(10)}' for n in map(str, range(200)))}    ):\n        go()\n",
    "if behind a slice": "def run(ws, msg):\n    if rows[1:\n] and (msg\n        .type) == 'a': go()\n",
    "if of members in lines": "def run(ws, msg):\n    if msg.type in (\n        Kind . START,\n    ): go()\n",
    "if of text in lines": 'def run(ws, msg):\n    if msg.type == """a\nb""": go()\n',
    "read with blanks": "def run(ws, msg):\n    k = msg [ # (\n  r'type' ]\n    if k == 'a': go()\n",
    "read of a literal": "def run(ws, msg):\n    k = {**msg}['''type''']\n    if k == 'a': go()\n",
    "get with blanks": "def run(ws, msg):\n    k = msg.get (  # (\n        'type')\n    if k == 'a': go()\n",
    "match that goes on": "def run(ws, msg):\n    match \\\n msg.type:\n        case \\\n 'a': go()\n",
    "pop": "def run(ws, msg):\n    kind = msg.pop('type')\n    if kind == 'a': go()\n",
    "match of a mapping": "def run(ws, msg):\n    match msg:\n        case {'id': int(), 'type': 'a'}: go()\n",
    "match of a mapping in lines": "def run(ws, msg):\n    match msg:\n        case {\n            'type': 'a',\n        }:\n            go()\n",
    "match of a class": "def run(ws, msg):\n    match msg:\n        case models.Msg(type='a'): go()\n",
    "if in an expression": "def run(ws, kind):\n    return 1 if kind == 'a' else 2\n",
    "a name": "class Chat:\n    def run(self, ws, kind):\n        getattr(self, f'on_{kind}')(ws)\n    def on_a(self, ws): ...\n",
    "a name with percent": "class Chat:\n    def run(self, ws, kind):\n        getattr(self, 'on_%s' % kind)(ws)\n    def on_a(self, ws): ...\n",
    "a name of the module": "def run(ws, kind):\n    globals()['on_' + kind](ws)\ndef on_a(ws): ...\n",
    "a union": "class A:\n    type: Literal['a']\nclass B:\n    type: Literal['b']\nMessage = A | B\n",
    "a tagged union": "class A: ...\nclass B: ...\nMessage = Annotated[Annotated[A, Tag('a')] | Annotated[B, Tag('b')], 0]\n",
    "subclasses": "class Message: ...\nclass A(Message, tag='a'): ...\n",
    "events of a class": "class Chat(socketio.AsyncNamespace):\n    def on_a(self, sid): ...\n",
    "a bare decorator": "@sio.event\ndef a(sid): ...\n",
    "a table that is filled": "HANDLERS = {}\nHANDLERS['a'] = h.start\n",
    "a table of a function": "def handlers(ws):\n    return {'a': partial(start, 1)}\n",
    "rows": "HANDLERS = [Route('a', start)]\n",
    "enum that goes on": "class \\\nMode(Enum):\n    P = 'p'\n\ndef run(ws, msg):\n    if msg.type is Mode.P: go()\n",
}
_OTHER = {
    "a text": '"""\nif msg["type"] == "a":\n@bus.on("a")\nTABLE = {"a": start}\n"""\n',
    "a comment": "# if msg['type'] == 'a': start\n",
    "numbers": "def run(event):\n    if event == 3:\n        go()\n",
    "another key": "def run(msg):\n    if msg['size'] == 'a':\n        go()\n",
    "values": "def run(row):\n    LIMITS = {'a': row, 'b': 3}\n    return sorted(LIMITS)\n",
    "a set": "def run(seen, name):\n    seen.add(name)\n",
}


def source(tmp_path: Path, text: str) -> Source:
    files = {"e.py": _ENUM, "h.py": _HANDLERS, "m.py": text, "n.py": 'def read(m):\n    return m["type"]\n'}
    return Source.below(plant(tmp_path, files), keeps_all=False)


@pytest.mark.parametrize("way", _WAYS)
def test_a_file_that_tells_messages_apart_is_parsed_however_it_is_spelt(way: str, tmp_path: Path) -> None:
    made = source(tmp_path, _WAYS[way])
    assert "m.py" in dict(made.dispatching("type"))
    if way != "dict of members":  # a protocol's table, which is a dispatcher near sockets alone
        assert {branch.where.path for branch in dispatch.branches(made, "type")} == {"m.py"}


@pytest.mark.parametrize("way", _WAYS)
def test_line_ends_a_mark_at_the_begin_and_another_encoding_hide_nothing(way: str) -> None:
    plain = outline(_WAYS[way].encode())
    assert outline(_WAYS[way].replace("\n", "\r\n").encode()) == plain
    assert outline(b"\xef\xbb\xbf" + _WAYS[way].encode()) == plain
    coded = f"# coding: latin-1\n{_WAYS[way]}\ndef gr\u00fc\u00dfen(): ...\n"
    assert outline(coded.encode("latin-1")).functions == plain.functions + Counter(["gr\u00fc\u00dfen"])


@pytest.mark.parametrize(
    "text", ["x = [" + "# " * 9_000 + "\n]\n", "if (" * 3_000, "x.get(" + "#" * 20_000, "@" + "a." * 9_000]
)
def test_hostile_text_is_left_at_once(text: str) -> None:
    assert not outline(text.encode()).keys


@pytest.mark.parametrize("other", _OTHER)
def test_a_file_that_tells_none_apart_is_not_parsed(other: str, tmp_path: Path) -> None:
    made = source(tmp_path, _OTHER[other])
    assert dict(made.dispatching("type")) == {}


def test_trees_of_a_large_service_are_not_kept(tmp_path: Path) -> None:
    chain = "def run(ws, msg):\n    if msg['type'] == 'KEY':\n        go()\n"
    root = plant(tmp_path, {f"m{n}.py": chain.replace("KEY", f"k{n}") for n in range(99)})
    read: list[str] = []
    made = Source.below(root, keeps_all=False)
    for path, tree in made.dispatching("type"):
        read.append(path)
        assert made.tree(path) is tree
    assert len(read) == 99
    assert made.tree("m0.py") is not made.tree("m98.py")
    first = made.tree("m0.py")
    assert [made.tree(f"m{n}.py") for n in range(60)]
    assert made.tree("m0.py") is not first


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("x = m['kind'], m.get('kind'), m['type']\n", "kind"),
        ("m['kind'] %= m['type']\nm['kind'] //= 2\n", "type"),
        ('"""m["kind"]"""\nx = m["type"]  # of m["kind"], that m["kind"] has\n', "type"),
        ("m['kind'] = m['kind'] = 1\nx = m['type']\n", "type"),
        ("x = f\"{m['event']}\"\n", "event"),
        ("x = ['event', 'kind']\n", "type"),
    ],
)
def test_the_key_of_a_type_is_the_one_that_is_read_most(text: str, key: str, tmp_path: Path) -> None:
    assert Source.below(plant(tmp_path, {"m.py": text})).type_field == key


def test_what_is_no_text_or_no_python_has_an_outline() -> None:
    for data in (
        b"",
        b"\xff\xfe\x00",
        b"def \xc3\xa9t\xc3\xa9():",
        b"'''",
        b"if (",
        b"@",
        b"class A(" * 9,
        b"\0" * 99,
    ):
        assert not outline(data).may_dispatch((), (), "type")
    assert set(outline("def ﬁt(): ...".encode()).functions) == {"fit"}


@pytest.mark.parametrize(
    "piece",
    [
        "class A(\n",
        "if (\n",
        "if x: y\n",
        "@a.",
        "case :\n",
        "x = {",
        ": (",
        "on(a, (",
        "== a.",
        "[ ",
        '"""\'',
    ],
)
def test_the_outline_of_a_hostile_file_takes_time_that_grows_with_it(piece: str) -> None:
    assert not outline(piece.encode() * (200_000 // len(piece))).may_dispatch((), (), "type")
