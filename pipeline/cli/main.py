"""Where ``spillway`` starts."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import MutableMapping, Sequence
from typing import NoReturn

from pipeline.output import streams

INTERRUPTED = 130
_KNOWN = {
    "SPILLWAY_OUTPUT": ("text", "json", "ndjson"),
    "SPILLWAY_ENGINE": ("", "auto", "pulumi", "in-process"),
    "SPILLWAY_YES": ("", "0", "1", "true", "false", "t", "f", "yes", "no", "y", "n", "on", "off"),
}
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
                return end.code or 0
            print(end.code, file=sys.stderr)  # noqa: T201 - as Python itself does
            return 1
        except KeyboardInterrupt:
            streams.hurry()
            streams.put("stderr", "spillway: interrupted\n")
            return INTERRUPTED
        except Exception:  # noqa: BLE001 - a fault of ours, told as one
            import traceback

            traceback.print_exc()
            return 1
    return 0


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
