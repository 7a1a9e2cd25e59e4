"""One look at a Python service: everything of ``facts.py``, from the source alone."""

from __future__ import annotations

import ast
from pathlib import Path

from checks.service import dispatch, routes
from checks.service.facts import Handled, Place, Service
from checks.service.sending import Sending, fields
from checks.service.source import Source, place
from checks.tree.symbols import dotted

_TELEMETRY = "SpillwayTelemetry"


def look(root: Path) -> Service:
    """Raises CheckError when the root is no folder that can be read; nothing in the checked code raises."""
    source = Source.below(root)
    field = source.type_field
    return Service(
        applications=tuple(routes.applications(source)),
        routes=tuple(dict.fromkeys(routes.routes(source))),
        handled=handled(source, field),
        type_field=field,
        watched=_watched(source),
    )


def handled(source: Source, field: str) -> tuple[Handled, ...]:
    """The message types that a service takes, by the key that holds a message's type."""
    sending = Sending(source, field)
    rows = (
        _handled(sending, branch, field) for branch in dispatch.each_once(dispatch.branches(source, field))
    )
    return tuple(row for row in rows if row is not None)


def _handled(sending: Sending, branch: dispatch.Branch, field: str) -> Handled | None:
    """None for what is no message: what sends nothing, and speaks of no messages."""
    sends = sending.of(branch)
    if not sends and not sending.is_near(branch):
        return None
    table = branch.table
    return Handled(
        branch.key, branch.style, branch.dispatcher, branch.where, sends, fields(branch, field), branch.member,
        table.name if table else "", table.where if table else None,
    )  # fmt: skip


def _watched(source: Source) -> Place | None:
    for path, node in source.nodes:
        if isinstance(node, ast.Call):
            names = [dotted(node.func), *(dotted(each) for each in node.args)]
            if any(name.rpartition(".")[2] == _TELEMETRY for name in names):
                return place(path, node)
    return None
