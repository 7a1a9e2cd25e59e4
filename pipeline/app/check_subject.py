"""What one run of the static checks is about: a folder, what to look for there, and what of it is told."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from checks import settings as asked
from checks.finding import Report, seen_from
from pipeline.errors import UserError


class Subject(Struct, frozen=True):
    """What one run is about.

    Args:
        root: the folder that is checked.
        part: a folder below it, with forward slashes; the whole is read, only findings below this one are told, and missing files.
        is_configured: whether a ``checks`` section said what to look for.
        file: the configuration that was read, if one was.
    """

    root: Path
    settings: asked.Settings
    part: str = ""
    is_configured: bool = False
    file: Path | None = None

    def with_settings(self, **changes: Any) -> Subject:
        return replace(self, settings=replace(self.settings, **changes))

    def asked_for(self, rules: Collection[str], *, base: str = "", discover: bool = False) -> Subject:
        """With what the command line adds. Raises UserError for a rule that has nothing to go by."""
        made = self.with_settings(discover=self.settings.discover or discover or "repeated" in rules)
        if base:
            made = made.with_settings(additive=asked.Additive(base))
        if "json-safe-logs" in rules and made.settings.json_safe_logs is None:
            made = made.with_settings(json_safe_logs=asked.JsonSafeLogs())
        for rule in rules:
            if not getattr(made.settings, rule.replace("-", "_"), True):
                raise UserError(
                    f"--rule {rule}: has nothing to go by",
                    "It needs --base." if rule == "additive" else f"No configuration has checks.{rule}.",
                    f"How to ask it: spillway check --explain {rule}",
                )
        return made

    def run(self, rules: Collection[str] | None = None) -> Report:
        """Raises CheckError."""
        from checks import runner  # every rule comes with it, and a gate without checks runs none

        return self._told(runner.run(self.root, self.settings, only=rules or None))

    def _told(self, report: Report) -> Report:
        """What is found below ``part``, and of files that are missing: those lie in no folder, and fail the gate in each."""
        if not self.part:
            return report
        below = f"{self.part}/"
        kept = (
            f for f in report.findings if f.path.startswith(below) or not os.path.lexists(self.root / f.path)
        )
        skipped = (s for s in report.skipped if s.path.startswith(below))
        return replace(report, findings=tuple(kept), skipped=tuple(skipped))

    def seen_from(self, folder: Path, report: Report) -> Report:
        """The report with paths as they are from a folder."""
        return seen_from(report, self.root.resolve().as_posix(), folder.resolve().as_posix())

    def in_repository(self, report: Report) -> Report:
        """The report with paths as they are in the repository; in the root where none is around it."""
        root = self.root.resolve()
        top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
        return self.seen_from(top, report)
