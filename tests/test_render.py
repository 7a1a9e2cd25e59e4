"""Markdown and HTML: what they look like, and that nothing of a service gets out of its place."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace
from syrupy.assertion import SnapshotAssertion

from checks.finding import Confidence, Finding, Fix, Severity
from checks.finding import Report as Checked
from pipeline.core.rollout import Event, Phase, Step
from pipeline.judging.exposure import Exposure
from pipeline.redact import SINK
from pipeline.report import document, render
from pipeline.report.document import Report
from pipeline.report.examples import Example
from pipeline.report.facts import Happened, Share
from tests.reports import CANDIDATE, a_plan, a_report, a_rollout, at, exposures, journal_lines, rolled_back

HOSTILE = [
    pytest.param("<script>alert(1)</script>", id="script"),
    pytest.param("</td></table></main><h1>all is well</h1>", id="closing tags"),
    pytest.param('" onmouseover="alert(1)', id="attribute"),
    pytest.param("<img src=x onerror=alert(1)>", id="image"),
    pytest.param("{{ 7*7 }}{% raw %}", id="template"),
    pytest.param("&lt;b&gt; &#60;", id="entities"),
    pytest.param("a | b | c |\n|---|\n| x", id="table cells"),
    pytest.param("```\n# all is well\n```", id="code fence"),
    pytest.param("~~~~\n# all is well", id="tilde fence"),
    pytest.param("[click](http://evil.example) ![x](http://evil.example/x.png)", id="link and image"),
    pytest.param("http://evil.example www.evil.example mail@evil.example", id="autolinks"),
    pytest.param("@everyone #1 $x^2$ `code` **bold** _it_ ~~s~~", id="marks"),
    pytest.param("\n\n# heading\n\n- list\n> quote\n---", id="blocks"),
    pytest.param("::error file=x::boom", id="workflow command"),
    pytest.param("##[error]boom", id="older workflow command"),
    pytest.param("\x1b[2J\x1b]0;owned\x07\u202etxt", id="terminal"),
    pytest.param("]]><!-- --> \\", id="comment"),
    pytest.param("\ud800\x00", id="not a character"),
]


def hostile_report(text: str) -> Report:
    """The same text wherever a service, or whoever writes its record, could put one."""
    plan = a_plan(candidate=f"c{text}", stable=f"s{text}", image=text, rollout_id=text)
    step = Step(at(3), Event.FAILED, 0, text, text)
    rollout = rolled_back(plan=plan, drift=text, by_hand=True)
    rollout = replace(rollout, reason=text, history=(*rollout.history, step))
    met = {f"c{text}": Exposure(sessions=1, affected=1, closes={text: 1}), f"s{text}": Exposure()}
    found = Finding(text, text, 1, 1, Severity.ERROR, Confidence.HIGH, text, fix=Fix(text, ()))
    checks = Checked((found,), rules=(text,))
    made = document.build(rollout, journal_lines(text), met, at(400), checks=checks)
    gates = tuple(
        replace(gate, metric=text, meaning=text, limit=text, detail=text) for gate in a_report().gates
    )
    example = Example(text, text, at(3), text, text, (text,), text)
    return replace(
        made,
        gates=gates,
        certified=gates,
        examples=(example,),
        causes={text: 1},
        commit=text,
        changed=(text, text),
    )


class Page(HTMLParser):
    """What a browser would build: tags, attributes, and the text a person reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.said.append(data)


def page(made: Report) -> Page:
    return Page(render.html(made))


class TestHtml:
    def test_it_is_one_file_that_needs_nothing_else(self) -> None:
        text = render.html(a_report())
        built = Page(text)
        assert not built.tags.keys() & {
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
        }
        assert not [name for name, _ in built.attributes if name.startswith("on") or name == "src"]
        ids = {value for name, value in built.attributes if name == "id"}
        links = {value for name, value in built.attributes if name == "href"}
        assert {f"#{each}" for each in ids} >= links
        assert "#gates" in links
        assert not re.findall(r"url\(|@import|https?://", text)
        assert "default-src 'none'" in text
        assert not built.open

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_text_is_text(self, text: str) -> None:
        calm, built = page(hostile_report("calm")), page(hostile_report(text))
        assert built.tags == calm.tags
        assert [name for name, _ in built.attributes] == [name for name, _ in calm.attributes]
        assert not built.open
        shown = SINK.shown(text)
        assert "".join(built.said).count(shown) >= 20

    def test_a_secret_does_not_come_through(self) -> None:
        SINK.learn("render<secret>&1")
        both = render.html(hostile_report("render<secret>&1")) + render.markdown(
            hostile_report("render<secret>&1")
        )
        assert "render" not in both
        assert "[redacted]" in both

    def test_the_chart_shows_the_stairs_and_the_broken_sockets(self) -> None:
        built = page(a_report())
        assert ("class", "line") in built.attributes
        assert [value for name, value in built.attributes if name == "class" and value == "candidate"] == [
            "candidate"
        ] * 2
        assert "first bad session" in built.said
        assert "new connections safe" in built.said

    def test_a_candidate_that_never_had_traffic_has_no_chart_and_no_clocks(self) -> None:
        text = render.html(a_report(a_rollout(Phase.ROLLED_BACK, 0, reached=0)))
        assert "<svg" not in text
        assert "Two clocks" not in text

    @pytest.mark.parametrize("phase", Phase)
    def test_every_phase_has_a_page(self, phase: Phase) -> None:
        made = document.build(a_rollout(phase), [], None, at(400))
        assert made.headline in "".join(page(made).said)
        assert "not shown" in render.markdown(made)


class TestMarkdown:
    def test_what_it_looks_like(self, snapshot: SnapshotAssertion) -> None:
        assert render.markdown(a_report()) == snapshot

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_text_is_text(self, text: str) -> None:
        assert shape(render.markdown(hostile_report(text))) == shape(render.markdown(hostile_report("calm")))

    @pytest.mark.parametrize("text", HOSTILE)
    def test_no_line_is_a_command(self, text: str) -> None:
        lines = render.markdown(hostile_report(text)).splitlines()
        assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]

    def test_what_is_read_is_what_was_said(self) -> None:
        said = "a|b <i>c</i> *d* `e` [f](g) server_error_1011 _h_ \\ $i$ @j #k http://l.m ::n:: ~o~"
        assert said in read(render.markdown(hostile_report(said)))

    def test_a_fence_is_longer_than_any_inside(self) -> None:
        assert render._fence(["````", "x"]).splitlines() == ["`````text", "````", "x", "`````"]

    def test_no_address_becomes_a_link(self) -> None:
        text = render.markdown(hostile_report("http://evil.example www.evil.example mail@evil.example"))
        text = re.sub(r"(?s)```.*?```", "", text)  # code is never linked
        assert not re.search(r"https?://|www\.|\w@\w", text)

    def test_a_flood_is_cut_and_says_so(self) -> None:
        made = a_report()
        steps = tuple(Happened(at(n), "raised", 5, "", "x" * 1000) for n in range(2000))
        text = render.markdown(replace(made, steps=steps))
        assert len(text.encode()) <= render.MAX_MARKDOWN_BYTES
        assert text.endswith("**Cut here: the rest is in the HTML report.**\n")
        assert text.startswith("# Rolled back")


MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table")


def shape(text: str) -> list[tuple[str, str]]:
    """The blocks and marks that a renderer would make, without the words."""
    found = []
    for token in MARKDOWN.parse(text):
        found.append((token.type, token.tag))
        found += [
            (child.type, child.tag)
            for child in token.children or ()
            if child.type not in ("text", "text_special")
        ]
    return found


def read(text: str) -> str:
    """The words that a person would read."""
    return "\n".join(
        "".join(child.content for child in token.children or ()) if token.children else token.content
        for token in MARKDOWN.parse(text)
    )


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_text_changes_the_shape_of_either(text: str) -> None:
    calm, made = hostile_report("calm"), hostile_report(text or "x")
    assert page(made).tags == page(calm).tags
    assert shape(render.markdown(made)) == shape(render.markdown(calm))


def test_no_template_goes_round_the_door() -> None:
    for template in (Path(render.__file__).parent / "templates").iterdir():
        text = template.read_text()
        assert not re.search(r"\|\s*safe|autoescape|Markup", text), template.name


def test_the_chart_scales_to_what_was_reached() -> None:
    low: Any = replace(a_report(), shares=(Share(at(0), 0, ""), Share(at(10), 5, ""), Share(at(60), 0, "")))
    assert "8 %" in page(low).said
    assert "75 %" not in page(low).said
    assert exposures()[CANDIDATE].sessions == 412
