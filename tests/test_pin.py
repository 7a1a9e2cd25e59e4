"""Traffic that a rollout left pinned by name: said everywhere, given back on request, pinned again by the next one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core.pin import pin_of, unpinned
from pipeline.core.plan import make
from pipeline.core.rollout import Phase
from pipeline.driving.restore import Cause, restore
from pipeline.driving.unpin import unpin
from pipeline.errors import PlanRefused, StaleWrite
from pipeline.model import Outcome, Split, Target
from pipeline.report import advice, writes
from pipeline.report.figures import figures_of
from tests.fakes import REF
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene, a_wish

LATEST = Split((Target(None, 100),))
NEWER = "agent-chat-hotfix"


def ended(outcome: Outcome = Outcome.PROMOTED) -> Scene:
    """A service after a rollout: the candidate is the latest ready revision, and has everything or nothing."""
    scene = Scene()
    if outcome is Outcome.ROLLED_BACK:
        scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is outcome
    scene.platform.live = replace(scene.live, latest_ready=CANDIDATE, latest_created=CANDIDATE)
    scene.platform._reached = [(scene.clock.now(), scene.live)]
    return scene


def deploy(scene: Scene, name: str = NEWER, *, is_ready: bool = True) -> None:
    """Somebody deploys without a rollout."""
    scene.platform.add(name)
    ready = {"latest_ready": name} if is_ready else {}
    scene.platform.foreign_write(latest_created=name, **ready)
    scene.platform._reached = [(scene.clock.now(), scene.live)]


def let_go(scene: Scene, **options: bool) -> str:
    done = unpin(scene.platform, scene.clock, REF, by="ada", listen=scene.told.append, **options)  # type: ignore[arg-type]
    assert done.verified
    return done.target


# --- it is said


@pytest.mark.parametrize("outcome", [Outcome.PROMOTED, Outcome.ROLLED_BACK])
def test_after_a_rollout_traffic_is_pinned_by_name(outcome: Outcome) -> None:
    scene = ended(outcome)
    pin = pin_of(scene.live, scene.rollout)
    assert pin is not None
    assert pin.revision == (CANDIDATE if outcome is Outcome.PROMOTED else STABLE)
    assert not pin.warning
    assert "gets 0%" in pin.text
    assert ("was sent back" in pin.text) is (outcome is Outcome.ROLLED_BACK)
    assert ("spillway unpin projects/" in pin.text) is (outcome is Outcome.PROMOTED)


def test_a_newer_ready_revision_that_serves_nobody_is_warned_of() -> None:
    for outcome in (Outcome.PROMOTED, Outcome.ROLLED_BACK):
        scene = ended(outcome)
        deploy(scene)
        pin = pin_of(scene.live, scene.rollout)
        assert pin is not None
        assert pin.warning.startswith(f"{NEWER} is newer, ready, and serves nobody")
        revisions = scene.platform.revisions(REF)
        proposal = make(a_wish("agent-chat-third"), scene.live, revisions, scene.rollout)
        assert pin.warning in proposal.warnings


@pytest.mark.parametrize("percent", [0, 5, 25])
def test_while_a_rollout_is_under_way_a_pin_is_no_news(percent: int) -> None:
    scene = Scene()
    scene.reach(percent)
    assert pin_of(scene.live, scene.rollout) is None


def test_what_follows_latest_or_is_split_is_not_pinned() -> None:
    live = ended().live
    assert pin_of(replace(live, wanted=LATEST), None) is None
    assert pin_of(replace(live, wanted=Split((Target(STABLE, 50), Target(CANDIDATE, 50)))), None) is None


@pytest.mark.parametrize("outcome", [Outcome.PROMOTED, Outcome.ROLLED_BACK])
def test_the_report_tells_the_way_out_until_it_was_taken(outcome: Outcome) -> None:
    scene = ended(outcome)

    def lines() -> list[str]:
        figures = figures_of(scene.rollout, [], None, scene.clock.now())
        return [step.line for step in advice.next_steps(figures)]

    assert lines()[-1] == f"spillway unpin {REF.name}"
    let_go(scene, move=True)
    assert not any("unpin" in line for line in lines())


def test_the_command_that_repeats_the_write_is_one_that_can_be_typed() -> None:
    here = replace(REF, project="local")
    assert writes.set_traffic(here, {"": 100}) == f"spillway unpin {here.name}"
    assert writes.set_traffic(here, {}) == ""
    assert writes.set_traffic(REF, {"": 100}).endswith("--to-revisions=LATEST=100")


# --- it is given back


def test_traffic_follows_latest_again_under_the_etag_with_every_tag_where_it_was() -> None:
    scene = ended()
    tagged = Split((*scene.live.wanted.targets, Target(STABLE, 0, "green")))
    scene.platform.foreign_write(split=tagged)
    before, history = scene.live, scene.rollout.history
    assert let_go(scene) == CANDIDATE
    assert scene.live.wanted.serving == {"": 100}
    assert {t.tag: t.revision for t in scene.live.wanted.targets if t.tag} == {
        t.tag: t.revision for t in before.wanted.targets if t.tag
    }
    assert scene.platform.writes[-1] == ({"": 100}, before.etag)
    assert (scene.rollout.phase, scene.rollout.outcome) == (Phase.PROMOTED, Outcome.PROMOTED)
    assert scene.rollout.history == history
    assert [event.kind for event in scene.told[-2:]] == ["wrote", "unpinned"]
    assert "by ada" in scene.told[-1].text


def test_it_is_no_drift_and_asking_for_the_same_rollout_again_says_promoted() -> None:
    scene = ended()
    let_go(scene)
    scene.driver.observer.forget_revisions()
    look = scene.engine("host/2").observer.look(probe=False)
    assert look.situation.drift == look.foreign == ""
    writes = len(scene.platform.writes)
    assert scene.start() is Outcome.PROMOTED
    assert len(scene.platform.writes) == writes


def test_asked_again_it_writes_nothing() -> None:
    scene = ended()
    let_go(scene)
    writes = len(scene.platform.writes)
    done = unpin(scene.platform, scene.clock, REF, by="ada")
    assert done.already
    assert done.verified
    assert len(scene.platform.writes) == writes


def test_a_service_without_a_record_gets_none() -> None:
    scene = Scene()
    scene.platform.foreign_write(annotations={"note": "theirs"})
    assert let_go(scene) == STABLE
    assert scene.live.annotations == {"note": "theirs"}


def _sent_back(scene: Scene) -> None:
    """Nothing more: the candidate that failed is the latest ready revision."""


@pytest.mark.parametrize(
    ("outcome", "edit", "words"),
    [
        (Outcome.ROLLED_BACK, _sent_back, "would move all users from agent-chat-stable to agent-chat-new"),
        (Outcome.PROMOTED, deploy, f"would move all users from agent-chat-new to {NEWER}"),
        (
            Outcome.PROMOTED,
            lambda scene: deploy(scene, is_ready=False),
            f"to {NEWER} as soon as that is ready",
        ),
    ],
    ids=["sent-back", "newer", "starting"],
)
def test_users_are_not_moved_unless_that_is_asked_for(
    outcome: Outcome, edit: Callable[[Scene], None], words: str
) -> None:
    scene = ended(outcome)
    edit(scene)
    writes = len(scene.platform.writes)
    with pytest.raises(PlanRefused) as refused:
        unpin(scene.platform, scene.clock, REF, by="ada")
    assert words in refused.value.what
    assert refused.value.why
    assert refused.value.fix.endswith("--move")
    assert refused.value.exit_code == 2
    assert len(scene.platform.writes) == writes
    let_go(scene, move=True)
    assert scene.live.wanted.serving == {"": 100}


@pytest.mark.parametrize("move", [False, True])
@pytest.mark.parametrize("phase", ["deploying", "rolling", "paused", "rolling_back"])
def test_never_while_something_is_under_way(phase: str, move: bool) -> None:
    scene = Scene()
    scene.start(engine=scene.driver)
    if phase != "deploying":
        scene.reach(25)
    if phase == "paused":
        scene.platform.foreign_write(split=LATEST)
        assert scene.driver.run() is Outcome.PAUSED
    if phase == "rolling_back":
        scene.platform.lag = SECOND * 30
        scene.users.failing[CANDIDATE] = 1.0
        while scene.rollout.phase is not Phase.ROLLING_BACK:
            scene.driver.tick()
            scene.clock.sleep(SECOND)
    assert scene.rollout.phase == phase
    writes = len(scene.platform.writes)
    with pytest.raises(PlanRefused, match="a rollout is under way") as refused:
        unpin(scene.platform, scene.clock, REF, by="ada", move=move)
    assert "spillway rollback" in refused.value.fix
    assert len(scene.platform.writes) == writes


def test_a_split_by_hand_is_not_guessed_at() -> None:
    live = replace(ended().live, wanted=Split((Target(STABLE, 50), Target(CANDIDATE, 50))))
    with pytest.raises(PlanRefused, match="which revision has the traffic"):
        unpinned(live, None, move=True)


def test_a_service_that_changes_meanwhile_is_judged_again() -> None:
    scene = ended()
    scene.platform.before_write = lambda: (
        setattr(scene.platform, "before_write", lambda: None),
        deploy(scene),
    )[0]  # type: ignore[func-returns-value]
    with pytest.raises(PlanRefused, match="would move all users"):
        unpin(scene.platform, scene.clock, REF, by="ada")
    assert scene.live.wanted.serving == {CANDIDATE: 100}


def test_one_that_changes_all_the_time_is_given_up_on() -> None:
    scene = ended()
    scene.platform.before_write = lambda: scene.platform.foreign_write(
        labels={"n": str(scene.live.generation)}
    )
    with pytest.raises(StaleWrite):
        unpin(scene.platform, scene.clock, REF, by="ada")


def test_what_is_not_seen_is_not_said_to_be() -> None:
    scene = ended()
    scene.platform.lag = timedelta(hours=1)
    assert not unpin(scene.platform, scene.clock, REF, by="ada").verified


# --- and pinned again


def test_the_next_rollout_pins_stable_by_name_in_its_first_write() -> None:
    scene = ended()
    let_go(scene)
    written: list[Split] = []
    scene.platform.on_write = lambda _before, _etag, _annotations, split: (
        written.append(split) if split else None
    )
    third = a_wish("agent-chat-third")
    scene.start(third)
    assert written[0].targets == (Target(CANDIDATE, 100, "stable"),)
    assert scene.roll(third) is Outcome.PROMOTED
    assert scene.live.wanted.serving == {"agent-chat-third": 100}
    assert all(split.serving.keys() <= {CANDIDATE, "agent-chat-third"} for split in written)


def test_a_service_that_was_never_pinned_is_pinned_by_its_first_rollout() -> None:
    scene = Scene()
    scene.platform.foreign_write(split=LATEST)
    assert scene.roll() is Outcome.PROMOTED
    assert [split.serving for _, split in scene.platform.history[1:3]] == [{"": 100}, {STABLE: 100}]


def test_a_roll_back_after_unpinning_pins_again() -> None:
    scene = ended()
    let_go(scene)
    done = restore(scene.platform, scene.clock, REF, Cause("by hand", "ada", by_hand=True))
    assert done.verified
    assert scene.live.wanted.serving == {STABLE: 100}
