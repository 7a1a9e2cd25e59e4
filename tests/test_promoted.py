"""Which image of one environment the next may have: every list of promotions, held against every state of its revisions."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.app import soaking
from pipeline.core import promoted, record
from pipeline.core.promoted import KEPT, Found, NotBefore, Promoted, Refused, Ship, choose
from pipeline.core.rollout import Event, Phase, Rollout
from pipeline.driving.restore import Cause, restore
from pipeline.model import Outcome, Readiness, Revision, Split
from pipeline.units import when
from tests.fakes import REF, START
from tests.rollouts import STABLE, Scene, a_wish, stages
from tests.test_rollout import a_rollout

HOUR = timedelta(hours=1)
SOAK = 24 * HOUR
NAMES = ("a", "b", "c")


def entry(name: str = "a", at: float = 0, left: float | None = None, **changes: object) -> Promoted:
    """Args: at, left: hours."""
    until = None if left is None else START + left * HOUR
    made = Promoted(f"sha256:{name}", "c", name, f"u-{name}", START + at * HOUR, until)
    return replace(made, **changes)  # type: ignore[arg-type]


def revision(name: str = "a", **changes: object) -> Revision:
    made = Revision(name, f"u-{name}", START, Readiness.READY, f"here/chat@sha256:{name}")
    return replace(made, **changes)  # type: ignore[arg-type]


def found(hours: float, *revisions: Revision, serving: str = "a") -> Found:
    known = {r.name: r for r in revisions or (revision(),)}
    return Found(known, {serving: 100}, "c", START + hours * HOUR)


def test_not_before_the_soak_is_over_and_then_shipped() -> None:
    assert choose([entry()], SOAK, found(23.9)) == NotBefore(START + SOAK, entry())
    assert choose([entry()], SOAK, found(24)) == Ship(entry())


def test_the_newest_that_has_soaked_is_shipped_while_the_next_one_soaks() -> None:
    both = [entry(left=25), entry("b", 25)]
    there = found(30, revision(), revision("b"), serving="b")
    assert choose(both, SOAK, there) == Ship(both[0])
    later = found(49, revision(), revision("b"), serving="b")
    assert choose(both, SOAK, later) == Ship(both[1])


def test_a_soak_that_was_cut_short_is_none() -> None:
    both = [entry(left=23), entry("b", 23)]
    there = found(40, revision(), revision("b"), serving="b")
    assert choose(both, SOAK, there) == NotBefore(START + 47 * HOUR, both[1])
    said = choose(both[:1], SOAK, there)
    assert said == Refused("a soaked 23h of 1d")


@pytest.mark.parametrize(
    ("left", "after", "words"),
    [(None, timedelta(seconds=90.9), "1m30s"), (1, 30 * HOUR, "1h"), (None, timedelta(seconds=-0.2), "0s")],
)
def test_how_long_it_soaked_is_told_to_the_second(left: float | None, after: timedelta, words: str) -> None:
    """Never as a time below none: the machine that wrote the record may have a clock that is ahead."""
    assert entry(left=left).soaked(START + after) == words


@pytest.mark.parametrize(
    ("believed", "there", "words"),
    [
        (entry(), revision(image="here/chat@sha256:other"), "a runs sha256:other, its record says sha256:a"),
        (entry(), revision(image="here/chat:latest"), "a runs here/chat:latest, its record says sha256:a"),
        (entry(), revision(uid="u-2"), "a has uid u-2, its record says u-a: it was made again"),
        (entry(), revision(create_time=START + HOUR), "its record says promoted at 2026-01-01 12:00:00 UTC"),
        (entry(), revision(readiness=Readiness.FAILED), "a is failed"),
        (entry(config="d"), revision(), "a soaked with another spillway.yaml: d, yours is c"),
        (entry(failed=START + HOUR), revision(), "a was sent back after its promotion, at 2026-01-01 13:00:00 UTC"),
        (entry(), revision("b"), "a is gone, so nothing shows what its record says"),
        (entry(left=400), revision(), "the record of a speaks of 2026-01-18 04:00:00 UTC, which is to come"),
    ],
    ids=["digest", "no digest", "uid", "made later", "broken", "config", "failed", "gone", "future"],
)  # fmt: skip
def test_a_record_that_the_revision_contradicts_ships_nothing(
    believed: Promoted, there: Revision, words: str
) -> None:
    for hours in (1.5, 48):
        said = choose([believed], SOAK, found(hours, there))
        assert isinstance(said, Refused)
        assert words in said.why


def test_what_is_said_to_soak_must_have_all_traffic() -> None:
    said = choose([entry()], SOAK, found(48, serving="b"))
    assert said == Refused("a has all traffic by its record, and traffic is b 100%")
    split = replace(found(48), serving={"a": 95, "b": 5})
    assert choose([entry()], SOAK, split) == Refused(
        "a has all traffic by its record, and traffic is a 95%, b 5%"
    )


def test_machines_whose_clocks_differ_by_seconds_are_believed() -> None:
    late = revision(create_time=START + timedelta(seconds=20))
    assert choose([entry()], SOAK, found(48, late)) == Ship(entry())


entries = st.builds(
    lambda name, at, lasted, config, failed, uid: entry(
        name, at, None if lasted is None else at + lasted, config=config, uid=uid,
        failed=START + (at + 1) * HOUR if failed else None,
    ),
    st.sampled_from(NAMES), st.integers(0, 100), st.none() | st.integers(0, 60), st.sampled_from("cd"),
    st.booleans(), st.sampled_from(["u-a", "u-b", "u-c"]),
)  # fmt: skip
worlds = st.builds(
    Found,
    st.lists(
        st.builds(
            lambda name, image, hour, ready: revision(
                name, image=f"x@sha256:{image}", create_time=START + hour * HOUR, readiness=ready
            ),
            st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 100), st.sampled_from(Readiness),
        ),
        max_size=3,
    ).map(lambda some: {r.name: r for r in some}),
    st.sampled_from([{"a": 100}, {"b": 100}, {"a": 50, "b": 50}]),
    st.just("c"),
    st.integers(0, 200).map(lambda hours: START + hours * HOUR),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(entries, max_size=5), worlds)
def test_whatever_is_shipped_soaked_and_is_what_its_record_says(known: list[Promoted], world: Found) -> None:
    said = choose(known, SOAK, world)
    if isinstance(said, NotBefore):
        assert said.which is not None
        assert said.which.left is None
        assert said.at > world.now
        then = choose(known, SOAK, replace(world, now=said.at))
        assert isinstance(then, Ship), "the time that is told is the time at which it is shipped"
    if not isinstance(said, Ship):
        return
    which, there = said.which, world.revisions[said.which.revision]
    assert (which.failed, which.config, which.uid) == (None, world.config, there.uid)
    assert there.image.endswith(f"@{which.digest}")
    until = which.left or world.now
    assert until - which.at >= SOAK
    assert until <= world.now + timedelta(minutes=1)
    assert there.create_time <= which.at + timedelta(minutes=1)
    assert which.left is not None or world.serving == {which.revision: 100}
    last = max(number for number, each in enumerate(known) if each == which)
    for later in known[last + 1 :]:
        assert not isinstance(choose([later], SOAK, world), Ship), "the newest"


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, max_size=4), st.lists(st.sampled_from([f"sha256:{n}" for n in NAMES]), max_size=2))
def test_going_on_never_takes_the_next_environment_back(known: list[Promoted], has: list[str]) -> None:
    left = promoted.newer(known, has, START + 50 * HOUR)
    had = [number for number, each in enumerate(known) if each.digest in has]
    if had:
        assert left == tuple(known[had[-1] + 1 :])
    else:
        assert left == tuple(each for each in known if each.at > START + 50 * HOUR)
    assert not {each.digest for each in left} & set(has)
    assert promoted.newer(known, [], None) == tuple(known)


# -- how the list comes about -----------------------------------------------------------------------------------------


def wish(name: str, **changes: object) -> object:
    image = f"here/chat@sha256:{name}"
    return a_wish(name, image=image, config="c", evidence="probes", criteria=(), **changes)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.users.per_second = 0
    return made


def spans(current: Rollout) -> list[tuple[str, bool, bool]]:
    """Revision, whether it soaks, whether it was sent back."""
    return [(p.revision, p.left is None, p.failed is not None) for p in current.promoted]


def test_a_promotion_is_kept_with_what_it_can_be_checked_by(scene: Scene) -> None:
    scene.roll(wish("a"))
    (kept,) = scene.rollout.promoted
    there = scene.platform.known["a"]
    assert kept == Promoted("sha256:a", "c", "a", there.uid, scene.rollout.history[-1].at)
    assert scene.clock.now() - kept.at < timedelta(seconds=5)


def test_the_next_one_ends_its_soak_once_it_gets_a_share(scene: Scene) -> None:
    scene.roll(wish("a"))
    scene.clock.sleep(5 * HOUR)
    engine = scene.engine()
    scene.start(wish("b"), engine)
    while not scene.rollout.stage_index:
        assert spans(scene.rollout) == [("a", True, False)], "at 0 % nobody was taken from it"
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), timedelta(seconds=1)))
    assert spans(scene.rollout) == [("a", False, False)]
    assert scene.rollout.promoted[0].left == scene.rollout.since
    assert scene.roll(wish("b"), engine) is Outcome.PROMOTED
    assert spans(scene.rollout) == [("a", False, False), ("b", True, False)]


def test_one_that_never_gets_a_share_leaves_the_soak_whole(scene: Scene) -> None:
    scene.roll(wish("a"))
    before = scene.rollout.promoted
    scene.prober.failing.add("http://candidate")
    assert scene.roll(wish("b")) is Outcome.STOPPED_AT_ZERO
    assert scene.rollout.promoted == before


def test_what_everything_is_given_back_to_soaks_anew(scene: Scene) -> None:
    scene.roll(wish("a"))
    scene.clock.sleep(HOUR)
    engine = scene.engine()
    scene.start(wish("b"), engine)
    while not scene.rollout.arrived or scene.rollout.stage.percent < 25:
        scene.clock.sleep(max(engine.tick().at - scene.clock.now(), timedelta(seconds=1)))
    scene.prober.failing.add("http://candidate")
    assert scene.roll(wish("b"), engine) is Outcome.ROLLED_BACK
    assert spans(scene.rollout) == [("a", False, False), ("a", True, False)]
    assert scene.rollout.promoted[-1].at == scene.rollout.history[-1].at


def test_sent_back_by_hand_after_its_promotion_it_has_failed(scene: Scene) -> None:
    scene.roll(wish("a"))
    scene.roll(wish("b"))
    restore(scene.platform, scene.clock, REF, Cause("1011 in the evening", "ada", by_hand=True))
    assert spans(scene.rollout) == [("a", False, False), ("b", False, True), ("a", True, False)]


def test_a_promoted_one_that_comes_back_and_fails_has_failed(scene: Scene) -> None:
    scene.roll(wish("a"))
    scene.roll(wish("b"))
    scene.prober.failing.add("http://candidate")
    assert scene.roll(wish("a")) is Outcome.STOPPED_AT_ZERO
    assert spans(scene.rollout) == [("a", False, True), ("b", True, False)]


def test_one_that_is_superseded_has_not_failed(scene: Scene) -> None:
    scene.roll(wish("a"))
    scene.roll(wish("b"))
    scene.start(wish("a"))
    assert scene.roll(wish("c"), supersede=True) is Outcome.PROMOTED
    assert spans(scene.rollout) == [("a", False, False), ("b", False, False), ("c", True, False)]


def test_traffic_that_somebody_moved_ends_a_soak_when_it_was_last_known_to_be_ours(scene: Scene) -> None:
    scene.roll(wish("a"))
    scene.clock.sleep(30 * HOUR)
    scene.platform.foreign_write(split=Split.between(STABLE, None, 0))
    scene.roll(wish("b"))
    first = scene.rollout.promoted[0]
    assert first.left == first.at, "nobody knows how long it had all traffic"


def test_who_comes_after_is_asked_only_where_something_soaks(scene: Scene) -> None:
    """That is in the configuration, and a look at a service that is named in full reads none for nothing."""
    asked: list[dict[str, timedelta]] = []

    def after() -> dict[str, timedelta]:
        asked.append({"production": SOAK})
        return asked[-1]

    def shown() -> tuple[object, list[str]]:
        live, now = scene.live, scene.clock.now()
        return (
            soaking.document(live, scene.rollout, after),
            soaking.lines(live, scene.rollout, after, now),
        )

    scene.reach(5)
    assert (shown(), asked) == ((None, []), [])
    scene.roll(wish("a"), supersede=True)
    at = scene.rollout.promoted[-1].at
    document, lines = shown()
    assert document == {
        "revision": "a",
        "since": at.isoformat(),
        "ready": {"production": (at + SOAK).isoformat()},
    }
    assert lines[1].strip() == f"ready for production at {when(at + SOAK)}"
    assert len(asked) == 2
    scene.platform.foreign_write(split=Split.between(STABLE, None, 0))
    assert (shown(), len(asked)) == ((None, []), 2)


def test_a_first_deployment_that_answers_well_soaks(scene: Scene) -> None:
    scene.platform.live = None
    scene.platform.known.clear()
    assert scene.roll(wish("a")) is Outcome.FIRST_DEPLOYMENT
    assert spans(scene.rollout) == [("a", True, False)]


def test_one_that_answers_badly_does_not(scene: Scene) -> None:
    scene.platform.live = None
    scene.platform.known.clear()
    scene.prober.failing.add("http://main")
    assert scene.roll(wish("a")) is Outcome.FIRST_DEPLOYMENT_UNHEALTHY
    assert scene.rollout.promoted == ()


def test_the_last_ten_are_kept_in_a_record_that_is_small(scene: Scene) -> None:
    quick = stages(0, 100, soak=1)
    for number in range(KEPT + 2):
        scene.roll(wish(f"r{number}", stages=quick))
    kept = scene.rollout.promoted
    assert [p.revision for p in kept] == [f"r{number}" for number in range(2, KEPT + 2)]
    assert sum(p.left is None for p in kept) == 1
    assert len((scene.live.record_text or "").encode()) < record.MAX_BYTES / 2


def test_without_room_the_oldest_are_let_go_and_a_roll_back_is_recorded() -> None:
    many = tuple(entry("x" * 40, at, at + 1, digest="sha256:" + "0" * 64) for at in range(KEPT))
    full = a_rollout(promoted=many, reason="y" * (record.MAX_BYTES - 3_000))
    kept = record.decode(record.encode(full)).promoted
    assert 0 < len(kept) < KEPT
    assert kept == many[-len(kept) :]
    back = a_rollout(Phase.ROLLING_BACK, promoted=many, drift="z" * record.MAX_BYTES)
    assert record.decode(record.encode(back)).promoted == many


def test_more_than_we_write_is_no_record_of_ours() -> None:
    text = record.encode(a_rollout(promoted=(entry(),) * (KEPT + 1)))
    with pytest.raises(record.RecordUnreadable, match="11 promoted images"):
        record.decode(text)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "share", "fail", "back"]), st.sampled_from(NAMES)), max_size=30
    )
)
def test_at_most_the_last_one_soaks_and_times_rise(story: list[tuple[str, str]]) -> None:
    known: tuple[Promoted, ...] = ()
    for hour, (what, name) in enumerate(story):
        at = START + hour * HOUR
        match what:
            case "join":
                known = promoted.joined(known, entry(name, hour))
            case "share":
                known = promoted.unless_alone(known, name, at)
            case "fail":
                known = promoted.failed(promoted.unless_alone(known, "", at), name, at)
            case _:
                known = promoted.given_back(known, name, "", at)
        assert len(known) <= KEPT
        assert all(each.left is not None and each.left >= each.at for each in known[:-1])
        assert all(one.left <= two.at for one, two in pairwise(known) if one.left)


def test_what_drifted_while_it_was_rolled_out_ends_the_soak() -> None:
    open_one = entry(STABLE)
    before = a_rollout(
        promoted=(open_one,), stage=0, split=Split.between(STABLE, "x", 0), heartbeat=START + HOUR
    )
    after = before.on(Event.HELD, START + 2 * HOUR, drift="traffic was set to x 100%")
    assert after.promoted == (replace(open_one, left=START + HOUR),)


def test_stables_commit_is_known_however_many_failed_since(scene: Scene) -> None:
    scene.roll(wish("a", commit="a" * 40))
    scene.prober.failing.add("http://candidate")
    for _ in range(2):
        assert scene.roll(wish("b", commit="b" * 40), retry=True) is Outcome.STOPPED_AT_ZERO
        assert (scene.rollout.plan.commit, scene.rollout.plan.stable_commit) == ("b" * 40, "a" * 40)
    scene.prober.failing.clear()
    assert scene.roll(wish("c")) is Outcome.PROMOTED
    assert scene.rollout.plan.stable_commit == "a" * 40
    scene.start(wish("d", commit="d" * 40))
    assert scene.rollout.plan.stable_commit == "", "nobody said what c was built from"
