"""What every command shares: its common options, its errors, its exit code.

``command`` wraps a function ``f(session, **its own options) -> int`` into one that typer understands: the common options
are added to its signature, a ``Session`` is made of them, and whatever goes wrong ends as three lines and a code of
interface.md, never as a traceback for a user's mistake.
"""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.app.interrupts import INTERRUPTED, Interrupts
from pipeline.app.session import Session
from pipeline.errors import SpillwayError, UserError
from pipeline.output import streams
from pipeline.output.writer import Mode, Output
from pipeline.redact import SINK, secrets_of

_COMMON: dict[str, Any] = {
    "output": Annotated[
        Mode,
        typer.Option(
            "-o", "--output", help="What stdout carries.", envvar="SPILLWAY_OUTPUT", show_default=True
        ),
    ],
    "config": Annotated[
        Path, typer.Option("-c", "--config", help="The configuration file.", envvar="SPILLWAY_CONFIG")
    ],
    "directory": Annotated[
        Path,
        typer.Option("-C", "--directory", help="Stand in this folder first.", envvar="SPILLWAY_DIRECTORY"),
    ],
    "yes": Annotated[bool, typer.Option("-y", "--yes", help="Ask nothing.", envvar="SPILLWAY_YES")],
    "quiet": Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")],
    "verbose": Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")],
}
_DEFAULTS: dict[str, object] = {
    "output": Mode.TEXT,
    "config": Path("spillway.yaml"),
    "directory": Path(),
    "yes": False,
    "quiet": False,
    "verbose": 0,
}


def command(function: Callable[..., int]) -> Callable[..., None]:
    """The typer form of a command. See the module docstring."""

    @functools.wraps(function)
    def run(**options: Any) -> None:
        shared = {name: options.pop(name) for name in _COMMON}
        raise SystemExit(_guarded(function, shared, options))

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=_DEFAULTS[name])
        for name, kind in _COMMON.items()
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + extra
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in [*own, *extra]}
    return run


def _guarded(function: Callable[..., int], shared: dict[str, Any], options: dict[str, Any]) -> int:
    SINK.learn(*secrets_of(os.environ))
    output = Output(shared["output"], -1 if shared["quiet"] else shared["verbose"])
    with streams.installed():
        session = _session(output, shared)
        try:
            session.learn_secrets()
            with Interrupts(session):
                code = function(session, **options)
        except SpillwayError as error:
            output.error(error)
            code = error.exit_code
        except KeyboardInterrupt:
            streams.hurry()
            output.say("spillway: interrupted")
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the machine's fault or ours, told as what it is
            code = _unforeseen(output, error)
        return session.ending(code)


def _unforeseen(output: Output, error: Exception) -> int:
    """A file or a process that the machine refused is told in a line; a fault of ours with where it is."""
    if not isinstance(error, OSError):
        streams.put("stderr", SINK.lines(traceback.format_exc()))
    told = SpillwayError(f"{type(error).__name__}: {error}")
    output.error(told)
    return told.exit_code


def _session(output: Output, shared: dict[str, Any]) -> Session:
    directory: Path = shared["directory"]
    config: Path = shared["config"]
    here, named = _absolute(directory), os.environ.get("SPILLWAY_LOCAL_DIR")
    state = (here or directory) / ".spillway"
    is_there = os.path.isdir(directory)
    return Session(
        output,
        config if config.is_absolute() else directory / config,
        state,
        _absolute(Path(named)) if named else state / "local" if here and is_there else None,
        shared["yes"],
        None if is_there else UserError(f"-C {directory}: no such folder"),
    )


def _absolute(path: Path) -> Path | None:
    """None for a relative path when the working directory is gone."""
    try:
        return path.absolute()
    except OSError:
        return None
