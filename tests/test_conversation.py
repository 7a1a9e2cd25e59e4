"""Scenarios that could not be held, or could not end well: each is refused where it stands, in words that say what to do."""

from __future__ import annotations

import pytest
from jsonschema import Draft7Validator

from pipeline.config import json_schema, schema, yamltree
from pipeline.errors import ConfigError
from tests.conversations import HEAD

STEPS = "path: /ws\nsteps:\n"
WAIT = "  - expect: [done]\n"


def parse(text: str) -> schema.Config:
    lines = "".join(f"    {line}\n" for line in text.strip("\n").splitlines())
    return schema.parse(HEAD + lines)


#: place in the scenario's own lines and columns, and words of the complaint
REFUSED = {
    "unknown": ("path: /ws\nsend: {a: {b: '${usr}'}}\nexpect: [done]", "2:12", "${usr} is not known here: save it (save: {usr: path.in.an.event})"),
    "unknown, near": (STEPS + "  - expect: [{type: a, save: {user: u}}]\n  - send: {u: '${usr}'}\n" + WAIT, "4:12", "did you mean ${user}?"),
    "near a word of ours": ("path: /ws\nsend: {a: '${uuidd}'}\nexpect: [done]", "2:8", "did you mean ${uuid}?"),
    "unknown in a header": ("path: /ws\nheaders: {X-T: '${t}'}\nexpect: [done]", "2:11", "${t} is not known here"),
    "unknown in the path": ("path: '/ws?t=${t}'\nexpect: [done]", "1:1", "${t} is not known here"),
    "unknown in an event": ("path: /ws\nexpect: [{type: done, id: '${t}'}]", "2:10", "${t} is not known here"),
    "unknown in never": ("path: /ws\nnever: [{type: '${t}'}]\nexpect: [done]", "2:9", "${t} is not known here"),
    "saved later": (STEPS + "  - send: {u: '${u}'}\n  - expect: [{type: a, save: {u: u}}]\n", "3:12", "not known yet: the event that saves it is expected later"),
    "saved beside": ("path: /ws\nexpect: [[{type: a, save: {u: u}}, {type: b, u: '${u}'}]]", "2:36", "not known yet"),
    "never used": ("path: /ws\nexpect: [{type: a, save: {user: u}}]", "2:27", "save: user is never used; write ${user} where it is, or leave it out"),
    "no reply": ("path: /ws\nsend: {id: '${message.id}'}\nexpect: [done]", "2:8", "it is known in a reply alone"),
    "new each time": ("path: /ws\nexpect: [{type: a, id: '${uuid}'}]", "2:10", "${uuid} is new each time, so no event could have it"),
    "no template": ("path: /ws\nsend: {a: '${a b}'}\nexpect: [done]", "2:8", "${a b} is no template; for the text itself write $${"),
    "not closed": ("path: /ws\nsend: {a: 'x ${user'}\nexpect: [done]", "2:8", "${ is no template"),
    "no such variable's name": ("path: /ws\nsend: {a: '${env:A-B}'}\nexpect: [done]", "2:8", "${env:A-B} is no template"),
    "two in a step": (STEPS + "  - {send: {a: 1}, expect: [done]}\n", "3:5", "a step has one of send, expect, when, stay, open, reconnect, close; it has send and expect: write two steps"),
    "nothing in a step": (STEPS + "  - {socket: main}\n" + WAIT, "3:5", "it has none"),
    "a misspelt step": (STEPS + "  - exepct: [done]\n" + WAIT, "3:5", "unknown key scenarios.talk.steps.0.exepct, did you mean expect?"),
    "when alone": (STEPS + "  - when: ping\n" + WAIT, "3:5", "when and reply belong together"),
    "options of when": (STEPS + "  - {when: {type: ping, repeats: true}, reply: {type: pong}}\n" + WAIT, "3:6", "only an event under expect has repeats, save and within"),
    "nothing to wait for": (STEPS + "  - send: {a: 1}\n", "0:0", "a conversation must expect at least one event, or stay open for a while"),
    "steps and expect": ("path: /ws\nexpect: [done]\nsteps:\n" + WAIT, "0:0", "steps stand instead of send and expect"),
    "steps without a path": ("http: [{path: /x}]\nsteps:\n" + WAIT, "0:0", "need the WebSocket path"),
    "expected and never": ("path: /ws\nnever: [done]\nexpect: [ack, {type: done, ok: true}]", "3:15", "done is expected, and never may it come: this could never end well"),
    "too long to stay": (STEPS + "  - stay: 59m\n  - stay: 1m\n" + WAIT, "2:1", "it may take 1h10s, and Cloud Run ends a socket after an hour"),
    "an event later than its scenario": ("path: /ws\nwithin: 5s\nexpect: [{type: a, within: 6s}]", "3:10", "at most the scenario's 5s"),
    "fewer than at least": ("path: /ws\nexpect: [{type: a, repeats: {min: 3, max: 2}}]", "2:10", "can never be: at least 3 and at most 2"),
    "no such socket": (STEPS + "  - {open: /w, socket: watcher}\n  - {expect: [done], socket: watchr}\n", "4:22", "no step opened a socket watchr: did you mean watcher?"),
    "a socket that nobody opened": (STEPS + "  - {expect: [done], socket: x}\n", "3:22", "open it before: {open: /path, socket: x}"),
    "opened twice": (STEPS + "  - {open: /w, socket: x}\n  - {open: /w, socket: x}\n" + WAIT, "4:16", "x is open already"),
    "a socket without a name": (STEPS + "  - open: /w\n" + WAIT, "3:5", "the new socket needs a name of its own"),
    "after its close": (STEPS + "  - {open: /w, socket: x}\n  - {close: 1000, socket: x}\n  - {expect: [done], socket: x}\n", "5:5", "x was closed by a step before"),
    "after the close": (STEPS + "  - close: 1000\n" + WAIT, "3:5", "the first socket is closed last"),
    "stay of a socket": (STEPS + "  - {stay: 1s, socket: main2}\n", "3:16", "all sockets stay open; stay names none"),
    "a close by nobody": ("path: /ws\nexpect: [done]\nclose: {code: 1000, by: client}", "3:1", "by: must be us or server, got 'client'"),
    "an unknown key of a close": ("path: /ws\nexpect: [done]\nclose: {cod: 1000}", "3:1", "a close has code, reason and by, no cod"),
    "a reason that is no pattern": ("path: /ws\nexpect: [done]\nclose: {reason: '('}", "3:1", "'(' is no regular expression"),
    "a close that is text": ("path: /ws\nexpect: [done]\nclose: '1000'", "3:1", "must be a whole number, or {code: ..., reason: ..., by: server}, got '1000': write it without quotes"),
    "a close that is never sent": ("path: /ws\nexpect: [done]\nclose: {code: 1006, by: server}", "3:1", "close code 1006 may not be sent (RFC 6455 section 7.4.1)"),
    "a close that is nobody's": ("path: /ws\nexpect: [done]\nclose: 2000", "3:1", "close code 2000 may not be sent"),
    "a template in a reason": ("path: /ws\nexpect: [done]\nclose: {reason: '${env:X}'}", "3:1", "${env:X} would not be filled in here, but taken as it stands"),
    "a template in a step's reason": (STEPS + WAIT + "  - close: {code: 4000, reason: 'a ${x}'}\n", "4:5", "${x} would not be filled in here"),
    "a template in a heartbeat": ("path: /ws\nignore: ['${x}']\nexpect: [done]", "2:10", "${x} would not be filled in here"),
    "a template in the type's place": ("path: /ws\ntype: '${x}'\nexpect: [done]", "2:1", "${x} would not be filled in here"),
    "a template that the telemetry cannot read by": ("path: /ws\nframing: {name: socket.io, namespace: '/${env:X}'}\nexpect: [done]", "2:28", "would not be filled in here"),
    "a template in a header's name": ("path: /ws\nheaders: {'X-${env:X}': y}\nexpect: [done]", "2:11", "would not be filled in here"),
    "a template in a request header's name": ("path: /ws\nhttp: [{path: /a, headers: {'${env:X}': y}}]\nexpect: [done]", "2:29", "would not be filled in here"),
    "a template in what is saved": ("path: /ws\nexpect: [{type: a, save: {u: '${env:X}'}}, {type: b, u: '${u}'}]", "2:10", "a value is taken from a path as it is written"),
    "a template in a field's name": ("path: /ws\nexpect: [{type: a, save: {u: id}}, {type: b, 'of.${u}': 1}]", "2:36", "a field is looked for by its name as it is written"),
    "unknown in a key": ("path: /ws\nsend: {a: [{'${usr}': 1}]}\nexpect: [done]", "2:13", "${usr} is not known here"),
    "never, by a test": ("path: /ws\nnever: [{type: {matches: '^d'}}]\nexpect: [ack, {type: done, ok: true}]", "3:15", "done is expected, and never may it come"),
    "never, by another type's place": ("path: /ws\ntype: k\nnever: [done]\nexpect: [{k: done}]", "4:10", "k=done is expected, and never may it come"),
    "no number between": ("path: /ws\nexpect: [{type: a, n: {gt: 3, lt: 4, is: integer}}]", "2:10", "no value is > 3 and < 4 and an integer: this could never end well"),
    "no choice that passes": ("path: /ws\nexpect: [{type: a, n: {one-of: [1, 2], gte: 3}}]", "2:10", "this could never end well"),
    "absent, and something": ("path: /ws\nexpect: [{type: a, n: {exists: false, is: string}}]", "2:10", "what must be absent can pass no other test"),
    "a list of kinds": ("path: /ws\nexpect: [{type: a, n: {is: [string, number]}}]", "2:10", "no kind a list"),
    "a close that is no code": ("path: /ws\nexpect: [done]\nclose: 99", "3:1", "must be at least 1000, got 99"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_held_is_refused_where_it_stands(name: str) -> None:
    text, place, words = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        parse(text)
    line, column = map(int, place.split(":"))
    where = f"spillway.yaml:{line + 4}:{column + 4}: " if line else "spillway.yaml:4:3: "
    assert caught.value.what.startswith(where), caught.value.what
    assert words in caught.value.what


GOOD = {
    "all of it": """
        path: /ws?session=${uuid}
        headers: {Authorization: "Bearer ${env:WS_TOKEN}", X-Device: "${uuid:device}"}
        steps:
          - when: {type: tool_request, tool: {one-of: [search, calc]}}
            reply: [{type: tool_result, id: "${message.id}", of: "${device}"}]
          - send: {type: auth, key: "${file:keys/token}", at: "${now}", n: "${counter}"}
          - expect: [{type: auth_ok, save: {user: data.user}, within: 2s}]
          - {open: "/watch?u=${user}", socket: watcher}
          - send: [{type: run, user: "${user}", id: "${uuid:run}"}]
          - expect: [{type: token, repeats: {min: 2, max: 90}}, [{type: done, id: "${run}"}, usage]]
          - {expect: [{type: seen, n: {gte: 1}}], socket: watcher}
          - {close: {code: 4000, by: server, reason: bye}, socket: watcher}
          - stay: 30s
          - reconnect: /ws?resume=${run}
          - expect: [resumed]
          - close: {code: 1000, by: us}
        never: [{type: error, fatal: true}]
        within: 20s
        """,
    "numbers that there are": "path: /ws\nexpect: [{type: a, n: {gt: 3, lt: 5, is: integer}, m: {gte: 1, lte: 1}, o: {gt: 0.2, lt: 0.3}}]",
    "never more than what is expected": "path: /ws\nexpect: [{type: a, save: {u: id}}, {type: b, u: '${u}'}]\nnever: [{type: b, u: {is: string}}, {type: a, id: 1}]",
    "templates in keys": "path: /ws\nsend: {'${env:X}': 1, '$${a}': [{'${uuid}': 2}]}\nexpect: [done]",
    "nothing but staying": "path: /ws\nsteps: [{stay: 1m}]",
    "a text that only looks like one": "path: /ws\nsend: {cost: '$5', text: '$${user} {x}'}\nexpect: [done]",
}


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be_held_is_built_and_fits_the_schema(name: str) -> None:
    text = "\n".join(line.removeprefix("        ") for line in GOOD[name].strip().splitlines())
    (built,) = parse(text).build_scenarios()
    assert built.steps
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    document = yamltree.parse(HEAD + lines, "spillway.yaml")
    assert list(Draft7Validator(json_schema.schema()).iter_errors(document.value)) == []


def test_of_two_scenarios_the_broken_one_is_named() -> None:
    text = f"{HEAD}    path: /ws\n    expect: [done]\n  other:\n    path: /ws\n    send: '${{x}}'\n    expect: [done]\n"
    with pytest.raises(ConfigError, match=r"spillway.yaml:9:5: scenarios.other.send: \$\{x\} is not known"):
        schema.parse(text)
