"""The one sink for text that leaves this process: no terminal escapes, no secrets.  PURE.

Theory of operation. Whatever a service says (an event, a close reason, a log line, a condition's message) may end up on
a terminal, in a CI log, in a report. Two things must not come through:

*Controls*. ``plain`` drops ANSI and OSC sequences whole and shows every other character that does not print as U+FFFD;
line ends become spaces, so one text stays one line. Direction marks are such characters too.

*Secrets*. ``SINK`` knows the values that this process was trusted with, and the shapes that well-known credentials
have. A value is looked for as it is and as it looks in a URL, in JSON, in HTML, in Python, in hexadecimal and inside
base64 at each of its three alignments. What a secret is holds for the whole process, so the list is the process's:
whoever reads a secret tells it to ``SINK``, and every writer (terminal, JSON, journal, report) goes through ``SINK``.
Which values of a configuration are secret is ``credentials.py``'s to say; which names are, is said here.
"""

from __future__ import annotations

import itertools
import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping

from pipeline.spellings import spellings

REDACTED = "[redacted]"
_MOST_PASSING = 1000
_PASSING_CHARS = 1 << 27  # of all their forms: a service may give tokens as large as a message
_LONGEST_PASSING = 1 << 16  # no output shows as much of a text
_READ = 4096  # characters, of a text that is cut sooner: a secret that stands there is whole in them
_SHORTEST = 6  # a shorter value would black out ordinary words, plain or encoded


_ESCAPES = re.compile(
    "(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    "|(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    "|\x1b[ -/]*[0-~]"  # the short ones
)
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_STYLE = "\x1b\\[[0-?]*[ -/]*[@-~]"
#: What is not seen at a line's start: blanks, what has no width or no glyph, escapes of a terminal.
_UNSEEN = f"(?:{_STYLE}|[^!-~\\w{_LINE_ENDS}]|[\u115f\u1160\u3164\uffa0])*"
_COMMAND = re.compile(
    rf"(?:\A|(?<=[{_LINE_ENDS}])){_UNSEEN}:(?:{_STYLE})*(?=:)|#(?:{_STYLE})*#(?:{_STYLE}|\w){{0,32}}(?=\[)"
)
_BEGINNING = re.compile(rf"{_UNSEEN}:?(?:{_STYLE})*")
_HASHES = re.compile(r"(##\w{0,32})\[")
_BREAK = re.compile(r"(?:\r?\n|(?:\\r)?\\n)[ \t]*")  # of a line, as it is or as JSON has it
_SHAPES = (
    re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    re.compile(r"\bya29\.[\w.-]{10,}|\bAIza[\w-]{30,}|\bGOCSPX-[\w-]{10,}"),
    re.compile(r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abeprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b|\bsk-[\w-]{20,}"),
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/-]{8,}=*|(?<=\bbasic )[\w+/-]{8,}=*"),
    re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"),
)  # fmt: skip
#: JWT, Google's ID tokens. Whether a dot comes is asked once for each word: a service may begin one token inside another.
_JWT = re.compile(r"(?<![\w-])(?=[\w-]+\.[\w-]{8})([\w-]*?)\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")
_NAMED = re.compile(
    r"(?i)((?:passw(?:or)?d|secret|api[-_]?key|(?:access|refresh|id|session)_token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?)"
    r"[^\s\"',;&}\\]{6,}"
)


def plain(text: str) -> str:
    """The text as one line of printable characters."""
    shown = _ESCAPES.sub("", text)
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in shown)


def uncommanded(text: str) -> str:
    """Text of which a CI log takes no line for a command (``::error::`` at its start, ``##[group]`` anywhere).

    A blank goes before the last character of what makes the command, so a text that was shown in part stays as shown.
    """
    return _COMMAND.sub(r"\g<0> ", text)


def uncommanded_json(document: str) -> str:
    """The same for a text that is JSON, which means the same afterwards."""
    return _HASHES.sub(lambda found: f"{found[1]}\\u005b", document)


class LineStarts:
    """``uncommanded`` for text that comes in pieces, each of which may go on in the middle of a line."""

    def __init__(self) -> None:
        self._line = ""  # as much of the line that is not ended as decides about what comes

    def next(self, text: str) -> str:
        shown = uncommanded(self._line + text)
        new = shown[len(self._line) :]
        line = re.split(f"[{_LINE_ENDS}]", shown)[-1]
        self._line = line if _BEGINNING.fullmatch(line) else f"x{line[-120:]}"
        return new


class Redactor:
    """Replaces secrets by ``[redacted]``. Any number of threads may tell it of some, and none is lost."""

    def __init__(self, *secrets: str) -> None:
        self._lock = threading.Lock()  # who learns waits; who writes does not: a signal handler may
        self._learnt: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._passing: dict[str, frozenset[str]] = {}  # their forms, the oldest first
        self._passing_chars = 0
        self._begun: dict[str, tuple[str, ...]] = {}  # those forms by how they begin
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """From now on these values are secret. Values under six characters are ignored."""
        with self._lock:
            fresh = {value for value in _long_enough(secrets) if value not in self._learnt}
            if fresh:
                self._learnt |= fresh
                fresh_forms = {form for value in fresh for form in _long_enough(spellings(value))}
                self._forms = (*self._forms, *fresh_forms)

    def learn_passing(self, *secrets: str) -> None:
        """The same of what one conversation was given, which the next will not hold: of the newest thousand.

        Fewer where they are large, and of one that is larger than any text that is shown its beginning.
        """
        with self._lock:
            self._learn_passing(secrets)

    def _learn_passing(self, secrets: Iterable[str]) -> None:
        given = dict.fromkeys(each[:_LONGEST_PASSING] for each in _long_enough(secrets))
        for value in [each for each in given if each not in self._learnt][-_MOST_PASSING:]:
            if value in self._passing:  # it is new again
                self._passing[value] = self._passing.pop(value)
                continue
            forms = self._passing[value] = frozenset(_long_enough(spellings(value)))
            self._passing_chars += sum(map(len, forms))
            for form in forms:
                start = form[:_SHORTEST]
                self._begun[start] = (*self._begun.get(start, ()), form)
        while len(self._passing) > _MOST_PASSING or self._passing_chars > _PASSING_CHARS:
            self._forget(next(iter(self._passing)))

    def _forget(self, value: str) -> None:
        forms = self._passing.pop(value)
        self._passing_chars -= sum(map(len, forms))
        for form in forms:
            start = form[:_SHORTEST]
            left = list(self._begun[start])
            left.remove(form)
            self._begun[start] = tuple(left)
            if not left:
                del self._begun[start]

    def text(self, text: str) -> str:
        return self._in_one_line(self._in_lines(text))

    def _in_lines(self, text: str) -> str:
        """Without secrets that are broken over lines, as base64 and many a tool breaks what is long."""
        pieces = _BREAK.split(text)
        if len(pieces) == 1 or (secrets := self._found_in(bare := "".join(pieces))) is None:
            return text
        ends = [*itertools.accumulate(map(len, pieces))]  # of each piece, in what they come to
        starts = [0, *(found.end() for found in _BREAK.finditer(text))]  # of each piece, in the text
        for begin, end in reversed([found.span() for found in secrets.finditer(bare)]):
            first, last = bisect_right(ends, begin), bisect_left(ends, end)
            if first < last:
                at, to = (
                    starts[piece] + place - (ends[piece] - len(pieces[piece]))
                    for piece, place in ((first, begin), (last, end))
                )
                text = f"{text[:at]}{REDACTED}{text[to:]}"
        return text

    def _found_in(self, text: str) -> re.Pattern[str] | None:
        """A pattern of those that are there; None where none is."""
        # one look for each is far cheaper than a pattern of all of them, and hardly any text holds one
        there = [form for form in self._forms if form in text]
        if self._passing:
            there += self._passing_in(text)
        # The long ones first: so nothing is left of one that begins as another does.
        forms = sorted({*there}, key=lambda form: (-len(form), form))
        return re.compile("|".join(map(re.escape, forms))) if forms else None

    def _in_one_line(self, text: str) -> str:
        if (secrets := self._found_in(text)) is not None:
            text = secrets.sub(REDACTED, text)
        if "eyJ" in text:
            text = _JWT.sub(rf"\1{REDACTED}", text)
        for shape in _SHAPES:
            text = shape.sub(REDACTED, text)
        return _NAMED.sub(rf"\1{REDACTED}", text)

    def _passing_in(self, text: str) -> Iterator[str]:
        """Their forms that are in a text. They are too many to look for each."""
        for at in range(len(text) - _SHORTEST + 1):
            for form in self._begun.get(text[at : at + _SHORTEST], ()):
                if text.startswith(form, at):
                    yield form

    def cut(self, text: str, most: int) -> str:
        """The beginning of a text without secrets: cut first, half a secret would be none that is known."""
        return self.text(text[: max(4 * most, _READ)])[:most]

    def shown(self, text: str) -> str:
        """For people: one printable line without secrets. Escapes go first, so that none can split a secret."""
        return self.text(plain(text))

    def lines(self, text: str) -> str:
        """For people: as many printable lines, none of which a CI log takes for a command."""
        return "\n".join(uncommanded(self.shown(line)) for line in self._in_lines(text).split("\n"))

    def values(self, value: object) -> object:
        """The same as JSON's values, with every text in it redacted; what JSON does not know becomes text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.values(each) for key, each in value.items()}
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            return [self.values(each) for each in value]
        return self.text(str(value))


def texts_in(value: object) -> Iterator[str]:
    """Each text or number in a value, as text: what of it could be told."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, str | int | float):
        yield str(value)


def _long_enough(secrets: Iterable[str]) -> Iterator[str]:
    return (value for secret in secrets for value in (secret, secret.strip()) if len(value) >= _SHORTEST)


SINK = Redactor()
