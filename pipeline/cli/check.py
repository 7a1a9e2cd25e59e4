"""check: the static checks alone, before anything is deployed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import DryRun, refuse_idle
from pipeline.errors import UserError
from pipeline.model import Outcome
from pipeline.output import streams
from pipeline.output.writer import Mode
from pipeline.redact import uncommanded, uncommanded_json

if TYPE_CHECKING:
    from checks.finding import Report
    from pipeline.app.check_subject import Subject

CHECKS_FAILED = Outcome.CHECKS_FAILED.exit_code
_ROUNDS = 5  # fixes that meet in one line wait for the next round


_ALL_BUT_EXPLAIN = (
    "path",
    "base",
    "rule",
    "discover",
    "fix",
    "dry_run",
    "form",
    "baseline",
    "write_baseline",
)


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
    JUNIT = "junit"


#: What a CI log must not take for a command, said in each form so that it means the same.
_UNCOMMANDED: Mapping[Format, Callable[[str], str]] = {
    Format.TEXT: uncommanded,
    Format.JSON: uncommanded_json,
    Format.SARIF: uncommanded_json,
    Format.GITHUB: str,  # they are commands
    Format.JUNIT: lambda text: text.replace("##", "#&#35;"),
}


@command
def check(
    session: Session,
    *,
    path: Annotated[
        Path | None,
        typer.Argument(help="Folder to check; default: source of spillway.yaml.", show_default=False),
    ] = None,
    base: Annotated[
        str,
        typer.Option("--base", metavar="REF|DIR", help="Compare with this commit or folder: additive only?"),
    ] = "",
    rule: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; may be repeated.")] = None,
    explain: Annotated[
        str, typer.Option("--explain", metavar="RULE", help="What a rule finds, and why.")
    ] = "",
    discover: Annotated[
        bool,
        typer.Option(
            "--discover", help="List helpers that exist several times, and what event-map could be told."
        ),
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what a machine can mend.")] = False,
    dry_run: DryRun = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="What stdout carries; default: as -o says.", show_default=False),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="File of known findings; they are not told again.")
    ] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Make all that is found now the known findings.")
    ] = False,
) -> int:
    """Look for what would break conversations, in the source alone: nothing is run, imported or deployed.

    Exit 10 when a finding is an error of high confidence. Without spillway.yaml: unsafe log lines and repeated helpers.

    Example:  spillway check --base origin/main
    """
    session.ends_now = True  # before anything is loaded: that takes a while too
    streams.wait_for_reader()
    if form is not None:
        refuse_idle(session, "beside --format", "Leave one of them out.", "output")
    _refuse_idle(session, explain=bool(explain), fix=fix, write_baseline=write_baseline)
    with _told_as_stopped(session), _answerable():
        from checks import runner

        if explain:
            page = runner.explain(explain)
            session.output.result(f"{page['name']}: {page['summary']}\n\n{page['why'].rstrip()}", page)
            return 0
        subject = _subject(session, path, base=base, rules=rule, discover=discover)
        if write_baseline:
            return _write_baseline(session, subject, rule, baseline)
        if baseline:
            subject = subject.with_settings(baseline=str(session.state_folder.parent / baseline))
        mended = _mend(session, subject, rule, dry_run=dry_run) if fix else {}
        report = subject.run(rule)
        proposed = _proposal(session, subject) if discover and not subject.settings.event_map else {}
    _show(session, subject, report, form, mended, proposed)
    return CHECKS_FAILED if report.errors else 0


@contextmanager
def _answerable() -> Iterator[None]:
    """Raises UserError for a question that the checks cannot answer."""
    from pipeline.app.static_checks import told_as_usage

    with told_as_usage():
        yield


@contextmanager
def _told_as_stopped(session: Session) -> Iterator[None]:
    """A signal ends the checks where they are. Raises KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt:
        session.output.say("the checks were stopped: not all was looked at, so nothing is said of the rest")
        raise


@contextmanager
def _undivided(session: Session) -> Iterator[None]:
    """Files are mended all or none: a signal waits for that. Raises KeyboardInterrupt when there was one."""
    session.ends_now = False
    yield
    session.ends_now = True
    if session.stopped.is_set():
        raise KeyboardInterrupt


def _standing() -> Path:
    """Where the person stands; the top of the disk when that folder is gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _refuse_idle(session: Session, *, explain: bool, fix: bool, write_baseline: bool) -> None:
    """Options of which nothing would come beside the others. Raises UserError."""
    alone = "Leave one of them out."
    if explain:
        refuse_idle(session, "beside --explain", alone, *_ALL_BUT_EXPLAIN)
    if write_baseline:
        refuse_idle(session, "beside --write-baseline", alone, "fix", "dry_run", "form")
    if not fix:
        refuse_idle(
            session, "without --fix", "Say what would be mended: spillway check --fix --dry-run", "dry_run"
        )


def _subject(
    session: Session, path: Path | None, *, base: str, rules: list[str] | None, discover: bool
) -> Subject:
    from pipeline.app import static_checks
    from pipeline.config.schema import DEFAULT_FILE

    session.need_folder()
    here = session.state_folder.parent
    is_named = session.config_file.absolute() != here / DEFAULT_FILE
    found = static_checks.subject(
        here / path if path is not None else None, session.config_file, is_named=is_named
    )
    if not found.is_configured:
        what = f"{found.file}: names no checks" if found.file else f"no {DEFAULT_FILE}"
        session.output.say(f"{what}: looking for unsafe log lines and repeated helpers alone")
    elif found.file and found.file.parent.resolve() not in (here.resolve(), (here / (path or "")).resolve()):
        session.output.say(f"what to look for is said by {os.path.relpath(found.file, here)}")
    if base and here != _standing() and os.path.isdir(here / base):
        base = str(here / base)
    return found.asked_for(rules or (), base=base, discover=discover)


def _write_baseline(session: Session, subject: Subject, rules: list[str] | None, named: Path | None) -> int:
    from checks import baseline

    if not named and not subject.settings.baseline:
        raise UserError(
            "--write-baseline: to which file?",
            "Neither --baseline nor checks.baseline names one.",
            "Name it: spillway check --baseline known-findings.json --write-baseline",
        )
    file = session.state_folder.parent / named if named else Path(subject.settings.baseline)
    report = subject.with_settings(baseline="").run(rules)
    baseline.save(file, report.findings)
    text = f"{file}: {len(report.findings)} findings are known from now on"
    session.output.result(text, {"baseline": str(file), "findings": len(report.findings)})
    return 0


def _mend(
    session: Session, subject: Subject, rules: list[str] | None, *, dry_run: bool
) -> Mapping[str, bytes]:
    """What was mended (or would be, by ``dry_run``), by path."""
    from checks import fix

    mended: dict[str, bytes] = {}
    for _ in range(_ROUNDS):
        files, refused = fix.plan(subject.root, subject.run(rules).findings)
        for each in refused:
            session.output.say(f"{each.path}: {each.reason}")
        mended |= files
        if dry_run:
            session.output.say(fix.diff(subject.root, files))
        if dry_run or not files:
            break
        with _undivided(session):
            fix.write(subject.root, files)
    word = "would mend" if dry_run else "mended"
    session.output.say(
        f"{word} {len(mended)} file{'s' if len(mended) != 1 else ''}: {', '.join(mended) or 'none'}"
    )
    return mended


def _proposal(session: Session, subject: Subject) -> dict[str, object]:
    """What ``event-map`` could be told, for a person and for machines."""
    from checks.service.proposal import propose
    from pipeline.scaffold.configuration import flow

    made = propose(subject.root, subject.file.parent if subject.file else subject.root)
    rows = [{"map": each.name, "in": each.path, "requires": list(each.keys)} for each in made.dispatchers]
    if rows:
        lines = [f"    - {flow(row)}    # {d.style}" for row, d in zip(rows, made.dispatchers, strict=True)]
        told = "\n".join(["checks:", "  event-map:", *lines])
        session.output.say(f"messages are told apart here; to hold on to that:\n{told}")
    for kind, place in made.unhandled.items():
        session.output.say(f"{place}: {kind!r} is sent here, and nothing handles it")
    return {"event_map": rows, "unhandled": {kind: str(place) for kind, place in made.unhandled.items()}}


def _show(
    session: Session,
    subject: Subject,
    report: Report,
    form: Format | None,
    mended: Mapping[str, bytes],
    proposed: Mapping[str, object],
) -> None:
    from checks.output.document import as_dict

    if form is None and session.output.mode is not Mode.TEXT:
        head = {
            "outcome": "checks_failed" if report.errors else "checks_passed",
            "exit_code": CHECKS_FAILED if report.errors else 0,
            "root": str(subject.root),
            "mended": sorted(mended),
        }
        session.output.result("", {**head, **as_dict(report), **proposed})
        return
    form = form or Format.TEXT
    session.output.data(_UNCOMMANDED[form](_rendered(subject, report, form).rstrip("\n")))


def _rendered(subject: Subject, report: Report, form: Format) -> str:
    """Paths as whoever reads it takes them: from where the person stands, or from the repository's top."""
    from checks.output import document, github, junit, sarif, text

    match form:
        case Format.TEXT:
            return text.render_text(subject.seen_from(_standing(), report))
        case Format.JSON:
            return document.render_json(report)
        case Format.SARIF:
            return sarif.render_sarif(subject.in_repository(report))
        case Format.GITHUB:
            return github.render_github(subject.in_repository(report))
        case Format.JUNIT:
            return junit.render_junit(report)
        case _:
            assert_never(form)
