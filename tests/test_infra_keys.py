"""Labels and annotations of the service: what left the settings goes, what never was theirs stays, what is ours stays."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from infra.deployment import KEYS_ANNOTATION, OWN_ANNOTATIONS, deployment
from infra.live import Live
from infra.settings import Settings, Template
from infra.slipped import must_not_have_slipped
from pipeline.model import DRAIN_ANNOTATION, RECORD_ANNOTATION, UNREADABLE_ANNOTATION, Split, Target

SETTINGS = Settings("p", "l", "chat", Template("chat@sha256:1"))
LIVE = Live(
    "etag",
    Split((Target("chat-a", 100),)),
    stable="chat-a",
    base={"containers": [{"image": "chat@sha256:0"}]},
)
OURS = {RECORD_ANNOTATION: "{}", UNREADABLE_ANNOTATION: "?", DRAIN_ANNOTATION: "{}"}


def after(live: Live | None, short: dict[str, str] | None = None, **fields: Any) -> Live:
    """The service once that was applied. Args: short: the labels that the stack's short setting adds."""
    made = deployment(replace(SETTINGS, labels=short or {}, fields=fields), live, "nonce")
    annotations = made.fields.get("annotations", {})
    return replace(live or LIVE, fields=made.fields, annotations=annotations)


def theirs(live: Live, kind: str = "annotations") -> dict[str, str]:
    found = live.fields.get(kind, {})
    return {key: text for key, text in found.items() if key not in OWN_ANNOTATIONS}


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_a_key_that_left_the_file_goes_and_a_foreign_one_stays(kind: str) -> None:
    foreign = replace(
        LIVE, fields={"annotations": OURS, kind: {**OURS, "a.foreign/key": "1", "team": "theirs"}}
    )
    first = after(foreign, **{kind: {"ours": "1", "cost-centre": "2", "x.example/y": "3"}})
    assert theirs(first, kind).keys() == {"a.foreign/key", "team", "ours", "cost-centre", "x.example/y"}
    second = after(first, **{kind: {"ours": "4"}})
    assert theirs(second, kind) == {"a.foreign/key": "1", "team": "theirs", "ours": "4"}
    third = after(second)
    assert theirs(third, kind) == {"a.foreign/key": "1", "team": "theirs"}
    assert KEYS_ANNOTATION not in third.annotations


def test_the_first_deployment_notes_it_too_and_the_short_labels_with_the_others() -> None:
    first = after(None, {"short": "1"})
    assert theirs(first, "labels") == {"short": "1"}
    assert not theirs(after(first), "labels")


def test_a_key_that_was_taken_over_from_the_file_by_hand_is_still_the_files() -> None:
    first = after(LIVE, annotations={"ours": "1"})
    by_hand = replace(first, fields={**first.fields, "annotations": {**first.annotations, "ours": "2"}})
    assert not theirs(after(by_hand))


def test_null_takes_a_key_away_and_does_not_make_it_the_files() -> None:
    live = replace(LIVE, fields={"annotations": {"theirs": "1", "gone": "1"}})
    cleared = after(live, annotations={"gone": None})
    assert dict(cleared.annotations) == {"theirs": "1"}
    set_again = replace(cleared, fields={"annotations": {"theirs": "1", "gone": "by hand"}})
    assert theirs(after(set_again)) == {"theirs": "1", "gone": "by hand"}


def test_all_annotations_cleared_are_not_ours() -> None:
    live = replace(LIVE, fields={"annotations": {**OURS, "theirs": "1"}, "labels": {"a": "1"}})
    cleared = after(live, annotations=None)
    assert cleared.fields == {"annotations": OURS, "labels": {"a": "1"}}


@pytest.mark.parametrize(
    "note",
    [
        "", "7", "[]", "not json", '{"labels":7}', '{"labels":[7,null]}', '{"others":["theirs"]}',
        f'{{"annotations":["{RECORD_ANNOTATION}","{UNREADABLE_ANNOTATION}"]}}',
    ],
)  # fmt: skip
def test_a_note_that_somebody_wrote_takes_nothing_away_that_is_ours(note: str) -> None:
    annotations = {**OURS, "theirs": "1", KEYS_ANNOTATION: note}
    live = replace(LIVE, fields={"annotations": annotations, "labels": {"theirs": "1"}})
    assert after(live).fields == {"annotations": {**OURS, "theirs": "1"}, "labels": {"theirs": "1"}}


def test_that_the_note_changed_is_no_write_of_somebody_else() -> None:
    before = replace(LIVE, fields={"annotations": OURS}, annotations=OURS)
    must_not_have_slipped(SETTINGS, before, after(before, labels={"a": "1"}))
