"""The chart of a report as numbers: the staircase of shares, and under it on the same axis the rate of abnormal closes.  PURE.

The template draws it; here is only where things lie, in units of the SVG's view box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.report.facts import Share
from pipeline.report.timeline import Closes

WIDTH, HEIGHT = 880, 300
LEFT, RIGHT, TOP = 52, 16, 18
FLOOR = 188  # of the staircase
BAR_TOP, BAR_FLOOR = 214, 268
_STEPS = [timedelta(seconds=s) for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)]
_STEPS += [timedelta(hours=h) for h in (1, 2, 4, 6, 12, 24, 48, 96, 168)]
_TICKS = 7
_TOPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the axis of rates
_STEP_OF_TOP = {10: 2, 25: 5, 50: 10, 100: 25}  # of the axis of shares: small shares shall be seen


class Tick(Struct, frozen=True):
    at: float
    label: str


class Bar(Struct, frozen=True):
    """One bucket of closes, as high as their abnormal share. ``role`` is "candidate" or "stable"; ``words`` is its tool tip."""

    x: float
    y: float
    width: float
    height: float
    role: str
    words: str


class Mark(Struct, frozen=True):
    """Something that happened at one moment, drawn as a line with a name."""

    x: float
    label: str
    anchor: str


class Chart(Struct, frozen=True):
    """``line`` and ``area`` are SVG path data; ``most`` is the rate at the top of the bars' axis, 0 to 1."""

    line: str
    area: str
    times: tuple[Tick, ...]
    percents: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    most: float


def draw(
    shares: Sequence[Share],
    closes: Sequence[Closes],
    candidate: str,
    marks: Sequence[tuple[datetime, str]] = (),
) -> Chart | None:
    """The chart; None when nothing has a length in time.

    Args:
        marks: moments to name, those outside the axis are left out.
    """
    if len(shares) < 2 or shares[-1].at <= shares[0].at:
        return None
    start, length = shares[0].at, shares[-1].at - shares[0].at

    def x(at: datetime) -> float:
        share = min(1.0, max(0.0, (at - start) / length))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    # The axis ends at the next round share, so that the 5 % of a canary do not lie flat on the floor of 100 %.
    top = next(t for t in _STEP_OF_TOP if t >= max(s.percent for s in shares))

    def y(percent: int) -> float:
        return round(FLOOR - (FLOOR - TOP) * percent / top, 1)

    line = f"M{x(start)} {y(shares[0].percent)}" + "".join(f"H{x(s.at)}V{y(s.percent)}" for s in shares[1:])
    highest = max((c.abnormal / c.ended for c in closes if c.ended), default=0.0)
    most = next(top for top in _TOPS if top >= highest)
    return Chart(
        line=line,
        area=f"{line}V{FLOOR}H{LEFT}Z",
        times=_times(length, lambda offset: x(start + offset)),
        percents=tuple(Tick(y(p), f"{p} %") for p in range(0, top + 1, _STEP_OF_TOP[top])),
        bars=tuple(_bar(c, x(c.start), x(c.end), most, is_candidate=c.revision == candidate) for c in closes if c.abnormal),
        marks=tuple(
            Mark(x(at), label, "end" if at - start > length * 0.6 else "start")
            for at, label in marks
            if start <= at <= start + length
        ),
        most=most,
    )  # fmt: skip


def _bar(closes: Closes, left: float, right: float, most: float, *, is_candidate: bool) -> Bar:
    """Candidate and stable side by side in their bucket."""
    half = max(1.5, (right - left) / 2 - 0.5)
    rate = closes.abnormal / closes.ended
    height = max(2.0, (BAR_FLOOR - BAR_TOP) * rate / most)
    return Bar(
        x=round(left if is_candidate else left + half, 1),
        y=round(BAR_FLOOR - height, 1),
        width=round(half, 1),
        height=round(height, 1),
        role="candidate" if is_candidate else "stable",
        words=f"{closes.revision}: {closes.abnormal} of {closes.ended} closes abnormal ({100 * rate:.3g}%) at "
        f"{closes.start:%H:%M:%S}",
    )


def _times(length: timedelta, x: Callable[[timedelta], float]) -> tuple[Tick, ...]:
    step = next((s for s in _STEPS if length / s <= _TICKS), length / _TICKS)
    return tuple(Tick(x(step * n), offset(step * n)) for n in range(int(length / step) + 1))


def offset(duration: timedelta) -> str:
    """``0``, ``90s`` as ``1:30``, ``2h``: time since the start, short."""
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02d}"
    is_whole = not minutes % 60 and not seconds
    return f"{minutes // 60} h" if is_whole else f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
