"""What is shown to people: no text of a service's is a command, markup or an escape."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.redact import SINK
from pipeline.report import render
from tests.fuzzing import WITHIN, draws
from tests.test_render import hostile_report, page, shape

pytestmark = WITHIN

SPECIAL = st.lists(
    st.sampled_from([*"<>&\"'`*_[]()#|~!\\\n\r\t:$@^-=", "::", "##[", "\x1b[", "\x9b", "</td>", "<!--", "]]>", "{{", "%}", "http://", "www.", "a"])
    | st.characters(exclude_categories=()),
    max_size=25,
).map("".join)  # fmt: skip
CALM = hostile_report("calm")
CALM_SHAPE, CALM_PAGE = shape(render.markdown(CALM)), page(CALM)


@draws(1_100)
@given(SPECIAL)
def test_one_value_in_markdown(text: str) -> None:
    made = f"before {render._finalize_markdown(text)} after"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|(?m:^\s*::)|##\[", made)
    assert {kind for kind, _ in shape(made)} <= {
        "paragraph_open",
        "inline",
        "paragraph_close",
        "text",
        "text_special",
    }


@draws(2_000)
@given(SPECIAL)
def test_lines_for_people(text: str) -> None:
    for shown in SINK.lines(text).split("\n"):
        assert shown.isprintable()
        assert not re.match(r"\s*::", shown)
        assert "##[" not in shown


@draws(150)
@given(SPECIAL)
def test_a_whole_report(text: str) -> None:
    made = hostile_report(f"a{text}z")
    assert shape(render.markdown(made)) == CALM_SHAPE
    built = page(made)
    assert (built.tags, [name for name, _ in built.attributes]) == (
        CALM_PAGE.tags,
        [name for name, _ in CALM_PAGE.attributes],
    )
    assert not built.open
