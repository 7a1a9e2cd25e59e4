"""probe: run the scenarios against any address and show how the conversations ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.errors import UserError
from pipeline.output import streams
from pipeline.output.writer import Mode

if TYPE_CHECKING:
    from pipeline.probe.scenario import Conversation, ProbeReport
    from pipeline.probe.summary import Row

_EXAMPLES = 3  # of each scenario and outcome that are told


@connecting
def probe(
    session: Session,
    *,
    url: Annotated[str, typer.Argument(help="http(s):// or ws(s):// address of the service or of a tag.")],
    sessions: Annotated[
        int, typer.Option("--sessions", "-n", min=1, max=10_000, help="Of each scenario.")
    ] = 5,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=500, help="At once, at most.")] = 5,
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Only these; default: all.")
    ] = None,
) -> int:
    """Hold the scenarios of spillway.yaml with any address: outcomes, close codes, first-event times.

    Exit 0 when all are ok, 20 when a conversation failed, 21 when nothing could be reached.

    Example:  spillway probe http://127.0.0.1:8080 --sessions 50 --concurrency 10
    """
    from pipeline.app.wiring import SystemClock
    from pipeline.probe.round import run_round
    from pipeline.probe.scenario import Address, ProbeAsk
    from pipeline.probe.summary import summarise

    made = {s.name: s for s in session.load_config().build_scenarios()}
    unknown = [name for name in scenario or () if name not in made]
    if unknown:
        raise UserError(
            f"no scenario {unknown[0]!r}",
            f"spillway.yaml has: {', '.join(made)}",
            "Name one of them: --scenario NAME",
        )
    chosen = tuple(made[name] for name in scenario or made)
    session.output.say(
        f"{sessions} conversations of {', '.join(s.name for s in chosen)}, {concurrency} at once"
    )
    report = run_round(ProbeAsk(chosen, Address(url), None, sessions, concurrency), SystemClock().now)
    rows = summarise(report)
    streams.wait_for_reader()
    _print(session, report, rows)
    return _ending(report)[1]


def _ending(report: ProbeReport) -> tuple[str, int]:
    """The outcome's name and exit code."""
    from pipeline.probe.scenario import Kind

    if not report.failures:
        return "ok", 0
    if report.unspoken and not any(c.is_bad for c in report.candidate):
        return "not_spoken", 2
    is_reached = any(c.kind is not Kind.UNREACHABLE for c in report.candidate)
    return ("failed", 20) if is_reached else ("unreachable", 21)


def _print(session: Session, report: ProbeReport, rows: Sequence[Row]) -> None:
    outcome, code = _ending(report)
    document = {
        "outcome": outcome,
        "exit_code": code,
        "seconds": round(report.seconds, 3),
        "scenarios": [asdict(row) for row in rows],
        "failures": [
            {"scenario": c.scenario, "kind": c.kind.value, "detail": c.detail, "close_code": c.close_code,
             "close_reason": c.close_reason, "status": c.status,
             "transcript": [asdict(m) for m in c.transcript]}
            for c in _examples(report)
        ],
    }  # fmt: skip
    session.output.result("", document)
    if session.output.mode is Mode.TEXT:
        _table(report, rows)


def _examples(report: ProbeReport) -> list[Conversation]:
    """Of each scenario, and each way in which it failed, the first few."""
    seen: Counter[tuple[str, str]] = Counter()
    examples = []
    for failure in report.failures:
        seen[failure.scenario, failure.kind] += 1
        if seen[failure.scenario, failure.kind] <= _EXAMPLES:
            examples.append(failure)
    return examples


def _table(report: ProbeReport, rows: Sequence[Row]) -> None:
    from rich.table import Table

    from pipeline.redact import SINK

    table = Table("scenario", "ok", "outcomes", "first event p50", "p95", box=None, pad_edge=False)
    for row in rows:
        outcomes = ", ".join(f"{name} x{count}" for name, count in row.outcomes)
        times = (f"{ms:.0f} ms" if ms is not None else "-" for ms in (row.p50_ms, row.p95_ms))
        table.add_row(row.scenario, f"{row.ok}/{row.sessions}", SINK.shown(outcomes), *times)
    console = streams.console("stdout")
    console.print(table)
    for failure in _examples(report):
        console.print(SINK.shown(f"  {failure.scenario}: {failure.kind}: {failure.detail}"))
        for message in failure.transcript:
            arrow = ">" if message.sent else "<"
            console.print(SINK.shown(f"    {message.at_s:7.3f}s {arrow} {message.text}"))
