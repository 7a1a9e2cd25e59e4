"""One expected event, and whether a message is it.  PURE.

Theory of operation. An expectation maps dotted paths to what must stand there: a value, which must be equal, or a
``Predicate`` (``{gt: 3}``, ``{matches: "^ok"}``). A message that has the event's name and differs in another field is a
near miss, which is what a person wants to read when the event "did not come".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field
from msgspec.structs import force_setattr

from pipeline.framing.fields import ABSENT, field_at
from pipeline.framing.patterns import finds
from pipeline.redact import SINK


class Predicate(Struct, frozen=True):
    """Tests of one value, all of which must hold. ``TESTS`` has their names; operands are as in the file."""

    tests: Mapping[str, object]

    @property
    def words(self) -> str:
        """``> 3 and < 9``."""
        return " and ".join(_WORDS[name](operand) for name, operand in self.tests.items())


class Expectation(Struct, frozen=True):
    """One event that must come.

    Args:
        match: dotted field paths to values or predicates, all of which must hold.
        least, most: how often it must and may come; ``most`` None: any number of times.
        save: variable to the dotted path whose value it takes; the message must have that path.
        within_s: seconds from the beginning of its step.
    """

    match: Mapping[str, object]
    least: int = 1
    most: int | None = 1
    save: Mapping[str, str] = field(default_factory=dict)
    within_s: float | None = None
    has_templates: bool = False  # never given: looked for once, since each message is held against all events

    def __post_init__(self) -> None:
        force_setattr(self, "has_templates", "${" in repr(self.match))

    @property
    def key(self) -> str:
        """The path by which a person tells the event: ``type``, else its first field."""
        return "type" if "type" in self.match else next(iter(self.match))

    @property
    def name(self) -> str:
        """What a person calls it: the value of ``type``, else its first field."""
        key = self.key
        value = self.match[key]
        if isinstance(value, Predicate):
            exists = value.tests.get("exists") if len(value.tests) == 1 else None
            words = value.words if exists is None else "(any)" if exists else "(absent)"
            return f"{key} {words}"
        return str(value) if key == "type" else f"{key}={value}"

    @property
    def literal(self) -> Mapping[str, object]:
        """What must stand where, as far as it is known from the file alone."""
        return {path: wanted for path, wanted in self.match.items() if "${" not in repr(wanted)}

    def is_met_by(self, message: object) -> bool:
        if not matches(self.match, message):
            return False
        return not self.save or all(field_at(message, path) is not ABSENT for path in self.save.values())

    def near_miss(self, message: object) -> str:
        """How a message that may have been meant as this event differs, in plain words; empty when it is another's."""
        key = self.key
        found = field_at(message, key)
        if not holds(found, self.match[key]):
            is_alone = len(self.match) == 1
            if is_alone and found is ABSENT and (path := _elsewhere(message, self.match[key])):
                return f"{self.name} came at {path}, not at {key}: set type: {path}"
            is_field = is_alone and key != "type" and found is not ABSENT
            is_meant = is_field or _is_alike(found, self.match[key])
            return f"a message came, but {first_difference(self.match, message)}" if is_meant else ""
        unsaved = next((path for path in self.save.values() if field_at(message, path) is ABSENT), "")
        differs = first_difference(self.match, message) or (
            f"{unsaved} is absent, to be saved" if unsaved else ""
        )
        return f"{self.name} came, but {differs}" if differs else ""


def matches(fields: Mapping[str, object], message: object) -> bool:
    """Whether every field is as wanted. JSON's ``true`` is not ``1``, though Python's is."""
    for path, wanted in fields.items():  # noqa: SIM110 - all() costs as much as the rest, for each message and event
        if not holds(field_at(message, path), wanted):
            return False
    return True


def first_difference(fields: Mapping[str, object], message: object) -> str:
    """The first field that is absent or otherwise, in plain words; empty when all match."""
    for path, wanted in fields.items():
        found = field_at(message, path)
        if not holds(found, wanted):
            words = wanted.words if isinstance(wanted, Predicate) else cut(repr(wanted), 200)
            return f"{path} is {'absent' if found is ABSENT else cut(repr(found), 200)}, expected {words}"
    return ""


def cut(text: str, most: int) -> str:
    """Its beginning, with no half of a secret, which nobody would know for one."""
    return text if len(text) <= most else SINK.cut(text, most)


def _is_alike(found: object, name: object) -> bool:
    """Whether a name is the other one, spelt otherwise: ``Agent-Done``, ``agent_done``, a number as text."""
    if not isinstance(found, str | int) or not isinstance(name, str | int) or len(str(found)) > _LONGEST_NAME:
        return False
    letters = [[each for each in str(one).casefold() if each.isalnum()] for one in (found, name)]
    return bool(letters[0]) and letters[0] == letters[1]


_LONGEST_NAME = 100


def _elsewhere(message: object, name: object) -> str:
    """Where a message says that it is the event of this name, if not where it was looked for."""
    if not isinstance(message, Mapping) or not isinstance(name, str):
        return ""
    below = ((f"{key}.", each) for key, each in message.items() if isinstance(each, Mapping))
    for path, fields in (("", message), *below):
        if key := next((key for key in NAMED if fields.get(key) == name), ""):
            return f"{path}{key}"
    return ""


#: where a message may say what it is
NAMED = ("type", "event", "kind", "op", "name", "action", "method", "target", "command", "topic")


def holds(found: object, wanted: object) -> bool:
    """Whether a value is the wanted one, or passes the tests."""
    if isinstance(wanted, Predicate):
        return all(TESTS[name](found, operand) for name, operand in wanted.tests.items())
    return _is_same(found, wanted)


def _is_same(found: object, wanted: object) -> bool:
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KINDS: Mapping[str, Callable[[object], bool]] = {
    "string": lambda found: isinstance(found, str),
    "number": _is_number,
    "integer": lambda found: isinstance(found, int) and _is_number(found),
    "boolean": lambda found: isinstance(found, bool),
    "list": lambda found: isinstance(found, list),
    "object": lambda found: isinstance(found, Mapping),
    "null": lambda found: found is None,
}


def _compared(wants: Callable[[float, float], bool]) -> Callable[[object, object], bool]:
    def test(found: object, bound: object) -> bool:
        if isinstance(found, bool) or isinstance(bound, bool):
            return False
        return isinstance(found, int | float) and isinstance(bound, int | float) and wants(found, bound)

    return test


TESTS: Mapping[str, Callable[[object, object], bool]] = {
    "exists": lambda found, wanted: (found is not ABSENT) == wanted,
    "equals": _is_same,
    "matches": lambda found, pattern: isinstance(found, str) and finds(str(pattern), found),
    "gt": _compared(lambda found, bound: found > bound),
    "gte": _compared(lambda found, bound: found >= bound),
    "lt": _compared(lambda found, bound: found < bound),
    "lte": _compared(lambda found, bound: found <= bound),
    "one-of": lambda found, choices: (
        isinstance(choices, list) and any(_is_same(found, one) for one in choices)
    ),
    "is": lambda found, kind: KINDS[str(kind)](found),
}

_WORDS: Mapping[str, Callable[[object], str]] = {
    "exists": lambda wanted: "that it is there" if wanted else "that it is absent",
    "equals": lambda wanted: cut(repr(wanted), 200),
    "matches": lambda pattern: f"a text that matches {str(pattern)[:200]!r}",
    "gt": lambda bound: f"> {bound}",
    "gte": lambda bound: f">= {bound}",
    "lt": lambda bound: f"< {bound}",
    "lte": lambda bound: f"<= {bound}",
    "one-of": lambda choices: cut(f"one of {choices!r}", 200),
    "is": lambda kind: f"{'an' if str(kind)[0] in 'aeiou' else 'a'} {kind}",
}
