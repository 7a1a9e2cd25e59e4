"""schema: the JSON schema of spillway.yaml, for editors and other tools."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.output import streams


@command
def schema(
    session: Session,
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As a page to read: docs/spillway-yaml.md is it.")
    ] = False,
) -> int:
    """Print the JSON schema of spillway.yaml. What it refuses, every command refuses.

    An editor that knows YAML completes keys and shows mistakes by it, where the file begins with
    "# yaml-language-server: $schema=spillway.schema.json"; spillway init writes both.

    Example:  spillway schema > spillway.schema.json
    """
    streams.wait_for_reader()
    if markdown:
        from pipeline.config import reference

        page = reference.page()
        session.output.result(page.rstrip("\n"), {"markdown": page})
        return 0
    from pipeline.config import json_schema

    made = json_schema.schema()
    session.output.result(json.dumps(made, indent=1), made)
    return 0
