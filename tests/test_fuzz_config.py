"""A configuration, whatever stands in it: values, or a complaint that names its place in our words."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline import units
from pipeline.config import schema, yamltree
from pipeline.errors import ConfigError
from tests.fuzzing import NUMBERS, ODD, VALUES, WITHIN, draws, replaced, spliced
from tests.test_config import GOOD

pytestmark = WITHIN

YAML_PIECES = st.sampled_from([
    *"[]{}:,-?|>&*!%@`'\"#\n\t ", "&a ", "*a", "<<: ", "!!python/object:os.system ", "? ", "- ", "---\n", "...\n", ": ", "\n  ", "0x1", "1:30",
    "062", "yes", "1e400s", "99999999999999h", ".nan", "null", "~", "{}", "[]", "repeats: 1", "match: {a: 1}", "env: {A: 1}", "-5m", "150%",
    "1 in 0", "\u2028", "\ufeff", "\x85", "\x00", "checks: {additive: {base: x}}\n", "container: {timeout: 0s}\n", "=",
]) | ODD  # fmt: skip
THEIRS = re.compile(
    r"Input should|Value error|ValidationError|pydantic|Traceback|\\w\+|\[type=|<class|object at 0x"
)


def read_config(text: str) -> None:
    made = config_or_complaint(text)
    if isinstance(made, ConfigError):
        assert re.match(r"spillway\.yaml:\d+:\d+: ", made.what)
        assert not THEIRS.search(str(made))
        assert len(str(made)) < 6_000
        return
    assert made.fingerprint()
    assert made.terms().stages[-1].percent == 100
    assert made.build_scenarios()


def config_or_complaint(text: str) -> schema.Config | ConfigError:
    try:
        return schema.parse(text)
    except ConfigError as error:
        return error


@draws(4_000)
@given(spliced(GOOD, YAML_PIECES))
def test_a_configuration_with_a_slip(text: str) -> None:
    read_config(text)


@draws(1_500)
@given(st.lists(YAML_PIECES, max_size=30).map("".join))
def test_what_is_hardly_a_configuration(text: str) -> None:
    read_config(text)


@draws(1_000)
@given(replaced(yamltree.parse(GOOD, "f").value, VALUES))
def test_a_configuration_with_a_value_of_another_kind(tree: Any) -> None:
    with suppress(UnicodeEncodeError):
        read_config(json.dumps(tree, ensure_ascii=False).encode().decode())


@draws(1_500)
@given(ODD | NUMBERS | st.from_regex(r"[0-9.,_]{0,9}(ms|s|m|h|d|%| in )?[0-9_,]{0,9}", fullmatch=True))
def test_quantities(value: object) -> None:
    for parse in (units.parse_duration, units.parse_rate, units.parse_odds):
        with suppress(ValueError):
            made = parse(value)
            assert (timedelta(0) <= made <= units.LONGEST) if isinstance(made, timedelta) else 0 <= made <= 1
