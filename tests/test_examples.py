"""Of user runs that failed some are kept in full, and how most of them failed is counted."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.judging.exposure import exposure
from pipeline.judging.reading import Arm
from pipeline.judging.terms import Sampling
from pipeline.model import LogLine
from pipeline.report import banner, render
from pipeline.report.examples import MOST, Example, Examples
from pipeline.report.figures import figures_of
from pipeline.report.tally import Tally
from tests.fakes import START
from tests.lines import CANDIDATE, accept, close, conversation, line, run, start
from tests.reports import a_report, at, exposures, rolled_back

ARM = Arm(CANDIDATE, f"n-{CANDIDATE}")
SAMPLING = Sampling(within=timedelta(seconds=5), lateness=timedelta(seconds=2))
NOW = START + timedelta(minutes=5)


def seen(*lines: LogLine, ignored: tuple[str, ...] = ()) -> Examples:
    made = Examples(SAMPLING, ignored)
    made.add(lines, ARM, NOW)
    return made


HUNG = (
    accept(0, "s"),
    run(0, "timeout", "s", first=None, took=5.0, missing=["agent_completed", "tool_completed"]),
)


@pytest.mark.parametrize(
    ("lines", "cause", "came", "missing"),
    [
        (conversation(0, "s", ok=False), "closed by the server with 1011", "run 1 closed, first event after 50 ms, closed by the server with 1011", ()),
        ((accept(0, "s"), close(1, 1006, "s", reason="gone")), 'closed by the server with 1006 "gone"', "closed by the server with 1006", ()),
        (HUNG, "hung, agent_completed missing", "run 1 timeout, no event, the socket is open", ("agent_completed", "tool_completed")),
        ((accept(0, "s"),), "no log line after its accept", "the socket is open", ()),
        ((accept(0, "s"), start(1, "s")), "no log line of its outcome", "the socket is open", ()),
        ((line(0, "ws_refused", "s", status=503),), "the handshake was not answered", "", ()),
    ],
)  # fmt: skip
def test_a_run_that_failed_is_kept_with_what_came_and_what_did_not(
    lines: list[LogLine], cause: str, came: str, missing: tuple[str, ...]
) -> None:
    made = seen(*lines)
    (example,) = made.of(CANDIDATE)
    assert (example.session, example.cause, example.came, example.missing) == ("s", cause, came, missing)
    assert made.causes(CANDIDATE) == {cause: 1}


def test_the_line_is_the_runs_own_without_its_nonce() -> None:
    (example,) = seen(*HUNG).of(CANDIDATE)
    told = json.loads(example.line)
    assert (told["event"], told["outcome"], "nonce" in told) == ("agent_run", "timeout", False)


def test_what_went_well_was_left_or_is_forgiven_is_no_example() -> None:
    left = (accept(0, "l"), run(0, "closed", "l"), close(1, 1001, "l", by="client"))
    upstream = (accept(0, "u"), run(0, "ok", "u"), close(1, 1011, "u", reason="upstream gone"))
    made = seen(*conversation(0, "s"), *left, *upstream, ignored=("upstream*",))
    assert (made.of(CANDIDATE), made.causes(CANDIDATE)) == ((), {})


def test_a_few_are_kept_and_all_are_counted() -> None:
    lines = [each for n in range(40) for each in conversation(n, f"s{n}", ok=False)]
    made = seen(*lines, *HUNG)
    assert len(made.of(CANDIDATE)) == MOST
    assert made.causes(CANDIDATE) == {
        "closed by the server with 1011": 40,
        "hung, agent_completed missing": 1,
    }


def test_a_tally_keeps_them_while_lines_come() -> None:
    lines = sorted(
        (each for n in range(0, 200, 5) for each in conversation(n, f"s{n}", ok=n % 25 != 0)), key=lambda one: one.at
    )  # fmt: skip
    tally = Tally([ARM], SAMPLING, START, examples=Examples(SAMPLING))
    for seconds in range(0, 300, 20):
        now = START + timedelta(seconds=seconds)
        tally.add(each for each in lines if tally.since <= each.at <= now)
        tally.settle(now)
    made = tally.examples(NOW)
    assert made is not None
    assert made.causes(CANDIDATE) == {"closed by the server with 1011": 8}
    assert [each.session for each in made.of(CANDIDATE)] == ["s0", "s25", "s50", "s75", "s100"]


def test_hung_runs_are_counted() -> None:
    assert exposure(HUNG, ARM, SAMPLING, NOW).hung == 1
    assert exposure(conversation(0, "s"), ARM, SAMPLING, NOW).hung == 0


def test_the_report_shows_them_on_its_pages_and_in_its_first_lines() -> None:
    example = Example(
        CANDIDATE, "s-1<b>", START, "hung, done missing", "run 1 timeout", ("done",), '{"a": "<i>"}'
    )
    report = replace(a_report(), examples=(example,), causes={"hung, done missing": 9})
    html, markdown = render.html(report), render.markdown(report)
    assert "<b>" not in html.partition("User runs that failed")[2].partition("</table>")[0]
    assert (
        "<details><summary>log line</summary><pre>{&#34;a&#34;: &#34;&lt;i&gt;&#34;}</pre></details>" in html
    )
    for page in (html, markdown):
        assert "9: hung, done missing" in page
        assert "run 1 timeout" in page
    assert "User runs that failed" not in render.html(a_report())


def test_the_banner_tells_the_cause_of_most() -> None:
    figures = figures_of(rolled_back(), [], exposures(), at(400))
    words = banner.impact(figures, {"hung": 7, "closed by the server with 1011": 2})
    assert words.endswith("; most often: hung (7).")
