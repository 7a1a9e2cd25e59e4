"""Sockets on a revision without traffic: how many, until when at the most, and what is said of what is done about them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from pipeline.core.draining import Draining
from pipeline.core.rollout import Event, Phase, Rollout, Step
from pipeline.judging.exposure import Exposure
from pipeline.judging.terms import Drain
from pipeline.model import Readiness, Revision
from pipeline.report import document, render
from pipeline.report.left import left_on, words
from pipeline.view.panel import Seen
from tests.fakes import START
from tests.reports import CANDIDATE, MINUTE, STABLE, a_look, a_rollout, at, exposures, rolled_back
from tests.test_view import picture

HOUR = timedelta(hours=1)
THERE = [
    Revision(name, f"u-{name}", START, Readiness.READY, timeout=timeout)
    for name, timeout in ((CANDIDATE, HOUR), (STABLE, HOUR / 2))
]
BACK = at(371.9)  # when it was read back


def met(**changes: object) -> dict[str, Exposure]:
    found = exposures()
    return {**found, CANDIDATE: replace(found[CANDIDATE], **changes)}  # type: ignore[arg-type]


def promoted(**changes: object) -> Rollout:
    made = a_rollout(Phase.PROMOTED, 100, **changes)
    return replace(
        made, stage_index=4, reached=100, history=(*made.history, Step(at(400), Event.PROMOTED, 100))
    )


def ends(rollout: Rollout, name: str, found: dict[str, Exposure] | None) -> datetime | None:
    (one,) = [each for each in left_on(rollout, found, THERE) if each.revision == name]
    return one.ends


def asked(within: timedelta = 10 * MINUTE, revision: str = CANDIDATE) -> Rollout:
    back = rolled_back(draining=Draining(Drain.ASK, revision, BACK))
    return replace(
        back, plan=replace(back.plan, terms=replace(back.plan.terms, drain=Drain.ASK, drain_max=within))
    )


def test_the_last_socket_ends_with_the_request_timeout_of_the_youngest() -> None:
    assert ends(rolled_back(), CANDIDATE, met(newest_open_at=at(300))) == at(300) + HOUR


@pytest.mark.parametrize("found", [None, met(newest_open_at=None)], ids=["no logs", "no accept"])
def test_where_the_logs_do_not_say_it_the_moment_counts_from_which_on_nobody_came(
    found: dict[str, Exposure] | None,
) -> None:
    assert ends(rolled_back(), CANDIDATE, found) == BACK + HOUR


def test_it_is_over_where_none_is_open_and_never_where_somebody_may_come() -> None:
    assert ends(rolled_back(), CANDIDATE, met(open_sockets=0)) is None
    assert ends(rolled_back(), STABLE, met()) is None
    assert ends(a_rollout(), CANDIDATE, met()) is None
    assert ends(rolled_back(reached=0), CANDIDATE, met()) is None


def test_an_old_stable_revision_s_last_socket_ends_too() -> None:
    found = exposures()
    assert ends(promoted(), STABLE, found) == at(312) + HOUR / 2
    assert ends(promoted(), CANDIDATE, found) is None


def test_who_was_asked_is_gone_when_the_window_is() -> None:
    assert ends(asked(), CANDIDATE, met()) == BACK + 10 * MINUTE
    assert ends(asked(2 * HOUR), CANDIDATE, met()) == BACK + HOUR
    assert ends(asked(revision="another"), CANDIDATE, met()) == BACK + HOUR


def test_a_revision_that_is_deleted_takes_ten_seconds_more() -> None:
    gone = Draining(Drain.DELETE, CANDIDATE, BACK, ended=at(400))
    assert ends(rolled_back(draining=gone), CANDIDATE, None) == at(410)
    kept = replace(gone, note="somebody's tag 'x' is on it")
    assert ends(rolled_back(draining=kept), CANDIDATE, None) == BACK + HOUR


@pytest.mark.parametrize(
    ("draining", "said"),
    [
        (None, ""),
        (
            Draining(Drain.ASK, CANDIDATE, BACK),
            f"the instances of {CANDIDATE} are asked to close its sockets by 12:16:11 UTC; 12 sockets closed with 1012, 3 runs cut",
        ),
        (Draining(Drain.DELETE, CANDIDATE, BACK), f"{CANDIDATE} is to be deleted; 12 sockets closed with 1012, 3 runs cut"),
        (Draining(Drain.DELETE, CANDIDATE, BACK, ended=at(400), note="forbidden"), f"{CANDIDATE} was not deleted: forbidden"),
        (
            Draining(Drain.DELETE, CANDIDATE, BACK, put_back="agent-chat-new", ended=at(400)),
            f"{CANDIDATE} was deleted at 12:06:40 UTC, agent-chat-new took its place as the latest revision; 12 sockets closed with 1012, 3 runs cut",
        ),
    ],
)  # fmt: skip
def test_what_is_done_about_them_is_said_with_what_came_of_it(draining: Draining | None, said: str) -> None:
    assert words(rolled_back(draining=draining), met(closes={"restart_1012": 12}, cut=3)) == said


def test_without_logs_nothing_is_said_of_what_came_of_it() -> None:
    assert (
        words(asked(), None) == f"the instances of {CANDIDATE} are asked to close its sockets by 12:16:11 UTC"
    )


def test_view_and_report_say_it() -> None:
    found, rollout = met(newest_open_at=at(300), closes={"restart_1012": 12}, cut=3), asked()
    drawn = " ".join(picture(a_look(rollout), Seen(found), 110).split())
    assert "candidate 37 (last ends at about 12:10)" in drawn
    assert "are asked to close its sockets by 12:16:11 UTC; 12 sockets closed with 1012, 3 runs cut" in drawn
    made = document.build(rollout, [], found, at(400), revisions=THERE)
    assert made.draining == words(rollout, found)
    for text in (render.markdown(made), render.html(made)):
        assert "3 runs cut" in text
        assert "the last ends at about" in text
