"""The first gate of a rollout: the static checks, where ``spillway.yaml`` has ``checks``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from checks.finding import Report
from checks.output.document import as_dict
from checks.output.text import plain, render_text, summary
from pipeline import private
from pipeline.app import ci, static_checks
from pipeline.app.check_subject import Subject
from pipeline.app.request import Request
from pipeline.model import Outcome
from pipeline.output.writer import Output, outcome_document

_PAGES = (".md", ".html")


class Gate(Struct, frozen=True, dict=True):
    """The checks of one rollout, run once, when somebody first asks.

    A rollout that is under way, or has ended, was checked when it began; it is not asked again, whatever has become of
    the source since.
    """

    request: Request

    @property
    def _output(self) -> Output:
        return self.request.session.output

    @cached_property
    def report(self) -> Report | None:
        """What they found; None where none are configured. Raises UserError."""
        if self._subject is None:
            return None
        with static_checks.told_as_usage():
            return self._subject.run()

    @cached_property
    def _subject(self) -> Subject | None:
        return static_checks.of_rollout(self.request)

    def __call__(self) -> Outcome | None:
        """``CHECKS_FAILED`` when a finding fails the gate, else None. The report of the rollout will show either."""
        if self.report is None:
            return None
        self._keep(self.report)
        if self.report.errors:
            return Outcome.CHECKS_FAILED
        self._output.say(f"checks: {summary(self.report)}")
        return None

    def refuse(self) -> int:
        """Show what was found, say that nothing was deployed, and give the exit code."""
        report, outcome = self.report, Outcome.CHECKS_FAILED
        assert report
        reason = f"{len(report.errors)} finding{'s' if len(report.errors) != 1 else ''} of the static checks"
        paths = [str(path) for path in self._write_reports(report, reason)]
        document = outcome_document(
            outcome, rollout=self.request.wish.rollout_id, reason=reason, reports=paths, **as_dict(report)
        )
        self._output.result(render_text(report).rstrip("\n"), document)
        if self._subject is not None:
            ci.annotate(self._subject.in_repository(report))
        for line in (
            f"nothing was deployed: {reason}",
            "mend what a machine can mend: spillway check --fix; what a rule means: spillway check --explain RULE",
            *(f"report: {path}" for path in paths),
        ):
            self._output.say(line)
        return outcome.exit_code

    @property
    def _kept_in(self) -> Path:
        return static_checks.kept_in(self.request.session.rollouts, self.request.wish.rollout_id)

    def _keep(self, report: Report) -> None:
        try:
            static_checks.store(self._kept_in, report)
            if not report.errors:  # what a refusal wrote before no longer holds
                for suffix in _PAGES:
                    self._kept_in.with_suffix(suffix).unlink(missing_ok=True)
        except OSError as error:
            self._output.say(f"the report will not show the checks: {error}")

    def _write_reports(self, report: Report, reason: str) -> list[Path]:
        """Markdown and HTML, beside where a rollout's would be. One that cannot be written is said, never an error."""
        from pipeline.report import render

        values = {
            "rollout": self.request.wish.rollout_id,
            "environment": self.request.name,
            "reason": reason,
            "report": report,
        }
        written = []
        try:
            for suffix in _PAGES:
                path = self._kept_in.with_suffix(suffix)
                private.write(path, render.page(f"refused{suffix}", **values))
                written.append(path)
        except OSError as error:
            self._output.say(f"no report: {error}")
        return written

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
