"""The first gate of a rollout: the static checks, where ``spillway.yaml`` has ``checks``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from checks.render import as_dict, plain, render_text, summary
from pipeline import checking
from pipeline.cli.output import outcome_document
from pipeline.model import Outcome

if TYPE_CHECKING:
    from checks.finding import Report
    from pipeline.cli.frame import Session


@dataclass(frozen=True)
class Gate:
    """The checks of one rollout, run once, when somebody first asks.

    A rollout that is under way, or has ended, was checked when it began; it is not asked again, whatever has become of
    the source since.
    """

    session: Session
    environment: str
    rollout_id: str

    @cached_property
    def report(self) -> Report | None:
        """What they found; None where none are configured. Raises UserError."""
        subject = checking.of_rollout(self.session.config_file, self.environment)
        if subject is None:
            return None
        with checking.told_as_usage():
            return subject.run()

    def __call__(self) -> Outcome | None:
        """``CHECKS_FAILED`` when a finding fails the gate, else None. The report of the rollout will show either."""
        if self.report is None:
            return None
        self._keep(self.report)
        if self.report.errors:
            return Outcome.CHECKS_FAILED
        self.session.output.say(f"checks: {summary(self.report)}")
        return None

    def refuse(self) -> int:
        """Show what was found, say that nothing was deployed, and give the exit code."""
        report, outcome = self.report, Outcome.CHECKS_FAILED
        assert report
        count = len(report.errors)
        reason = f"{count} finding{'s' if count != 1 else ''} of the static checks"
        document = outcome_document(outcome, rollout=self.rollout_id, reason=reason, **as_dict(report))
        self.session.output.result(render_text(report).rstrip("\n"), document)
        self.session.output.say(
            f"nothing was deployed: {reason}\nMend them: spillway check --fix (what a rule means: --explain RULE)"
        )
        return outcome.exit_code

    def _keep(self, report: Report) -> None:
        try:
            checking.store(checking.kept_in(self.session.state_folder / "rollouts", self.rollout_id), report)
        except OSError as error:
            self.session.output.say(f"the report will not show the checks: {error}")

    @property
    def exit_code(self) -> int:
        return Outcome.CHECKS_FAILED.exit_code if self.report and self.report.errors else 0

    def lines(self) -> list[str]:
        """What ``plan`` says about them; nothing where none are configured."""
        if self.report is None:
            return []
        word = "FAIL, nothing would be deployed" if self.report.errors else "pass"
        failing = [f"  {plain(f.place)}: {plain(f.message)}" for f in self.report.errors]
        return ["", f"checks     {word}: {summary(self.report)}", *failing]

    def document(self) -> Mapping[str, object] | None:
        return as_dict(self.report) if self.report is not None else None
