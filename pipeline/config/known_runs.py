"""What the middleware is told of a run, from the scenarios that the probes hold.  PURE.

Theory of operation. A scenario that sends one message says what a run is: that message asks for it, and the events that
it expects are what must come of it. A scenario that sends several does not say which of them a user's run begins with,
and one that sends none has no beginning; those are held by probes alone. Where two scenarios ask in the same words,
a run is what both expect: a user's message may be of either kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple

from pipeline.framing.fields import field_at
from pipeline.probe.scenario import Expectation, Scenario
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
    said = [(words, scenario) for scenario in scenarios if (words := _words_of(scenario))]
    if not said:
        return None
    words = Counter(each for each, _ in said).most_common(1)[0][0]  # one service, one way to say it
    runs: dict[str, tuple[str, ...]] = {}
    for each, scenario in said:
        if each == words:
            start = str(field_at(scenario.framing.seen(scenario.send[0]), words.start_field))
            events = _events(scenario, words.event_field)
            runs[start] = tuple(event for event in runs.get(start, events) if event in events)
    runs = {start: events for start, events in runs.items() if events}
    framing = json.loads(words.framing)
    return (
        Known(runs, words.start_field, words.event_field, within.total_seconds(), framing) if runs else None
    )


def _words_of(scenario: Scenario) -> _Words | None:
    if len(scenario.send) != 1 or scenario.framing.is_http:
        return None
    message = scenario.framing.seen(scenario.send[0])
    events = [event for group in scenario.groups for event in group]
    named = Counter(path for event in events for path in event.match if _word(event, path))
    if not named or not isinstance(message, Mapping):
        return None
    event_field = "type" if "type" in named else named.most_common(1)[0][0]
    words = [name for name, value in message.items() if isinstance(value, str) and value]
    for name in (event_field, "type", *(words if len(words) == 1 else ())):
        found = field_at(message, name)
        if isinstance(found, str) and found:
            return _Words(name, event_field, json.dumps(scenario.framing.told()))
    return None


def _word(event: Expectation, path: str) -> str:
    value = event.match.get(path)
    return value if isinstance(value, str) else ""


def _events(scenario: Scenario, path: str) -> tuple[str, ...]:
    found = (_word(event, path) for group in scenario.groups for event in group)
    return tuple(dict.fromkeys(filter(None, found)))
