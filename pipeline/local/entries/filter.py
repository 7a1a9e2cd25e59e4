"""The part of the Logging query language that Spillway and its users need, compiled to a function of one entry.

Theory of operation. Text -> tokens -> recursive descent -> closures; nothing is interpreted per entry. As in Cloud
Logging, OR binds tighter than AND, terms side by side are joined by AND, strings compare without case, and a comparison
with a missing jsonPayload field or label is false (its NOT is true), whereas a missing field of LogEntry itself has its
default. What holds for the whole filter of times, services and revisions is told apart as ``Bounds``, so that a store
can use its order.
Whatever is not understood is an error that names its place; nothing is ignored.

Source: https://cloud.google.com/logging/docs/view/logging-query-language
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache, reduce
from typing import Any

from msgspec import Struct

from pipeline.local.entries.entry import Entry, nanoseconds
from pipeline.local.entries.fields import Field, severity_number, timed, value_field
from pipeline.local.entries.index import EVERYTHING, FOR_EVER, Bounds

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<op>!=|>=|<=|=~|!~|[=<>:()]|-(?=[A-Za-z("]))
      | (?P<word>[^\s"()=<>:!~]+(?:(?<=\.)"(?:[^"\\]|\\.)*"[^\s"()=<>:!~]*)*)""",
    re.VERBOSE,
)
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_COMPARISONS = frozenset({*_ORDER, ":", "=~", "!~"})
_KEYWORDS = frozenset({"AND", "OR", "NOT"})
_MAX_LENGTH = 20_000
_MAX_DEPTH = 50


class FilterError(ValueError):
    """The filter is not in the supported part of the language; the text says where."""


class Filter(Struct, frozen=True):
    """Args: bounds: no entry outside these matches."""

    matches: Callable[[Entry], bool]
    bounds: Bounds = EVERYTHING

    def __and__(self, other: Filter) -> Filter:
        left, right = self.matches, other.matches
        return Filter(lambda entry: left(entry) and right(entry), self.bounds & other.bounds)

    def __or__(self, other: Filter) -> Filter:
        left, right = self.matches, other.matches
        return Filter(lambda entry: left(entry) or right(entry), self.bounds | other.bounds)

    def __invert__(self) -> Filter:
        inner = self.matches
        return Filter(lambda entry: not inner(entry))


class _Token(Struct, frozen=True):
    kind: str
    text: str
    at: int

    def error(self, what: str) -> FilterError:
        shown = f"'{self.text}'" if self.text else "the end"
        return FilterError(f"filter: {what} at character {self.at + 1}, {shown}")


@lru_cache(maxsize=128)
def compile_filter(text: str) -> Filter:
    """What the text selects; everything if it is empty. Raises FilterError."""
    if len(text) > _MAX_LENGTH:
        raise FilterError(f"filter: {len(text)} characters; at most {_MAX_LENGTH} are allowed")
    return _Parser(list(_tokens(text))).parse()


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _Token("", text[at : at + 10], at).error("cannot read what stands")
        kind = str(match.lastgroup)
        if kind != "space":
            yield _Token("op" if kind == "word" and match[0] in _KEYWORDS else kind, match[0], at)
        at = match.end()
    yield _Token("end", "", at)


class _Parser:
    """One pass over the tokens. ``leaf`` reads what stands where a term ends: a comparison, or one of its values."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def parse(self) -> Filter:
        if self._peek().kind == "end":
            return Filter(lambda _: True)
        found = self._conjunction(self._comparison)
        if self._peek().kind != "end":
            raise self._peek().error("expected AND, OR or the end")
        return found

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> bool:
        token = self._peek()
        found = token.kind == "op" and token.text in texts
        self._next += found
        return found

    def _conjunction(self, leaf: Callable[[], Filter]) -> Filter:
        found = [self._disjunction(leaf)]
        while self._accept("AND") or not (self._peek().kind == "end" or self._peek().text == ")"):
            found.append(self._disjunction(leaf))
        return reduce(operator.and_, found)

    def _disjunction(self, leaf: Callable[[], Filter]) -> Filter:
        found = [self._term(leaf)]
        while self._accept("OR"):
            found.append(self._term(leaf))
        return reduce(operator.or_, found)

    def _term(self, leaf: Callable[[], Filter]) -> Filter:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._peek().error(f"nested deeper than {_MAX_DEPTH}")
        if self._accept("NOT", "-"):
            found = ~self._term(leaf)
        elif self._accept("("):
            found = self._conjunction(leaf)
            if not self._accept(")"):
                raise self._peek().error("expected )")
        else:
            found = leaf()
        self._depth -= 1
        return found

    def _comparison(self) -> Filter:
        name = self._take()
        if name.kind != "word":
            raise name.error("expected a field")
        compare = self._take()
        if compare.text not in _COMPARISONS or compare.kind != "op":
            raise compare.error(f"expected a comparison after {name.text}")

        def value() -> Filter:
            token = self._take()
            if token.kind not in ("word", "string"):
                raise token.error("expected a value")
            return _compare(name, compare, token)

        return self._term(value) if self._peek().text == "(" else value()


def _compare(name: _Token, compare: _Token, value: _Token) -> Filter:
    if moment := timed(name.text):
        return _compare_time(moment, name.text, compare, value)
    if name.text == "severity":
        return _compare_severity(compare, value)
    field = value_field(name.text)
    if field is None:
        raise name.error("not a supported field")
    return Filter(_value_test(field, compare, value), _named(name.text, compare, value))


def _named(name: str, compare: _Token, value: _Token) -> Bounds:
    names = frozenset({_text(value).casefold()})
    bounds = {
        "resource.labels.service_name": Bounds(services=names),
        "resource.labels.revision_name": Bounds(revisions=names),
    }
    return bounds.get(name, EVERYTHING) if compare.text == "=" else EVERYTHING


def _compare_time(moment: Callable[[Entry], int], name: str, compare: _Token, value: _Token) -> Filter:
    try:
        ns, order = nanoseconds(_text(value)), _ORDER[compare.text]
    except ValueError as error:
        raise value.error("expected an RFC 3339 time") from error
    except KeyError as error:
        raise compare.error("a time can only be ordered") from error
    least = ns if compare.text in (">", ">=", "=") else 0
    most = ns if compare.text in ("<", "<=", "=") else FOR_EVER
    bounds = Bounds(least, most) if name == "timestamp" else Bounds(received_ns=least)
    return Filter(lambda entry: order(moment(entry), ns), bounds)


def _compare_severity(compare: _Token, value: _Token) -> Filter:
    number = severity_number(_text(value))
    if number is None:
        raise value.error("not a severity")
    if compare.text not in _ORDER:
        raise compare.error("a severity can only be ordered")
    order = _ORDER[compare.text]
    return Filter(lambda entry: order(severity_number(entry.severity), number))


def _value_test(field: Field, compare: _Token, value: _Token) -> Callable[[Entry], bool]:
    if compare.text == ":" and value.kind == "word" and value.text == "*":
        return lambda entry: any(found not in ("", 0) or found is False for found in field(entry))
    test = _pattern_test(compare, value) if "~" in compare.text else _plain_test(compare.text, _text(value))
    return lambda entry: any(test(found) for found in field(entry))


def _pattern_test(compare: _Token, value: _Token) -> Callable[[object], bool]:
    try:
        search = re.compile(_text(value)).search
    except re.error as error:
        raise value.error(f"not a regular expression ({error})") from error
    wants_match = compare.text == "=~"
    return lambda found: (search(_shown(found)) is not None) is wants_match


def _plain_test(compare: str, text: str) -> Callable[[object], bool]:
    folded = text.casefold()
    if compare == ":":
        return lambda found: folded in _shown(found).casefold()
    order = _ORDER[compare]
    try:
        number = float(text)
    except ValueError:
        return lambda found: not _is_number(found) and order(_shown(found).casefold(), folded)
    return lambda found: (
        order(found, number) if _is_number(found) else order(_shown(found).casefold(), folded)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "string" else token.text
