"""What every command shares: its common options, its errors, its exit code.

``command`` wraps a function ``f(session, **its own options) -> int`` into one that typer understands: the common options
(those of ``_session``) are added to its signature, each option gets the environment variable of its name, a ``Session``
is made of them, and whatever goes wrong ends as three lines and one of the exit codes that the help lists, never as a
traceback for a user's mistake.
"""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.models import OptionInfo

from pipeline.app.programs import EngineChoice
from pipeline.app.session import Session, interrupts
from pipeline.errors import INTERRUPTED, TERMINATED, SpillwayError, UserError
from pipeline.output import streams
from pipeline.output.writer import Mode, Output
from pipeline.redact import SINK
from pipeline.secret_names import secrets_of


def command(function: Callable[..., int], *, connects: bool = False) -> Callable[..., None]:
    """The typer form of a command. See the module docstring.

    Args:
        connects: it reaches a service, or waits for a machine: a person at a terminal is told so at once.
    """
    common = inspect.signature(_session, eval_str=True).parameters
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    @functools.wraps(function)
    def run(context: typer.Context | None = None, **options: Any) -> None:
        shared = {name: options.pop(name) for name in common}
        given = _on_the_command_line(context) if context else {}

        def body(session: Session) -> int:
            if connects:
                session.say_connecting()
            return function(session, **options)

        raise SystemExit(_guarded(body, given, shared))

    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (first, *own, *common.values())]
    _name_variables(parameters)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


connecting = functools.partial(command, connects=True)


def _name_variables(parameters: Iterable[inspect.Parameter]) -> None:
    """``--to-percent`` is SPILLWAY_TO_PERCENT in the environment, unless it says otherwise."""
    for parameter in parameters:
        for option in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(option, OptionInfo) and not option.envvar:
                # Its first word is typer's "default" until the option is made.
                spelt = max(map(str, (option.default, *(option.param_decls or ()))), key=len)
                words = spelt.partition("/")[0].lstrip("-").replace("-", "_")
                option.envvar = f"SPILLWAY_{words.upper()}"


def _on_the_command_line(context: typer.Context) -> Mapping[str, str]:
    """Parameter to how it is spelt, of those that a person typed."""
    sources = ((param, context.get_parameter_source(param.name or "")) for param in context.command.params)
    return {
        param.name or "": max(param.opts, key=len)
        for param, source in sources
        if source and source.name == "COMMANDLINE"
    }


def _guarded(function: Callable[[Session], int], given: Mapping[str, str], shared: dict[str, Any]) -> int:
    SINK.learn(*secrets_of(os.environ))
    _prefer_typed(given, shared)
    with streams.installed():
        session = _session(**shared)
        session.given = given
        output = session.output
        if output.mode is not Mode.TEXT:
            streams.keep_for_data()
        try:
            session.learn_secrets()
            if shared["quiet"] and shared["verbose"]:
                raise UserError(  # noqa: TRY301 - told like any other
                    "-q with -v", "One says less, the other more.", "Leave one of them out."
                )
            with interrupts(session):
                code = function(session)
        except SpillwayError as error:
            output.error(error)
            code = error.exit_code
        except KeyboardInterrupt:
            streams.hurry()
            output.say("spillway: interrupted")
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the machine's fault or ours, told as what it is
            # A file or a process that the machine refused is told in a line; a fault of ours with where it is.
            if not isinstance(error, OSError):
                streams.put("stderr", SINK.lines(traceback.format_exc()))
            told = SpillwayError(f"{type(error).__name__}: {error}")
            output.error(told)
            code = told.exit_code
        code = session.ending(code)
        if code in (INTERRUPTED, TERMINATED) and output.last is None:
            output.ended({"outcome": "interrupted", "exit_code": code})
        if "GITHUB_OUTPUT" in os.environ or "GITHUB_ACTIONS" in os.environ:
            with suppress(Exception):  # the code above is true, whatever becomes of this
                from pipeline.app import ci

                ci.hand_on(output, code)
        return code


def _prefer_typed(given: Mapping[str, str], shared: dict[str, Any]) -> None:
    """Of -q and -v, one of which the environment set, what was typed holds; a default stands in nobody's way."""
    if shared["quiet"] and shared["verbose"] and not {"quiet", "verbose"} <= given.keys():
        shared["quiet"] = "verbose" not in given
        shared["verbose"] = 0 if shared["quiet"] else shared["verbose"]


def _session(
    *,
    output: Annotated[
        Mode,
        typer.Option("-o", "--output", help="What stdout carries.", show_default=True),
    ] = Mode.TEXT,
    config: Annotated[Path, typer.Option("-c", "--config", help="The configuration file.")] = Path(
        "spillway.yaml"
    ),
    directory: Annotated[
        Path,
        typer.Option("-C", "--directory", help="Stand in this folder first."),
    ] = Path(),
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Ask nothing.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")] = 0,
) -> Session:
    """The common options of every command, and what they come to."""
    here, named = _absolute(directory), os.environ.get("SPILLWAY_LOCAL_DIR")
    state = (here or directory) / ".spillway"
    is_there = os.path.isdir(directory)
    return Session(
        Output(output, -1 if quiet else verbose),
        config if config.is_absolute() else directory / config,
        state,
        _absolute(Path(named)) if named else state / "local" if here and is_there else None,
        yes,
        None
        if is_there
        else UserError(
            f"-C {directory}: no such folder",
            "It is where spillway.yaml and the state are looked for.",
            "Name one that is there: -C FOLDER",
        ),
        engine=EngineChoice.named(os.environ.get("SPILLWAY_ENGINE", "")),
    )


def _absolute(path: Path) -> Path | None:
    """None for a relative path when the working directory is gone."""
    try:
        return path.absolute()
    except OSError:
        return None
