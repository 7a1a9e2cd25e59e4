"""Where the chart puts things, and which closes are counted when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.judging.reading import Arm
from pipeline.model import LogLine
from pipeline.report import chart, timeline
from pipeline.report.facts import Share
from pipeline.report.timeline import Closes
from tests.reports import CANDIDATE, STABLE, a_report, at


def test_the_line_is_a_staircase_from_edge_to_edge() -> None:
    drawn = chart.draw((Share(at(0), 0, ""), Share(at(50), 100, ""), Share(at(100), 100, "")), (), CANDIDATE)
    assert drawn is not None
    middle = chart.LEFT + (chart.WIDTH - chart.LEFT - chart.RIGHT) / 2
    right = chart.WIDTH - chart.RIGHT
    top, floor = float(chart.TOP), float(chart.FLOOR)
    assert drawn.line == f"M{float(chart.LEFT)} {floor}H{middle}V{top}H{float(right)}V{top}"


@pytest.mark.parametrize("shares", [(), (Share(at(0), 0, ""),), (Share(at(0), 0, ""), Share(at(0), 5, ""))])
def test_no_time_is_no_chart(shares: tuple[Share, ...]) -> None:
    assert chart.draw(shares, (), CANDIDATE) is None


def test_everything_lies_inside() -> None:
    made = a_report()
    drawn = chart.draw(
        made.shares, made.closes, CANDIDATE, [(at(10), "in"), (at(9999), "after"), (at(-1), "before")]
    )
    assert drawn is not None
    assert [mark.label for mark in drawn.marks] == ["in"]
    for bar in drawn.bars:
        assert chart.LEFT <= bar.x <= chart.WIDTH
        assert chart.BAR_TOP <= bar.y < bar.y + bar.height <= chart.BAR_FLOOR + 0.1
    assert all(chart.LEFT <= tick.at <= chart.WIDTH - chart.RIGHT for tick in drawn.times)


def test_bars_are_as_high_as_the_share_of_closes_that_were_abnormal() -> None:
    """2 of 8 and 7 of 20 on the candidate: not 2 and 7."""
    made = a_report()
    drawn = chart.draw(made.shares, made.closes, CANDIDATE)
    assert drawn is not None
    assert drawn.most == 0.5
    heights = [bar.height for bar in drawn.bars]
    whole = chart.BAR_FLOOR - chart.BAR_TOP
    assert heights == pytest.approx([whole * 0.25 / 0.5, whole * 0.35 / 0.5], abs=0.1)
    assert [bar.words.partition(": ")[2].partition(" at")[0] for bar in drawn.bars] == [
        "2 of 8 closes abnormal (25%)", "7 of 20 closes abnormal (35%)",
    ]  # fmt: skip


@pytest.mark.parametrize("seconds", [0.5, 3, 7.5, 90, 372, 4000, 86_400, 200_000, 5_000_000])
def test_there_are_a_few_ticks_whatever_the_length(seconds: float) -> None:
    drawn = chart.draw((Share(at(0), 0, ""), Share(at(seconds), 5, "")), (), CANDIDATE)
    assert drawn is not None
    assert 1 <= len(drawn.times) <= 9
    assert len({tick.label for tick in drawn.times}) == len(drawn.times)


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(0), "0:00"),
        (timedelta(seconds=90), "1:30"),
        (timedelta(hours=2), "2 h"),
        (timedelta(minutes=90), "1:30:00"),
    ],
)
def test_an_offset(duration: timedelta, words: str) -> None:
    assert chart.offset(duration) == words


def session(seconds: float, revision: str, code: int, by: str = "server", opened: float = 0) -> list[LogLine]:
    shared = {"spillway": 1, "session": f"{seconds}", "nonce": "n"}
    close = {**shared, "event": "ws_close", "code": code, "closed_by": by, "at": at(seconds).timestamp()}
    accept = {**shared, "event": "ws_accept", "at": at(opened).timestamp()}
    return [
        LogLine(f"{seconds}a", at(opened), revision, payload=accept),
        LogLine(f"{seconds}c", at(seconds), revision, payload=close),
    ]


def test_closes_are_counted_in_their_bucket_and_by_who_broke_it() -> None:
    lines = [
        *session(1, CANDIDATE, 1011),
        *session(1.5, CANDIDATE, 1000, "client"),
        *session(99, CANDIDATE, 1006),
        *session(98, CANDIDATE, 1006, "lost"),
        *session(50, STABLE, 1012),
        session(60, STABLE, 1011)[1],  # accepted before anything that was read
        *session(100, STABLE, 1011),
        *session(700, STABLE, 1011),
    ]
    made = timeline.Timeline(at(0), at(100), buckets=10)
    for arm in (Arm(CANDIDATE, "n"), Arm(STABLE, "n")):
        made.add(lines, arm)
    assert made.closes == (
        Closes(STABLE, at(50), at(60), 1, 0),
        Closes(STABLE, at(100), at(110), 2, 2),  # and whatever is later
        Closes(CANDIDATE, at(0), at(10), 2, 1),
        Closes(CANDIDATE, at(90), at(100), 2, 1),
    )
