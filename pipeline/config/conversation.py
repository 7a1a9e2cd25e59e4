"""What a scenario says as a whole: variables that are known where they are used, sockets that are open, an end.  PURE.

Theory of operation. The scenario is read in the order in which it is held. Whatever an event saves is known from the next
group on, ``${uuid:run}`` from where it stands. What can never come, or can never end well, is refused here rather than
held against a service later.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from pipeline.config.expectation import event, group
from pipeline.config.fields import Misplaced
from pipeline.config.steps_section import StepConfig
from pipeline.probe.matching import Expectation, Predicate, holds
from pipeline.probe.steps import MAIN
from pipeline.probe.templates import GENERATED, PLACE, Reference, references
from pipeline.units import format_duration

Path = tuple[str | int, ...]
_LONGEST = timedelta(hours=1)  # of a request to Cloud Run


class Place(NamedTuple):
    """A value that is said or looked for.

    Args:
        path: in the scenario.
        saves: what is known after it.
    """

    path: Path
    value: object
    is_event: bool = False
    is_reply: bool = False
    saves: tuple[str, ...] = ()


class Heard(NamedTuple):
    """One ``expect``: where it stands, and its items."""

    path: Path
    items: Sequence[object]


def check(
    places: Sequence[Place],
    steps: Sequence[StepConfig],
    heard: Sequence[Heard],
    within: timedelta,
    type_path: str = "type",
) -> None:
    """Raises Misplaced.

    Args:
        places: in the order in which they are looked at.
        type_path: the field that an event's name stands in.
    """
    _check_variables(places)
    _check_sockets(steps)
    stays = sum((step.stay for step in steps if step.stay), timedelta())
    if within + stays > _LONGEST:
        words = f"it may take {format_duration(within + stays)}, and Cloud Run ends a socket after an hour"
        raise Misplaced(("steps",) if stays else ("within",), words)
    never = [place.value for place in places if place.path[0] == "never"]
    for path, items in heard:
        for at, item in enumerate(items):
            for each in group(item, type_path):
                _refuse_endless(each, (*path, at), within, never)


def check_as_written(places: Iterator[Place]) -> None:
    """Raises Misplaced for a template in a text that is taken as it stands."""
    for place in places:
        if isinstance(place.value, str) and (found := PLACE.search(place.value)):
            raise Misplaced(
                place.path, f"{found[0][:60]} would not be filled in here, but taken as it stands"
            )


def uses(place: Place, names: Collection[str]) -> bool:
    """Whether one of these variables stands there. Raises Misplaced."""
    return any(each.kind == "variable" and each.name in names for each in _references(place))


def of_steps(steps: Sequence[StepConfig]) -> Iterator[Place]:
    for at, step in enumerate(steps):
        yield from _of_step(("steps", at), step)


def of_events(path: Path, items: Sequence[object], type_path: str = "type") -> Iterator[Place]:
    """Of events of which none saves anything: ``never``, ``when``."""
    yield from (
        Place((*path, at), event(item, type_path).match, is_event=True) for at, item in enumerate(items)
    )


def _of_step(path: Path, step: StepConfig) -> Iterator[Place]:
    yield from in_message((*path, "send"), step.send)
    yield from in_expect((*path, "expect"), step.expect)
    if step.when is not None:
        yield Place((*path, "when"), event(step.when).match, is_event=True)
    yield from (place._replace(is_reply=True) for place in in_message((*path, "reply"), step.reply))
    yield Place((*path, "open"), step.open)
    yield Place((*path, "reconnect"), step.reconnect)


def in_message(path: Path, value: object) -> Iterator[Place]:
    """Each text in a message, keys too."""
    if isinstance(value, str):
        yield Place(path, value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield Place((*path, key), key)
            yield from in_message((*path, key), each)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from in_message((*path, at), each)


def in_expect(path: Path, items: Sequence[object]) -> Iterator[Place]:
    """What is looked for, and then, since it is not known to those beside it, what each event saves."""
    for at, item in enumerate(items):
        is_group = isinstance(item, list)
        made = {((*path, at, n) if is_group else (*path, at)): each for n, each in enumerate(group(item))}
        yield from (Place(where, each.match, is_event=True) for where, each in made.items())
        yield from (Place(where, None, saves=tuple(each.save)) for where, each in made.items())


def _check_variables(places: Sequence[Place]) -> None:
    known: set[str] = set()
    used: set[str] = set()
    saved = {name: place.path for place in places for name in place.saves}
    for place in places:
        for each in _references(place):
            if each.kind == "variable":
                _refuse_unknown(each.name, place.path, known, saved)
                used.add(each.name)
            elif each.kind == "uuid" and each.name:
                known.add(each.name)
            elif each.kind == "message" and not place.is_reply:
                raise Misplaced(
                    place.path, "${message...} is what is replied to: it is known in a reply alone"
                )
            elif each.kind in GENERATED and place.is_event:
                raise Misplaced(place.path, f"${{{each.kind}}} is new each time, so no event could have it")
        known |= set(place.saves)
    for name, path in saved.items():
        if name not in used:
            raise Misplaced(
                (*path, "save", name),
                f"save: {name} is never used; write ${{{name}}} where it is, or leave it out",
            )


def _references(place: Place) -> list[Reference]:
    try:
        return list(references(place.value))
    except ValueError as error:
        raise Misplaced(place.path, str(error)) from None


def _refuse_unknown(name: str, path: Path, known: set[str], saved: Mapping[str, Path]) -> None:
    if name in known:
        return
    if name in saved:
        raise Misplaced(path, f"${{{name}}} is not known yet: the event that saves it is expected later")
    near = difflib.get_close_matches(name, sorted({*known, *saved, *GENERATED}), n=1)
    if near:
        hint = f"did you mean ${{{near[0]}}}?"
    else:
        hint = (
            f"save it (save: {{{name}: path.in.an.event}}), or take it from the environment (${{env:{name}}})"
        )
    raise Misplaced(path, f"${{{name}}} is not known here: {hint}")


def _check_sockets(steps: Sequence[StepConfig]) -> None:
    is_open = {MAIN: True}
    for at, step in enumerate(steps):
        path: Path = ("steps", at, "socket")
        if step.open is not None:
            if is_open.get(step.socket):
                raise Misplaced(path, f"{step.socket} is open already")
            is_open[step.socket] = True
        elif step.socket not in is_open:
            near = difflib.get_close_matches(step.socket, is_open, n=1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else f"open it before: {{open: /path, socket: {step.socket}}}"
            )
            raise Misplaced(path, f"no step opened a socket {step.socket}: {hint}")
        elif not is_open[step.socket]:
            raise Misplaced(
                ("steps", at), f"{step.socket} was closed by a step before; reconnect closes and opens again"
            )
        elif step.close is not None:
            is_open[step.socket] = False
            if step.socket == MAIN and at != len(steps) - 1:
                raise Misplaced(
                    ("steps", at, "close"),
                    "the first socket is closed last: steps after it could never be taken",
                )


def _refuse_endless(each: Expectation, path: Path, within: timedelta, never: Sequence[object]) -> None:
    if each.within_s is not None and not 0 < each.within_s <= within.total_seconds():
        raise Misplaced(
            path, f"within: must be more than nothing, and at most the scenario's {format_duration(within)}"
        )
    if any(isinstance(other, Mapping) and _is_always(other, each.match) for other in never):
        raise Misplaced(path, f"{each.name} is expected, and never may it come: this could never end well")


def _is_always(other: Mapping[str, object], match: Mapping[str, object]) -> bool:
    """Whether each message that has these fields is the other event as well."""
    return all(path in match and _implies(match[path], wanted) for path, wanted in other.items())


def _implies(value: object, wanted: object) -> bool:
    is_known = not isinstance(value, Predicate) and "${" not in repr(value)
    return holds(value, wanted) if is_known else value == wanted
