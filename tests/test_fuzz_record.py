"""The record on a service, whatever stands in it: a rollout that is written again as it was read, or unreadable."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given

from pipeline.core import record
from tests.fuzzing import ODD, VALUES, WITHIN, draws, replaced, spliced
from tests.test_rollout import LAST, a_rollout

pytestmark = WITHIN

RECORD = json.loads(record.encode(a_rollout(epoch=3, last=LAST)))


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
