"""Whatever comes in, a value or one of our errors comes out: nothing else is raised, and nothing is believed.

CI draws the same 20,000 inputs each time. ``make fuzz`` draws many times as many from a seed that it prints
(``SPILLWAY_FUZZ`` is the factor, ``SEED`` repeats a run).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import run_v2
from google.cloud.logging_v2.types import ListLogEntriesResponse
from google.protobuf import descriptor
from google.protobuf.message import Message as Proto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import units
from pipeline.cloudrun import logs as cloud_logs
from pipeline.cloudrun.service import CloudRun
from pipeline.config import schema, yamltree
from pipeline.core import record
from pipeline.errors import ConfigError, SpillwayError
from pipeline.judging import evidence
from pipeline.judging.evidence import Arm, Window
from pipeline.local.entries.store import LogStore
from pipeline.local.front.frames import FrameObserver
from pipeline.model import Criterion, LogLine, Sampling
from pipeline.probe.scenario import Address, Expectation, Kind, Scenario
from pipeline.probe.session import _Session, hold_conversation
from pipeline.probe.target import check_address
from pipeline.probe.verdict import Closing, Ending, judge_conversation
from pipeline.redact import SINK
from pipeline.report import render
from tests.fakes import START
from tests.lines import CANDIDATE
from tests.reports import REF
from tests.test_config import GOOD
from tests.test_render import hostile_report, page, shape
from tests.test_rollout import a_rollout

TIMES = int(os.environ.get("SPILLWAY_FUZZ", "1"))

pytestmark = pytest.mark.timeout(0 if TIMES > 1 else 900)


def draws(examples: int) -> Callable[[Any], Any]:
    """So many inputs: in CI always the same ones."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
ODD = st.sampled_from([
    "", "\x00", "\ud800", "\x1b[2J", "::error::x", "##[error]", "<b>", "nan", "-1", "1e999", "é" * 50, "169.254.169.254", "\u202e",
]) | ANY_TEXT  # fmt: skip
NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([10**400, -(2**63), 1e308, float("nan"), float("inf")])
)
SCALARS = st.none() | st.booleans() | NUMBERS | ODD
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD, inner, max_size=4),
    max_leaves=6,
)


@st.composite
def spliced(draw: st.DrawFn, text: str, pieces: st.SearchStrategy[str]) -> str:
    """A good text with up to four places overwritten."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(pieces) + text[end:]
    return text


@st.composite
def replaced(draw: st.DrawFn, tree: Any, values: st.SearchStrategy[Any]) -> Any:
    """A good value with one to three of its parts replaced, dropped or doubled."""
    made = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = made, None
        while isinstance(holder, dict | list) and holder:
            keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
            key = draw(st.sampled_from(list(keys)))
            if not isinstance(holder[key], dict | list) or not holder[key] or draw(st.integers(0, 4)) == 0:
                break
            holder = holder[key]
        if key is None or not isinstance(holder, dict | list):
            continue
        if draw(st.integers(0, 4)) == 0:
            del holder[key]
        else:
            holder[key] = draw(values)
    return made


# configuration

YAML_PIECES = st.sampled_from([
    *"[]{}:,-?|>&*!%@`'\"#\n\t ", "&a ", "*a", "<<: ", "!!python/object:os.system ", "? ", "- ", "---\n", "...\n", ": ", "\n  ", "0x1", "1:30",
    "062", "yes", "1e400s", "99999999999999h", ".nan", "null", "~", "{}", "[]", "repeats: 1", "match: {a: 1}", "env: {A: 1}", "-5m", "150%",
    "1 in 0", "\u2028", "\ufeff", "\x85", "\x00", "checks: {additive: {base: x}}\n", "container: {timeout: 0s}\n", "=",
]) | ODD  # fmt: skip
THEIRS = re.compile(
    r"Input should|Value error|ValidationError|pydantic|Traceback|\\w\+|\[type=|<class|object at 0x"
)


def read_config(text: str) -> None:
    made = config_or_complaint(text)
    if isinstance(made, ConfigError):
        assert re.match(r"spillway\.yaml:\d+:\d+: ", made.what)
        assert not THEIRS.search(str(made))
        assert len(str(made)) < 6_000
        return
    assert made.fingerprint()
    assert made.terms().stages[-1].percent == 100
    assert made.build_scenarios()


def config_or_complaint(text: str) -> schema.Config | ConfigError:
    try:
        return schema.parse(text)
    except ConfigError as error:
        return error


@draws(4_000)
@given(spliced(GOOD, YAML_PIECES))
def test_a_configuration_with_a_slip(text: str) -> None:
    read_config(text)


@draws(1_500)
@given(st.lists(YAML_PIECES, max_size=30).map("".join))
def test_what_is_hardly_a_configuration(text: str) -> None:
    read_config(text)


@draws(1_000)
@given(replaced(yamltree.parse(GOOD, "f").value, VALUES))
def test_a_configuration_with_a_value_of_another_kind(tree: Any) -> None:
    with suppress(UnicodeEncodeError):
        read_config(json.dumps(tree, ensure_ascii=False).encode().decode())


@draws(1_500)
@given(ODD | NUMBERS | st.from_regex(r"[0-9.,_]{0,9}(ms|s|m|h|d|%| in )?[0-9_,]{0,9}", fullmatch=True))
def test_quantities(value: object) -> None:
    for parse in (units.parse_duration, units.parse_rate, units.parse_odds):
        with suppress(ValueError):
            made = parse(value)
            assert (timedelta(0) <= made <= units.LONGEST) if isinstance(made, timedelta) else 0 <= made <= 1


# the record

RECORD = json.loads(record.encode(a_rollout(epoch=3, last={"verdict": "pass"})))


def read_record(text: str) -> None:
    try:
        made = record.decode(text)
    except record.RecordUnreadable:
        return
    assert made.stage in made.plan.terms.stages
    _ = (made.outcome, made.is_last_stage)
    with suppress(record.RecordUnreadable):
        assert record.encode(record.decode(record.encode(made))) == record.encode(made)


@draws(1_200)
@given(replaced(RECORD, VALUES))
def test_a_record_with_another_value(tree: Any) -> None:
    read_record(json.dumps(tree))


@draws(1_000)
@given(spliced(json.dumps(RECORD), ODD))
def test_a_record_with_other_text(text: str) -> None:
    read_record(text)


# lines of a log

EVENTS = st.sampled_from(["ws_accept", "agent_run", "ws_close", "ws_refused"]) | ODD
PAYLOADS = st.fixed_dictionaries(
    {"spillway": st.just(1) | SCALARS, "nonce": st.just("n") | SCALARS, "event": EVENTS},
    optional={
        "session": st.sampled_from(["a", "b"]) | VALUES, "client": VALUES, "at": st.floats(0, 99).map(lambda s: START.timestamp() + s) | VALUES,
        "started": st.floats(0, 99).map(lambda s: START.timestamp() + s) | VALUES, "outcome": st.sampled_from(["ok", "idle", "closed"]) | VALUES,
        "first_event_ms": NUMBERS | VALUES, "code": st.sampled_from([1000, 1006, 1011, 1e11]) | VALUES, "reason": VALUES, "closed_by": VALUES,
        "probe": VALUES, "message": VALUES,
    },
)  # fmt: skip
LINES = st.builds(
    LogLine,
    insert_id=ODD,
    at=st.floats(0, 99).map(lambda seconds: START + timedelta(seconds=seconds)),
    revision=st.just(CANDIDATE) | ODD,
    severity=ODD,
    text=ODD,
    payload=PAYLOADS | st.dictionaries(ODD, VALUES, max_size=4),
)


@draws(1_000)
@given(st.lists(LINES, max_size=8))
def test_log_lines(lines: list[LogLine]) -> None:
    arm, now = Arm(CANDIDATE, "n"), START + timedelta(seconds=300)
    sampling = Sampling(block=timedelta(seconds=10))
    window = Window(START, 1, arm, Arm("stable", ""), 50)
    criteria = [Criterion(metric) for metric in evidence.METRICS if metric != "first_event"]
    criteria.append(Criterion("first_event", slower_than=timedelta(milliseconds=500)))
    for block in evidence.closed_blocks(lines, window, sampling, criteria, now):
        assert all(
            0 <= c.candidate_failures <= c.candidate_trials <= len(lines) for c in block.counts.values()
        )
    met = evidence.exposure(lines, arm, sampling, now)
    assert 0 <= met.affected <= met.sessions <= len(lines)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogStore]:
    with closing(LogStore(tmp_path_factory.mktemp("logs"))) as made:
        yield made


@draws(1_000)
@given(
    text=st.text(max_size=40)
    | VALUES.map(lambda value: json.dumps({"time": value, "severity": value, "message": value}))
    | VALUES.map(json.dumps)
)
def test_what_a_service_writes(store: LogStore, text: str) -> None:
    store.line("projects/p/locations/l/services/s", "r", "stdout", text)


# replies of the API


def filled(draw: st.DrawFn, message: Proto, depth: int = 0) -> None:
    """Some fields of a protobuf message, with whatever their types can hold."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Struct":
        message.fields["x"].number_value = draw(st.floats())  # type: ignore[attr-defined]
        message.fields["y"].list_value.values.add()  # type: ignore[attr-defined]
    for field in draw(st.lists(st.sampled_from(list(message.DESCRIPTOR.fields)), max_size=5)):
        if field.type == descriptor.FieldDescriptor.TYPE_MESSAGE:
            if depth < 4 and not (field.message_type and field.message_type.GetOptions().map_entry):
                inner = getattr(message, field.name)
                inner = inner.add() if field.is_repeated else inner
                inner.SetInParent()
                filled(draw, inner, depth + 1)
            continue
        value = draw(_scalar(field))
        with suppress(ValueError, TypeError):  # not a value of this field
            getattr(message, field.name).append(value) if field.is_repeated else setattr(
                message, field.name, value
            )


def _scalar(field: Any) -> st.SearchStrategy[Any]:
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        return ODD if field.type == field.TYPE_STRING else st.binary(max_size=20)
    if kind == field.CPPTYPE_BOOL:
        return st.booleans()
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return st.floats()
    if kind == field.CPPTYPE_ENUM:
        return st.integers(-1, 10) | st.integers(-(2**31), 2**31 - 1)
    return st.integers(-(2**31), 2**31 - 1) | st.integers(-(2**63), 2**63 - 1)


@st.composite
def protos(draw: st.DrawFn, kind: type[Any]) -> Any:
    made = kind()
    filled(draw, kind.pb(made) if hasattr(kind, "pb") else made)
    return made


class Client:
    """A Cloud Run that answers with what it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_service(self, **_: object) -> Any:
        return self.answer

    get_revision = get_service

    def list_revisions(self, **_: object) -> list[Any]:
        return [self.answer, self.answer]


@draws(700)
@given(protos(run_v2.Service))
def test_a_service_as_the_api_may_tell_it(service: Any) -> None:
    with suppress(SpillwayError):
        live = CloudRun(Client(service), Client(service)).read(REF)  # type: ignore[arg-type]
        assert live.ref == REF
        _ = (live.record_text, dict(live.wanted.serving), dict(live.serving.serving))


@draws(700)
@given(protos(run_v2.Revision))
def test_a_revision_as_the_api_may_tell_it(revision: Any) -> None:
    cloud = CloudRun(Client(revision), Client(revision))  # type: ignore[arg-type]
    with suppress(SpillwayError):
        assert cloud.revision(REF, "r").create_time.tzinfo
        assert len(cloud.revisions(REF)) == 2


class Pager:
    def __init__(self, page: Any) -> None:
        self.pages = [page]


@draws(400)
@given(protos(ListLogEntriesResponse))
def test_log_entries_as_the_api_may_tell_them(answer: Any) -> None:
    class Logging:
        def list_log_entries(self, **_: object) -> Pager:
            return Pager(answer)

    zero = timedelta(0)
    source = cloud_logs.LoggingSource(Logging(), overlap=zero, longest=zero, rest=zero)  # type: ignore[arg-type]
    with suppress(SpillwayError):
        assert all(line.at >= START for line in source.lines(REF, since=START, revisions=["r"]))


# what a socket says

SCENARIO = Scenario(
    "s", "/ws", groups=((Expectation({"type": "a"}),), (Expectation({"p.0.q": 1}), Expectation({"type": "b"}, repeats=True))),
    within_s=5.0,
)  # fmt: skip
MESSAGES = (
    st.sampled_from(['{"type":"a"}', '{"type":"b"}', '{"p":[{"q":1}]}', "[" * 5_000, "1" * 5_000, "NaN", '"\\ud800"'])
    | VALUES.map(json.dumps) | st.text(max_size=40) | st.binary(max_size=50)
)  # fmt: skip
CLOSINGS = st.none() | st.builds(Closing, st.integers(0, 70_000), ODD, by_server=st.booleans(), cause=ODD)


@draws(1_500)
@given(st.lists(MESSAGES, max_size=8), CLOSINGS)
def test_messages_and_how_they_end(messages: list[str | bytes], close: Closing | None) -> None:
    session = _Session(SCENARIO, "http://127.0.0.1", {})
    fault = None
    for message in messages:
        fault = fault or session._hear(message)
    ending = fault or Ending(close=close)
    seen = judge_conversation(
        SCENARIO, session.progress, ending, seconds=1.0, transcript=tuple(session.transcript)
    )
    if seen.kind is Kind.OK:
        assert session.progress.is_complete
        assert not session.progress.disorder


@draws(1_000)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_frames_that_pass_by(pieces: list[bytes]) -> None:
    whole, parts = FrameObserver(), FrameObserver()
    whole.feed(b"".join(pieces))
    for piece in pieces:
        parts.feed(piece)
    assert whole.close == parts.close


FRAMES = st.lists(
    st.binary(max_size=30)
    | st.builds(lambda head, body: bytes([head, len(body)]) + body, st.integers(0, 255), st.binary(max_size=60))
    | st.sampled_from([b'\x81\x0c{"type":"a"}', b"\x88\x02\x03\xf3", b"\x81\x7f" + b"\xff" * 8, b"\x89\x00" * 50]),
    max_size=6,
).map(b"".join)  # fmt: skip


@draws(250)
@given(FRAMES)
def test_bytes_on_a_socket(stream: bytes) -> None:
    """A real conversation with a server that shakes hands and then sends these bytes and goes."""
    from websockets.utils import accept_key

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        key = re.search(r"(?i)sec-websocket-key: (\S+)", head)
        assert key
        said = f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key[1])}\r\n\r\n"
        writer.write(said.encode() + stream)
        with suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def hold() -> Kind:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return (
                await hold_conversation(replace(SCENARIO, within_s=60.0), f"http://127.0.0.1:{port}", {})
            ).kind

    assert asyncio.run(hold()) is not Kind.OK


@draws(1_000)
@given(spliced("http://metadata.google.internal:80/x", ODD) | ANY_TEXT)
def test_addresses(url: str) -> None:
    with suppress(SpillwayError):
        check_address(Address(url))
        assert "metadata.google.internal" not in url.lower().split("/")[2].split(":")


# what is shown

SPECIAL = st.lists(
    st.sampled_from([*"<>&\"'`*_[]()#|~!\\\n\r\t:$@^-=", "::", "##[", "\x1b[", "\x9b", "</td>", "<!--", "]]>", "{{", "%}", "http://", "www.", "a"])
    | st.characters(exclude_categories=()),
    max_size=25,
).map("".join)  # fmt: skip
CALM = hostile_report("calm")
CALM_SHAPE, CALM_PAGE = shape(render.markdown(CALM)), page(CALM)


@draws(1_100)
@given(SPECIAL)
def test_one_value_in_markdown(text: str) -> None:
    made = f"before {render._finalize_markdown(text)} after"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|(?m:^\s*::)|##\[", made)
    assert {kind for kind, _ in shape(made)} <= {
        "paragraph_open",
        "inline",
        "paragraph_close",
        "text",
        "text_special",
    }


@draws(2_000)
@given(SPECIAL)
def test_lines_for_people(text: str) -> None:
    for shown in SINK.lines(text).split("\n"):
        assert shown.isprintable()
        assert not re.match(r"\s*::", shown)
        assert "##[" not in shown


@draws(150)
@given(SPECIAL)
def test_a_whole_report(text: str) -> None:
    made = hostile_report(f"a{text}z")
    assert shape(render.markdown(made)) == CALM_SHAPE
    built = page(made)
    assert (built.tags, [name for name, _ in built.attributes]) == (
        CALM_PAGE.tags,
        [name for name, _ in CALM_PAGE.attributes],
    )
    assert not built.open
