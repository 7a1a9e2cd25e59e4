"""What every section of ``spillway.yaml`` has in common."""

from __future__ import annotations

from pydantic import ConfigDict

#: kebab-case keys, unknown keys refused, values frozen; a number is no text and a text no number
SECTION = ConfigDict(
    extra="forbid",
    frozen=True,
    strict=True,
    alias_generator=lambda name: name.replace("_", "-"),
    populate_by_name=True,
    defer_build=True,  # each section once, as a part of the whole, and not by itself before that
)
