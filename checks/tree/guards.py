"""Handlers that have another way when ``json.dumps`` refuses: what stands in their ``try`` is lost to nobody."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from checks.tree.symbols import dotted

_BROAD = frozenset({"Exception", "BaseException", ""})
_TEXT = frozenset({"str", "repr"})


def falls_back(handlers: Iterable[ast.ExceptHandler]) -> bool:
    """Whether a refusal is expected: ``TypeError`` is caught, or everything, and then something is written as text."""
    return any(_expects(handler) for handler in handlers)


def suppresses(node: ast.expr) -> bool:
    """``with suppress(TypeError)``."""
    if not isinstance(node, ast.Call) or dotted(node.func).rpartition(".")[2] != "suppress":
        return False
    return any(dotted(kind).rpartition(".")[2] in _BROAD | {"TypeError"} for kind in node.args)


def _expects(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {dotted(kind).rpartition(".")[2] if kind is not None else "" for kind in kinds}
    if all(isinstance(statement, ast.Raise) for statement in handler.body):
        return False
    return "TypeError" in names or (bool(names & _BROAD) and _writes_as_text(handler))


def _writes_as_text(handler: ast.ExceptHandler) -> bool:
    """``json.dumps(value, default=str)``."""
    calls = (node for statement in handler.body for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(
        dotted(call.func).rpartition(".")[2] in ("dumps", "dump")
        and any(k.arg == "default" for k in call.keywords)
        for call in calls
    )
