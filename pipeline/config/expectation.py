"""One expected event, as it stands in ``spillway.yaml``.  PURE.

    agent_started                                       the value of the message's ``type``
    {type: done, payload.status: ok}                    dotted field paths, all of which must be equal
    {type: done, tokens: {gt: 0, lt: 4000}}             or pass tests: exists, equals, matches, gt, gte, lt, lte, one-of, is
    {type: token, repeats: true}                        and may come again; repeats: {min: 2, max: 9} counts
    {type: auth_ok, save: {user: data.user}}            ${user} is from here on what stands at data.user
    {type: started, within: 2s}                         from the beginning of its step
    {match: {type: job, repeats: 3}, repeats: true}     fields that are called like an option stand under ``match``

Whatever is no option is a field, so a misspelt option would silently be a field that no message has. Hence names that
are near an option's, or that a reader would take for one, must stand under ``match`` too.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.framing.patterns import complaint
from pipeline.probe.matching import KINDS, TESTS, Expectation, Predicate, holds
from pipeline.probe.templates import NAME, PLACE, reference
from pipeline.units import parse_duration, shown

_OPTIONS = ("match", "repeats", "save", "within")
_MISTAKABLE = frozenset(
    ["fields", "matches", "never", "optional", "repeatable", "reply", "required", "timeout", "times", "when"]
)
_MOST = 1_000_000  # events

_EVENT = {
    "title": "event",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {
                "repeats": {
                    "description": "it may come again; how often.",
                    "anyOf": [
                        {"type": "boolean"},
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "minProperties": 1,
                            "properties": {
                                "min": {"type": "integer", "minimum": 0, "maximum": _MOST},
                                "max": {"type": "integer", "minimum": 1, "maximum": _MOST},
                            },
                        },
                    ],
                },
                "save": {
                    "description": "variable to the path of its value.",
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                    "additionalProperties": {"type": "string", "minLength": 1},
                },
                "within": {"description": "from the beginning of its step.", "type": "string"},
                "match": {"type": "object", "description": "fields that are called like an option."},
            },
            "propertyNames": {"not": {"enum": sorted(_MISTAKABLE)}},
            "anyOf": [
                {"required": ["match"], "properties": {"match": {"minProperties": 1}}},
                {"not": {"propertyNames": {"enum": list(_OPTIONS)}}},
            ],
        },
    ],
}
#: of one item of ``expect``
SCHEMA = {"title": "event", "anyOf": [*_EVENT["anyOf"], {"type": "array", "minItems": 1, "items": _EVENT}]}
#: of one event alone
EVENT_SCHEMA = _EVENT


def group(item: object, type_path: str = "type") -> tuple[Expectation, ...]:
    """A list is several events in any order. Raises ValueError.

    Args:
        type_path: the field that an event's name stands in.
    """
    if not isinstance(item, list):
        return (event(item, type_path),)
    if not item:
        raise ValueError("an empty list expects nothing")
    return tuple(event(each, type_path) for each in item)


def event(item: object, type_path: str = "type") -> Expectation:
    """Raises ValueError."""
    if isinstance(item, str) and item:
        return Expectation({type_path: item})
    if not isinstance(item, Mapping) or not item:
        raise ValueError(f"{shown(item)} is not an event: write its type, or the fields that it must have")
    least, most = _repeats(item.get("repeats", False))
    fields = wanted(_fields(item))
    if not fields:
        raise ValueError("an event needs its type, or a field that it must have")
    within = parse_duration(item["within"]).total_seconds() if "within" in item else None
    return Expectation(fields, least, most, saved(item.get("save", {})), within)


def _repeats(value: object) -> tuple[int, int | None]:
    """At least, at most."""
    if isinstance(value, bool):
        return 1, None if value else 1
    if not isinstance(value, Mapping) or not value or not value.keys() <= {"min", "max"}:
        raise ValueError(
            f"repeats: must be true, false or {{min: N, max: N}}, got {shown(value)}; a field of that name goes under match: {{repeats: ...}}"
        )
    least, most = value.get("min", 1), value.get("max")
    for name, number, lowest in (("min", least, 0), ("max", most, 1)):
        if number is None and name == "max":
            continue
        if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= _MOST:
            raise ValueError(f"repeats: {name} must be a whole number from {lowest}, got {shown(number)}")
    if most is not None and least > most:
        raise ValueError(f"repeats: can never be: at least {least} and at most {most}")
    return least, most


def saved(value: object) -> dict[str, str]:
    """Variables to paths. Raises ValueError."""
    if not isinstance(value, Mapping) or not all(isinstance(path, str) and path for path in value.values()):
        raise ValueError(
            f"save: must be a mapping of variables to paths, {{user: data.user}}, got {shown(value)}"
        )
    for name in value:
        found = reference(str(name))
        if found is None or found.kind != "variable":
            raise ValueError(
                f"save: {shown(name)} cannot be a variable's name: letters, digits, - and _, and no word of ours"
            )
    for path in value.values():
        _refuse_template(path, "a value is taken from a path as it is written")
    return dict(value)


def _refuse_template(path: object, why: str) -> None:
    if found := PLACE.search(str(path)):
        raise ValueError(f"{found[0][:60]} would not be filled in here: {why}")


def wanted(fields: Mapping[str, object]) -> dict[str, object]:
    """Dotted paths to values, or to tests where those are spelt. Raises ValueError."""
    for path in fields:
        _refuse_template(path, "a field is looked for by its name as it is written")
    return {path: _wanted(path, value) for path, value in fields.items()}


def _wanted(path: str, value: object) -> object:
    """The value, or the tests that a mapping of nothing but tests spells."""
    if not isinstance(value, Mapping) or not value:
        return value
    tests = [key for key in value if key in TESTS]
    if len(tests) == len(value):
        for name, operand in value.items():
            _check_test(path, name, operand)
        _refuse_contradiction(path, value)
        return Predicate(dict(value))
    others = [key for key in value if key not in TESTS]
    near = difflib.get_close_matches(str(others[0])[:60].replace("_", "-"), TESTS, n=1, cutoff=0.75)
    if tests or (len(value) == 1 and near):
        hint = f", did you mean {near[0]}?" if near else f"; tests: {', '.join(TESTS)}."
        raise ValueError(
            f"{path}: no test {str(others[0])[:60]}{hint} For a mapping itself write {{equals: {{...}}}}"
        )
    return value


def _check_test(path: str, name: str, operand: object) -> None:
    if isinstance(operand, str) and "${" in operand and name != "is":
        if name == "matches":  # what is filled in is looked for as it is
            check_pattern(f"{path}: matches", PLACE.sub("x", operand))
        return
    if name == "exists" and not isinstance(operand, bool):
        raise ValueError(f"{path}: exists must be true or false, got {shown(operand)}")
    if name in ("gt", "gte", "lt", "lte") and (
        isinstance(operand, bool) or not isinstance(operand, int | float)
    ):
        raise ValueError(f"{path}: {name} must be a number, got {shown(operand)}")
    if name == "one-of" and not (isinstance(operand, list) and operand):
        raise ValueError(f"{path}: one-of must be a list of values, got {shown(operand)}")
    if name == "is" and not (isinstance(operand, str) and operand in KINDS):
        near = difflib.get_close_matches(str(operand)[:60], KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(KINDS)}"
        raise ValueError(f"{path}: is: no kind {shown(operand)}, {hint}")
    if name == "matches":
        check_pattern(f"{path}: matches", operand)


def _refuse_contradiction(path: str, tests: Mapping[str, Any]) -> None:
    """Raises ValueError for tests that no value could pass together; what templates come to is not known yet."""
    if "${" in repr(tests):
        return
    if tests.get("exists") is False and len(tests) > 1:
        raise ValueError(f"{path}: what must be absent can pass no other test")
    made, tried = Predicate(tests), _tried(tests)
    if tried and not any(holds(each, made) for each in tried):
        raise ValueError(f"{path}: no value is {made.words}: this could never end well")


def _tried(tests: Mapping[str, Any]) -> Sequence[Any]:
    """Values of which one passes the tests, if any value does; none where there are too many to tell."""
    if "equals" in tests:
        return [tests["equals"]]
    if "one-of" in tests:
        return [*tests["one-of"]]
    low = max((tests[name] for name in ("gt", "gte") if name in tests), default=math.nan)
    high = min((tests[name] for name in ("lt", "lte") if name in tests), default=math.nan)
    try:
        return [low, high, low / 2 + high / 2, math.ceil(low), math.floor(low) + 1]
    except (OverflowError, ValueError):  # one of them is not there, or none that can be counted with
        return []


def check_pattern(what: str, pattern: object, *, has_groups: bool = False) -> None:
    """Raises ValueError for what is no regular expression, or one that a text could make endless."""
    if why := complaint(pattern, has_groups=has_groups):
        raise ValueError(f"{what}: {shown(pattern)} {why}")


def _fields(item: Mapping[str, object]) -> dict[str, object]:
    beside = {key: value for key, value in item.items() if key not in _OPTIONS}
    for key, value in beside.items():
        _refuse_mistakable(key, value)
    under = item.get("match", {})
    if not isinstance(under, Mapping):
        raise ValueError(f"match: must be a mapping of fields, got {shown(under)}")  # noqa: TRY004 - becomes a complaint
    if twice := sorted(beside.keys() & under.keys()):
        raise ValueError(f"{twice[0]} is asked for twice, beside match and under it")
    return {**beside, **under}


def _refuse_mistakable(key: str, value: object) -> None:
    plain = key[:60].lower()
    # batch: 3 is a field, macth: {...} is none
    likely = _OPTIONS if isinstance(value, Mapping) else ("repeats", "within")
    meant = difflib.get_close_matches(plain, likely, n=1, cutoff=0.75)
    if meant or plain in _MISTAKABLE:
        hint = f"did you mean {meant[0]}?" if meant else f"an event has {', '.join(_OPTIONS)}."
        raise ValueError(
            f"unknown key {key[:60]}, {hint} A field of that name goes under match: {{{key[:60]}: ...}}"
        )
