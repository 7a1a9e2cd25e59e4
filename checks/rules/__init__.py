"""The rules, in the order in which they report; a rule is in use when it is in this list."""

from __future__ import annotations

from checks.rules import repeated, socket_config
from checks.rules.additive import rule as additive
from checks.rules.event_map import rule as event_map
from checks.rules.json_safe_logs import rule as json_safe_logs
from checks.rules.protocol import Rule
from checks.rules.single_source import rule as single_source

RULES: tuple[Rule, ...] = (
    single_source.RULE,
    event_map.RULE,
    json_safe_logs.RULE,
    additive.RULE,
    socket_config.RULE,
    repeated.RULE,
)
BY_NAME = {rule.name: rule for rule in RULES}
