"""One expected event, as it stands in ``spillway.yaml``.  PURE.

    agent_started                                       the value of the message's ``type``
    {type: done, payload.status: ok}                    dotted field paths, all of which must be equal
    {type: token, repeats: true}                        and may come again
    {match: {type: job, repeats: 3}, repeats: true}     fields that are called like an option stand under ``match``

Whatever is no option is a field, so a misspelt option would silently be a field that no message has. Hence names that
are near an option's, or that a reader would take for one, must stand under ``match`` too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from pipeline.probe.scenario import Expectation
from pipeline.units import shown

_OPTIONS = ("match", "repeats")
_MISTAKABLE = frozenset(
    [
        "fields",
        "matches",
        "never",
        "optional",
        "repeatable",
        "reply",
        "required",
        "save",
        "timeout",
        "times",
        "when",
        "within",
    ]
)

_EVENT = {
    "title": "event",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {
                "repeats": {"type": "boolean", "description": "it may come again."},
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


def group(item: object, type_path: str = "type") -> tuple[Expectation, ...]:
    """A list is several events in any order. Raises ValueError.

    Args:
        type_path: the field that an event's name stands in.
    """
    if not isinstance(item, list):
        return (_expectation(item, type_path),)
    if not item:
        raise ValueError("an empty list expects nothing")
    return tuple(_expectation(each, type_path) for each in item)


def _expectation(item: object, type_path: str) -> Expectation:
    if isinstance(item, str) and item:
        return Expectation({type_path: item})
    if not isinstance(item, Mapping) or not item:
        raise ValueError(f"{shown(item)} is not an event: write its type, or the fields that it must have")
    repeats = item.get("repeats", False)
    if not isinstance(repeats, bool):
        raise ValueError(  # noqa: TRY004 - what becomes a complaint
            f"repeats: must be true or false, got {shown(repeats)}; a field of that name goes under match: {{repeats: ...}}"
        )
    fields = _fields(item)
    if not fields:
        raise ValueError("an event needs its type, or a field that it must have")
    return Expectation(fields, repeats=repeats)


def _fields(item: Mapping[str, object]) -> dict[str, object]:
    beside = {key: value for key, value in item.items() if key not in _OPTIONS}
    for key, value in beside.items():
        _refuse_mistakable(key, value)
    under = item.get("match", {})
    if not isinstance(under, Mapping):
        raise ValueError(f"match: must be a mapping of fields, got {shown(under)}")  # noqa: TRY004 - as above
    if twice := sorted(beside.keys() & under.keys()):
        raise ValueError(f"{twice[0]} is asked for twice, beside match and under it")
    return {**beside, **under}


def _refuse_mistakable(key: str, value: object) -> None:
    plain = key[:60].lower()
    likely = (
        _OPTIONS if isinstance(value, Mapping) else ("repeats",)
    )  # batch: 3 is a field, macth: {...} is none
    meant = difflib.get_close_matches(plain, likely, n=1, cutoff=0.75)
    if meant or plain in _MISTAKABLE:
        hint = f"did you mean {meant[0]}?" if meant else f"an event has {' and '.join(_OPTIONS)}."
        raise ValueError(
            f"unknown key {key[:60]}, {hint} A field of that name goes under match: {{{key[:60]}: ...}}"
        )
