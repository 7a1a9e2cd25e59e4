"""One invocation of a command: where it stands, how it speaks, and whether it was told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from pipeline.app.programs import EngineChoice
from pipeline.errors import INTERRUPTED, TERMINATED, UserError
from pipeline.output import streams
from pipeline.output.writer import Output
from pipeline.redact import plain

if TYPE_CHECKING:
    from pipeline.config.places import Places
    from pipeline.config.schema import Config
    from pipeline.config.yamltree import Document


_NAMES = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "LOGNAME", "USER", "LNAME", "USERNAME")
_LONGEST = 64
_GRACE_S = 2.0  # for what is under way: a call that hangs, a round of probes, a program that is applied


def who() -> str:
    """Who is at the keyboard, for the record: the CI's actor, else the user's name, else the number of the user.

    Only the environment is asked: the user database may lack the user, and may sit on a network that does not answer.
    """
    named = (plain(os.environ.get(name, "")).strip() for name in _NAMES)
    return next((name[:_LONGEST] for name in named if name), f"uid {os.getuid()}")


class Session(Struct, dict=True):
    """See the module's docstring.

    Args:
        state_folder: journals and reports; safe to lose. Relative when the working directory is gone.
        local: where the local Cloud Run of this project lives; None when nothing tells.
        nowhere: why there is no folder to stand in, if there is none.
        woken: whoever sleeps between two steps of a rollout goes on at once; set with ``stopped`` too.
        leaves_at_once: nothing of this command has to be cleaned up, so a signal is obeyed within three seconds.
        ends_now: nothing is under way that has to come to an end, so the first signal ends the command where it is.
        engine: who applies the Pulumi program.
        given: what stands on the command line, parameter to how it is spelt there; the others are from the environment, or defaults.
        decided: the exit code of an ending that no signal changes any more.
    """

    output: Output
    config_file: Path
    state_folder: Path
    local: Path | None
    yes: bool
    nowhere: UserError | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    woken: threading.Event = field(default_factory=threading.Event)
    signal: int = 0
    leaves_at_once: bool = False
    ends_now: bool = False
    engine: EngineChoice = EngineChoice.AUTO
    decided: int | None = None
    given: Mapping[str, str] = field(default_factory=dict)

    def ending(self, code: int) -> int:
        """The exit code of a command that ends with this one: a signal goes before it, what was decided before both."""
        return self.decided if self.decided is not None else self.signal or code

    @property
    def local_folder(self) -> Path:
        """Where the local Cloud Run of this project lives, absolute. Raises: UserError when nothing tells."""
        if self.local is None:
            self.need_folder()
            raise UserError(
                "the working directory is gone, and SPILLWAY_LOCAL_DIR is not set",
                "They are what names the local Cloud Run: .spillway/local in the project's folder, or that variable.",
                "Name it: SPILLWAY_LOCAL_DIR=FOLDER, absolute, or stand in the project again: cd FOLDER",
            )
        return self.local

    @property
    def rollouts(self) -> Path:
        """Where this project's journals and reports lie."""
        return self.state_folder / "rollouts"

    def need_folder(self) -> None:
        """For what reads or writes in the project. Raises: UserError when -C names no folder."""
        if self.nowhere is not None:
            raise self.nowhere

    @cached_property
    def document(self) -> Document:
        """``spillway.yaml`` as it stood when it was first read: one command sees one file. Raises UserError."""
        from pipeline.config import raw

        self.need_folder()
        return raw.read(self.config_file)

    @cached_property
    def config(self) -> Config:
        """The same, validated once. Raises UserError."""
        from pipeline.config import schema

        return schema.validate(self.document)

    def load_places(self) -> Places:
        """Of the same, where the service lives. Raises UserError."""
        from pipeline.config import places

        return places.read(self.document) or self.config

    def learn_secrets(self) -> None:
        """Let the sink know what the configuration trusts us with, for commands that print without reading it.

        A file that is not there, or cannot be read, stands in nobody's way here; who needs it will say so.
        """
        with suppress(Exception):
            _ = self.document

    def say_connecting(self) -> None:
        """Right before somebody else is waited for: a terminal on which nothing happens looks like one that hangs."""
        if self.is_terminal:
            self.output.say("connecting ...")

    @property
    def is_terminal(self) -> bool:
        return streams.is_terminal("stderr") and not os.environ.get("CI") and self.output.level >= 0


@contextmanager
def interrupts(session: Session) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks to stop after the write in flight; a second one stops at once.

    A command that only reads ends with the first. One that leaves nothing behind is not waited for: two seconds after the first signal it is stopped wherever it is.
    The service keeps the state, as it does of a process that is killed. A terminal that goes away (SIGHUP) is as
    SIGTERM, unless somebody wished it ignored (nohup).
    """
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        streams.hurry()
        if session.stopped.is_set():
            raise KeyboardInterrupt
        session.signal = INTERRUPTED if number == signal.SIGINT else TERMINATED
        session.stopped.set()
        session.woken.set()
        if session.ends_now:
            raise KeyboardInterrupt
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S, _GRACE_S)
        session.output.say("stopping after this step; the service keeps the state (once more: stop at once)")

    def end(_number: int, _frame: object) -> None:
        """Asked again and again: a command may say only after the signal that it leaves nothing behind."""
        if session.leaves_at_once or session.ends_now:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        if signal.SIGALRM in before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for caught, handler in before.items():
            signal.signal(caught, handler)
