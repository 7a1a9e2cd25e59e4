"""A Node service, read as text: enough to see its address, the messages that it tells apart, and what it sends for each.

There is no parser of JavaScript here. Comments are blanked, then a handler is what stands between the braces behind
``case "x":``, ``=== "x"``, ``on("x", ...)`` or ``x: handler``; calls of functions of the same files are followed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from checks.service.facts import Application, Handled, Place, Route, Sent, Service
from checks.service.routes import plain
from checks.service.sending import example
from checks.tree.files import read_or_none

SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts")
_SKIPPED = frozenset({"node_modules", "dist", "build", "coverage", "test", "tests", "__tests__"})
_MOST_FILES = 500
_DEPTH = 5
_FRAMEWORKS = ("ws", "socket.io", "express-ws", "@fastify/websocket", "uWebSockets.js")
_COMMENT = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?\*/""", re.DOTALL
)
_QUOTED = r"""["']([\w.:-]+)["']"""
_TYPE = r"(type|event|action|kind|op|cmd|command)"
_ROUTES = (
    re.compile(
        r"""new\s+(?:WebSocket\.)?(?:WebSocketServer|Server|WSServer)\s*\(\s*\{[^}]*?path:\s*["']([^"']+)["']"""
    ),
    re.compile(r"""\.ws\(\s*["']([^"']+)["']"""),
    re.compile(r"""\.get\(\s*["']([^"']+)["']\s*,\s*\{\s*websocket:\s*true"""),
    re.compile(r"""(?:pathname|url)\s*===?\s*["'](/[^"']*)["']"""),
)
_SERVER = re.compile(r"new\s+(?:WebSocket\.)?(?:WebSocketServer|Server|WSServer)\s*\(")
_MADE = re.compile(rf"(?:const|let|var)\s+(\w+)\s*=\s*{_SERVER.pattern}")


def look(root: Path) -> Service:
    """What there is to see; nothing where no file of a service is there."""
    seen = dict(texts(root))
    field = _type_field(seen)
    bodies = {name: body for text in seen.values() for name, body in _functions(text)}
    handled = {row.type: row for path, text in seen.items() for row in _handled(path, text, field, bodies)}
    return Service(
        applications=tuple(_applications(seen)),
        routes=tuple(dict.fromkeys(_routes(seen))),
        handled=tuple(handled.values()),
        type_field=field,
        watched=_watched(seen),
    )


def package(root: Path) -> Mapping[str, Any]:
    """``package.json``; empty where it is not there or not one."""
    data = read_or_none(root, "package.json")
    try:
        made = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return made if isinstance(made, dict) else {}


def framework(root: Path) -> str:
    """The first of the packages that serve WebSockets; empty where there is none."""
    wanted = package(root).get("dependencies")
    return next((name for name in _FRAMEWORKS if isinstance(wanted, dict) and name in wanted), "")


def texts(root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[tuple[str, str]]:
    """Paths and texts of the files in JavaScript, without comments; tests and what was built are left out."""
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.startswith("."))
        for name in sorted(
            n for n in names if n.endswith(suffixes) and ".test." not in n and ".spec." not in n
        ):
            path = os.path.relpath(f"{folder}/{name}", root).replace(os.sep, "/")
            data = read_or_none(root, path)
            count += 1
            if data is not None and count <= _MOST_FILES:
                yield path, _COMMENT.sub(_blanked, data.decode("utf-8", "replace"))


def _blanked(match: re.Match[str]) -> str:
    return match[1] or re.sub(r"[^\n]", " ", match[0])


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _applications(texts: Mapping[str, str]) -> Iterator[Application]:
    for path, text in texts.items():
        for match in _MADE.finditer(text):
            end = text.find(";", match.end())
            where = Place(path, _line(text, match.start()))
            yield Application(match[1], "ws", where, _line(text, max(end, match.end())))


def _watched(texts: Mapping[str, str]) -> Place | None:
    found = ((path, text.find("spillwayTelemetry(")) for path, text in texts.items())
    return next((Place(path, _line(texts[path], at)) for path, at in found if at >= 0), None)


def _routes(texts: Mapping[str, str]) -> Iterator[Route]:
    for path, text in texts.items():
        by_pattern = [list(pattern.finditer(text)) for pattern in _ROUTES]
        found = next((matches for matches in by_pattern if matches), [])
        if not found and (server := _SERVER.search(text)):
            yield Route("/", "", Place(path, _line(text, server.start())))
        for match in found:
            yield Route(plain(match[1]), "", Place(path, _line(text, match.start())))


def _type_field(texts: Mapping[str, str]) -> str:
    found = [
        match[1] or match[2]
        for text in texts.values()
        for match in re.finditer(rf"\.{_TYPE}\s*(?:===?|\))|\[[\"']{_TYPE}[\"']\]", text)
    ]
    return max(found, key=found.count) if found else "type"


def _block(text: str, at: int) -> str:
    """What stands between the next brace and its partner."""
    start = text.find("{", at)
    depth = 0
    for index in range(start, len(text)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if not depth:
            return text[start + 1 : index]
    return ""


def _functions(text: str) -> Iterator[tuple[str, str]]:
    pattern = r"(?:function\s*\*?\s*(\w+)\s*\(|(?:const|let|var)\s+(\w+)\s*=\s*(?:async\s*)?(?:function\b|\([^)]*\)\s*(?::[^=]+)?=>|\w+\s*=>))"
    for match in re.finditer(pattern, text):
        body_at = text.index(")", match.end()) if match[1] and ")" in text[match.end() :] else match.end()
        yield match[1] or match[2], _block(text, body_at)


def _handled(path: str, text: str, field: str, bodies: Mapping[str, str]) -> Iterator[Handled]:
    """Every way in which a type leads to code; see the module's docstring."""
    for style, key, at, code in _branches(text, field):
        followed = code if "\n" in code or "(" in code else bodies.get(code.strip(), "")
        sends = tuple(_sent(followed, field, bodies, ()))
        yield Handled(
            key, style, "", Place(path, _line(text, at)), _once(sends), _fields(followed, field, bodies)
        )


def _branches(text: str, field: str) -> Iterator[tuple[str, str, int, str]]:
    for match in re.finditer(rf"case\s+{_QUOTED}\s*:", text):
        rest = text[match.end() :]
        end = re.search(r"\bcase\s+[\"']|\bdefault\s*:|\bbreak\b", rest)
        yield "chain", match[1], match.start(), rest[: end.start()] if end else rest
    for match in re.finditer(rf"\.{re.escape(field)}\s*===?\s*{_QUOTED}", text):
        yield "chain", match[1], match.start(), _block(text, match.end())
    for match in re.finditer(r"(?:const|let|var)\s+\w*(?:handlers|routes|dispatch|commands|actions)\w*\s*(?::[^=]+)?=\s*\{", text, re.IGNORECASE):  # fmt: skip
        for entry in re.finditer(r"""(?:^|[,{\n])\s*(?:async\s+)?["']?([\w.:-]+)["']?\s*(?::\s*(\w+)\s*(?=[,}\n])|:\s*(?:async\s*)?\(?[^)]*\)?\s*=>|\([^)]*\)\s*(?=\{))""", _block(text, match.start())):  # fmt: skip
            code = entry[2] or _block(_block(text, match.start()), entry.end() - 1)
            yield "dict", entry[1], match.start(), code


def _sent(code: str, field: str, bodies: Mapping[str, str], met: tuple[str, ...]) -> Iterator[Sent]:
    """In order of the text: messages, and those of the functions that are called."""
    pattern = rf"(?P<loop>\b(?:for|while)\s*\(|\.forEach\()|[{{,]\s*[\"']?{field}[\"']?\s*:\s*{_QUOTED}|\b(?P<call>\w+)\s*\((?:[^()\"']*,\s*)?(?:[\"'](?P<word>[\w.:-]+)[\"'])?"
    loops: list[int] = []
    at = 0
    while match := re.compile(pattern).search(code, at):
        at = match.end()
        loops = [end for end in loops if end > match.start()]
        if match["loop"]:
            loops.append(
                match.start() + len(_block(code, match.end())) + (code.find("{", match.end()) - match.start())
            )
        elif match["call"]:
            yield from (Sent(s.type, s.repeats or bool(loops)) for s in _called(match, field, bodies, met))
        elif "error" not in match[2].lower():
            yield Sent(match[2], bool(loops))


def _called(
    match: re.Match[str], field: str, bodies: Mapping[str, str], met: tuple[str, ...]
) -> Iterator[Sent]:
    name, word = match["call"], match["word"]
    body = bodies.get(name)
    if body is None or name in met or len(met) >= _DEPTH:
        return
    if word and re.search(
        rf"[{{,]\s*{field}\s*(?::\s*\w+\s*)?[,}}]", body
    ):  # a helper that is handed the type
        if "error" not in word.lower():
            yield Sent(word)
    else:
        yield from _sent(body, field, bodies, (*met, name))


def _once(sends: tuple[Sent, ...]) -> tuple[Sent, ...]:
    found: dict[str, Sent] = {}
    for sent in sends:
        found[sent.type] = Sent(sent.type, sent.repeats or sent.type in found)
    return tuple(found.values())


def _fields(code: str, field: str, bodies: Mapping[str, str]) -> Mapping[str, Any]:
    """``message.payload.agent`` to ``{"payload": {"agent": "example"}}``, of names that are a message's."""
    called = "\n".join(bodies.get(name, "") for name in re.findall(r"\b(\w+)\s*\(", code))
    made: dict[str, Any] = {}
    for chain in re.findall(
        r"\b(?:msg|message|data|event|parsed)((?:\??\.[A-Za-z_]\w*)+)(?!\s*\()", f"{code}\n{called}"
    ):
        example(made, [key for key in re.split(r"\??\.", chain) if key])
    made.pop(field, None)
    return made
