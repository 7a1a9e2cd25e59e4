"""What ``spillway probe`` shows of a round: of each scenario, and each way in which it failed, examples with their reason."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.app.session import Session
from pipeline.cli.probe import _ending, _print
from pipeline.output.writer import Mode, Output
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.round import run_round
from pipeline.probe.summary import summarise
from tests.documents import hold as hold_to_schema
from tests.hostile import hostile, scenario


async def held(*paths: str) -> ProbeReport:
    async with hostile() as server:
        ask = ProbeAsk(tuple(map(scenario, paths)), Address(server.url), None, 5, 5, confirms=False)
        return await asyncio.to_thread(run_round, ask, lambda: datetime.now(UTC))


def shown(report: ProbeReport, mode: Mode, folder: Path) -> None:
    session = Session(Output(mode), folder / "spillway.yaml", folder, None, yes=False)
    _print(session, report, summarise(report))


async def test_of_several_scenarios_each_that_fails_is_told_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = await held("/five", "/1011", "/503", "/redirect")
    assert _ending(report) == ("failed", 20)
    shown(report, Mode.JSON, tmp_path)
    document = json.loads(capsys.readouterr().out)
    hold_to_schema(("probe",), document, closed=True)
    told = [(each["scenario"], each["kind"], each["status"]) for each in document["failures"]]
    assert told == [
        *[("1011", "closed_early", None)] * 3,
        *[("503", "refused", 503)] * 3,
        *[("redirect", "refused", 302)] * 3,
    ]
    assert document["failures"][3]["detail"] == "handshake got 503 Service Unavailable: no instance"
    shown(report, Mode.TEXT, tmp_path)
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "five 5/5",
        "1011 0/5",
        "503: refused: handshake got 503",
        "redirect: refused: handshake got 302",
    ):
        assert words in text
