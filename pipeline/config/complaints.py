"""What a validated file's complaints say: pydantic finds them, the words are ours.  PURE.

Values are repeated only where they cannot be secret: scalars, cut short, and none below an environment, headers or
messages.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.redact import is_secret_name
from pipeline.units import shown

Loc = tuple[int | str, ...]

_UNTOLD = frozenset({"env", "headers", "send", "body", "expect", "never", "command", "subprotocols"})
_KINDS = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
    "too_long": ("at most", "max_length"),
    "string_too_long": ("at most", "max_length"),
}


def path_of(problem: Mapping[str, Any]) -> Loc:
    """Where to point. Whole-document rules name their section in the message (``criteria.x: ...``)."""
    if problem["loc"]:
        return tuple(part for part in problem["loc"] if part != "[key]")
    match = re.match(r"Value error, ([\w.-]+):", problem["msg"])
    return tuple(match[1].split(".")) if match else ()


def sentence(problem: Mapping[str, Any], known: Collection[str], spelt: str = "") -> str:
    """One complaint, with its key.

    Args:
        problem: of ``ValidationError.errors()``.
        known: every key of any section, to guess at what was meant.
        spelt: how a true or false value was spelt, if otherwise than so.
    """
    loc: Loc = problem["loc"]
    key = key_of(loc)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{near(str(loc[-1]), known)}"
    if problem["type"] == "missing":
        return f"missing key {key}"
    said = _said(problem, loc, spelt)
    return f"{key}: {said}" if key else said


def key_of(loc: Sequence[int | str]) -> str:
    return ".".join(
        str(part) if len(str(part)) <= 60 else f"{str(part)[:57]}..." for part in loc if part != "[key]"
    )


def near(word: str, known: Collection[str]) -> str:
    """ ", did you mean ...?", or nothing."""
    plain = word[:60].lower().replace("_", "-")
    found = [plain] if plain in known else difflib.get_close_matches(plain, sorted(known), n=1)
    return f", did you mean {found[0]}?" if found and found[0] != word else ""


def _said(problem: Mapping[str, Any], loc: Loc, spelt: str) -> str:
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context.get("error", problem["msg"]))
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return f"must be {words} {context.get(name)}{_got(value, loc)}"
    if kind in ("literal_error", "enum"):
        return f"must be {context.get('expected', 'another').replace(chr(39), '')}{_got(value, loc, spelt)}"
    said = f"{_KINDS.get(kind, 'cannot be used')}{_got(value, loc, spelt)}"
    if kind == "string_type" and isinstance(value, int | float):
        return f"{said}: write it in quotes"
    return f"{said}: write it without quotes" if _is_quoted(kind, value) else said


def _is_quoted(kind: str, value: object) -> bool:
    """A number or switch that stands in quotes."""
    if not isinstance(value, str):
        return False
    wanted = r"[-+]?\d{1,15}" if kind.startswith("int") else "true|false" if kind == "bool_type" else "(?!)"
    return re.fullmatch(wanted, value) is not None


def _got(value: object, loc: Loc, spelt: str = "") -> str:
    if any(part in _UNTOLD or (isinstance(part, str) and is_secret_name(part)) for part in loc):
        value = value if value is None or isinstance(value, bool | list | dict) else ...
    if value is ...:
        return ""
    return f", got {spelt}, which YAML reads as {shown(value)}" if spelt else f", got {shown(value)}"
