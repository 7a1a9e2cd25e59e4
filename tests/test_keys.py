"""The keys of the live view: each is confirmed, what is asked is done between two steps, and the terminal is given back."""

from __future__ import annotations

import io
import sys
import textwrap
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.app import by_hand
from pipeline.app.orders import Orders, obey
from pipeline.app.session import Session
from pipeline.app.wiring import Place
from pipeline.cli.watching import Watching
from pipeline.core.rollout import Phase
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.events import Look, RolloutEvent, Said
from pipeline.judging.terms import Drain
from pipeline.local.endpoint import Alerts
from pipeline.model import Outcome
from pipeline.output.writer import Mode, Output
from pipeline.view.keys import Keys, Order, sensible
from pipeline.view.panel import Seen
from tests.fakes import REF
from tests.processes import until
from tests.receiver import receiving
from tests.reports import a_look
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages
from tests.terminals import Terminal

HELP = "[p]romote [h]old [r]oll back [q]uit"


@pytest.mark.parametrize(
    ("typed", "orders"),
    [
        ("py", [Order.PROMOTE]),
        ("hy", [Order.HOLD]),
        ("RY", [Order.ROLL_BACK]),
        ("qy", [Order.QUIT]),
        ("rn", []),
        ("rpy", []),  # another letter is a no, and no new question
        ("y", []),
        ("xyz\n", []),
        ("r\nry", [Order.ROLL_BACK]),
        ("pypy", [Order.PROMOTE, Order.PROMOTE]),
    ],
)
def test_nothing_comes_of_a_key_that_was_not_confirmed(typed: str, orders: list[Order]) -> None:
    keys = Keys()
    assert [order for key in typed if (order := keys.press(key))] == orders


def test_what_was_asked_stands_in_the_line() -> None:
    keys = Keys()
    assert keys.line == HELP
    keys.press("r")
    assert keys.line == "roll back: all traffic to stable? [y/n]"
    keys.obeyed()  # of an earlier order: the question stays
    assert keys.line.endswith("[y/n]")
    keys.press("y")
    assert keys.line == "roll back ..."
    keys.obeyed()
    assert keys.line == HELP


def test_only_what_makes_sense_is_offered_and_heard() -> None:
    keys = Keys(sensible(Phase.ROLLED_BACK))
    assert keys.line == "[q]uit"
    assert [keys.press(key) for key in "rypyhy"] == [None] * 6
    assert keys.line == "[q]uit"
    paused = Keys(sensible(Phase.PAUSED))
    assert paused.line == "[p]romote [r]oll back [q]uit"
    assert Keys(sensible(Phase.ROLLING)).line == HELP


class Driven:
    """A rollout under way at 5 %, whose driver is given one order."""

    def __init__(self, *shares: int, at: int = 5) -> None:
        self.scene = Scene()
        self.scene.reach(at, wish=a_wish(stages=stages(*shares or (0, 5, 25, 100), soak=60)))
        self.engine = self.scene.driver

    def obey(self, order: Order) -> None:
        obey(order, self.engine, self.scene.world, self.scene.told.append)

    def run(self) -> Outcome:
        return self.engine.run(until=self.scene.clock.now() + timedelta(minutes=5))

    def refused(self) -> list[str]:
        def is_refusal(event: RolloutEvent) -> bool:
            return isinstance(event, Said) and event.kind == "refused"

        return [event.text for event in self.scene.told if is_refusal(event)]


def test_promote_goes_to_the_next_stage_before_its_soak_is_over() -> None:
    driven = Driven()
    driven.obey(Order.PROMOTE)
    assert driven.scene.live.wanted.percent_of(CANDIDATE) == 25
    step = driven.scene.rollout.history[-1]
    assert "keyboard" in step.reason
    assert step.by
    assert driven.scene.rollout.phase is Phase.ROLLING


def test_promote_at_the_last_stage_is_refused_and_told() -> None:
    driven = Driven(0, 100, at=100)
    driven.obey(Order.PROMOTE)
    (told,) = driven.refused()
    assert told.startswith("promote: there is no next stage to go to: it is at its last stage")
    assert driven.scene.rollout.phase is Phase.ROLLING


def test_promote_lets_a_paused_one_go_on() -> None:
    driven = Driven()
    driven.obey(Order.HOLD)
    driven.obey(Order.PROMOTE)
    assert driven.refused() == []
    assert driven.scene.rollout.phase is Phase.ROLLING


def test_promote_never_goes_past_a_fail() -> None:
    driven = Driven()
    driven.scene.users.failing[CANDIDATE] = 1.0
    driven.scene.clock.sleep(timedelta(seconds=60))
    driven.obey(Order.PROMOTE)
    assert any("failed: it is not promoted past that" in told for told in driven.refused())
    assert driven.scene.live.wanted.percent_of(CANDIDATE) == 5


def test_hold_pauses_it_where_it_is() -> None:
    driven = Driven()
    driven.obey(Order.HOLD)
    assert driven.run() is Outcome.PAUSED
    assert driven.scene.live.wanted.percent_of(CANDIDATE) == 5
    assert "held by" in driven.scene.rollout.reason
    driven.obey(Order.HOLD)
    assert driven.refused() == ["hold: there is nothing to hold: it is paused"]


def test_roll_back_gives_everything_back() -> None:
    driven = Driven()
    driven.obey(Order.ROLL_BACK)
    assert driven.scene.live.wanted.serving == {STABLE: 100}
    assert driven.run() is Outcome.ROLLED_BACK_BY_HAND


def test_an_interrupted_run_stands_where_it_stood() -> None:
    driven = Driven()
    epoch = driven.scene.rollout.epoch
    assert driven.engine.run(interrupted=lambda: True) is Outcome.UNDER_WAY
    assert driven.scene.rollout.epoch == epoch


def test_an_order_ends_the_rest_between_two_steps_and_no_wait_in_a_step(tmp_path: Path) -> None:
    session = Session(Output(Mode.JSON), tmp_path / "spillway.yaml", tmp_path, None, yes=False)
    driven, orders, rested = Driven(), Orders(session), []

    def rest(duration: timedelta) -> None:
        rested.append(duration)
        driven.scene.clock.sleep(duration)
        if len(rested) == 3:
            orders.give(Order.ROLL_BACK)

    assert driven.engine.run(interrupted=orders.is_waiting, sleep=rest) is Outcome.UNDER_WAY
    orders.sleep(timedelta(hours=1))  # at once: an order waits
    before = driven.scene.clock.now()
    driven.obey(Order.ROLL_BACK)
    assert driven.scene.clock.now() > before, "it was watched"
    assert len(rested) == 3
    assert orders.take() is Order.ROLL_BACK
    assert not session.woken.is_set()


def test_a_roll_back_of_who_only_watches_is_told_and_deletes_the_revision_where_that_is_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    scene.deployer.lasts = timedelta(minutes=1)  # the candidate becomes the latest revision
    scene.reach(5, wish=a_wish(stages=stages(0, 5, 100), drain=Drain.DELETE))
    watched = Observer(REF, scene.world, ()), scene.world, Rhythm()
    monkeypatch.setattr(by_hand, "open_onlooker", lambda *_: watched)
    session = Session(Output(Mode.JSON), tmp_path / "spillway.yaml", tmp_path, None, yes=False)
    place = f"{{project: {REF.project}, region: {REF.location}}}"
    with receiving() as receiver:
        session.config_file.write_text(  # where a slip is in the rest of the file
            f"service: {REF.service}\nenvironments: {{production: {place}}}\nstages: 5\n"
            f"webhook: {{url: '{receiver.url}'}}\n"
        )
        by_hand.obey_watching(Order.ROLL_BACK, session, Place(REF), None)
        assert [body["step"] for body in receiver.bodies][-1:] == ["end"]
    assert scene.rollout.outcome is Outcome.ROLLED_BACK_BY_HAND
    assert CANDIDATE not in scene.platform.known, "nobody else may ever come to do it"


def test_who_presses_a_key_waits_for_no_log(tmp_path: Path) -> None:
    session = Session(Output(), tmp_path / "spillway.yaml", tmp_path, None, yes=False)
    let_go = threading.Event()
    drawn: list[Seen | None] = []

    def see() -> None:
        let_go.wait(60)

    def picture(_look: Look, _alerts: Alerts, seen: Seen | None, _keys: str) -> str:
        drawn.append(seen)
        return "drawn"

    console = Console(file=io.StringIO(), force_terminal=True)
    with Watching(session, Place(REF), None, console, picture, see) as watching:
        watching.show(a_look(), Alerts())
        let_go.set()
    assert set(drawn) == {None}


PROGRAM = textwrap.dedent("""
    import os, sys, termios, threading, time
    from pipeline.view.keyboard import Keyboard
    def say(line):
        os.write(1, f"{line}\\n".encode())  # whole: two threads print in parts
    while os.tcgetpgrp(0) != os.getpgrp():
        time.sleep(0.01)  # a job of the background would be stopped by its first touch of the terminal
    pressed, done = [], threading.Event()
    def press(key):
        say(f"got {key}")
        if key == "q":
            done.set()
    with Keyboard(press, stopping=lambda: say("stopping"), going_on=lambda: say("going on")):
        say("ready")
        while not done.wait(0.05):
            pass
    attributes = termios.tcgetattr(0)[3]
    say(f"restored {bool(attributes & termios.ICANON)} {bool(attributes & termios.ECHO)}")
""")


#: As much of a shell as job control needs: a job in the foreground, which gets it back when it was stopped.
SHELL = textwrap.dedent("""
    import os, signal, subprocess, sys, termios
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = subprocess.Popen([sys.executable, "-c", sys.argv[1]], process_group=0)
    os.tcsetpgrp(0, job.pid)
    while os.WIFSTOPPED(os.waitpid(job.pid, os.WUNTRACED)[1]):
        os.tcsetpgrp(0, os.getpgrp())
        print("stopped:", "echo" if termios.tcgetattr(0)[3] & termios.ECHO else "no echo", flush=True)
        sys.stdin.readline()
        os.tcsetpgrp(0, job.pid)
        os.killpg(job.pid, signal.SIGCONT)
    print("ended", flush=True)
""")


def test_a_terminal_is_given_back_at_the_end_and_at_every_stop() -> None:
    terminal = Terminal(sys.executable, "-c", SHELL, PROGRAM)
    terminal.expect("ready")
    until(lambda: not terminal.echoes)
    terminal.type("p\x1b[Ay")
    terminal.expect("got p")
    terminal.type("\x1a")  # Ctrl-Z
    terminal.expect("stopping")
    terminal.expect("stopped: echo")
    terminal.type("fg\n")
    terminal.expect("going on")
    until(lambda: not terminal.echoes)
    terminal.type("q")
    terminal.expect("got q")
    terminal.expect("restored True True")
    terminal.expect("ended")
    assert terminal.close() == 0
