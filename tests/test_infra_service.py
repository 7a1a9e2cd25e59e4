"""What the program declares, given what is live: a split that moves nothing and a nonce that stays."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from infra.compose import compose
from infra.deployment import split_of
from infra.live import Live, stable_of
from infra.service import planned
from infra.settings import Settings, Template
from pipeline.core import record
from pipeline.core.rollout import UNDER_WAY, Phase
from pipeline.model import NONCE_VARIABLE, RECORD_ANNOTATION, Split, Target
from tests.rollouts import Scene

SETTINGS = Settings("p", "l", "chat", Template("chat@sha256:1"))
NEW = compose(SETTINGS).revision


def test_the_first_revision_gets_everything() -> None:
    assert split_of(NEW, None) == Split((Target(NEW, 100, "stable"),))


def test_a_live_split_is_declared_as_it_is_with_every_tag() -> None:
    split = Split((Target("chat-a", 90, "stable"), Target("chat-b", 10), Target("chat-b", 0, "theirs")))
    assert split_of(NEW, Live("e", split)) == split


def test_latest_before_anything_is_ready_is_the_declared_revision() -> None:
    assert split_of(NEW, Live("e", Split((Target(None, 100),)))) == Split((Target(NEW, 100),))


def test_a_service_that_never_served_has_no_split_to_keep() -> None:
    dead = Live("e", Split((Target("chat-failed", 100),)), serves_nobody=True)
    assert split_of(NEW, dead) == Split((Target(NEW, 100, "stable"),))


def nonce_of(live: Live | None) -> list[str]:
    container = planned(SETTINGS, live)[0].template["containers"][0]
    return [each["value"] for each in container.get("env", ()) if each["name"] == NONCE_VARIABLE]


def test_the_nonce_is_read_back_from_a_revision_that_is_there() -> None:
    split = Split((Target("chat-a", 100),))
    variable = {"name": NONCE_VARIABLE, "value": "abc"}
    there = {"containers": [{"image": "chat@sha256:1", "env": [variable]}]}
    assert nonce_of(Live("e", split, there=there)) == ["abc"]
    without = {"containers": [{"image": "chat@sha256:1"}]}
    assert not nonce_of(Live("e", split, there=without)), "somebody else's without one stays as it is"


def test_a_new_revision_gets_a_nonce_that_nobody_can_guess() -> None:
    absent = Live("e", Split((Target("chat-a", 100),)))
    made = {nonce for live in (None, absent) for _ in range(20) for nonce in nonce_of(live)}
    assert len(made) == 40
    assert all(len(nonce) == 32 for nonce in made)


@pytest.mark.parametrize("phase", Phase)
def test_under_way_the_record_says_what_the_next_revision_starts_from(phase: Phase) -> None:
    """A bare ``pulumi up`` starts from what the rollout would: the candidate may have everything and not be trusted yet."""
    candidate_has_all = Split((Target("chat-a", 0, "stable"), Target("chat-b", 100, "candidate")))
    scene = Scene()
    scene.start()
    current = replace(scene.rollout, phase=phase)
    made = replace(current, plan=replace(current.plan, stable="chat-a"))
    annotations = record.annotated(scene.live, made)
    expected = "chat-a" if phase in UNDER_WAY else "chat-b"
    assert stable_of(candidate_has_all, annotations) == expected


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"phase":"rolling"}', '{"phase":"rolling","plan":7}', "not json"]
)
def test_a_record_that_cannot_be_read_says_nothing(text: str) -> None:
    assert stable_of(Split((Target("chat-a", 100),)), {RECORD_ANNOTATION: text}) == "chat-a"


def test_the_next_revision_starts_from_who_has_all_traffic_or_carries_our_tag() -> None:
    by_hand = Split((Target("chat-a", 30), Target("chat-b", 70)))
    midway = Split((Target("chat-a", 30, "stable"), Target("chat-b", 70, "candidate")))
    promoted = Split((Target("chat-a", 0, "stable"), Target("chat-b", 100, "candidate")))
    assert [stable_of(split) for split in (by_hand, midway, promoted)] == ["chat-b", "chat-a", "chat-b"]
    assert not stable_of(Split((Target(None, 100),)))
