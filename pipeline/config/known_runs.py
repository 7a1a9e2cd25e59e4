"""What the middleware is told of a run, from the scenarios that the probes hold.  PURE.

Theory of operation. A scenario that sends one message says what a run is: that message asks for it, and the events that
it expects are what must come of it. A scenario that sends several does not say which of them a user's run begins with,
and one that sends none has no beginning; those are held by probes alone. Where two scenarios ask in the same words,
a run is what both expect: a user's message may be of either kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta

from pipeline.framing.fields import field_at
from pipeline.probe.scenario import Expectation, Scenario
from pipeline.telemetry.settings import Known

_Fields = tuple[str, str]  # of the message that asks, and of the events


def known_runs(scenarios: Iterable[Scenario], within: timedelta) -> Known | None:
    """None where no scenario says what a run is.

    Args:
        within: D, by which a run is decided.
    """
    said = [(fields, scenario) for scenario in scenarios if (fields := _fields_of(scenario))]
    if not said:
        return None
    fields = Counter(each for each, _ in said).most_common(1)[0][0]  # one service, one pair of names
    runs: dict[str, tuple[str, ...]] = {}
    for each, scenario in said:
        if each == fields:
            start = str(field_at(scenario.framing.seen(scenario.send[0]), fields[0]))
            events = _events(scenario, fields[1])
            runs[start] = tuple(event for event in runs.get(start, events) if event in events)
    runs = {start: events for start, events in runs.items() if events}
    return Known(runs, *fields, within.total_seconds()) if runs else None


def _fields_of(scenario: Scenario) -> _Fields | None:
    if len(scenario.send) != 1:
        return None
    message, events = (
        scenario.framing.seen(scenario.send[0]),
        [event for group in scenario.groups for event in group],
    )
    named = Counter(path for event in events for path in event.match if _word(event, path))
    if not named or not isinstance(message, Mapping):
        return None
    event_field = "type" if "type" in named else named.most_common(1)[0][0]
    words = [name for name, value in message.items() if isinstance(value, str) and value]
    for name in (event_field, "type", *(words if len(words) == 1 else ())):
        found = field_at(message, name)
        if isinstance(found, str) and found:
            return name, event_field
    return None


def _word(event: Expectation, path: str) -> str:
    value = event.match.get(path)
    return value if isinstance(value, str) else ""


def _events(scenario: Scenario, path: str) -> tuple[str, ...]:
    found = (_word(event, path) for group in scenario.groups for event in group)
    return tuple(dict.fromkeys(filter(None, found)))
