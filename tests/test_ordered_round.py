"""``spillway probe`` in a job: the round that a driver elsewhere ordered, over real sockets, as lines of the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.config import schema
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Kind
from pipeline.probe.order import Order
from pipeline.probe.result_lines import Results, read, report_of
from tests.contract.cloud import LoopThread
from tests.fakes import START
from tests.hostile import FIVE, hostile
from tests.probe_jobs import payload_of

TOKEN = "t0ken-of-the-test"
FILE = f"""\
service: chat
environments: {{here: {{endpoint: local}}}}
scenarios:
  five: {{path: /five, send: {{type: execute_agent, token: "${{env:WS_TOKEN}}"}}, expect: [{", ".join(FIVE)}]}}
  bad: {{path: /1011, send: {{type: execute_agent, token: "${{env:WS_TOKEN}}"}}, expect: [{", ".join(FIVE)}], within: 30s}}
"""


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server in a thread of its own: the command has the main thread, as its signals want it."""
    loop, serving = LoopThread(), hostile()
    yield loop.run(serving.__aenter__()).url
    loop.run(serving.__aexit__(None, None, None))
    loop.close()


def order_for(config: schema.Config, url: str, **changes: object) -> Order:
    ask = ProbeAsk(config.build_scenarios(), Address(url, key="k1"), Address(url, key="k2"), sessions=2)
    made = Order.of(ask, config.scenarios_fingerprint(), round_id="0" * 32, key="1" * 64)
    return replace(made, **changes)  # type: ignore[arg-type]


def said(folder: Path, order: Order | str, **environ: str) -> tuple[int, Results, str]:
    """The exit code, what its lines come to, and all that it wrote."""
    (folder / "spillway.yaml").write_text(FILE, encoding="utf-8")
    text = order if isinstance(order, str) else order.encode()
    env = {"SPILLWAY_ROUND": text, "WS_TOKEN": TOKEN, "CI": "true", **environ}
    done = CliRunner().invoke(app, ["probe", "-C", str(folder)], env=env)
    lines = [payload_of(line) for line in done.stdout.splitlines() if line.startswith("{")]
    results = read(lines, order) if isinstance(order, Order) else Results()
    return done.exit_code, results, done.stdout + done.stderr


def test_the_round_is_held_and_told_line_by_line(tmp_path: Path, url: str) -> None:
    config = schema.parse(FILE)
    order = order_for(config, url)
    code, results, text = said(tmp_path, order)
    assert code == 0, text
    report = report_of(results, order.ask_with(config.build_scenarios()), START)
    assert report is not None
    assert [c.kind for c in report.candidate] == [Kind.OK, Kind.OK, Kind.CLOSED_EARLY, Kind.CLOSED_EARLY]
    assert [block.bad for block in report.confirming] == [(5, 5)]
    assert report.is_blind, "both are the same server"
    assert report.candidate[2].transcript
    assert TOKEN not in text
    assert "candidate bad: closed_early 1011" in text


@pytest.mark.parametrize(
    ("changes", "environ", "words"),
    [
        (
            {"scenarios": "of another file"},
            {},
            "the scenarios of the job's image are not those of the rollout",
        ),
        ({}, {"WS_TOKEN": ""}, "${env:WS_TOKEN} has no value"),
        ({}, {"CLOUD_RUN_TASK_ATTEMPT": "1"}, "a round is held once"),
        ({"ask": ProbeAsk((), Address("http://169.254.169.254"), None)}, {}, "metadata server"),
    ],
)
def test_what_cannot_be_held_says_why(
    tmp_path: Path, changes: dict[str, object], environ: dict[str, str], words: str
) -> None:
    code, results, text = said(
        tmp_path, order_for(schema.parse(FILE), "http://127.0.0.1:1", **changes), **environ
    )
    assert code == 2
    assert words in results.refused
    assert not results.conversations
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("order", "words"), [("", "which address?"), ("nonsense", "not an order for a round")]
)
def test_no_order_is_no_round(tmp_path: Path, order: str, words: str) -> None:
    code, _, text = said(tmp_path, order)
    assert code == 2
    assert words in text
