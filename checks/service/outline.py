"""What the text of a Python file says before it is parsed: which names it defines, and whether it may tell messages apart.

A parser takes six times as long. Too much is harmless, since the file is parsed then; too little would be a dispatcher
missed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple
from unicodedata import normalize

from checks.tree import files
from checks.tree.stripped import opening, without_strings

TYPE_FIELDS = (
    "type",
    "event",
    "action",
    "kind",
    "op",
    "cmd",
    "command",
    "method",
    "msg_type",
    "message_type",
    "event_type",
)
ENUMS = frozenset({"Enum", "StrEnum", "IntEnum"})
#: calls that register a handler, and decorators that do
REGISTER = frozenset(
    {"register", "on", "add", "add_handler", "add_route", "register_handler", "subscribe", "route"}
)
HANDLES = frozenset({"on", "message", "event", "handler", "handles", "handle", "register", "on_message", "on_event", "command", "action"})  # fmt: skip

_FIELD = f"({'|'.join(TYPE_FIELDS)})"
_KEY = f"(?:{'|'.join((*TYPE_FIELDS, 'name', 'topic', 'tag'))})"
# Each pattern begins with the one character that it cannot do without: so the search for it is a search for that.
#: ``x["type"]`` where it is read; ``x.get("type"``
_READ = re.compile(
    rf"""\[(?<=[\w\])"']\[)\s*["']{_FIELD}["']\s*\](?!\s*(?:[-+%&|^@]|//?|\*\*?|<<|>>)?=(?!=))"""
)
_GOT = re.compile(rf"""\.(?:get|pop)\(\s*["']{_FIELD}["']""")
#: ``case {{"type": "x"}}`` and ``case Message(type="x")``
_TAKEN = re.compile(
    rf"""case\s*\(?\s*(?:\{{[^}}]{{0,300}}?["']{_FIELD}["']\s*:|[\w.]+\([^)]{{0,300}}?\b{_FIELD}\s*=)"""
)
_LONG = re.compile(r"""(\"{3}|'{3}).*?\1|\#[^\n]*""", re.DOTALL)
#: wherever it may be read, in more ways than are counted
_MAY_READ = tuple(
    re.compile(rf"""{begin}(?:\s|\#[^\n]*\n){{0,80}}[rRuU]?["']{{1,3}}{_FIELD}["']""")
    for begin in (r"""\[(?<=[\w\])}"'\s]\[)""", r"\.(?:get|pop)\s*\(")
)
_DOTTED = r"(?:\w+\s*\.\s*)*"
_HEAD = re.compile(
    rf"""\n[ \t\f]*(?:(?:async[ \t]+)?def[ \t]+(\w+)
    |class[ \t]+(\w+)\s*(?:\[[^\n]*?\]\s*)?\([^:]{{0,200}}?\b(?:{"|".join(ENUMS)})\b
    |@[\s(]*{_DOTTED}(\w+)[\s)]*\(\s*[^\s)])""",
    re.VERBOSE,
)
_CALLS = "|".join(rf"(?<=\b{name}{gap}\()" for name in sorted(REGISTER) for gap in ("", r"\s", r"\)"))
_GIVEN = re.compile(rf"\((?:{_CALLS})[\w.'\s()]{{1,200}},[\s(]*{_DOTTED}(\w+)")
_TABLE = re.compile(r"=[\s(]*\{")
_VALUE = re.compile(r":[\s(]*([^\W\d]\w*(?:\s*\.\s*\w+)*)[\s)]*[,}]")
_CONDITION = re.compile(r"\n[ \t\f]*(?:if|elif|match|case)\b[^\n]*")
_COMPARED = re.compile(
    rf"\b{_FIELD}[\s)]*(?:[=!]=|(?:not\s+)?(?:is|in)\b|:)|(?:[=!]=|\bis\b)[\s(]*{_DOTTED}{_FIELD}\b"
)
_MEMBER = re.compile(r"(?<!\w)\w+(?:\s*\.\s*\w+)+")
#: ways that need no name of the service: by a function's name, by a class with a key, by a union
_WAYS = (
    re.compile(
        r"""getattr\s*\((?:\s*(?:self|cls)\s*,\s*\w+\s*[,)]|\s*[\w.]+\s*,\s*(?!["']\w+["']\s*[,)])(?:\w?["']|[\w.]+\[))"""
    ),
    re.compile(r"globals\(\)\s*[\[.]"),
    re.compile(rf"\n[ \t]+{_KEY}\s*:\s*[\w.]*Literal\["),
    re.compile(rf"\nclass\s+\w+\s*\([^)\n]*\b(?:{_KEY}\s*=|Namespace\b|RootModel\b|AsyncNamespace\b)"),
    re.compile(r"=\s*[\w.]*(?:Annotated|Union)\s*\["),
    re.compile(r"\n(?:type\s+)?\w+\s*(?::[^\n=]*)?=\s*[A-Z]\w*\s*\|\s*[A-Z]"),
    re.compile(rf"\n[ \t]*@[\w.]*\b(?:{'|'.join(sorted(HANDLES))})[ \t]*\n"),
    re.compile(r"case\s+(?:\w+\.)*[A-Z]\w*[a-z]\w*\("),
    re.compile(rf"""if\s+[\w.]*\b{_FIELD}\s*==\s*["'][^\n]*(?:\n\s*)?\belse\b"""),
)
#: what a file has to do with messages, in whose tables and rows their types may stand
_SENDS = ("websocket", "Websocket", "webSocket", "WebSocket", "send_json", "send_text", "emit(", "dispatch", "handler", "Handler", "HANDLER", "on_message", ".send(")  # fmt: skip
_WS = re.compile(r"ws\b(?<!\wws)")
_ROWS = (
    re.compile(
        rf"""\n[ \t]+{_KEY}\s*(?::[^\n=]+)?=\s*(?:["'][\w.:-]+["']|\w+\.\w+|\w*[fF]ield\([^\n]*\))\s*(?:\#[^\n]*)?\n"""
    ),
    re.compile(r"return\s*\{\s*[^}]"),
    re.compile(r"\}\s*\["),
    re.compile(r"=\s*dict\(\s*\w+\s*="),
    re.compile(r"""\[\s*["'][^"'\n]+["']\s*\](?:\s*=\s*[\w.]+\s*\n|\.append\()"""),
    re.compile(r"\n[ \t]*for\b[^\n]*\bin\s*[\[({]"),
    re.compile(r"""=\s*[\[(]\s*[\w.]*\(\s*["'][\w.:-]+["']\s*,\s*[\w.]+"""),
)
#: with a table: what answers may be no plain name
_ANSWER = re.compile(r":\s*(?:lambda\b|[\w.]*partial\(|\(\s*[\w.]+\s*,)")
#: with a table: the name of a function, as a text
_NAME = re.compile(r""":\s*["']([a-z_]\w*)["']\s*[,}]""")


class Outline(NamedTuple):
    """Of one file.

    Args:
        functions: the names of all that it defines, methods too, each as often as it is defined.
        enums: the names of its classes that have an enum for a base.
        reads: by key, how often it reads what may be a message's type.
        decorators: last names of those that are given something.
        handlers: last names of what is handed to a call that may register it.
        values: dotted names that are values of its mappings.
        compares: it asks what is in a variable that may hold a message's type.
        keys: that it may read.
        texts: it asks for texts.
        members: dotted names in what it asks for.
        ways: it may tell messages apart in a way that shows by itself.
        answers: texts that are values of its mappings, where it has to do with messages.
    """

    functions: Counter[str]
    enums: frozenset[str]
    reads: Counter[str]
    decorators: frozenset[str]
    handlers: frozenset[str]
    values: frozenset[str]
    compares: bool
    keys: frozenset[str]
    texts: bool
    members: frozenset[str]
    ways: bool = False
    answers: frozenset[str] = frozenset()

    def may_dispatch(self, functions: Collection[str], enums: Collection[str], field: str) -> bool:
        """Whether messages may be told apart in the file.

        Args:
            functions: names of all that the service defines; ``enums`` as well.
            field: the key that holds a message's type.
        """
        return (
            self.ways
            or any(name in HANDLES or name in functions for name in self.decorators)
            or any(name in functions for name in self.handlers)
            or any(name in functions for name in self.answers)
            or any(name.rpartition(".")[2] in functions or owner(name) in enums for name in self.values)
            or (
                (self.compares or field in self.keys)
                and (self.texts or any(owner(name) in enums for name in self.members))
            )
        )


def owner(dotted: str) -> str:
    """The enum of what may be one's member: ``Enum`` of ``types.Enum.MEMBER.value``; empty where there is none."""
    return dotted.removesuffix(".value").rpartition(".")[0].rpartition(".")[2]


def outline(data: bytes) -> Outline:
    text = files.decode(data)
    plain = without_strings(text.encode(), keeps_lines=False).decode().replace("\\\n", " ")
    if not plain.isascii():
        plain = normalize("NFKC", plain)  # as the parser takes names
    plain = f"\n{plain}\n"
    heads = _HEAD.findall(plain)
    asked, is_table = "\n".join(_conditions(plain)), _TABLE.search(plain) is not None
    return Outline(
        Counter(name for name, _, _ in heads if name),
        frozenset(name for _, name, _ in heads if name),
        _reads(text),
        frozenset(name for _, _, name in heads if name),
        frozenset(_GIVEN.findall(plain)),
        _names(_VALUE, plain) if is_table else frozenset(),
        bool(_COMPARED.search(asked)),
        frozenset(key for way in _MAY_READ for key in way.findall(text)),
        "''" in asked,
        _names(_MEMBER, asked),
        _has_ways(f"\n{text}\n", is_table=is_table),
        frozenset(_NAME.findall(text)) if is_table and _sends(text) else frozenset(),
    )


def _has_ways(text: str, *, is_table: bool) -> bool:
    """Comments and docstrings count: a file too many is parsed then."""
    if any(way.search(text) for way in _WAYS) or _TAKEN.search(text):
        return True
    answers = is_table and _ANSWER.search(text) is not None
    return (answers or any(rows.search(text) for rows in _ROWS)) and _sends(text)


def _sends(text: str) -> bool:
    """Searches for one word each: for all of them together it takes five times as long."""
    return any(word in text for word in _SENDS) or _WS.search(text) is not None


def _reads(text: str) -> Counter[str]:
    """Docstrings and comments tell of keys as well; most files read none, so those are looked for last."""
    if not (_READ.search(text) or _GOT.search(text) or _TAKEN.search(text)):
        return Counter()
    code = _LONG.sub("", text)
    taken = ("".join(found) for found in _TAKEN.findall(code))
    return Counter([*_READ.findall(code), *_GOT.findall(code), *taken])


def _names(pattern: re.Pattern[str], plain: str) -> frozenset[str]:
    """Dotted names, however they are spaced."""
    return frozenset("".join(name.split()) for name in pattern.findall(plain))


def _conditions(plain: str) -> Iterator[str]:
    """What is asked, to the end of its brackets."""
    end = 0
    for match in _CONDITION.finditer(plain):
        if match.start() < end:
            continue  # it is in the brackets of another
        end, depth = match.end(), opening(match[0].encode())
        while depth > 0 and end + 1 < len(plain):
            start, end = end, plain.index("\n", end + 1)
            depth += opening(plain[start:end].encode())
        yield plain[match.start() : end]
