"""From staging to production on virtual time: two services with real engines, and a day that passes in a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from pipeline.core.plan import Wish
from pipeline.core.promoted import Admission
from pipeline.driving.predecessor import Predecessor, must_not_be_locked
from pipeline.driving.restore import Cause, restore
from pipeline.errors import NotYet, PlanRefused, SpillwayError
from pipeline.model import RECORD_ANNOTATION, LiveService, Outcome, Split
from pipeline.units import when
from tests.fakes import REF, FakeClock
from tests.rollouts import STABLE, Scene, a_wish

HOUR = timedelta(hours=1)
SOAK = 24 * HOUR


def wish(name: str, repository: str = "stg/chat") -> Wish:
    image = f"{repository}@sha256:{name}"
    return a_wish(name, image=image, config="c", evidence="probes", criteria=())


@dataclass
class Way:
    """Staging and production, each a service of its own, on one clock."""

    clock: FakeClock = field(default_factory=FakeClock)
    locks: bool = False

    def __post_init__(self) -> None:
        self.staging, self.production = Scene(self.clock), Scene(self.clock)
        for scene in (self.staging, self.production):
            scene.users.per_second = 0

    def before(self, config: str = "c") -> Predecessor:
        return Predecessor(
            self.staging.platform, self.clock, REF, "staging", "production", SOAK, config, "prd/chat"
        )

    def merge(self, name: str) -> Outcome:
        """What each push does: the image is rolled out in staging."""
        return self.staging.roll(wish(name), admit=self._lock)  # type: ignore[arg-type]

    def _lock(self) -> None:
        if self.locks:
            must_not_be_locked(self.staging.live, self.clock.now(), "staging", {"production": SOAK})

    def next_image(self, config: str = "c") -> str:
        live = self.production.live
        return self.before(config).next_image(live, self.production.platform.revisions(REF))

    def ship(self) -> Outcome:
        """What the scheduled job does."""
        image = self.next_image()
        name = image.rpartition(":")[2]
        asked = replace(wish(name), image=image)
        return self.production.roll(asked, admit=lambda: self.before().admission(image))  # type: ignore[arg-type]

    @property
    def has(self) -> str:
        return next(iter(self.production.live.wanted.serving))


@pytest.fixture
def way() -> Way:
    return Way()


def not_yet(ask: Callable[[], object]) -> tuple[NotYet, datetime]:
    with pytest.raises(NotYet) as caught:
        ask()
    assert len(str(caught.value).splitlines()) == 3
    assert caught.value.exit_code == 18
    return caught.value, datetime.fromisoformat(caught.value.at)


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(PlanRefused) as caught:
        ask()
    assert len(str(caught.value).splitlines()) == 3
    return str(caught.value)


def test_a_day_in_staging_and_then_production(way: Way) -> None:
    assert way.merge("a") is Outcome.PROMOTED
    promoted_at = way.staging.rollout.promoted[-1].at
    before = way.production.live
    hours = 0
    while True:
        way.clock.sleep(HOUR)
        hours += 1
        if way.clock.now() >= promoted_at + SOAK:
            break
        said, at = not_yet(way.ship)
        assert at == promoted_at + SOAK
        assert said.what == f"production: not yet: a soaks in staging until {when(at)}"
        assert way.production.live == before, "nothing was touched"
    assert way.ship() is Outcome.PROMOTED
    assert (hours, way.has) == (24, "a")
    assert way.production.rollout.plan.image == "prd/chat@sha256:a"
    admitted = way.production.rollout.admission
    assert admitted is not None
    assert admitted.words.startswith("a soaked in staging for 1d")
    writes = len(way.production.platform.writes)
    assert way.ship() is Outcome.PROMOTED, "asked again it is the same answer"
    assert len(way.production.platform.writes) == writes


def test_three_merges_in_a_day_and_only_the_last_is_shipped(way: Way) -> None:
    for name in ("a", "b", "c"):
        assert way.merge(name) is Outcome.PROMOTED
        way.clock.sleep(8 * HOUR)
    _, at = not_yet(way.ship)
    assert at == way.staging.rollout.promoted[-1].at + SOAK
    way.clock.sleep(at - way.clock.now())
    assert way.ship() is Outcome.PROMOTED
    assert way.has == "c"


def test_with_the_lock_the_first_of_three_is_shipped_and_the_next_waits_for_it(way: Way) -> None:
    way.locks = True
    assert way.merge("a") is Outcome.PROMOTED
    done = way.staging.rollout.promoted[-1].at + SOAK
    for name in ("b", "c"):
        way.clock.sleep(8 * HOUR)
        before = way.staging.live
        said, at = not_yet(lambda name=name: way.merge(name))  # type: ignore[misc]
        assert at == done
        assert said.what == f"staging: not yet: a soaks here until {when(done)}, for production"
        assert way.staging.live == before
    way.clock.sleep(done - way.clock.now())
    assert way.merge("c") is Outcome.PROMOTED, "a has soaked, and that is not undone by going on"
    assert way.ship() is Outcome.PROMOTED
    assert way.has == "a"
    not_yet(way.ship)
    way.clock.sleep(SOAK)
    assert way.ship() is Outcome.PROMOTED
    assert way.has == "c"


def test_the_lock_keeps_no_mend_waiting(way: Way) -> None:
    way.locks = True
    way.merge("a")
    way.clock.sleep(SOAK)
    way.merge("b")
    way.clock.sleep(HOUR)
    restore(way.staging.platform, way.clock, REF, Cause("1011", "ada", by_hand=True))
    assert way.staging.rollout.promoted[-1].revision == "a", "it soaks anew, and is in nobody's way"
    assert way.merge("c") is Outcome.PROMOTED


def test_the_lock_is_of_no_use_to_what_lost_its_traffic_by_hand(way: Way) -> None:
    way.locks = True
    way.merge("a")
    way.staging.platform.foreign_write(split=Split.between(STABLE, None, 0))
    assert way.merge("b") is Outcome.PROMOTED


def test_a_rollout_under_way_in_staging_is_waited_for(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(HOUR)
    engine = way.staging.engine()
    way.staging.start(wish("b"), engine)
    while way.staging.rollout.stage.percent < 5:
        way.clock.sleep(max(engine.tick().at - way.clock.now(), timedelta(seconds=1)))
    said, at = not_yet(way.ship)
    assert said.what == "production: not yet: b is still being rolled out in staging"
    assert at == way.clock.now() + SOAK
    not_yet(lambda: way.before().admission("prd/chat@sha256:b"))
    assert "nothing of staging may be rolled out here" in refused(
        lambda: way.before().admission("x@sha256:a")
    )


def test_what_failed_in_staging_after_its_promotion_is_not_shipped(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(30 * HOUR)
    restore(way.staging.platform, way.clock, REF, Cause("1011", "ada", by_hand=True))
    assert "a was sent back after its promotion" in refused(way.ship)
    assert way.production.live.record_text is None


def test_production_is_never_taken_back(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    hotfix = replace(wish("fix"), image="prd/chat@sha256:fix")
    override = Admission("without a soak: 1011 at night", "ada")
    assert way.production.roll(hotfix, admit=lambda: override) is Outcome.PROMOTED  # type: ignore[arg-type]
    assert way.production.rollout.admission == override
    assert way.next_image() == "prd/chat@sha256:fix", "a is older: what production has is the answer"
    way.merge("fix")
    way.clock.sleep(HOUR)
    way.merge("b")
    way.clock.sleep(SOAK)
    assert way.ship() is Outcome.PROMOTED
    assert way.has == "b"


def test_what_production_sent_back_is_not_tried_again_by_the_clock(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    way.production.prober.failing.add("http://candidate")
    assert way.ship() is Outcome.STOPPED_AT_ZERO
    writes = len(way.production.platform.writes)
    assert way.ship() is Outcome.STOPPED_AT_ZERO
    assert len(way.production.platform.writes) == writes
    way.merge("b")
    not_yet(way.ship)


def test_what_is_under_way_in_production_is_gone_on_with_whatever_staging_says(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    image = way.next_image()
    way.production.start(replace(wish("a"), image=image))
    way.merge("b")
    way.staging.platform.live = None
    assert way.next_image() == image
    assert way.production.roll(replace(wish("a"), image=image)) is Outcome.PROMOTED


def forged(live: LiveService, **changes: object) -> LiveService:
    """With other words in the record's last promotion."""
    body = json.loads(live.annotations[RECORD_ANNOTATION])
    body["promoted"][-1] |= changes
    return replace(live, annotations={**live.annotations, RECORD_ANNOTATION: json.dumps(body)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"digest": "sha256:evil"}, "a runs sha256:a, its record says sha256:evil"),
        ({"uid": "u-0"}, "its record says u-0: it was made again"),
        ({"config": "looser"}, "a soaked with another spillway.yaml: looser, yours is c"),
        ({"at": "2025-12-01T00:00:00Z"}, "its record says promoted at 2025-12-01 00:00:00 UTC"),
        ({"revision": STABLE}, f"{STABLE} has uid"),
        ({"failed": "2026-01-01T13:00:00Z"}, "a was sent back after its promotion"),
        ({"at": "2026-01-01T12:00:10Z", "left": "2026-01-01T13:00:00Z"}, "a soaked 59m50s of 1d"),
    ],
    ids=["digest", "uid", "criteria", "soak", "revision", "failed", "cut short"],
)
def test_a_record_that_disagrees_with_the_revision_ships_nothing(
    way: Way, changes: dict[str, object], words: str
) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    way.staging.platform.live = forged(way.staging.live, **changes)
    assert words in refused(way.ship)
    if "digest" not in changes:
        assert words in refused(lambda: way.before().admission("prd/chat@sha256:a"))


def test_another_spillway_yaml_than_the_one_it_soaked_with_ships_nothing(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    assert "a soaked with another spillway.yaml: c, yours is d" in refused(lambda: way.next_image("d"))


def test_traffic_that_left_it_by_hand_is_seen(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    way.staging.platform.foreign_write(split=Split.between(STABLE, "a", 50))
    said = refused(way.ship)
    assert f"a has all traffic by its record, and traffic is {STABLE} 50%, a 50%" in said


def test_an_image_that_staging_never_had_is_refused(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    said = refused(lambda: way.before().admission("prd/chat@sha256:other"))
    assert "it was never promoted there" in said
    assert "--image prd/chat@sha256:other --override-soak --reason TEXT" in said


def test_staging_without_a_service_or_a_record_is_refused(way: Way) -> None:
    assert "it carries no rollout record" in refused(way.ship)
    way.staging.platform.live = None
    assert "there is no such service" in refused(way.ship)
    way.staging.platform.with_stable(STABLE)
    way.staging.platform.live = replace(way.staging.live, annotations={RECORD_ANNOTATION: "{"})
    with pytest.raises(SpillwayError, match="cannot be read"):
        way.ship()


def test_a_supersede_that_is_not_let_in_touches_nothing(way: Way) -> None:
    way.merge("a")
    way.clock.sleep(SOAK)
    way.production.start(replace(wish("a"), image="prd/chat@sha256:a"))
    before = way.production.live

    def admit() -> Admission:
        return way.before().admission("prd/chat@sha256:other")

    with pytest.raises(PlanRefused, match="nothing of staging"):
        way.production.start(wish("other"), supersede=True, admit=admit)  # type: ignore[arg-type]
    assert way.production.live == before
