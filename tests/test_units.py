"""Durations, rates and odds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.units import format_duration, format_rate, parse_duration, parse_odds, parse_rate


@given(st.integers(min_value=0, max_value=10**10))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    "text",
    [
        "5",
        5,
        5.0,
        True,
        None,
        "5 m",
        "m5",
        "-5m",
        "",
        "5m!",
        "1e3s",
        "1e400s",
        "\u0663s",
        "1" * 5000 + "s",
        "nan",
        "infs",
        {},
    ],
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["99999999999999h", "367d", "366d1ms", "999999999999999d" * 3])
def test_a_duration_has_an_end(text: str) -> None:
    with pytest.raises(ValueError, match="is too long: a duration is at most 366d"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "rate"), [("0.1%", 0.001), ("5 %", 0.05), ("100%", 1.0), ("0%", 0.0)])
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == pytest.approx(rate)
    assert parse_rate(format_rate(rate)) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text", ["101%", "0.1", 0.1, "%", None, "nan%", "inf%", "1e2%", "-1%", "\u0663%", "9" * 5000 + "%", True]
)
def test_what_is_no_rate(text: object) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    "text",
    [
        "1 in 1",
        "0 in 5",
        "1/1000",
        0.001,
        "1 in 0",
        "0 in 0",
        "1 in ,",
        "1 in " + "9" * 5000,
        "9" * 5000 + " in 1",
        "3 in 5",
    ],
)
def test_what_are_no_odds(text: object) -> None:
    with pytest.raises(ValueError, match="is not a bound"):
        parse_odds(text)
    assert parse_odds("1 in 1,000") == 0.001
