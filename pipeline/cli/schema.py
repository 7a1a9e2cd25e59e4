"""schema: the JSON schema of spillway.yaml, for editors and other tools, and of what the commands print."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import refuse_idle
from pipeline.output import streams


class Of(StrEnum):
    CONFIG = "config"  # spillway.yaml
    OUTPUT = "output"  # what -o json prints


@command
def schema(
    session: Session,
    *,
    of: Annotated[
        Of, typer.Argument(help="Of spillway.yaml, or of what -o json prints: docs/output.schema.json is it.")
    ] = Of.CONFIG,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As a page to read: docs/spillway-yaml.md is it.")
    ] = False,
) -> int:
    """Print the JSON schema of spillway.yaml, or of what the commands print. What it refuses, every command refuses.

    An editor that knows YAML completes keys and shows mistakes by it, where the file begins with
    "# yaml-language-server: $schema=spillway.schema.json"; spillway init writes both.

    Example:  spillway schema > spillway.schema.json
    """
    if of is Of.OUTPUT:
        refuse_idle(session, "of the output", "spillway schema output", "markdown")
    streams.wait_for_reader()
    if of is Of.OUTPUT:
        from pipeline.app import output_schema

        _print(session, output_schema.schema())
        return 0
    if markdown:
        from pipeline.config import reference

        page = reference.page()
        session.output.result(page.rstrip("\n"), {"markdown": page})
        return 0
    from pipeline.config import json_schema

    _print(session, json_schema.schema())
    return 0


def _print(session: Session, made: dict[str, Any]) -> None:
    session.output.result(json.dumps(made, indent=1), made)
