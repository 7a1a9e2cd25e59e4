"""What the middleware is told of a run, from the scenarios that the probes hold.  PURE.

Theory of operation. A *turn* is one message and the events that are expected until the next is sent. The turn of most
events, the last of several, says what a run is: its message asks for it, and its events are what must come of it. What
leads up to it (a login, a subscription) has fewer. A scenario that sends several messages at once does not say which of
them a user's run begins with, and one that sends none has no beginning; those are held by probes alone. Where two
scenarios ask in the same words, a run is what both expect: a user's message may be of either kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple

from pipeline.framing.choice import Choice
from pipeline.framing.fields import field_at
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import Expect, Send
from pipeline.telemetry.settings import Known


class _Words(NamedTuple):
    """How a scenario says what it says: the fields of the message that asks and of the events, and the framing."""

    start_field: str
    event_field: str
    framing: str  # JSON


def known_runs(scenarios: Iterable[Scenario], within: timedelta) -> Known | None:
    """None where no scenario says what a run is.

    Args:
        within: D, by which a run is decided.
    """
    turns = [turn for scenario in scenarios if (turn := _run_of(scenario))]
    said = [(words, turn) for turn in turns if (words := _words_of(turn))]
    if not said:
        return None
    words = Counter(each for each, _ in said).most_common(1)[0][0]  # one service, one way to say it
    runs: dict[str, tuple[str, ...]] = {}
    for each, turn in said:
        if each == words:
            start = str(field_at(turn.asked, words.start_field))
            said_of = (_word(event, words.event_field) for event in turn.events)
            events = tuple(dict.fromkeys(filter(None, said_of)))
            runs[start] = tuple(event for event in runs.get(start, events) if event in events)
    runs = {start: events for start, events in runs.items() if events}
    framing = json.loads(words.framing)
    return (
        Known(runs, words.start_field, words.event_field, within.total_seconds(), framing) if runs else None
    )


class _Turn(NamedTuple):
    """A message as the service decodes it, and what must come of it."""

    asked: object
    events: tuple[Expectation, ...]
    framing: Choice


def _run_of(scenario: Scenario) -> _Turn | None:
    """The turn that says what a run is."""
    turns: list[tuple[tuple[object, ...], list[Expectation]]] = []
    for step in scenario.steps if not scenario.framing.is_http else ():
        if isinstance(step, Send):
            turns.append((step.messages, []))
        elif isinstance(step, Expect) and turns:
            turns[-1][1].extend(event for event in step.events if event.least)
    single = [(said[0], events) for said, events in turns if len(said) == 1 and events]
    if not single:
        return None
    message, events = max(reversed(single), key=lambda turn: len(turn[1]))
    return _Turn(scenario.framing.seen(message), tuple(events), scenario.framing)


def _words_of(turn: _Turn) -> _Words | None:
    named = Counter(path for event in turn.events for path in event.match if _word(event, path))
    if not named or not isinstance(turn.asked, Mapping):
        return None
    event_field = "type" if "type" in named else named.most_common(1)[0][0]
    words = [name for name, value in turn.asked.items() if _literal(value)]
    for name in (event_field, "type", *(words if len(words) == 1 else ())):
        if _literal(field_at(turn.asked, name)):
            return _Words(name, event_field, json.dumps(turn.framing.told()))
    return None


def _literal(value: object) -> str:
    """A text that is the same in every conversation; empty for anything else."""
    return value if isinstance(value, str) and "${" not in value else ""


def _word(event: Expectation, path: str) -> str:
    return _literal(event.match.get(path))
