"""``--discover`` proposes what tells messages apart, with all of its keys, and not what only looks like that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checks.runner import run
from checks.service.proposal import propose
from checks.settings import EventMap, Settings
from tests.test_checks_examples import plant

_SENDS = "return send({'type': 'x'})\n"
_TWO = (
    "    def {a}(self, m): return send({{'type': 'x'}})\n    def {b}(self, m): return send({{'type': 'y'}})\n"
)
_ASKS = "        handler = getattr(self, f'{name}')\n        return handler(m)\n"


def looks_up(name: str, a: str, b: str, asked: str = "event_type") -> str:
    return (
        f"class Hooks:\n    def process(self, {asked}, m):\n{_ASKS.format(name=name)}{_TWO.format(a=a, b=b)}"
    )


_NONE = {
    "one condition": "def on_event(event):\n    if event['type'] in ('added', 'changed'):\n        send(event)\n",
    "what the interpreter traces": "def trace(frame, event, arg):\n    if event == 'call':\n        a()\n    elif event == 'line':\n        b()\n",
    "files": "def on_message(message):\n    if message.type == 'file':\n        a()\n    elif message.type == 'dir':\n        b()\n",
    "letters": "def parse_event(event):\n    if event['type'] == 'T':\n        a()\n    elif event['type'] == 'A':\n        b()\n",
    "a walk over a tree": "def fill(root):\n    queue = deque([root])\n    while queue:\n        each = queue.popleft()\n        if each.type == 'one':\n            a()\n        elif each.type == 'two':\n            b()\n",
    "data of a mark": "def wait_event(marks):\n    mark_data = marks[0]\n    if mark_data['type'] == 'before':\n        a()\n    elif mark_data['type'] == 'after':\n        b()\n",
    "a channel": "def on_message(channel):\n    if channel.type == 'group':\n        a()\n    elif channel.type == 'direct':\n        b()\n",
    "the life of a connection": "@peer.on('message')\ndef a(m): ...\n@peer.on('close')\ndef b(): ...\n",
    "another way to call": looks_up("{event_type}_async", "start_async", "stop_async"),
    "components": looks_up("theme_{component}", "theme_card", "theme_badge", "component"),
    "any private method": looks_up("_{event_type}", "_card", "_badge"),
    "arguments of a command": "@arg_command('name')\ndef a(m): " + _SENDS + "@arg_command('user')\ndef b(m): " + _SENDS,
    "commands of a shell": "import click\n@click.group()\ndef cli(): ...\n@cli.command('one')\ndef a(ws): " + _SENDS + "@cli.command('two')\ndef b(ws): " + _SENDS,
    "classes that are marked": "def warns(cls):\n    cls.__init__ = told(cls.__init__, cls.__name__)\n    return cls\n@warns\nclass Message:\n    def a(self): " + _SENDS + "@warns\nclass Event:\n    def a(self): " + _SENDS,
    "providers": "def a(m): " + _SENDS + "def b(m): " + _SENDS + "FOUND = {'one': a, 'two': b}\ndef find(provider, m): return FOUND[provider](m)\n",
    "what shows messages": "def a(m): " + _SENDS + "def b(m): " + _SENDS + "MESSAGE_CONVERTERS = {'one': a, 'two': b}\n",
    "what makes something": "EVENT_BADGES = {'one': lambda: send(1), 'two': lambda: send(2)}\n",
    "hooks": "def a(m): " + _SENDS + "def b(m): " + _SENDS + "__plugin_hooks__ = {'event.one': a, 'event.two': b}\n",
    "models that talk": "class ChatModelBase: ...\nclass One(ChatModelBase):\n    type: Literal['one']\nclass Two(ChatModelBase):\n    type: Literal['two']\n",
    "origins of messages": "class A:\n    type: Literal['a']\nclass B:\n    type: Literal['b']\nMessageOriginUnion = A | B\n",
    "what an event is about": "class Event: ...\nclass One(Event):\n    action: Literal['add', 'remove']\nclass Two(Event):\n    action: Literal['block', 'free']\n",
}  # fmt: skip


@pytest.mark.parametrize("way", _NONE)
def test_what_only_looks_like_a_dispatcher_is_not_proposed(way: str, tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/api.py": _NONE[way], "app/h.py": "def read(m): return m['type']\n"})
    assert propose(root, root).dispatchers == ()


_SOME = {
    "handlers by name": (looks_up("handle_{event_type}", "handle_start", "handle_stop"), "Hooks.process", ("start", "stop")),
    "a method that needs more": (looks_up("handle_{event_type}", "handle_start", "handle_stop") + "    def handle(self): ...\n    def handle_both(self, m, ref): ...\n", "Hooks.process", ("start", "stop")),
    "an answer": ("def parse(text):\n    answer = loads(text)\n    kind = str(answer.get('type'))\n    if kind in ('data', 'error'):\n        if kind == 'data':\n            send(1)\n    elif kind == 'ping':\n        send(2)\n", "parse", ("data", "error", "ping")),
    "an enum that the function imports": ("def apply_event(event):\n    from app.kinds import Kind\n    if event.type == Kind.START:\n        a()\n    elif event.type == Kind.STOP:\n        b()\n    elif event.origin == 'here':\n        c()\n", "apply_event", ("start", "stop")),
    "registrations that are waited for": ("class Tab:\n    async def begin(self):\n        await self.bus.on('event.start', self.a)\n        await self.bus.on('event.stop', self.b)\n    async def a(self, event): ...\n    async def b(self, event): ...\n", "self.bus.on", ("event.start", "event.stop")),
    "classes with several keys": ("class A:\n    type: Literal['start', 'go']\nclass B:\n    type: Literal['stop']\nEvent = A | B\n", "Event", ("start", "go", "stop")),
    "the class that has the field": ("class Event: ...\nclass MessageEvent(Event):\n    message_type: str\nclass One(MessageEvent):\n    message_type: Literal['one']\nclass Two(MessageEvent):\n    message_type: Literal['two']\n", "MessageEvent", ("one", "two")),
    "one way of two": ("class View:\n    def on_event(self, event):\n        if event.type == 'triggered':\n            a()\n        else:\n            getattr(self, f'update_{event.type}')(event)\n    def update_data(self, event): ...\n    def update_model(self, event): ...\n", "View.on_event", ("data", "model")),
}  # fmt: skip


@pytest.mark.parametrize("way", _SOME)
def test_what_is_proposed_has_its_own_keys_and_passes(way: str, tmp_path: Path) -> None:
    text, name, keys = _SOME[way]
    kinds = "class Kind(StrEnum):\n    START = 'start'\n    STOP = 'stop'\n"
    files = {"app/ws.py": text, "app/h.py": "def read(m): return m['type']\n", "app/kinds.py": kinds}
    root = plant(tmp_path, files)
    made = propose(root, root).dispatchers
    assert [(each.name, each.path, set(each.keys)) for each in made] == [(name, "app/ws.py", {*keys})]
    asked = tuple(EventMap(each.name, each.path, dict.fromkeys(each.keys, "")) for each in made)
    assert run(root, Settings(event_map=asked), jobs=1, cache=False).findings == ()


def test_a_registry_of_a_module_is_named_where_it_is_made(tmp_path: Path) -> None:
    maker = "TABLE = {}\ndef command(name):\n    def above(f):\n        TABLE[name] = f\n        return f\n    return above\n"
    used = "from app import command\n@command.command('start')\ndef start(ws): ...\n@command.command('stop')\ndef stop(ws): ...\n"
    root = plant(tmp_path, {"app/__init__.py": "", "app/command.py": maker, "app/ws.py": used})
    (row,) = propose(root, root).dispatchers
    assert (row.name, row.path, set(row.keys)) == ("command", "app/command.py", {"start", "stop"})
    asked = (EventMap(row.name, row.path, dict.fromkeys(row.keys, "")),)
    assert run(root, Settings(event_map=asked), jobs=1, cache=False).findings == ()


def test_where_no_dispatcher_is_seen_nothing_is_said_to_be_unhandled(tmp_path: Path) -> None:
    sent = "async def test_a(ws):\n    await ws.send_json({'type': 'KEY'})\n"
    root = plant(tmp_path, {"app/a.py": _NONE["one condition"], "tests/test_a.py": sent.replace("KEY", "go")})
    assert propose(root, root).unhandled == {}
    chain = "def on_event(ws, event):\n    if event['type'] == 'one':\n        a()\n    elif event['type'] == 'two':\n        b()\n"
    files = {
        "app/a.py": chain,
        "app/test/a.py": sent.replace("KEY", "go"),
        "tests/test_b.py": sent.replace("KEY", "object"),
    }
    root = plant(tmp_path, files)
    assert list(propose(root, root).unhandled) == ["go"]


_ORDERS = "import sys; from pathlib import Path; from checks.service.proposal import propose; print(propose(Path(sys.argv[1]), Path(sys.argv[1])).dispatchers)"


def test_of_two_ways_with_as_many_keys_the_same_is_proposed_every_time(tmp_path: Path) -> None:
    chain = "        if m['type'] == 'go':\n            send(m)\n        elif m['type'] == 'halt':\n            send(m)\n"
    made = looks_up("on_{event_type}", "on_start", "on_stop").replace(
        "        handler", f"{chain}        handler"
    )
    root = plant(tmp_path, {"app/ws.py": made})
    said = set()
    for seed in range(6):  # by which Python orders sets of text
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        command = [sys.executable, "-c", _ORDERS, str(root)]
        said.add(subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout)
    assert len(said) == 1
    assert b"Hooks.process" in said.pop()
