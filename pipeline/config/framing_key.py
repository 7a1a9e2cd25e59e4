"""``framing:`` of a scenario: a name, or a mapping of its name and its options.  PURE."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pipeline.config.fields import Misplaced, told
from pipeline.framing.names import FRAMINGS, OWN, Named
from pipeline.units import shown


def _schema() -> dict[str, Any]:
    own = {"type": "string", "pattern": f"^(?:{OWN.pattern})$"}
    described = [
        {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"const": name}, **{key: {} for key in named.options}},
            "additionalProperties": False,
        }
        for name, named in FRAMINGS.items()
    ]
    of_own = {"type": "object", "required": ["name"], "properties": {"name": own}}
    return {"title": "framing", "anyOf": [{"enum": list(FRAMINGS)}, own, *described, of_own]}


def parts(value: object) -> tuple[str, dict[str, object]]:
    """The name and the options of a value that ``framing`` has taken."""
    if isinstance(value, Mapping):
        return str(value["name"]), {key: each for key, each in value.items() if key != "name"}
    return str(value), {}


@told(**_schema())
def framing(value: object) -> object:
    """The value as it is. Raises ValueError: options' values are not repeated, since they may be secret."""
    if isinstance(value, Mapping) and "name" not in value:
        raise ValueError(f"needs the framing's name; known: {', '.join(FRAMINGS)}")
    if not isinstance(value, str | Mapping):
        raise ValueError(f"must be a framing's name, or a mapping with it, got {shown(value)}")  # noqa: TRY004 - what becomes a complaint
    name, options = parts(value)
    if not OWN.fullmatch(name):
        _check(name, _named(name), options)
    return value


def _named(name: str) -> Named:
    if name in FRAMINGS:
        return FRAMINGS[name]
    near = difflib.get_close_matches(name.lower(), FRAMINGS, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]}?" if near else ""
    known = f"known: {', '.join(FRAMINGS)}, or package.module:Class of your own"
    raise ValueError(f"no framing {shown(name)}{hint}; {known}")


def _check(name: str, named: Named, options: Mapping[str, object]) -> None:
    for key, value in options.items():
        option = named.options.get(key)
        if option is None:
            has = f"it has {', '.join(named.options)}" if named.options else "it has none"
            raise Misplaced((key,), f"framing {name} has no option {str(key)[:60]}; {has}")
        if not option.fits(value):
            raise Misplaced((key,), f"must be {option.words}")
