"""The report's page in a real browser: light, dark, narrow and printed; it expands, fetches nothing, and can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from checks.finding import Confidence, Finding, Report, Severity
from pipeline.report import document, render
from pipeline.report.examples import Example
from tests import chromium
from tests.chromium import Tab
from tests.processes import until
from tests.reports import CANDIDATE, a_report, at, exposures, journal_lines, rolled_back

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium on this machine")

#: Texts whose contrast with what lies behind them is below WCAG's AA: 4.5, or 3 for large ones. Each as [ratio, text].
FAINT = """
(() => {
  const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                       return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { const layers = [];
    for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reduceRight((under, top) => over(top, under), [255, 255, 255, 1]); };
  const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
    if (!text || !e.getClientRects().length || e.tagName === 'TITLE') continue;
    const style = getComputedStyle(e), back = behind(e);
    const ink = over(rgba(e.ownerSVGElement ? style.fill : style.color), back);
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
    if (ratio < (large ? 3 : 4.5)) faint.push([Math.round(ratio * 100) / 100, text.slice(0, 60)]);
  }
  return faint;
})()
"""
LINE = '{"event": "agent_run", "outcome": "timeout", "session": "s-1", "missing": ["agent_completed"]}'


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium.opened(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which every section has something."""
    found = Finding(
        "json-safe-logs", "app/ws.py", 7, 1, Severity.WARNING, Confidence.HIGH, "client_state is an enum"
    )
    checked = Report((found,), rules=("json-safe-logs", "single-source", "event-map", "additive"), files=12)
    built = document.build(
        rolled_back(), journal_lines(), exposures(), at(400), checks=checked, commit="0a1b2c3",
        changed=tuple(f"M app/file_{n}.py" for n in range(40)),
    )  # fmt: skip
    example = Example(
        CANDIDATE,
        "s-1",
        at(320),
        "hung, agent_completed missing",
        "run 1 timeout",
        ("agent_completed",),
        LINE,
    )
    made = a_report()
    report = replace(
        built, gates=made.gates, combined=made.combined, closes=made.closes, examples=(example,),
        causes={"hung, agent_completed missing": 9},
    )  # fmt: skip
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render.html(report), encoding="utf-8")
    return file


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 400])
def test_it_can_be_read_and_nothing_is_fetched(tab: Tab, page: Path, width: int, *, dark: bool) -> None:
    tab.show(page, width=width, dark=dark)
    tab.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert tab.run(FAINT) == []
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert (
        tab.run(
            "Math.min(...[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height))"
        )
        > 8
    )
    assert set(tab.asked) == {page.as_uri()}
    assert tab.run("performance.getEntriesByType('resource').length") == 0


def test_a_click_expands_and_a_tick_leads_to_its_evidence(tab: Tab, page: Path) -> None:
    tab.show(page, width=1200)
    is_shown = "document.querySelector('details pre').checkVisibility()"
    assert tab.run(is_shown) is False
    tab.click("details summary")
    assert tab.run(is_shown) is True
    tab.click("a[href='#gates']")
    until(lambda: tab.run("location.hash") == "#gates")
    assert abs(tab.run("document.getElementById('gates').getBoundingClientRect().top")) < 400


def test_printed_it_is_on_white_and_whole(tab: Tab, page: Path) -> None:
    tab.show(page, width=800, dark=True, printed=True)
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run(FAINT) == []
    assert tab.run("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth + 1)")
    assert tab.run("[...document.querySelectorAll('details pre')].every(e => e.checkVisibility())")
    assert tab.pdf().startswith(b"%PDF-")
