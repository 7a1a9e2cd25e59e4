"""One example of what a rule says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from checks.settings import Settings


@dataclass(frozen=True, slots=True)
class Example:
    """A small tree, and what the rule says about it.

    Args:
        files: path to text.
        finds: one ``path:line`` per finding, in order; with `` ?`` behind it when it must not fail the gate.
        base: what the files were before, for rules that compare.
    """

    title: str
    files: Mapping[str, str]
    settings: Settings
    finds: tuple[str, ...] = ()
    base: Mapping[str, str] | None = None
