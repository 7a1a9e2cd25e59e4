"""What every section of ``spillway.yaml`` has in common."""

from __future__ import annotations

from pydantic import ConfigDict

#: kebab-case keys, unknown keys refused, values frozen
SECTION = ConfigDict(
    extra="forbid",
    frozen=True,
    alias_generator=lambda name: name.replace("_", "-"),
    populate_by_name=True,
)
