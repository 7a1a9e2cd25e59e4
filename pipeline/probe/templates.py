"""Places in a scenario's texts that are filled in while a conversation is held.  PURE.

    ${user}                 a value that an answer brought: save: {user: data.user}
    ${uuid}, ${uuid:run}    a new one; one for the whole conversation, afterwards ${run}
    ${now}, ${counter}      the time in UTC (ISO 8601); 1, 2, 3 ... at each use
    ${message.id}           in a reply: a field of what is replied to
    ${env:WS_TOKEN}         a variable of the environment, and
    ${file:keys/token}      the text of a file: secrets, which appear in no output
    $${                     the two characters ${ themselves

A template that is a whole value keeps its type; inside a text, or in a key, it becomes text, and in a path it is
escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct, field

from pipeline.framing.fields import ABSENT, field_at
from pipeline.framing.patterns import complaint
from pipeline.probe.matching import Predicate

GENERATED = ("uuid", "now", "counter")
SECRET = ("env", "file")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
PLACE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("uuid", re.compile(rf"uuid(?::({NAME.pattern}))?")),
    ("now", re.compile("now()")),
    ("counter", re.compile("counter()")),
    ("message", re.compile(r"message(?:\.(.+))?")),
    ("env", re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")),
    ("file", re.compile(r"file:(.+)")),
    ("variable", re.compile(f"({NAME.pattern})")),
)


class Reference(NamedTuple):
    """What stands in one ``${...}``.

    Args:
        kind: "variable", "uuid", "now", "counter", "message", "env" or "file".
        name: of the variable, the environment's variable or the file; the path in the message.
    """

    kind: str
    name: str


class Unspeakable(ValueError):
    """Something cannot be said, and no service is to blame."""


class Unsearchable(Unspeakable):
    """Nor be looked for: what was filled in to a pattern made another of it than was read in the file."""


def reference(inner: str) -> Reference | None:
    """Of what stands between the braces; None where it is none."""
    found = ((kind, form.fullmatch(inner)) for kind, form in _FORMS)
    return next((Reference(kind, match[1] or "") for kind, match in found if match), None)


def references(value: object) -> Iterator[Reference]:
    """All in a value, in order. Raises ValueError for a ``${`` that begins none."""
    if isinstance(value, str):
        for match in PLACE.finditer(value) if "${" in value else ():
            if match[0] == "$${":
                continue
            made = None if match[1] is None else reference(match[1])
            if made is None:
                raise ValueError(f"{match[0][:60]} is no template; for the text itself write $${{")
            yield made
    else:
        for each in _inside(value):
            yield from references(each)


def _inside(value: object) -> Iterator[object]:
    if isinstance(value, Predicate):
        yield value.tests
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (key, each)
    elif isinstance(value, list | tuple):
        yield from value


class Scope(Struct):
    """What one conversation fills in.

    Args:
        uuid, now: a new identifier; the present time.
        secrets: the value of each ``env`` and ``file`` reference.
        variables: what was saved, or generated under a name.
    """

    uuid: Callable[[], str]
    now: Callable[[], datetime]
    secrets: Mapping[Reference, str] = field(default_factory=dict)
    variables: dict[str, object] = field(default_factory=dict)
    _counted: int = 0

    def rendered(self, value: Any, message: object = ABSENT) -> Any:
        """The value with every template filled in; the same object when it has none.

        Args:
            message: what is replied to.
        Raises: Unspeakable.
        """
        if isinstance(value, str):
            return self._text(value, message, _spelt) if "${" in value else value
        if isinstance(value, Predicate):
            tests = {name: self._operand(name, each, message) for name, each in value.tests.items()}
            is_same = all(tests[name] is each for name, each in value.tests.items())
            return value if is_same else Predicate(tests)
        if isinstance(value, Mapping):
            made = {self._key(key, message): self.rendered(each, message) for key, each in value.items()}
            return made if any(made.get(key, ABSENT) is not each for key, each in value.items()) else value
        if isinstance(value, list | tuple):
            return [self.rendered(each, message) for each in value]
        return value

    def _key(self, key: object, message: object) -> object:
        return _spelt(self._text(key, message, _spelt)) if isinstance(key, str) and "${" in key else key

    def _operand(self, test: str, value: object, message: object) -> object:
        """Of a test: in a pattern, what is filled in is looked for as it is. Raises Unspeakable, Unsearchable."""
        if test == "matches" and isinstance(value, str) and "${" in value:
            pattern = self._text(value, message, lambda filled: re.escape(_spelt(filled)))
            if why := complaint(pattern):  # which may quote a secret, and half of it
                raise Unsearchable(f"the pattern {value}, filled in, {why.partition(':')[0]}")
            return pattern
        return self.rendered(value, message)

    def text(self, template: str) -> str:
        """As text, whatever it came to. Raises Unspeakable."""
        return _spelt(self.rendered(template))

    def path(self, template: str) -> str:
        """With what is filled in escaped, so that it is one part of a path or query. Raises Unspeakable."""
        return _spelt(self._text(template, ABSENT, lambda value: quote(sayable(_part(value)), safe="")))

    def _text(self, text: str, message: object, spell: Callable[[object], str]) -> object:
        whole = PLACE.fullmatch(text)
        if whole and whole[1] is not None and spell is _spelt:
            return self._value(whole[1], message)

        def fill(match: re.Match[str]) -> str:
            return spell(self._value(match[1], message)) if match[1] is not None else "${"

        return PLACE.sub(fill, text)

    def _value(self, inner: str, message: object) -> object:
        made = reference(inner)
        value = ABSENT if made is None else self._value_of(made, message)
        if value is ABSENT:
            raise Unspeakable(f"${{{inner}}} has no value")
        return value

    def _value_of(self, made: Reference, message: object) -> object:
        match made.kind:
            case "uuid" if made.name:
                return self.variables.setdefault(made.name, self.uuid())
            case "uuid":
                return self.uuid()
            case "now":
                return self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            case "counter":
                self._counted += 1
                return self._counted
            case "message":
                return field_at(message, made.name) if made.name else message
            case "variable":
                return self.variables.get(made.name, ABSENT)
        return self.secrets.get(made, ABSENT)


def sayable(text: str) -> str:
    """The text, if it can be encoded: a service may bring halves of surrogate pairs in JSON. Raises Unspeakable."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unspeakable("what is filled in has half of a surrogate pair, which is no text") from None
    return text


def _part(value: object) -> str:
    """Of a path. Raises Unspeakable for what a service gave there by mistake."""
    if value is None or isinstance(value, Mapping | list | tuple):
        kind = "null" if value is None else "an object" if isinstance(value, Mapping) else "a list"
        raise Unspeakable(f"what is filled in to a path is {kind}")
    return _spelt(value)


def _spelt(value: object) -> str:
    """Raises Unspeakable for what a service may give in another format than JSON: bytes, a date."""
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError):
        kind = "bytes" if isinstance(value, bytes) else f"a {type(value).__name__}"
        raise Unspeakable(f"what is filled in to a text is {kind}, which has no spelling there") from None
