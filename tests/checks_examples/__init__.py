"""Good and bad source for each rule, by its name."""

from __future__ import annotations

from tests.checks_examples import (
    additive,
    event_map,
    json_safe_logs,
    repeated,
    single_source,
    socket_config,
)
from tests.checks_examples.example import Example

Examples = tuple[Example, ...]
VALID: dict[str, Examples] = {}
INVALID: dict[str, Examples] = {}
for module in (additive, event_map, json_safe_logs, repeated, single_source, socket_config):
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    VALID[name], INVALID[name] = module.VALID, module.INVALID
