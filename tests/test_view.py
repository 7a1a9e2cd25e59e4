"""What a person sees: the picture at two widths, lines elsewhere, and nothing of a service let loose on a terminal."""

from __future__ import annotations

import io
import json
import re
import threading
from contextlib import redirect_stdout
from datetime import timedelta
from math import log
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text
from syrupy.assertion import SnapshotAssertion

from pipeline.core.rollout import Phase
from pipeline.events import (
    Listener,
    Look,
    Looked,
    Probed,
    RolledBack,
    RolloutEvent,
    Said,
    Shifted,
    Started,
    Wrote,
)
from pipeline.judging.counts import Counts
from pipeline.judging.exposure import STEP, Exposure
from pipeline.judging.judgement import Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.model import Readiness, Revision, Split, Target
from pipeline.output.writer import Mode, Output
from pipeline.redact import SINK
from pipeline.view.flow import flow
from pipeline.view.gate_lines import gates_in_words
from pipeline.view.keys import Keys
from pipeline.view.live import LineView, LiveView, Transitions, Watcher, choose_view
from pipeline.view.panel import Happening, Seen, bar, clock, render
from tests.fakes import START
from tests.reports import (
    CANDIDATE,
    STABLE,
    a_judgement,
    a_look,
    a_plan,
    a_probe,
    a_rollout,
    at,
    exposures,
    rolled_back,
)  # fmt: skip
from tests.rollouts import CANDIDATE as SCENE_CANDIDATE
from tests.rollouts import Scene, a_wish, stages

HELP = Keys().line

SEEN = Seen(exposures(), {CANDIDATE: 412, STABLE: 1297})
EVENTS = (Happening(at(9), "shifted  stage 1: 0% -> 5%"), Happening(at(312), "shifted  stage 2: 5% -> 25%"))


def picture(look: Look, seen: Seen | None = SEEN, width: int = 80, *, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, legacy_windows=False)
    console.print(render(look, EVENTS, seen, at(372), width))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 110, 140])
def test_a_rollout_under_way(snapshot: SnapshotAssertion, width: int) -> None:
    assert picture(a_look(), width=width) == snapshot


@pytest.mark.parametrize("width", [60, 80, 110, 140])
def test_a_roll_back_under_way(snapshot: SnapshotAssertion, width: int) -> None:
    rollout = a_rollout(
        Phase.ROLLING_BACK, 0, reason="server_error_1011: 9/31 failed against 0/412 on stable"
    )
    verdict = a_judgement(Verdict.FAIL, rollout.reason)
    assert (
        picture(a_look(rollout, stage_verdict=verdict, probe=a_probe(failing=True)), width=width) == snapshot
    )


def test_nothing_is_known_yet(snapshot: SnapshotAssertion) -> None:
    rollout = a_rollout(Phase.DEPLOYING, 0, stage_index=0, history=(), reached=0)
    look = a_look(rollout, candidate=None, probe=None, judge=JudgeState(), stage_verdict=a_judgement())
    assert picture(look, None) == snapshot


@pytest.mark.parametrize("width", [60, 80, 110])
@pytest.mark.parametrize("phase", Phase)
def test_no_figure_is_lost_on_a_narrow_terminal(phase: Phase, width: int) -> None:
    reason = "server_error_1011: 9/31 failed against 0/412 on stable; most often: closed by the server with 1011 (9)"
    drift = "traffic was set to agent-chat-0001 71%, agent-chat-0002 29% by somebody at 12:34:56 UTC"
    look = a_look(a_rollout(phase, reason=reason), drift=drift, probe=a_probe(failing=True))

    def figures(columns: int) -> list[str]:
        return sorted(re.findall(r"\d[\d,.:%]*\d|\d", picture(look, width=columns).replace("\n", " ")))

    assert figures(width) == figures(400)
    assert "\u2026" not in picture(look, width=width)


def test_image_instances_codes_and_the_runs_that_count_are_told() -> None:
    met = exposures()
    met[CANDIDATE] = replace(met[CANDIDATE], first_events={round(log(410, STEP)): 95, 1: 5})
    judged = JudgeState(total={"agent_completed": Counts(95, 1, 412, 0)})
    text = picture(a_look(judge=judged), Seen(met, {}, {CANDIDATE: 3, STABLE: 9}), 140)
    assert "3 inst" in text
    assert "9 inst  rollback target" in text
    assert "image chat@0a1b" in text
    assert "431 runs, 95 independent" in text
    assert "closes: normal 366, 1011 9" in text
    assert re.search(r"first_event +undecided +p95 4\d\dms  4/31 vs 50/412 .* slower than 500ms", text)


def test_the_keys_stand_in_the_header() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(render(a_look(), EVENTS, SEEN, at(372), 80, HELP))
    assert HELP in out.getvalue()
    assert out.getvalue().index(HELP) < out.getvalue().index("weight")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("phase", Phase)
def test_no_line_is_wider_than_the_terminal(phase: Phase, width: int) -> None:
    long = "x" * 300
    rollout = a_rollout(phase, reason=long, plan=a_plan(stable=f"s{long}"))
    text = picture(a_look(rollout, drift=long, blind=long), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_state_is_told_by_word_and_glyph_not_by_colour_alone() -> None:
    text = picture(a_look(stage_verdict=a_judgement(Verdict.FAIL, "server_error_1011: 1/31 failed")))
    assert "x server_error_1011        FAIL" in text
    assert "+ agent_completed          pass" in text
    assert "? log_serialisation_errors undecided" in text
    assert "about 19 more runs" in text
    assert "rollback target" in text


def test_words_that_nobody_ever_said_are_told_beside_their_revision() -> None:
    met = {STABLE: Exposure(sessions=37, unasked={"execute_agent": 37})}
    lines = picture(a_look(), Seen(met, {})).splitlines()
    (line,) = [line for line in lines if "none asked" in line]
    assert line.strip().startswith("|-- ! 37 sockets, none asked for `execute_agent`")
    assert STABLE in lines[lines.index(line) - 1]


def test_a_hang_a_missing_line_and_a_blind_stable_are_told() -> None:
    met = {CANDIDATE: Exposure(sessions=9, hung=2, silent=1, windows={0: 9}), STABLE: Exposure()}
    text = picture(a_look(), Seen(met, {}), 140)
    assert f"! No telemetry line from stable {STABLE}: it cannot be compared." in text
    assert "hung 2" in text
    assert "log lines missing 1" in text


def test_a_share_that_is_moving_is_said() -> None:
    look = a_look()
    serving = Split.between(STABLE, CANDIDATE, 5)
    moving = replace(
        look, situation=replace(look.situation, live=replace(look.situation.live, serving=serving))
    )
    assert "set 25%   serving 5%, moving" in picture(moving)


def test_what_follows_latest_is_the_share_of_the_latest_ready_revision() -> None:
    given = Split((Target(None, 100), Target(STABLE, 0, "stable"), Target(CANDIDATE, 0, "candidate")))
    look = a_look(a_rollout(Phase.PROMOTED))
    live = replace(look.situation.live, wanted=given, serving=given, latest_ready=CANDIDATE)
    text = picture(replace(look, situation=replace(look.situation, live=live)))
    assert "set 100%" in text
    assert re.search(rf"{CANDIDATE} +candidate 100%", text)
    assert re.search(rf"{STABLE} +stable +0%", text)


def test_drift_blindness_and_a_dead_stable_are_said() -> None:
    dead = Revision(STABLE, "u-s", START, Readiness.FAILED, message="crashed")
    text = picture(
        a_look(drift="traffic was set to X", blind="the probe failed against stable too", stable=dead),
        width=140,
    )
    assert "! drift: traffic was set to X" in text
    assert "? cannot look: the probe failed against stable too" in text
    assert "failed: crashed" in text


HOSTILE = [
    "[bold red]x[/]",
    "[link=http://e]x",
    "\x1b[2J\x1b]0;t\x07x",
    "a\r\nb",
    "[/]",
    "\\[x]",
    "\x9b31mx",
    "\u202ex",
    "::error::x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_moves_nothing(text: str) -> None:
    plan = a_plan(candidate=f"c{text}", stable=f"s{text}")
    rollout = rolled_back(plan=plan)
    look = a_look(
        replace(rollout, reason=text), drift=text, blind=text, probe=a_probe(failing=True, text=text)
    )
    shown = picture(look, width=140)
    as_long = "x" * len(SINK.shown(text))
    plan = a_plan(candidate=f"c{as_long}", stable=f"s{as_long}")
    calm = picture(
        a_look(
            replace(rolled_back(plan=plan), reason=as_long), drift=as_long, blind=as_long,
            probe=a_probe(failing=True, text=as_long),
        ),
        width=140,
    )  # fmt: skip
    assert len(shown.splitlines()) == len(calm.splitlines())
    assert all(c.isprintable() or c == "\n" for c in shown)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_a_coloured_picture_has_no_escapes_but_ours(text: str) -> None:
    rollout = rolled_back(plan=a_plan(candidate=f"c{text}"))
    look = a_look(replace(rollout, reason=text), drift=text, probe=a_probe(failing=True, text=text))
    calm = a_look(
        replace(rolled_back(plan=a_plan(candidate="c")), reason="r"), drift="d", probe=a_probe(failing=True)
    )
    ours = set(picture(calm, color=True).split("\x1b")[1:])
    sequences = {part.partition("m")[0] for part in ours}
    shown = {part.partition("m")[0] for part in picture(look, color=True).split("\x1b")[1:]}
    assert shown <= sequences | {"[0"}


@pytest.mark.parametrize("width", [60, 80, 110])
@pytest.mark.parametrize(
    "text",
    [
        "\u670d\u52a1\u5668\u8fd4\u56de\u9519\u8bef" * 12,
        "\ud55c\uad6d\uc5b4 \uba54\uc2dc\uc9c0 " * 9,
        "\U0001f469\u200d\U0001f467 a " * 9,
        "e\u0301" * 40,
        "x" * 150,
    ],
)
def test_wide_characters_lose_no_part_of_a_line(text: str, width: int) -> None:
    lines = flow([Text("why"), Text(text)], width, 9)
    assert all(line.cell_len <= width for line in lines)
    assert "".join("".join(line.plain.split()) for line in lines) == f"why{''.join(text.split())}"


class TestLines:
    def lines(self, *happened: RolloutEvent) -> list[str]:
        said: list[str] = []
        view = LineView(said.append)
        for event in happened:
            view(event)
        return said

    def test_one_line_for_each_transition(self) -> None:
        told = self.lines(
            Wrote(at(0), a_rollout(), "e1"),
            Shifted(at(1), 1, 0, 5),
            RolledBack(at(2), "s"),
        )
        assert told == ["12:00:01  shifted  stage 1: 0% -> 5%", "12:00:02  rolled back  100% on s: read back"]

    def test_a_sign_of_life_each_minute(self, snapshot: SnapshotAssertion) -> None:
        looks = [Looked(at(n), a_look()) for n in range(400)]
        told = self.lines(*looks)
        assert [line[:8] for line in told] == [f"12:0{n}:00" for n in range(1, 7)]
        assert told[-1] == snapshot

    def test_a_transition_puts_the_sign_of_life_off(self) -> None:
        look, shifted = a_look(), Shifted(at(50), 1, 0, 5)
        told = self.lines(Looked(at(0), look), shifted, Looked(at(100), look), Looked(at(110), look))
        assert [line[:8] for line in told] == ["12:00:50", "12:01:50"]

    @pytest.mark.parametrize("text", HOSTILE)
    def test_a_hostile_event_is_one_plain_line(self, text: str) -> None:
        (line,) = self.lines(Said(at(0), "paused", text))
        assert line.isprintable()
        assert not line.lstrip().startswith("::")

    def test_a_whole_rollout_under_virtual_time(self) -> None:
        scene, said = Scene(), []
        scene.users.failing[SCENE_CANDIDATE] = 0.5
        scene.start(a_wish(stages=stages(0, 5, 100)))
        scene.told = Listening(LineView(said.append))
        scene.engine().run(until=scene.clock.now() + timedelta(hours=1))
        kinds = [line.split("  ")[1] for line in said]
        assert kinds[:2] == ["deploying", "shifted"]
        assert kinds[-3:] == ["restoring", "restored", "rolled back"]


class Listening(list[RolloutEvent]):
    def __init__(self, on: Listener) -> None:
        super().__init__()
        self._on = on

    def append(self, event: RolloutEvent, /) -> None:
        self._on(event)


def test_probe_rounds_are_told_when_they_say_something_new() -> None:
    pick = Transitions()
    good, bad = a_probe(), a_probe(failing=True)
    rounds = [good, good, bad, bad, good, good]
    said = [pick.line_of(Probed(at(n), report)) is not None for n, report in enumerate(rounds)]
    assert said == [True, False, True, True, True, False]
    assert pick.line_of(Shifted(at(9), 1, 0, 5)) is not None
    assert pick.line_of(Probed(at(9), good)) is not None


class TestLive:
    def console(self) -> Console:
        return Console(file=io.StringIO(), width=100, height=30, force_terminal=True, no_color=True)

    def test_the_last_picture_stays(self) -> None:
        console = self.console()
        with LiveView(console, Watcher(lambda: SEEN)) as view:
            view(Started(at(0), a_rollout()))
            view(Looked(at(372), a_look()))
        assert isinstance(console.file, io.StringIO)
        shown = console.file.getvalue()
        assert "stage 3/5" in shown
        assert f"started  {CANDIDATE} against {STABLE}" in shown

    @pytest.mark.parametrize(
        ("failing", "hold_at", "words"), [(0, None, "PROMOTED"), (0, 5, "PAUSED"), (0.5, None, "ROLLED BACK")]
    )
    def test_the_last_picture_knows_the_end(self, failing: float, hold_at: int | None, words: str) -> None:
        console, scene = Console(file=io.StringIO(), width=100), Scene()
        scene.users.failing[SCENE_CANDIDATE] = failing
        view = LiveView(console, Watcher(lambda: None))
        scene.told = Listening(view)
        scene.roll(a_wish(stages=stages(0, 5, 100, hold_at=hold_at)))
        console.print(view.picture())
        assert isinstance(console.file, io.StringIO)
        assert f"agent-chat   l   {words} " in console.file.getvalue()

    def test_before_the_first_look_events_are_shown_as_text(self) -> None:
        console = self.console()
        view = LiveView(console, Watcher(lambda: None))
        view(Said(at(0), "deploying", "[red]c\x1b[2J"))
        console.print(view.picture())
        assert isinstance(console.file, io.StringIO)
        assert "deploying  [red]c\n" in console.file.getvalue()

    def test_logs_that_fail_leave_the_last_answer(self) -> None:
        asked = threading.Semaphore(0)
        answers = [SEEN, None, ValueError("channel closed")]

        def see() -> Seen | None:
            asked.release()
            answer = answers.pop(0) if answers else None
            if isinstance(answer, Exception):
                raise answer
            return answer

        watcher = Watcher(see, every_s=0.001)
        watcher.start()
        try:
            for _ in range(5):
                assert asked.acquire(timeout=10)
            assert watcher.seen is SEEN
        finally:
            watcher.stop()

    @pytest.mark.parametrize(
        ("is_terminal", "ci", "term", "kind"),
        [
            (True, False, "xterm", LiveView),
            (True, True, "xterm", LineView),
            (False, False, "xterm", LineView),
            (True, False, "dumb", LineView),
        ],
    )
    def test_the_view_fits_the_place(
        self, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, ci: bool, term: str, kind: type
    ) -> None:
        monkeypatch.setenv("TERM", term)
        with choose_view(is_terminal=is_terminal, ci=ci, write=print) as view:
            assert isinstance(view, kind)

    @pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnhandledThreadExceptionWarning"
    )  # of rich's own thread
    def test_a_terminal_that_goes_away_stops_nothing(self, tmp_path: Path) -> None:
        """Rich ends the process when a pipe breaks, and raises what else a file raises."""
        for fault in (BrokenPipeError(), OSError(5, "Input/output error")):
            file = Vanishing(fault)
            console = Console(file=file, width=100, force_terminal=True)
            out = (tmp_path / "out").open("w")  # rich leads the descriptor of stdout to nowhere
            with out, redirect_stdout(out), LiveView(console, Watcher(lambda: None)) as view:
                file.is_gone = True
                view(Looked(at(372), a_look()))

    def test_a_picture_that_fails_is_told_in_its_place(self) -> None:
        console = self.console()
        with LiveView(console, Watcher(lambda: None)) as view:
            view(Looked(at(1), a_look(live=None)))
        assert isinstance(console.file, io.StringIO)
        assert "no picture: AttributeError" in console.file.getvalue()

    def test_where_nothing_can_be_drawn_lines_are_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        said: list[str] = []
        with choose_view(is_terminal=True, ci=False, write=said.append) as view:
            view(Shifted(at(1), 1, 0, 5))
        assert said == ["12:00:01  shifted  stage 1: 0% -> 5%"]

    def test_data_on_stdout_stays_there_while_something_is_drawn(self) -> None:
        out, console = io.StringIO(), self.console()
        with redirect_stdout(out), LiveView(console, Watcher(lambda: None)):
            Output(Mode.NDJSON).event(Shifted(at(1), 1, 0, 5))
        assert json.loads(out.getvalue())["event"] == "shifted"


class Vanishing(io.StringIO):
    """A terminal that is there, and then is not."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.is_gone = False
        self._fault = fault

    def write(self, text: str, /) -> int:
        if self.is_gone:
            raise self._fault
        return super().write(text)


@pytest.mark.parametrize(("percent", "marks"), [(0, 0), (1, 1), (5, 1), (50, 10), (99, 19), (100, 20)])
def test_a_bar_is_empty_or_full_only_when_it_is(percent: int, marks: int) -> None:
    assert bar(percent) == "#" * marks + "." * (20 - marks)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "00:00"), (59.6, "01:00"), (372, "06:12"), (3972, "1:06:12"), (176_800, "2d 01:06")],
)
def test_a_clock(seconds: float, words: str) -> None:
    assert clock(timedelta(seconds=seconds)) == words


def test_gates_in_words() -> None:
    assert gates_in_words(a_judgement().criteria) == "3 undecided, 1 pass (about 19 more runs)"
    assert gates_in_words(()) == ""
