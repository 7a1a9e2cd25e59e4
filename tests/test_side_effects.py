"""A write of ours changes traffic and record and nothing else; where it does, that is drift and nothing is raised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from google.cloud import run_v2
from msgspec.structs import replace

from pipeline.cloudrun.service import _live
from pipeline.core.drift import side_effects
from pipeline.driving.restore import Cause, restore
from pipeline.errors import PlatformError
from pipeline.model import RECORD_ANNOTATION, LiveService, Outcome, Split, Target
from tests.fakes import REF
from tests.rollouts import Scene


def test_the_template_is_told_apart_by_all_of_it() -> None:
    def template_of(**fields: object) -> str:
        template = run_v2.RevisionTemplate(labels={"a": "1", "b": "2"}, **fields)
        return _live(REF, run_v2.Service(template=template)).template

    assert template_of() == template_of()
    assert len({template_of(), template_of(service_account="x"), template_of(volumes=[{"name": "v"}])}) == 3


def live() -> LiveService:
    scene = Scene()
    return replace(scene.live, annotations={"note": "x"})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"template": "t2"}, "the template is another one"),
        ({"labels": {}}, "label team removed"),
        ({"annotations": {}}, "annotation note removed"),
        ({"request_timeout": timedelta(seconds=1)}, "request timeout was 0:05:00, is 0:00:01"),
        ({"ingress_all": False}, "ingress open to all was True, is False"),
        (
            {"wanted": Split((Target(None, 100),))},
            "traffic is LATEST 100%, written was agent-chat-stable 100%",
        ),
        ({"latest_created": "agent-chat-new", "annotations": {"note": "x", "ours": "y"}}, ""),
        ({"template": "t2", "generation": 3}, ""),  # somebody else wrote too: told as such
        ({"template": "t2", "generation": 1}, ""),  # our write is not there yet
    ],
)
def test_what_a_write_of_ours_changed(changed: dict[str, object], words: str) -> None:
    before = live()
    after = replace(before, **{"generation": before.generation + 1, **changed})  # type: ignore[arg-type]
    assert side_effects(before, after) == words


@pytest.mark.parametrize("percent", [0, 5, 25])
def test_a_platform_that_replaces_the_whole_service_is_drift(percent: int) -> None:
    scene = Scene()
    scene.reach(percent)
    while not scene.rollout.candidate_uid:  # our own apply of the program is no write of this kind
        scene.driver.tick()
    scene.platform.replaces = True
    assert scene.driver.run() is Outcome.PAUSED
    assert scene.rollout.reason.startswith("drift: our own write changed more than traffic and record: ")
    assert "the template is another one; label team removed" in scene.rollout.reason
    after = scene.shares[-1]
    assert scene.engine("host/2").run() is Outcome.PAUSED
    assert scene.shares[-1] == after, "nothing is raised after it"


def test_the_write_that_ends_a_rollout_is_read_back_too() -> None:
    scene = Scene()
    scene.reach(100)

    def replace_at_the_end(_: object, __: str, annotations: Mapping[str, str], ___: object) -> None:
        if '"phase":"promoted"' in annotations[RECORD_ANNOTATION]:
            scene.platform.live = replace(scene.live, template="")

    scene.platform.on_write = replace_at_the_end
    with pytest.raises(PlatformError, match="our own write changed more"):
        scene.driver.run()


def test_a_roll_back_says_so_and_goes_on() -> None:
    scene = Scene()
    scene.reach(25)
    scene.platform.replaces = True
    told: list[str] = []
    done = restore(scene.platform, scene.clock, REF, Cause("by hand", "me", by_hand=True),
                   listen=lambda event: told.append(event.text))  # fmt: skip
    assert done.verified
    assert [text for text in told if "the template is another one; label team removed" in text]


def test_where_the_mask_is_kept_nothing_is_said() -> None:
    scene = Scene()
    assert scene.roll() is Outcome.PROMOTED
    assert not [event for event in scene.told if event.kind in ("side_effect", "foreign_write")]
