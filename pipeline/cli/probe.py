"""probe: run the scenarios against any address and show how the conversations ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import to_builtins

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import refuse_idle
from pipeline.errors import UserError
from pipeline.output import streams
from pipeline.output.writer import Mode
from pipeline.redact import SINK

if TYPE_CHECKING:
    from pipeline.probe.conversation import Conversation
    from pipeline.probe.probe_report import ProbeReport
    from pipeline.probe.summary import Row
    from pipeline.probe.times import Times

_FEWEST_DRAWN = 20

_EXAMPLES = 3  # of each scenario and outcome that are told


@connecting
def probe(
    session: Session,
    *,
    url: Annotated[
        str, typer.Argument(help="http(s):// or ws(s):// address of the service or of a tag.")
    ] = "",
    sessions: Annotated[
        int, typer.Option("--sessions", "-n", min=1, max=10_000, help="Of each scenario.")
    ] = 5,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=500, help="At once, at most.")] = 5,
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Only these; default: all.")
    ] = None,
    ordered: Annotated[
        str,
        typer.Option(
            "--round", envvar="SPILLWAY_ROUND", help="In a job of probes.from: job, what its driver asks for."
        ),
    ] = "",
) -> int:
    """Hold the scenarios of spillway.yaml with any address: outcomes, close codes, first-event times.

    Exit 0 when all are ok, 20 when a conversation failed, 21 when nothing could be reached.

    Example:  spillway probe http://127.0.0.1:8080 --sessions 50 --concurrency 10
    """
    from pipeline.app.wiring import SystemClock
    from pipeline.probe.ask import Address, ProbeAsk
    from pipeline.probe.descriptors import make_room
    from pipeline.probe.round import loop_name, run_round
    from pipeline.probe.summary import summarise

    if not url:
        return _ordered(session, ordered)
    refuse_idle(session, "beside an address", "Leave one of them out.", "ordered")
    made = {s.name: s for s in session.config.build_scenarios()}
    unknown = [name for name in scenario or () if name not in made]
    if unknown:
        raise UserError(
            f"no scenario {unknown[0]!r}",
            f"spillway.yaml has: {', '.join(made)}",
            "Name one of them: --scenario NAME",
        )
    chosen = tuple(made[name] for name in scenario or made)
    turns, sockets = sessions * len(chosen), max(len(s.paths) for s in chosen)
    at_once = min(concurrency, turns)
    make_room(at_once * sockets)
    session.output.say(
        f"{sessions:,} conversations of {', '.join(s.name for s in chosen)}, {at_once} at once, on {loop_name()}"
    )
    ask = ProbeAsk(chosen, Address(url), None, sessions, concurrency)
    report = run_round(ask, SystemClock().now, stop=session.stopped)
    rows = summarise(report)
    streams.wait_for_reader()
    _print(session, report, rows, left=turns - len(report.candidate))
    return _ending(report)[1]


def _ordered(session: Session, text: str) -> int:
    """A round for a driver elsewhere. Raises: UserError when none was ordered."""
    from pipeline.app.ordered_round import hold

    if not text:
        raise UserError(
            "probe: which address?",
            "Conversations are held with one service, by its URL or a tag's.",
            "Name it: spillway probe http://HOST:PORT",
        )
    return hold(session, text)


def _ending(report: ProbeReport) -> tuple[str, int]:
    """The outcome's name and exit code."""
    from pipeline.probe.conversation import Kind

    if not report.failures:
        return "ok", 0
    if report.unspoken and not any(c.is_bad for c in report.candidate):
        return "not_spoken", 2
    is_reached = any(c.kind is not Kind.UNREACHABLE for c in report.candidate)
    return ("failed", 20) if is_reached else ("unreachable", 21)


def _print(session: Session, report: ProbeReport, rows: Sequence[Row], left: int = 0) -> None:
    """Args: left: how many conversations were not held, because it was stopped."""
    from pipeline.probe.round import loop_name
    from pipeline.probe.times import times_of

    outcome, code = _ending(report)
    times = times_of(report)
    document = {
        "outcome": "stopped" if left else outcome,
        "exit_code": session.ending(code),
        "seconds": round(report.seconds, 3),
        "scenarios": [to_builtins(row) for row in rows],
        "loop": loop_name(),
        "left": left,
        "times": [to_builtins(each) for each in times],
        "failures": [
            {"scenario": c.scenario, "kind": c.kind.value, "detail": c.detail, "close_code": c.close_code,
             "close_reason": c.close_reason, "status": c.status,
             "transcript": [to_builtins(m) for m in c.transcript]}
            for c in _examples(report)
        ],
    }  # fmt: skip
    session.output.result("", document)
    if session.output.mode is Mode.TEXT:
        if left:
            session.output.say(f"stopped: {left:,} conversations were not held, or not to their end")
        _table(report, rows)
        _show_times(times)


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


def _show_times(times: Sequence[Times]) -> None:
    """Percentiles of each time, and the histogram of whole conversations where there are enough to have a shape."""
    from rich.table import Table

    from pipeline.probe.times import lines_of

    table = Table("scenario", "time", "of", "p50", "p95", "p99", "longest", box=None, pad_edge=False)
    for each in times:
        spreads = (
            ("connect", each.connect),
            ("first event", each.first_event),
            ("completion", each.completion),
        )
        for name, spread in spreads:
            if spread is not None:
                shown = (spread.p50_ms, spread.p95_ms, spread.p99_ms, spread.max_ms)
                table.add_row(each.scenario, name, f"{spread.count:,}", *(f"{ms:,.1f} ms" for ms in shown))
    console = streams.console("stdout")
    if table.row_count:
        console.print(table)
    for each in times:
        if each.completion is not None and each.completion.count >= _FEWEST_DRAWN:
            console.print(f"completion of {each.scenario}")
            for line in lines_of(each.completion):
                console.print(f"  {line}", highlight=False)
