"""What must hold of any report: all that it says, in whatever form, rests on the same figures."""

from __future__ import annotations

import json
import re

from pipeline.report import chart, render
from pipeline.report.banner import short
from pipeline.report.checklist import State
from pipeline.report.document import Report
from pipeline.report.figures import BROKEN
from tests.test_render import page, read

BAD = ("rolled_back", "stopped_at_zero", "first_deployment_unhealthy")
GOOD = ("promoted", "first_deployment")


def agree(said: Report) -> None:
    """All that must hold of any report."""
    the_checklist_agrees_with_the_headline(said)
    the_sessions_agree(said)
    the_times_agree(said)
    the_gates_agree(said)
    every_form_says_the_same(said)


def the_checklist_agrees_with_the_headline(said: Report) -> None:
    failed = [item for item in said.checklist if item.state is State.FAILED]
    is_replaced = any(step.what == "superseded" for step in said.steps)
    assert not (said.outcome in GOOD and failed), (said.headline, failed)
    assert failed or said.outcome not in BAD or is_replaced, said.headline
    assert (said.tone.value == "good") == (said.outcome in GOOD)
    rows, met = {item.number: item.state for item in said.checklist}, said.users[0].met
    if met and met.affected:
        assert State.SHOWN not in (rows[6], rows[7]), said.checklist
    if met and sum(met.closes.get(kind, 0) for kind in BROKEN):
        assert rows[5] is not State.SHOWN


def the_sessions_agree(said: Report) -> None:
    for user in said.users:
        if user.met is not None:
            assert (
                sum(user.met.closes.values()) + user.met.open_sockets + user.met.refused == user.met.sessions
            )
            assert user.met.affected <= user.met.sessions
    met = said.users[0].met
    if met is None:
        return
    if met.sessions:
        assert said.impact.startswith(f"{met.sessions:,} user session")
        assert f"{met.affected or 'none'}" in said.impact
    assert said.tiles[0].figure == f"{met.affected:,}"
    broken = sum(met.closes.get(kind, 0) for kind in BROKEN)
    assert sum(c.abnormal for c in said.closes if c.revision == said.candidate) == broken
    drawn = chart_of(said)
    if drawn is not None:
        bars = [bar for bar in drawn.bars if bar.role == "candidate"]
        counts = [int(words[1]) for bar in bars if (words := re.search(r": (\d+) of \d+ closes", bar.words))]
        assert sum(counts) + said.later == broken


def chart_of(said: Report) -> chart.Chart | None:
    drawn = render._context(said)["chart"]
    assert drawn is None or isinstance(drawn, chart.Chart)
    return drawn


def the_times_agree(said: Report) -> None:
    assert said.took == (said.ended or said.made) - said.started
    assert f"took {short(said.took)}" in said.checklist[9].evidence
    assert said.ended is None or said.started <= said.ended <= said.made
    reached = max((share.percent for share in said.shares), default=0)
    assert f"{reached} %" in [tile.figure for tile in said.tiles]
    assert all(earlier.at <= later.at for earlier, later in zip(said.shares, said.shares[1:], strict=False))


def the_gates_agree(said: Report) -> None:
    """The reason names figures: they are those of the table."""
    named = re.match(r"(\w+): (\d+)/(\d+) failed", said.reason)
    if named and said.outcome == "rolled_back" and said.gates:
        gate = next(gate for gate in said.gates if gate.metric == named[1])
        assert gate.candidate == (int(named[3]), int(named[2])), said.gates
        assert gate.verdict == "fail"
        assert gate.candidate[1] > 0


def every_form_says_the_same(said: Report) -> None:
    markdown, plain = read(render.markdown(said)), json.loads(json.dumps(said.to_json()))
    web = " ".join(" ".join(page(said).said).split())
    for text in (said.headline, said.impact, *(item.evidence for item in said.checklist), *said.risks):
        assert " ".join(text.split()) in " ".join(markdown.split())
        assert " ".join(text.split()) in web
    for user, told in zip(said.users, plain["users"], strict=True):
        if user.met is not None:
            assert told["met"]["sessions"] == user.met.sessions
            assert re.search(rf"{re.escape(user.revision)}\D+{user.met.sessions:,}\D", web)
            assert f"{user.met.sessions:,}" in markdown
    assert plain["took"] == said.took.total_seconds()
    assert short(said.took) in markdown
    assert short(said.took) in web
    for step in said.steps:
        assert step.what in markdown
        assert step.what in web
