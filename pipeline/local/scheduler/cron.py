"""When a unix-cron schedule comes next.  PURE.

Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday). Each is ``*``, a number, a range, a
list of these, and with ``/N`` every so many of it; months and days have names too. A day counts when its month does and,
where both days are restricted, when either is.
Source: crontab(5), which Cloud Scheduler refers to.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_DAYS = 8 * 366 + 1  # from one 29th of February to the next at most


class _Field(Struct, frozen=True):
    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        """Raises ValueError."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, part: str) -> range:
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = self.least, self.most
        else:
            low = self._number(first)
            high = self._number(last) if dash else self.most if slash else low
        each = self._plain(step) if slash else 1
        if low > high or each < 1:
            raise ValueError(f"{self.name}: '{part}' is empty")
        return range(low, high + 1, each)

    def _number(self, text: str) -> int:
        if text.lower() in self.words:
            return self.least + self.words.index(text.lower())
        number = self._plain(text)
        if not self.least <= number <= self.most:
            raise ValueError(f"{self.name}: {number} is not between {self.least} and {self.most}")
        return number

    def _plain(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 4):
            raise ValueError(f"{self.name}: '{text}' is no number")
        return int(text)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _DAYS),
)


class Schedule(Struct, frozen=True):
    """Made by ``parsed``. ``weekdays`` are 0 to 6 from Sunday; ``either``: both days are restricted, and one is enough."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """The next time after it, in UTC; None for one that no calendar has. A local time that is left out is passed over."""
        local = moment.astimezone(self.zone)
        days = (local.date() + timedelta(days=offset) for offset in range(_LONGEST_DAYS))
        return next((at for day in days if self._has(day) for at in self._times(day) if at > moment), None)

    def _has(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        return day.month in self.months and (in_month or in_week if self.either else in_month and in_week)

    def _times(self, day: date) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime.combine(day, time(hour, minute), self.zone)
                found = local.astimezone(UTC)
                if found.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                    yield found


def parsed(text: str, zone: str) -> Schedule:
    """Raises ValueError with what is wrong."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"'{text}' has {len(parts)} fields, not {len(_FIELDS)}")
    minutes, hours, days, months, weekdays = (f.values(part) for f, part in zip(_FIELDS, parts, strict=True))
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    return Schedule(
        tuple(sorted(minutes)), tuple(sorted(hours)), days, months, frozenset(day % 7 for day in weekdays), either,
        _zone(zone),
    )  # fmt: skip


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is no time zone") from error
