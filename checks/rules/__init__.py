"""The rules, in the order in which they are told."""

from __future__ import annotations

from checks.rules import additive, event_map, json_safe_logs, repeated, single_source, socket_config
from checks.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    single_source.RULE,
    event_map.RULE,
    json_safe_logs.RULE,
    additive.RULE,
    socket_config.RULE,
    repeated.RULE,
)
BY_NAME = {rule.name: rule for rule in RULES}
