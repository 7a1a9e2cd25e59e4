"""The secrets that a scenario names, ``${env:NAME}`` and ``${file:path}``: read at the last moment, and told to the sink.

What is read here is never kept: the next conversation reads it again, so that a token may be renewed meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UserError
from pipeline.probe import secret_file
from pipeline.probe.scenario import Scenario
from pipeline.probe.templates import SECRET, Reference, references
from pipeline.redact import SINK

_MOST_KNOWN = 64
_named: dict[
    int, tuple[Scenario, tuple[Reference, ...]]
] = {}  # by identity: a scenario is held again and again


def named_in(scenario: Scenario) -> tuple[Reference, ...]:
    """Each once, in order."""
    known = _named.get(id(scenario))
    if known is None or known[0] is not scenario:
        if len(_named) >= _MOST_KNOWN:
            _named.clear()
        known = _named[id(scenario)] = scenario, _found_in(scenario)
    return known[1]


def _found_in(scenario: Scenario) -> tuple[Reference, ...]:
    found = (each for text in scenario.texts for each in references(text) if each.kind in SECRET)
    return tuple(dict.fromkeys(found))


def read(scenario: Scenario) -> Mapping[Reference, str]:
    """Their values, which no output shows from here on. Raises: UserError for one that cannot be had."""
    if not scenario.has_templates:
        return {}
    values = {each: _value_of(each, scenario) for each in named_in(scenario)}
    SINK.learn(*values.values())
    return values


def _value_of(wanted: Reference, scenario: Scenario) -> str:
    if wanted.kind == "env":
        value = os.environ.get(wanted.name, "")
        if not value:
            raise UserError(
                f"scenario {scenario.name}: ${{env:{wanted.name}}} has no value",
                f"The variable {wanted.name} is {'empty' if wanted.name in os.environ else 'not set'} where this command runs.",
                f"Set it: export {wanted.name}=...",
            )
        return value
    what = f"scenario {scenario.name}: ${{file:{wanted.name}}}"
    return secret_file.read_for(what, Path(scenario.folder) / wanted.name, "Write the secret there")
