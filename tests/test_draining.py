"""Sockets on a revision that lost its traffic: who is asked, when, and for how long that stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.rollout import Phase
from pipeline.driving.restore import Cause, restore
from pipeline.events import Said
from pipeline.judging.terms import Drain
from pipeline.model import DRAIN_ANNOTATION, LiveService, Outcome, Split
from pipeline.telemetry.order import Order, order_in
from tests.fakes import REF
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages

SECOND = timedelta(seconds=1)
WITHIN = timedelta(minutes=7)
BY_HAND = Cause("felt wrong", "ada", by_hand=True)
ASK = {"drain": Drain.ASK, "drain_max": WITHIN}


def order(live: LiveService) -> Order | None:
    text = live.annotations.get(DRAIN_ANNOTATION)
    return order_in(text) if text else None


def watched(scene: Scene) -> list[tuple[Order, dict[str, int]]]:
    """Every order as it is written, and what was served at that moment."""
    found: list[tuple[Order, dict[str, int]]] = []

    def note(_before: LiveService, _etag: str, annotations: object, _split: Split | None) -> None:
        if made := order(replace(scene.live, annotations=annotations)):  # type: ignore[arg-type]
            found.append((made, dict(scene.platform.served().serving)))

    scene.platform.on_write = note
    return found


def test_a_candidate_that_was_sent_back_is_asked_once_traffic_was_read_back() -> None:
    scene = Scene()
    scene.platform.lag = 3 * SECOND
    scene.users.failing = {CANDIDATE: 0.5}
    orders = watched(scene)
    assert scene.roll(a_wish(stages=stages(0, 50, 100), **ASK)) is Outcome.ROLLED_BACK
    (only,) = orders
    assert only == (Order(CANDIDATE, scene.rollout.history[-1].at, WITHIN), {STABLE: 100})
    assert order(scene.live) == only[0]


def test_a_roll_back_by_hand_asks_by_the_record_alone() -> None:
    scene = Scene()
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), **ASK))
    orders = watched(scene)
    done = restore(scene.platform, scene.clock, REF, BY_HAND)
    assert done.verified
    assert [(each.revision, served) for each, served in orders] == [(CANDIDATE, {STABLE: 100})]


@pytest.mark.parametrize("terms", [{}, {"drain": Drain.KEEP}, {"drain": Drain.DELETE}], ids=str)
def test_nobody_is_asked_unless_that_was_wished(terms: dict[str, Drain]) -> None:
    scene = Scene()
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), **terms))
    restore(scene.platform, scene.clock, REF, BY_HAND)
    assert scene.rollout.phase is Phase.ROLLED_BACK
    assert order(scene.live) is None


def test_a_candidate_that_never_had_a_user_is_left_to_be_looked_at() -> None:
    scene = Scene()
    scene.prober.failing = {"http://candidate"}
    assert scene.roll(a_wish(stages=stages(0, 50, 100), **ASK)) is Outcome.STOPPED_AT_ZERO
    assert order(scene.live) is None


def test_the_next_attempt_withdraws_the_order_with_its_first_write_and_that_is_nobodys_doing() -> None:
    """The same revision gets traffic again, within the ten minutes in which its instances would carry it out."""
    scene = Scene()
    scene.users.failing = {CANDIDATE: 0.5}
    wish = a_wish(stages=stages(0, 50, 100), **ASK)
    assert scene.roll(wish) is Outcome.ROLLED_BACK
    assert order(scene.live)
    scene.users.failing = {}
    scene.clock.sleep(SECOND)
    orders = watched(scene)
    assert scene.roll(wish, retry=True) is Outcome.PROMOTED
    assert orders == []
    assert not [
        event for event in scene.told if isinstance(event, Said) and event.kind in ("side_effect", "paused")
    ]


def test_an_unasked_stable_revision_keeps_its_sockets_after_a_promotion() -> None:
    scene = Scene()
    assert scene.roll(a_wish(stages=stages(0, 50, 100), **ASK)) is Outcome.PROMOTED
    assert order(scene.live) is None


def test_an_old_stable_revision_is_asked_if_that_was_wished_and_no_more_once_it_is_gone_back_to() -> None:
    scene = Scene()
    scene.platform.lag = 3 * SECOND
    wish = a_wish(stages=stages(0, 50, 100), drain_promoted=Drain.ASK, drain_max=WITHIN)
    orders = watched(scene)
    assert scene.roll(wish) is Outcome.PROMOTED
    assert [(each.revision, served) for each, served in orders] == [(STABLE, {CANDIDATE: 100})]
    orders.clear()
    restore(scene.platform, scene.clock, REF, BY_HAND)
    assert orders == []
    assert order(scene.live) is None
    assert scene.rollout.phase is Phase.ROLLED_BACK


def test_what_was_decided_is_in_the_record_and_older_readers_pass_over_it() -> None:
    scene = Scene()
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), **ASK))
    restore(scene.platform, scene.clock, REF, BY_HAND)
    draining = scene.rollout.draining
    assert draining is not None
    assert (draining.how, draining.revision) == (Drain.ASK, CANDIDATE)
    assert record.decode(record.encode(scene.rollout)) == scene.rollout


def test_an_order_that_somebody_else_took_away_stops_nothing() -> None:
    """And the next write of ours makes it of the record again."""
    scene = Scene()
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), **ASK))
    restore(scene.platform, scene.clock, REF, BY_HAND)
    given = order(scene.live)
    annotations = {key: text for key, text in scene.live.annotations.items() if key != DRAIN_ANNOTATION}
    scene.platform.foreign_write(annotations=annotations)
    assert record.annotated(scene.live, scene.rollout)[DRAIN_ANNOTATION] == given.encode()  # type: ignore[union-attr]


def test_a_revision_that_an_operator_goes_back_to_is_not_asked_any_more() -> None:
    """From the write on that gives it the traffic: it would close every socket that comes."""
    scene = Scene()
    wish = a_wish(stages=stages(0, 50, 100), drain_promoted=Drain.ASK, drain_max=timedelta(hours=1))
    assert scene.roll(wish) is Outcome.PROMOTED
    scene.start(a_wish("agent-chat-fix", fingerprint="g", stages=stages(0, 50, 100)))
    while not scene.live.wanted.percent_of("agent-chat-fix"):
        scene.clock.sleep(max(scene.driver.tick().at - scene.clock.now(), SECOND))
    given = order(scene.live)
    assert given
    assert (given.revision, given.within) == (STABLE, timedelta(hours=1)), "as it was agreed to"
    orders = watched(scene)
    assert restore(scene.platform, scene.clock, REF, BY_HAND, to=STABLE).verified
    assert orders == []


def test_an_order_goes_on_while_another_candidate_begins_and_rises() -> None:
    """A team that pushes a fix within the window wants the bad revision's sockets gone all the same."""
    scene = Scene()
    scene.users.failing = {CANDIDATE: 0.5}
    assert scene.roll(a_wish(stages=stages(0, 50, 100), **ASK)) is Outcome.ROLLED_BACK
    given = order(scene.live)
    assert given
    fix = a_wish("agent-chat-fix", fingerprint="g", stages=stages(0, 50, 100), **ASK)
    assert scene.roll(fix) is Outcome.PROMOTED
    assert order(scene.live) == given
