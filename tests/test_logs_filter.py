"""The filter language: every part that is supported, told apart by what it selects of a handful of entries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.local.entries.entry import Entry
from pipeline.local.entries.filter import FilterError, compile_filter
from pipeline.local.entries.index import FOR_EVER

SECOND = 1_000_000_000
START = 1_900_000_000 * SECOND  # 2030-03-17T17:46:40Z


def entry(number: int, log: str = "stdout", revision: str = "chat-one", **fields: object) -> Entry:
    resource = {"service_name": "chat", "revision_name": revision, "location": "here"}
    name = f"projects/p/logs/run.googleapis.com%2F{log}"
    return Entry(START + number * SECOND, f"id-{number}", name, resource, START + 100 * SECOND, **fields)  # type: ignore[arg-type]


ENTRIES = {
    "text": entry(0, text="Object of type WebSocketState is not JSON serializable", log="stderr"),
    "close": entry(
        1, payload={"event": "ws_close", "code": 1011, "client": {"hash": "abc"}, "ok": False}, severity="ERROR"
    ),
    "accept": entry(2, payload={"event": "ws_accept", "tags": ["a", "Beta"], "code": "1011"}, severity="INFO"),
    "other": entry(3, revision="chat-two", text="hello", labels={"tier": "front", "a.b": "dotted"}, trace="t/1"),
    "request": entry(
        4, log="requests", severity="INFO",
        request={"requestMethod": "GET", "requestUrl": "http://x/ws", "status": 101, "userAgent": "Probe/1",
                 "remoteIp": "203.0.113.9", "responseSize": 5},
    ),
}  # fmt: skip


def selected(text: str) -> set[str]:
    matches = compile_filter(text).matches
    return {name for name, one in ENTRIES.items() if matches(one)}


EVERYTHING = set(ENTRIES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", EVERYTHING),
        ("   \n ", EVERYTHING),
        ('resource.type="cloud_run_revision"', EVERYTHING),
        ('resource.type="k8s"', set()),
        ('resource.labels.revision_name="chat-two"', {"other"}),
        ("resource.labels.revision_name=chat-two", {"other"}),
        ('resource.labels.nothing="x"', set()),
        ('logName="projects/p/logs/run.googleapis.com%2Fstderr"', {"text"}),
        ('logName:"run.googleapis.com%2Frequests"', {"request"}),
        ('textPayload:"not json serializable"', {"text"}),
        ('textPayload="HELLO"', {"other"}),
        ('textPayload=~"type \\\\w+ is"', {"text"}),
        ('textPayload!~"hello"', EVERYTHING - {"other"}),
        ('textPayload=~"HELLO"', set()),
        ('jsonPayload.event="ws_close"', {"close"}),
        ('jsonPayload.event:"ws_"', {"close", "accept"}),
        ("jsonPayload.event:*", {"close", "accept"}),
        ("jsonPayload.nothing:*", set()),
        ("jsonPayload.ok:*", {"close"}),
        ("jsonPayload.ok=false", {"close"}),
        ("jsonPayload.ok=true", set()),
        ("jsonPayload.code=1011", {"close", "accept"}),
        ("jsonPayload.code>=1006", {"close", "accept"}),
        ("jsonPayload.code<1006", set()),
        ("jsonPayload.code!=1011", set()),
        ('jsonPayload.client.hash="abc"', {"close"}),
        ('jsonPayload."client".hash="abc"', {"close"}),
        ('jsonPayload.tags="beta"', {"accept"}),
        ('NOT jsonPayload.event="ws_close"', EVERYTHING - {"close"}),
        ('-jsonPayload.event="ws_close"', EVERYTHING - {"close"}),
        ("severity>=ERROR", {"close"}),
        ("severity=info", {"accept", "request"}),
        ("severity>200", {"close"}),
        ("severity<NOTICE", EVERYTHING - {"close"}),
        ("httpRequest.status=101", {"request"}),
        ("httpRequest.status=0", EVERYTHING - {"request"}),
        ('httpRequest.userAgent:"probe"', {"request"}),
        ('labels.tier="front"', {"other"}),
        ('labels."a.b"="dotted"', {"other"}),
        ('labels.a.b="dotted"', {"other"}),
        ('trace="t/1"', {"other"}),
        ('insertId="id-3"', {"other"}),
        ('timestamp>="2030-03-17T17:46:43Z"', {"other", "request"}),
        ('timestamp>"2030-03-17T17:46:43Z"', {"request"}),
        ('timestamp="2030-03-17T18:46:43+01:00"', {"other"}),
        ('timestamp<"2030-03-17T17:46:41.5Z"', {"text", "close"}),
        ('receiveTimestamp>"2030-03-17T17:46:43Z"', EVERYTHING),
        ('severity>=INFO AND jsonPayload.event:"ws_"', {"close", "accept"}),
        ('severity>=INFO jsonPayload.event="ws_close"', {"close"}),
        ('severity>=INFO\njsonPayload.event="ws_close"', {"close"}),
        ('textPayload="hello" OR jsonPayload.event="ws_close"', {"other", "close"}),
        ('severity=INFO AND jsonPayload.event="ws_accept" OR textPayload="hello"', {"accept"}),
        ('(severity=INFO AND jsonPayload.event="ws_accept") OR textPayload="hello"', {"accept", "other"}),
        ('jsonPayload.event=("ws_close" OR "ws_accept")', {"close", "accept"}),
        ('jsonPayload.event=("ws_close" AND "ws_accept")', set()),
        ('textPayload:("json" AND "type")', {"text"}),
        ('NOT (severity>=INFO OR textPayload:"hello")', {"text"}),
        ('NOT NOT textPayload="hello"', {"other"}),
        ('textPayload="with \\"quotes\\""', set()),
    ],
)
def test_what_a_filter_selects(text: str, names: set[str]) -> None:
    assert selected(text) == names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("severity", "expected a comparison after severity"),
        ("severity>=", "expected a value"),
        ("severity>=LOUD", "not a severity at character 11"),
        ('severity:"ERROR"', "can only be ordered"),
        ('timestamp:"2030"', "RFC 3339"),
        ('timestamp>="yesterday"', "RFC 3339"),
        ('timestamp=~"2030-03-17T17:46:43Z"', "can only be ordered"),
        ('nonsense.field="x"', "not a supported field"),
        ('resource.labels="x"', "not a supported field"),
        ("httpRequest.latency>1", "not a supported field"),
        ('textPayload=~"("', "not a regular expression"),
        ('textPayload="open', "cannot read"),
        ('(textPayload="x"', "expected )"),
        ('textPayload="x")', "expected AND, OR or the end"),
        ('AND textPayload="x"', "expected a field"),
        ('textPayload="x" OR', "expected a field"),
        ('"words alone"', "expected a field"),
        ("=1", "expected a field"),
        ("(" * 60 + 'a="b"' + ")" * 60, "nested deeper"),
        ("NOT " * 60 + 'textPayload="b"', "nested deeper"),
        ('textPayload="' + "x" * 20_000 + '"', "at most 20000"),
    ],
)
def test_what_is_not_understood_is_an_error_that_names_its_place(text: str, complaint: str) -> None:
    with pytest.raises(FilterError, match="filter") as refused:
        compile_filter(text)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("", 0, None),
        ('timestamp>="2030-03-17T17:46:43Z"', 3, None),
        ('timestamp>="2030-03-17T17:46:43Z" timestamp<"2030-03-17T17:46:50Z"', 3, 10),
        ('timestamp>="2030-03-17T17:46:43Z" OR timestamp>="2030-03-17T17:46:41Z"', 1, None),
        ('timestamp>="2030-03-17T17:46:43Z" OR severity=ERROR', 0, None),
        ('timestamp<"2030-03-17T17:46:43Z" OR severity=ERROR', 0, None),
        ('NOT timestamp<"2030-03-17T17:46:43Z"', 0, None),
        ('receiveTimestamp>="2030-03-17T17:46:43Z"', 0, None),
        ('severity=ERROR timestamp="2030-03-17T17:46:43Z"', 3, 3),
    ],
)
def test_bounds_in_time_are_told_apart(text: str, since: int, until: int | None) -> None:
    made = compile_filter(text)
    assert made.bounds.since_ns == (START + since * SECOND if since else 0)
    assert made.bounds.until_ns == (FOR_EVER if until is None else START + until * SECOND)


@dataclass(frozen=True)
class Formula:
    """A filter as text beside what it means."""

    text: str
    holds: Callable[[Entry], bool]


def _time(number: int) -> str:
    return datetime.fromtimestamp(START / SECOND + number, tz=UTC).isoformat()


LEAVES = st.one_of(
    st.sampled_from(
        [
            Formula('jsonPayload.event="ws_close"', lambda e: (e.payload or {}).get("event") == "ws_close"),
            Formula('textPayload:"hello"', lambda e: "hello" in (e.text or "")),
            Formula("severity>=INFO", lambda e: e.severity in ("INFO", "ERROR")),
            Formula("httpRequest.status=101", lambda e: (e.request or {}).get("status") == 101),
        ]
    ),
    st.integers(0, 5).map(
        lambda n: Formula(f'timestamp>="{_time(n)}"', lambda e: e.at_ns >= START + n * SECOND)
    ),
    st.integers(0, 5).map(
        lambda n: Formula(f'timestamp<"{_time(n)}"', lambda e: e.at_ns < START + n * SECOND)
    ),
)


def _combined(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(
            lambda p: Formula(f"({p[0].text} AND {p[1].text})", lambda e: p[0].holds(e) and p[1].holds(e))
        ),
        pairs.map(
            lambda p: Formula(f"({p[0].text}) ({p[1].text})", lambda e: p[0].holds(e) and p[1].holds(e))
        ).map(lambda f: Formula(f"({f.text})", f.holds)),
        pairs.map(
            lambda p: Formula(f"({p[0].text} OR {p[1].text})", lambda e: p[0].holds(e) or p[1].holds(e))
        ),
        inner.map(lambda f: Formula(f"NOT ({f.text})", lambda e: not f.holds(e))),
        inner.map(lambda f: Formula(f"-({f.text})", lambda e: not f.holds(e))),
    )


@settings(deadline=None, max_examples=200)
@given(st.recursive(LEAVES, _combined, max_leaves=8))
def test_a_filter_means_what_its_parts_mean(formula: Formula) -> None:
    made = compile_filter(formula.text)
    for one in ENTRIES.values():
        expected = formula.holds(one)
        assert made.matches(one) is expected
        if expected:
            assert made.bounds.since_ns <= one.at_ns
            assert one.at_ns <= made.bounds.until_ns


@settings(deadline=None, max_examples=300)
@given(st.text('abtextPayload="\\ANDOR NOT()-:=~<>.*15\n', max_size=60))
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    with suppress(FilterError):
        for one in ENTRIES.values():
            assert compile_filter(text).matches(one) in (True, False)
