"""Where ``spillway`` starts."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import warnings
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import NoReturn

from pipeline.errors import INTERRUPTED
from pipeline.output import streams

_FLAG = ("", "0", "1", "true", "false", "t", "f", "yes", "no", "y", "n", "on", "off")
_KNOWN = {
    "SPILLWAY_OUTPUT": ("text", "json", "ndjson"),
    "SPILLWAY_ENGINE": ("", "auto", "pulumi", "in-process"),
    "SPILLWAY_YES": _FLAG,
    "SPILLWAY_QUIET": _FLAG,
    "SPILLWAY_VERBOSE": ("", "0", "1", "2", "3"),
}
_OUTPUT_OPTION = re.compile(r"--output(?:=(?P<with>.*))?|-[qvy]*o(?P<short>.*)")
_FOR_LIBRARIES = {
    "GRPC_VERBOSITY": "NONE",  # its core writes past ``streams``, and could wait there for ever
    "PYDANTIC_DISABLE_PLUGINS": "1",  # of the environment's other packages, which it would all look through
}
_GARBAGE = (
    200_000  # objects between collections: the default of 700 looks through every import dozens of times
)


def main() -> NoReturn:
    """Entry point of the console script.

    The process ends at once: what the interpreter does at its own end (a last flush into a broken pipe, a thread that
    is waited for, PYTHONINSPECT's prompt) could change the exit code or keep it back.
    """
    os._exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """One command in this process; returns its exit code. Raises nothing, whatever its streams and environment are.

    Args:
        words: the command line behind the program's name.
    """
    _open_descriptors()
    _forgive(os.environ)
    os.environ |= {name: value for name, value in _FOR_LIBRARIES.items() if name not in os.environ}
    gc.set_threshold(_GARBAGE)
    with streams.installed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PYTHONWARNINGS=error must not stop a library's import
        try:
            from pipeline.cli.registry import app_for

            app_for(words)(args=list(words), prog_name="spillway")
        except SystemExit as end:
            if isinstance(end.code, int | None):
                # The end that typer makes of a mistake in the words stands beside it; a command's own stands alone.
                return _handed_on(words, end.code or 0, end.__context__) if end.__context__ else end.code or 0
            print(end.code, file=sys.stderr)  # noqa: T201 - as Python itself does
            return 1
        except KeyboardInterrupt as error:
            streams.hurry()
            streams.put("stderr", "spillway: interrupted\n")
            return _handed_on(words, INTERRUPTED, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours, told as one
            import traceback

            traceback.print_exc()
            return _handed_on(words, 1, error)
    return 0


def _handed_on(words: Sequence[str], code: int, error: BaseException) -> int:
    """Returns the code, once a document and a job's outputs say it: no command came so far as to do so."""
    is_job = "GITHUB_OUTPUT" in os.environ or "GITHUB_ACTIONS" in os.environ
    mode = _mode_of(words)
    if code and (is_job or mode != "text"):
        with suppress(Exception):  # the code is true, whatever becomes of this
            from pipeline.app import ci
            from pipeline.output.writer import Mode, Output
            from pipeline.redact import SINK
            from pipeline.secret_names import secrets_of

            SINK.learn(*secrets_of(os.environ))
            output = Output(Mode(mode))
            output.ended(_told(error, code))
            if is_job:
                ci.hand_on(output, code)
    return code


def _mode_of(words: Sequence[str]) -> str:
    """What stdout was asked to carry, of words that no command could be made of."""
    mode = os.environ.get("SPILLWAY_OUTPUT", "").lower()
    for at in range(len(words)):
        if match := _OUTPUT_OPTION.fullmatch(words[at]):
            mode = match["with"] or match["short"] or "".join(words[at + 1 : at + 2])
    return mode if mode in _KNOWN["SPILLWAY_OUTPUT"] else "text"


def _told(error: BaseException, code: int) -> dict[str, object]:
    """What typer, or whoever else, raised, as a command's document says an error."""
    if code == INTERRUPTED:
        return {"outcome": "interrupted", "exit_code": code}
    text: str = getattr(error, "format_message", error.__str__)()
    path = getattr(getattr(error, "ctx", None), "command_path", "spillway")
    what = text.partition("\n")[0] or type(error).__name__
    return {
        "outcome": "error", "exit_code": code, "error": type(error).__name__,
        "what": what, "why": "", "fix": f"How it is called: {path} -h",
    }  # fmt: skip


def _open_descriptors() -> None:
    """Descriptors 0 to 2 that are closed lead to nowhere from now on; else the next socket would be printed into."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    signal.signal(
        signal.SIGTTOU, signal.SIG_IGN
    )  # a job in the background may speak, and is not stopped for it


def _forgive(environment: MutableMapping[str, str]) -> None:
    """A setting in the environment that says nothing must not stand in a roll-back's way; a flag still may."""
    for name, known in _KNOWN.items():
        if environment.get(name, known[0]).lower() not in known:
            streams.put("stderr", f"spillway: {name} is none of {', '.join(known)}: left out\n")
            del environment[name]
