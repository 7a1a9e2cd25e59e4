"""Replies of Google's APIs, with whatever their types can hold: values, or one of our errors."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from google.cloud import run_v2
from google.cloud.logging_v2.types import ListLogEntriesResponse
from google.protobuf import descriptor
from google.protobuf.message import Message as Proto
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cloudrun import logs as cloud_logs
from pipeline.cloudrun.service import CloudRun
from pipeline.errors import SpillwayError
from tests.fakes import START
from tests.fuzzing import ODD, WITHIN, draws
from tests.reports import REF

pytestmark = WITHIN


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
