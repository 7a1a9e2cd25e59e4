"""What a job of GitHub Actions hands on and shows of a command: the step's outputs, its page, and annotations.

Source: docs.github.com/actions, "Workflow commands for GitHub Actions". Nothing here changes an exit code: a file that
cannot be written is said, and that is all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import INTERRUPTED, TERMINATED, NotYet
from pipeline.model import Outcome
from pipeline.output import streams
from pipeline.output.writer import Output
from pipeline.redact import SINK, plain

if TYPE_CHECKING:
    from checks.finding import Report

OUTPUTS = ("outcome", "revision", "rollback_revision", "stable", "percent", "report", "exit_code")
_TAKEN = frozenset(o.label for o in Outcome if not o.exit_code)
#: Of annotations, where nothing has failed.
_KINDS = {NotYet.outcome: "notice", Outcome.PAUSED.label: "warning", Outcome.UNDER_WAY.label: "warning"}


def hand_on(output: Output, code: int) -> None:
    """The outputs of this step and one annotation, of the document that the command ended with."""
    document = output.last or ({"outcome": "interrupted"} if code in (INTERRUPTED, TERMINATED) else {})
    if "outcome" not in document:
        return
    values = outputs(document, code)
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    _append(output, "GITHUB_OUTPUT", text, "no outputs of this step")
    if code and not _texts(document.get("reports")):
        _append(output, "GITHUB_STEP_SUMMARY", _page(document, values), "no step summary")
    if code and os.environ.get("GITHUB_ACTIONS") == "true":
        streams.put("stderr", f"{_annotation(document, values)}\n")


def outputs(document: Mapping[str, object], code: int) -> dict[str, str]:
    """By name, those of ``OUTPUTS``; empty where the command does not know.

    ``revision`` is the candidate, ``rollback_revision`` where traffic went back or would, ``stable`` which of them is to be
    trusted now, ``percent`` the candidate's share.
    """
    candidate = document.get("candidate", "")
    target = document.get("target") or document.get("stable", "")
    pages = [page for page in _texts(document.get("reports")) if page.endswith(".html")]
    found = {
        "outcome": document["outcome"],
        "revision": candidate,
        "rollback_revision": target,
        "stable": candidate if document["outcome"] in _TAKEN else target,
        "percent": document.get("percent", ""),
        "report": pages[0] if pages else "",
        "exit_code": code,
    }
    return {name: _one_line(str(found[name])) for name in OUTPUTS}


def show_pages(output: Output, reports: Sequence[Path]) -> None:
    """Add the Markdown to the page of this step, where there is one."""
    try:
        text = "".join(page.read_text(encoding="utf-8") for page in reports if page.suffix == ".md")
    except OSError as error:
        output.say(f"no step summary: {error}")
        return
    _append(output, "GITHUB_STEP_SUMMARY", text, "no step summary")


def annotate(report: Report) -> None:
    """The findings of the static checks, at their lines; paths are those in the repository."""
    from checks.output.github import render_github

    if os.environ.get("GITHUB_ACTIONS") == "true":
        streams.put("stderr", SINK.text(render_github(report)))


def _annotation(document: Mapping[str, object], values: Mapping[str, str]) -> str:
    """One workflow command: what went wrong, why, and what to type."""
    from checks.output.github import workflow_command

    outcome = values["outcome"]
    title = f"{outcome} {values['revision']}".rstrip()
    return workflow_command(_KINDS.get(outcome, "error"), _said(document) or outcome, title=title)


def _page(document: Mapping[str, object], values: Mapping[str, str]) -> str:
    """For a command that failed and has no report: in an indented block Markdown and HTML are text."""
    told = "".join(f"    {plain(line)}\n" for line in _said(document).splitlines())
    return f"### spillway: {values['outcome']}, exit code {values['exit_code']}\n\n{told}\n"


def _said(document: Mapping[str, object]) -> str:
    words = (document.get(key) for key in ("what", "reason", "why", "fix", "next"))
    return "\n".join(SINK.text(str(each)) for each in words if each)


def _append(output: Output, variable: str, text: str, otherwise: str) -> None:
    path = os.environ.get(variable)
    if not path or not text:
        return
    try:
        with open(path, "a", encoding="utf-8", opener=_at_once) as file:
            file.write(text)
    except OSError as error:
        output.say(f"{otherwise}: {error}")


def _at_once(path: str, flags: int) -> int:
    """A fifo that nobody reads is an error, not a wait."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _one_line(text: str) -> str:
    return plain(SINK.text(text)).replace("\n", " ")


def _texts(value: object) -> Sequence[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else ()
