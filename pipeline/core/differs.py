"""Which keys of spillway.yaml another rollout was begun with: of what its record keeps, each by its name.  PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from msgspec import Struct

from pipeline.core.plan import Wish
from pipeline.judging.terms import Plan
from pipeline.units import format_duration, format_rate

#: As the file has them, where that is another name than ours.
_KEYS = {
    "sampling": "evidence", "probing": "probes", "alpha": "false-rollbacks", "beta": "bad-promotions",
    "drain_max": "drain.max", "drain_promoted": "drain.promoted",
}  # fmt: skip
_RATES = ("limit", "certify")
_MOST = 3


def differences(wish: Wish, plan: Plan) -> str:
    """In words, "its X is ..., yours is ..."; where the record keeps nothing that differs, that is said."""
    if plan.image != wish.image:
        return f"Its image is {plan.image}; yours is {wish.image}."
    found = list(_between("", plan.terms, wish.terms))
    if not found:
        return (
            "Its image is yours; spillway.yaml has changed in what the record does not keep: the container's settings, "
            "or what the scenarios send and expect."
        )
    more = f", and {len(found) - _MOST} more keys differ" if len(found) > _MOST else ""
    return f"Its image is yours; {'; '.join(found[:_MOST])}{more}."


def _between(name: str, its: object, ours: object) -> Iterator[str]:
    if its == ours:
        return
    if isinstance(its, Struct) and type(its) is type(ours):
        for each in its.__struct_fields__:
            key = _KEYS.get(each, each).replace("_", "-")
            below = f"{name}.{key}" if name else key
            yield from _between(below, getattr(its, each), getattr(ours, each))
        return
    named, other = _by_name(its), _by_name(ours)
    if named is not None and other is not None:
        for key in dict.fromkeys((*named, *other)):
            yield from _between(f"{name}.{key}", named.get(key), other.get(key))
        return
    yield f"its {name} is {_shown(name, its)}, yours is {_shown(name, ours)}"


def _by_name(value: object) -> Mapping[str, object] | None:
    """A list of stages by their number, of others by their metric or name; None for whatever is no such list."""
    if not isinstance(value, tuple) or not all(isinstance(each, Struct) for each in value):
        return None
    names = [getattr(each, "metric", getattr(each, "name", "")) for each in value]
    return {str(name or number): each for number, (name, each) in enumerate(zip(names, value, strict=True))}


def _shown(name: str, value: object) -> str:
    if value is None:
        return "not there"
    if isinstance(value, Struct):
        percent = getattr(value, "percent", None)
        return "there" if percent is None else f"{percent}%"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "empty"
    if isinstance(value, float):
        is_rate = name.rpartition(".")[2] in _RATES
        return format_rate(value) if is_rate else f"1 in {round(1 / value)}" if value < 1 else f"{value:g}"
    return str(value)
