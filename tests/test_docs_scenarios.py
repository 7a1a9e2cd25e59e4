"""The examples of ``docs/scenarios.md`` are held with a service that says what each of them expects."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.probe.conversation import Kind
from pipeline.probe.effects import Dial, HangUp
from pipeline.probe.machine import Machine
from pipeline.probe.matching import TESTS, Expectation, Predicate
from pipeline.probe.steps import Close, Expect
from pipeline.probe.templates import Reference, Scope
from pipeline.probe.verdict import Closing, judge_conversation
from tests.conversations import scenario
from tests.fakes import START

PAGE = (Path(__file__).parent.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SAMPLES = ("Yes", 1, True, 0.5, [], {}, None, "small", {"ok": True})


def obliging(event: Expectation, scope: Scope) -> dict[str, object]:
    """A message that is this event."""
    message: dict[str, object] = {}
    fields = {**dict.fromkeys(event.save.values(), "saved"), **scope.rendered(event.match)}
    for path, wanted in fields.items():
        *above, last = path.split(".")
        place = message
        for key in above:
            place = place.setdefault(key, {})  # type: ignore[assignment]
        place[last] = sample(wanted) if isinstance(wanted, Predicate) else wanted
    return message


def sample(wanted: Predicate) -> object:
    passes = (
        value
        for value in SAMPLES
        if all(TESTS[name](value, operand) for name, operand in wanted.tests.items())
    )
    return next(passes)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_is_held_to_its_good_end(text: str) -> None:
    wanted = scenario(text)
    secrets = {Reference("env", "WS_TOKEN"): "a-token", Reference("file", "secrets/ws-key"): "a-key"}
    brought: dict[str, object] = {name: "brought" for step in wanted.http for name in step.save}
    scope = Scope(lambda: "u", lambda: START, secrets, brought)
    machine, now = Machine(wanted, scope, 0.0), 0.0
    steps = iter(step for step in (*wanted.steps, wanted.close) if isinstance(step, Expect | Close))
    while machine.ending is None:
        while machine.effects:
            match machine.effects.pop(0):
                case Dial(socket, _):
                    machine.opened(socket, now)
                case HangUp(socket, code):
                    assert isinstance(next(steps), Close)
                    machine.closed(socket, Closing(code, by_server=False), now)
        waited = machine.progress
        if machine.ending is None and not waited.is_complete:
            step = next(steps)
            assert isinstance(step, Expect)
            while (
                machine.progress is not None
                and machine.progress.open
                and machine.progress.wanted == waited.wanted
            ):
                machine.message(
                    step.socket, obliging(machine.progress.wanted[machine.progress.open[0]][1], scope), now
                )
        elif machine.ending is None and not machine.effects:
            if wanted.close.by == "server":
                machine.closed("main", Closing(wanted.close.code, wanted.close.reason), now)
            else:
                now = machine.deadline
                machine.passed(now)
    seen = judge_conversation(wanted, machine.seen, machine.ending, seconds=now)
    assert (seen.kind, seen.detail) == (Kind.OK, "")


def test_the_page_names_every_outcome_test_and_way_to_fill_in() -> None:
    for name in (
        *TESTS,
        *(
            kind.value
            for kind in Kind
            if kind not in (Kind.OK, Kind.REFUSED, Kind.UNREACHABLE, Kind.HTTP_MISMATCH)
        ),
    ):
        assert f"`{name}`" in PAGE, name
    assert len(EXAMPLES) == 5
