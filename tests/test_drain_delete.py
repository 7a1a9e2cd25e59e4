"""A bad revision is deleted after traffic was read back: never before, once, and wherever whoever does it is killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core.draining import Draining
from pipeline.core.pin import pin_of
from pipeline.core.rollout import Phase
from pipeline.driving.drain import drain, wish
from pipeline.driving.restore import Cause, restore
from pipeline.errors import AccessError, PlanRefused, PlatformUnavailable, RequestRejected
from pipeline.events import Said
from pipeline.judging.terms import Drain
from pipeline.model import CANDIDATE_TAG, DRAIN_ANNOTATION, Outcome, Split, Target
from tests.fakes import REF
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages

SECOND = timedelta(seconds=1)
BY_HAND = Cause("felt wrong", "ada", by_hand=True)


class Killed(BaseException):
    """kill -9."""


def sent_back(lag: timedelta = timedelta(0), **terms: object) -> Scene:
    """A candidate that had traffic, was the latest revision, and was sent back."""
    scene = Scene()
    scene.deployer.lasts = (
        60 * SECOND
    )  # as a program that goes by no etag: the candidate becomes the latest one
    scene.platform.lag = lag
    wish = a_wish(stages=stages(0, 5, 100), **{"drain": Drain.DELETE, **terms})  # type: ignore[arg-type]
    scene.reach(5, wish=wish)
    done = restore(scene.platform, scene.clock, REF, BY_HAND)
    assert done.verified
    assert scene.live.latest_created == CANDIDATE
    return scene


def delete(scene: Scene, by: str = "host/9") -> None:
    drain(scene.platform, scene.clock, REF, by=by, listen=scene.told.append)


def draining(scene: Scene) -> Draining:
    found = scene.rollout.draining
    assert found is not None
    return found


def must_be_deleted(scene: Scene) -> None:
    """As it is at every end of it: one revision more that gets nothing, one less, and traffic as it was."""
    now = draining(scene)
    assert CANDIDATE not in scene.platform.known
    assert scene.live.wanted == Split.between(STABLE, None, 0)
    assert set(scene.platform.known) == {STABLE, now.put_back}
    assert scene.platform.known[now.put_back].image == scene.platform.known[STABLE].image
    assert now.ended is not None
    assert now.note == ""
    assert now.nonce == f"n-{CANDIDATE}"
    assert scene.rollout.phase is Phase.ROLLED_BACK
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND


def said(scene: Scene) -> list[str]:
    return [
        event.text
        for event in scene.told
        if isinstance(event, Said) and event.kind in ("draining", "drained")
    ]


@pytest.mark.parametrize("lag", [0, 4])
def test_stable_is_put_back_as_the_latest_revision_and_the_bad_one_goes(lag: int) -> None:
    scene = sent_back(lag * SECOND)
    writes = len(scene.platform.writes)
    delete(scene)
    must_be_deleted(scene)
    assert all(split in (None, {STABLE: 100}) for split, _ in scene.platform.writes[writes:])
    assert [text.split(":")[0] for text in said(scene)] == [
        f"{STABLE}'s template is put back as {draining(scene).put_back}, so that {CANDIDATE} can go",
        f"deleting {CANDIDATE}",
        f"{CANDIDATE} is deleted",
    ]
    assert DRAIN_ANNOTATION not in scene.live.annotations


def test_one_that_is_not_the_latest_any_more_just_goes() -> None:
    scene = sent_back()
    scene.platform.add("agent-chat-newer")
    scene.platform.foreign_write(latest_created="agent-chat-newer", latest_ready="agent-chat-newer")
    delete(scene)
    assert set(scene.platform.known) == {STABLE, "agent-chat-newer"}
    assert draining(scene).put_back == ""


def test_what_somebody_else_deploys_at_that_moment_is_not_written_over() -> None:
    """Accepted, and not made yet: until then the status says that the bad revision is the latest."""
    scene = sent_back()
    scene.platform.add("agent-chat-newer")
    scene.platform.lag = 4 * SECOND
    scene.platform.foreign_write(latest_created="agent-chat-newer", latest_ready="agent-chat-newer")
    delete(scene)
    assert scene.live.latest_created == "agent-chat-newer"
    assert set(scene.platform.known) == {STABLE, "agent-chat-newer"}
    assert draining(scene).put_back == ""


def test_nothing_is_done_before_traffic_was_read_back() -> None:
    scene = Scene()
    scene.deployer.lasts = 60 * SECOND
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), drain=Drain.DELETE))
    delete(scene)
    assert CANDIDATE in scene.platform.known
    scene.platform.lag = 600 * SECOND  # accepted, and not seen
    done = restore(scene.platform, scene.clock, REF, BY_HAND)
    assert not done.verified
    delete(scene)
    assert CANDIDATE in scene.platform.known
    assert scene.rollout.draining is None


@pytest.mark.parametrize(
    "terms",
    [{"drain": Drain.KEEP}, {"drain": Drain.ASK}, {"drain_promoted": Drain.ASK, "drain": Drain.KEEP}],
    ids=str,
)
def test_nothing_is_deleted_that_was_not_to_be(terms: dict[str, Drain]) -> None:
    scene = sent_back(**terms)
    delete(scene)
    assert CANDIDATE in scene.platform.known
    assert said(scene) == []


def _boundaries() -> list[str]:
    """Of an undisturbed deletion."""
    scene, seen = sent_back(), list[str]()
    scene.platform.at_boundary = seen.append
    delete(scene)
    return seen


COUNT = len(_boundaries())


def _kills(at: int, then: Callable[[], None] = lambda: None) -> Callable[[str], None]:
    left = [at]

    def boundary(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            then()
            raise Killed

    return boundary


@pytest.mark.parametrize("second", [1, COUNT // 2])
@pytest.mark.parametrize("first", range(1, COUNT + 1))
def test_killed_anywhere_and_again_it_comes_to_the_same_end(first: int, second: int) -> None:
    scene = sent_back()
    for at in (first, second):
        scene.platform.at_boundary = _kills(at)
        with suppress(Killed):  # unless it was done before
            delete(scene)
        scene.clock.sleep(20 * SECOND)
    scene.platform.at_boundary = lambda _: None
    delete(scene)
    must_be_deleted(scene)


@pytest.mark.parametrize("at", range(1, COUNT + 1))
def test_another_one_who_does_the_same_at_any_moment_is_no_harm(at: int) -> None:
    scene = sent_back()
    left = [at]

    def boundary(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            delete(scene, by="host/7")

    scene.platform.at_boundary = boundary
    delete(scene)
    must_be_deleted(scene)


@pytest.mark.parametrize("at", range(1, COUNT // 2 + 1))
def test_an_answer_that_is_lost_is_settled_by_looking(at: int) -> None:
    scene = sent_back()
    calls = [0]

    def boundary(name: str) -> None:
        calls[0] += name.startswith("before")
        scene.platform.answer_lost = (
            name in ("before write", "before put back", "before delete") and calls[0] == at
        )

    scene.platform.at_boundary = boundary
    delete(scene)
    must_be_deleted(scene)


@pytest.mark.parametrize(
    ("meddle", "words"),
    [
        pytest.param(
            lambda live: Split((*live.wanted.targets, Target(CANDIDATE, 0, "look-here"))), "somebody's tag 'look-here' is on it",
            id="tag",
        ),
        pytest.param(lambda _: Split.between(STABLE, CANDIDATE, 50), "traffic is not on agent-chat-stable alone", id="traffic"),
        pytest.param(
            lambda _: Split((Target(None, 100), Target(STABLE, 0, "stable"))), "traffic is not on agent-chat-stable alone", id="latest"
        ),
    ],
)  # fmt: skip
def test_one_that_somebody_uses_is_left_alone(meddle: Callable[..., Split], words: str) -> None:
    scene = sent_back()
    scene.platform.foreign_write(split=meddle(scene.live))
    before = scene.live.wanted
    delete(scene)
    assert CANDIDATE in scene.platform.known
    assert scene.live.wanted == before
    assert words in draining(scene).note
    assert said(scene) == [f"{CANDIDATE} is not deleted: {draining(scene).note}"]


def test_who_may_not_delete_is_told_and_nothing_is_tried_for_ever() -> None:
    scene = sent_back()
    scene.platform.at_boundary = lambda name: _raise(
        AccessError("delete: forbidden"), name == "before delete"
    )
    delete(scene)
    assert draining(scene).note == "delete: forbidden"
    assert draining(scene).ended is not None


def _raise(error: Exception, condition: bool) -> None:
    if condition:
        raise error


@pytest.mark.parametrize("error", [RequestRejected("not now"), PlatformUnavailable("no answer")])
def test_what_does_not_get_well_is_left_for_whoever_comes_next(error: Exception) -> None:
    scene = sent_back()
    scene.platform.at_boundary = lambda name: _raise(error, name == "before delete")
    began = scene.clock.now()
    delete(scene)
    assert timedelta(minutes=2) <= scene.clock.now() - began <= timedelta(minutes=4)
    assert draining(scene).ended is None
    scene.platform.at_boundary = lambda _: None
    delete(scene)
    must_be_deleted(scene)


def test_a_process_that_is_told_to_end_does_not_wait() -> None:
    scene = sent_back()
    drain(scene.platform, scene.clock, REF, by="x", stop=lambda: True)
    assert CANDIDATE in scene.platform.known


def test_what_was_put_back_is_no_revision_that_somebody_waits_for() -> None:
    scene = sent_back()
    delete(scene)
    pin = pin_of(scene.live, scene.rollout)
    assert pin is not None
    assert (pin.warning, pin.was_sent_back) == ("", False)


def test_the_deleted_image_can_be_tried_again() -> None:
    scene = sent_back()
    delete(scene)
    wish = a_wish(stages=stages(0, 5, 100), drain=Drain.DELETE)
    assert scene.roll(wish, retry=True) is Outcome.PROMOTED


# -- as an operator wishes it -------------------------------------------------------------------------------------------


def test_an_operators_wish_holds_for_the_roll_back_that_he_asks_for() -> None:
    """From the write on that reads it back: whoever was to be kept is not asked for a moment."""
    scene = Scene()
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), drain=Drain.ASK))
    orders: list[str] = []
    scene.platform.on_write = lambda _b, _e, annotations, _s: orders.append(
        annotations.get(DRAIN_ANNOTATION, "")
    )
    restore(scene.platform, scene.clock, REF, replace(BY_HAND, drain=Drain.KEEP))
    assert not any(orders)
    assert scene.rollout.plan.terms.drain is Drain.KEEP
    wish(scene.platform, scene.clock, REF, Drain.KEEP, by="ada")


def test_an_operator_may_ask_later_and_again_once_the_order_is_old() -> None:
    scene = sent_back(drain=Drain.KEEP)
    for _ in range(2):
        wish(scene.platform, scene.clock, REF, Drain.ASK, by="ada")
        first = draining(scene)
        wish(scene.platform, scene.clock, REF, Drain.ASK, by="ada")
        assert draining(scene) == first
        assert first.since.isoformat() in scene.live.annotations[DRAIN_ANNOTATION]
        scene.clock.sleep(timedelta(minutes=11))
        wish(scene.platform, scene.clock, REF, Drain.ASK, by="ada")
        assert draining(scene).since - first.since >= timedelta(minutes=11)
    wish(scene.platform, scene.clock, REF, Drain.KEEP, by="ada")
    assert DRAIN_ANNOTATION not in scene.live.annotations
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND


def test_an_operator_may_have_it_deleted_later() -> None:
    scene = sent_back(drain=Drain.KEEP)
    wish(scene.platform, scene.clock, REF, Drain.DELETE, by="ada")
    delete(scene)
    must_be_deleted(scene)


@pytest.mark.parametrize("how", list(Drain))
def test_a_wish_for_a_revision_that_is_gone_forgets_nothing_of_it(how: Drain) -> None:
    scene = sent_back()
    delete(scene)
    before = draining(scene)
    scene.clock.sleep(timedelta(minutes=11))
    wish(scene.platform, scene.clock, REF, how, by="ada")
    delete(scene)
    assert draining(scene) == before
    must_be_deleted(scene)


def test_a_deletion_that_is_wished_while_it_is_under_way_goes_on_as_it_was() -> None:
    scene = sent_back()
    scene.platform.at_boundary = lambda name: _raise(
        PlatformUnavailable("no answer"), name == "before delete"
    )
    delete(scene)
    before = draining(scene)
    assert before.begun is not None
    wish(scene.platform, scene.clock, REF, Drain.DELETE, by="ada")
    assert draining(scene) == before
    scene.platform.at_boundary = lambda _: None
    delete(scene)
    must_be_deleted(scene)


@pytest.mark.parametrize("refused", ["before put back", "before delete"])
def test_a_deletion_that_was_given_up_can_be_wished_again_at_once(refused: str) -> None:
    """What was put back meanwhile is still known."""
    scene = sent_back()
    scene.platform.at_boundary = lambda name: _raise(AccessError("forbidden"), name == refused)
    delete(scene)
    assert draining(scene).note == "forbidden"
    scene.platform.at_boundary = lambda _: None
    wish(scene.platform, scene.clock, REF, Drain.DELETE, by="ada")
    delete(scene)
    must_be_deleted(scene)
    pin = pin_of(scene.live, scene.rollout)
    assert pin is not None
    assert pin.warning == ""


def test_without_a_roll_back_of_ours_there_is_nobody_to_ask() -> None:
    scene = Scene()
    with pytest.raises(PlanRefused, match="no candidate of ours was sent back"):
        wish(scene.platform, scene.clock, REF, Drain.ASK, by="ada")
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100)))
    with pytest.raises(PlanRefused):
        wish(scene.platform, scene.clock, REF, Drain.ASK, by="ada")


def test_two_who_wish_at_once_and_a_conflict() -> None:
    scene = sent_back(drain=Drain.KEEP)
    once = [True]

    def before() -> None:
        if once.pop() if once else False:
            scene.platform.foreign_write()

    scene.platform.before_write = before
    wish(scene.platform, scene.clock, REF, Drain.ASK, by="ada")
    assert draining(scene).how is Drain.ASK
    assert scene.live.wanted.tagged(CANDIDATE_TAG) == CANDIDATE
