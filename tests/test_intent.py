"""What the same command comes to, for every record that a service may carry."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.core.intent import Begin, Ended, First, Resume, Supersede, intent_of
from pipeline.core.plan import Wish
from pipeline.core.rollout import ENDED, UNDER_WAY, Past, Phase, Rollout
from pipeline.errors import PlanRefused
from pipeline.model import LiveService, Outcome, Readiness, Revision, Split
from tests.fakes import START
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish
from tests.test_rollout import a_rollout

WISH = a_wish()
OTHER = "agent-chat-other"


def serving(name: str) -> LiveService:
    split = Split.between(name, None, 0)
    return replace(Scene().live, wanted=split, serving=split)


def known(*names: str) -> tuple[Revision, ...]:
    return tuple(Revision(name, f"u-{name}", START, Readiness.READY, nonce="n") for name in names)


def carried(phase: Phase, *, wish: Wish = WISH, **changes: object) -> Rollout:
    made = a_rollout(phase, 0)
    plan = replace(made.plan, rollout_id=wish.rollout_id, candidate=wish.candidate, image=wish.image)
    return replace(made, plan=plan, epoch=9, **changes)  # type: ignore[arg-type]


def intent(current: Rollout | None, on: str = STABLE, **options: bool) -> object:
    return intent_of(WISH, serving(on), known(STABLE, CANDIDATE, OTHER), current, **options)


def test_there_is_no_service() -> None:
    assert isinstance(intent_of(WISH, None, (), None), First)


def test_a_service_that_never_served_anybody_is_a_first_deployment_still() -> None:
    live = replace(serving(CANDIDATE), serving=Split(), latest_ready="")
    failed = (replace(known(CANDIDATE)[0], readiness=Readiness.FAILED),)
    assert isinstance(intent_of(WISH, live, failed, None), First)


@pytest.mark.parametrize("closed", [{"ingress_all": False}, {"default_uri_disabled": True}])
def test_a_service_without_an_address_is_refused_before_its_first_revision_is_made(
    closed: dict[str, bool],
) -> None:
    dead = replace(serving(STABLE), serving=Split(), latest_ready="", **closed)  # type: ignore[arg-type]
    assert dead.serves_nobody
    with pytest.raises(PlanRefused, match="agent-chat: "):
        intent_of(WISH, dead, (), None)


def test_a_service_whose_first_revision_is_still_starting_is_left_to_whoever_made_it() -> None:
    live = replace(serving(OTHER), serving=Split(), latest_ready="", latest_created=OTHER, reconciling=True)
    starting = (replace(known(OTHER)[0], readiness=Readiness.PENDING),)
    with pytest.raises(PlanRefused, match="is pending"):
        intent_of(WISH, live, starting, None)


def test_a_service_of_somebody_else_is_adopted() -> None:
    found = intent(None)
    assert isinstance(found, Begin)
    assert (found.attempt, found.epoch, found.past) == (1, 0, ())
    assert found.proposal.plan.stable_adopted


@pytest.mark.parametrize("phase", sorted(UNDER_WAY))
def test_what_is_under_way_is_resumed_or_superseded(phase: Phase) -> None:
    assert isinstance(intent(carried(phase)), Resume)
    assert isinstance(intent(carried(phase), retry=True), Resume)
    assert isinstance(intent(carried(phase, wish=a_wish(OTHER))), Supersede)


@pytest.mark.parametrize(
    ("current", "outcome", "code"),
    [
        pytest.param(carried(Phase.ROLLED_BACK, reached=5), Outcome.ROLLED_BACK, 11, id="rolled-back"),
        pytest.param(carried(Phase.ROLLED_BACK), Outcome.STOPPED_AT_ZERO, 11, id="stopped-at-zero"),
        pytest.param(carried(Phase.ROLLED_BACK, by_hand=True), Outcome.ROLLED_BACK_BY_HAND, 11, id="by-hand"),
    ],
)
def test_what_ended_badly_is_answered_until_it_is_retried(
    current: Rollout, outcome: Outcome, code: int
) -> None:
    found = intent(current)
    assert isinstance(found, Ended)
    assert (found.outcome, found.outcome.exit_code, found.rollout) == (outcome, code, current)
    again = intent(current, retry=True)
    assert isinstance(again, Begin)
    assert (again.attempt, again.epoch) == (2, 9)


def test_promoted_is_answered_while_it_has_the_traffic() -> None:
    found = intent(carried(Phase.PROMOTED), on=CANDIDATE)
    assert isinstance(found, Ended)
    assert found.outcome is Outcome.PROMOTED


def test_promoted_is_no_answer_once_traffic_was_moved_away() -> None:
    current = carried(Phase.PROMOTED)
    with pytest.raises(PlanRefused, match=f"{CANDIDATE} was promoted, and does not have the traffic") as told:
        intent(current)
    assert STABLE in told.value.why
    assert "--retry" in told.value.fix
    assert isinstance(intent(current, retry=True), Begin)


def test_promoted_is_no_answer_while_another_has_a_share() -> None:
    split = Split.between(STABLE, CANDIDATE, 95)
    live = replace(serving(CANDIDATE), wanted=split, serving=split)
    with pytest.raises(PlanRefused, match="does not have the traffic"):
        intent_of(WISH, live, known(STABLE, CANDIDATE), carried(Phase.PROMOTED))


def a_first(*, unhealthy: bool) -> Rollout:
    made = carried(Phase.PROMOTED, unhealthy=unhealthy)
    return replace(made, plan=replace(made.plan, stable=CANDIDATE))


def test_a_first_deployment_gives_its_answer_each_time() -> None:
    for unhealthy, outcome in (
        (False, Outcome.FIRST_DEPLOYMENT),
        (True, Outcome.FIRST_DEPLOYMENT_UNHEALTHY),
    ):
        found = intent(a_first(unhealthy=unhealthy), on=CANDIDATE)
        assert isinstance(found, Ended)
        assert found.outcome is outcome


def test_an_unhealthy_first_deployment_is_probed_again_on_retry() -> None:
    found = intent(a_first(unhealthy=True), on=CANDIDATE, retry=True)
    assert isinstance(found, First)
    assert (found.attempt, found.epoch) == (2, 9)


def after(*past: Past, phase: Phase = Phase.ROLLED_BACK) -> Rollout:
    """Another rollout ended last; these went before it."""
    return carried(phase, wish=a_wish(OTHER), past=past)


def own(outcome: Outcome, attempt: int = 1) -> Past:
    return Past(WISH.rollout_id, CANDIDATE, attempt, outcome.label)


def test_a_bad_image_gets_no_second_chance_by_being_asked_for_after_another_bad_one() -> None:
    found = intent(after(own(Outcome.ROLLED_BACK)))
    assert isinstance(found, Ended)
    assert (found.outcome, found.rollout) == (Outcome.ROLLED_BACK, None)
    assert CANDIDATE in found.words
    again = intent(after(own(Outcome.ROLLED_BACK)), retry=True)
    assert isinstance(again, Begin)
    assert again.attempt == 2


def test_an_image_that_comes_back_after_another_one_had_the_service_is_a_new_attempt() -> None:
    found = intent(after(own(Outcome.ROLLED_BACK, 3), phase=Phase.PROMOTED), on=OTHER)
    assert isinstance(found, Begin)
    assert found.attempt == 4
    assert [p.outcome for p in found.past] == ["rolled_back", "promoted"]


def test_an_image_that_was_promoted_long_ago_is_begun_again_when_another_has_the_service() -> None:
    found = intent(after(own(Outcome.PROMOTED), phase=Phase.PROMOTED), on=OTHER)
    assert isinstance(found, Begin)
    assert found.attempt == 2


def test_of_several_attempts_the_last_one_is_the_answer() -> None:
    found = intent(after(own(Outcome.ROLLED_BACK, 1), own(Outcome.STOPPED_AT_ZERO, 2)))
    assert isinstance(found, Ended)
    assert found.outcome is Outcome.STOPPED_AT_ZERO


def test_superseded_is_answered_with_both_names() -> None:
    found = intent(after(own(Outcome.SUPERSEDED)))
    assert isinstance(found, Ended)
    assert found.outcome.exit_code == 16
    assert f"superseded: {CANDIDATE} by {OTHER}" in found.words


def test_an_image_that_kept_the_traffic_while_another_failed_has_it() -> None:
    found = intent(after(own(Outcome.PROMOTED)), on=CANDIDATE)
    assert isinstance(found, Ended)
    assert found.outcome.exit_code == 0


def test_an_ending_that_this_version_does_not_know_is_no_good_one() -> None:
    found = intent(after(Past(WISH.rollout_id, CANDIDATE, 1, "praised")))
    assert isinstance(found, Ended)
    assert found.outcome.exit_code == 11


def test_the_past_is_bounded() -> None:
    current = carried(Phase.ROLLED_BACK, wish=a_wish(OTHER))
    for number in range(40):
        current = replace(current, past=current.becomes_past(), attempt=number)
    assert [p.attempt for p in current.past] == list(range(27, 39))  # the newest


def test_every_phase_has_an_intent() -> None:
    for phase in ENDED | UNDER_WAY:
        assert intent(carried(phase), on=CANDIDATE if phase is Phase.PROMOTED else STABLE)


def test_another_file_with_the_image_that_has_the_traffic_is_answered() -> None:
    """Stages that changed are for the next rollout: what was asked for, this image at 100 %, is true."""
    changed = a_wish(fingerprint="another")
    found = intent_of(changed, serving(CANDIDATE), known(STABLE, CANDIDATE), carried(Phase.PROMOTED))
    assert isinstance(found, Ended)
    assert found.outcome is Outcome.PROMOTED
