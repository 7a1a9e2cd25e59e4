"""YAML that is too much, or that two versions of YAML read differently, is refused before it costs anything."""

from __future__ import annotations

import pytest

from pipeline.config import yamltree
from pipeline.errors import ConfigError

FLAT = "a:\n" + "- x\n" * 60_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(FLAT, "at most 20,000 keys and values", id="a flat list"),
        pytest.param("a: [" + "x," * 100_000 + "]", "at most 20,000 keys", id="a flow list"),
        pytest.param("\n".join(f"k{i}: v" for i in range(20_000)), "at most 20,000 keys", id="a flat mapping"),
        pytest.param("a: " + "x" * 300_000, "at most 262,144", id="one long text"),
        pytest.param("# " + "x" * 300_000, "at most 262,144", id="one long comment"),
        pytest.param("a: " + "[" * 3_000 + "]" * 3_000, "at most 40 levels", id="flow nesting"),
        pytest.param("a: " + "{a: " * 3_000, "at most 40 levels", id="mappings that never end"),
        pytest.param("".join(f"{' ' * i}a:\n" for i in range(500)), "at most 40 levels", id="block nesting"),
        pytest.param("a: " + "- " * 500 + "x", "", id="compact nesting"),
        pytest.param("a: &a [x]\nb: [" + "*a, " * 1_000 + "]", "at most 200 are followed", id="aliases"),
        pytest.param("a: &a [*a]", "too large once its aliases are followed, or nested too deep", id="itself"),
        pytest.param("a: &a {<<: *a}", "a key must be plain text", id="merge of itself"),
        pytest.param("a: &x [" + "1," * 1_000 + "]\nb: &y [" + "*x," * 19 + "]\nc: [" + "*y," * 19 + "]",
                     "too large once its aliases are followed", id="an alias tree"),
        pytest.param("? " * 3_000, "", id="complex keys"),
        pytest.param("'" + "\\" * 100_000, "not valid YAML", id="a quote that never ends"),
        pytest.param("&a " * 5_000, "not valid YAML", id="anchors"),
        pytest.param("a: !!binary aGk=", "plain values alone", id="binary"),
        pytest.param("a: !x y", "plain values alone", id="a tag of one's own"),
        pytest.param("a: b\n---\nc: d", "not valid YAML", id="two documents"),
        pytest.param("a: \x01", "not valid YAML", id="a control character"),
        pytest.param("%YAML 9.9\n---\na: b", "not valid YAML", id="a version to come"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        yamltree.parse(text, "spillway.yaml")
    assert caught.value.what.startswith("spillway.yaml:")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("spelling", "why"),
    [
        ("062", "octal in YAML 1.1"), ("-017", "octal"), ("00", "octal"), ("089", "number to YAML 1.2"), ("-.5", "number to YAML 1.2"), ("1:30", "base 60"), ("12:30:45", "base 60"),
        ("1:30.5", "base 60"), ("0x10", "base 16 or 2"), ("0b101", "base 16 or 2"), ("1_000", "a number to YAML 1.1"),
        ("1_000.5", "a number to YAML 1.1"), ("1e3", "text to YAML 1.1 and a number to YAML 1.2"), ("0o17", "number to YAML 1.2"),
        (".inf", "cannot be kept"), ("-.Inf", "cannot be kept"), (".nan", "cannot be kept"), ("1.0e+999", "cannot be kept"),
        ("9" * 30, "cannot be kept"), ("9" * 5_000, "more digits"), ("=", "meaning of its own"),
    ],
)  # fmt: skip
def test_a_number_that_can_be_read_in_two_ways_is_refused_with_the_reason(spelling: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        yamltree.parse(f"x: 1\na: {{b: {spelling}}}", "spillway.yaml")
    error = caught.value
    assert error.what.startswith("spillway.yaml:2:5: b: ")
    assert why in error.what
    assert error.fix.startswith(f'Write "{spelling[:40]}')
    assert yamltree.parse(f'a: "{spelling}"', "f").value == {"a": spelling}


def test_such_a_number_is_not_repeated_where_it_is_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        yamltree.parse("env: {API_TOKEN: 0123456701234567}", "spillway.yaml")
    assert "0123456701234567" not in str(caught.value)
    assert "API_TOKEN" in str(caught.value)


def test_plain_values_are_read_as_both_versions_read_them() -> None:
    text = "[0, 7, -3, +4, 1.5, .5, 2., 1.5e+3, true, False, null, ~, 2026-11-27, 1.2.3, a:b, '062', \"0x10\", 12m30s]"
    assert yamltree.parse(text, "f").value == [
        0, 7, -3, 4, 1.5, 0.5, 2.0, 1500.0, True, False, None, None, "2026-11-27", "1.2.3", "a:b", "062", "0x10", "12m30s",
    ]  # fmt: skip


def test_switches_tell_how_they_were_spelt() -> None:
    read = yamltree.parse("a: yes\nb: [Off, true]\non: no", "f")
    assert read.value == {"a": True, "b": [False, True], "on": False}
    assert read.words == {("a",): "yes", ("b", 0): "Off", ("on",): "no"}


def test_a_fault_at_the_end_is_placed_in_the_text() -> None:
    with pytest.raises(ConfigError, match=r"spillway\.yaml:2:5: not valid YAML"):
        yamltree.parse("a:\n  [x\n\n\n", "spillway.yaml")
