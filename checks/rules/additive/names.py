"""Names that travel as text: keys of maps, lists of events, constants, before and now."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.finding import Confidence, Finding, Severity
from checks.settings import Settings
from checks.tree.definitions import bound_names, flat
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.symbols import dotted, imported_names

NAME = "additive"


def compare(settings: Settings, before: bytes, now: Parsed) -> Iterator[Finding]:
    """Texts that a constant of the module held and no longer holds."""
    try:
        old = _texts(parse(now.path, before).tree)
    except Unparsable:
        return
    new = _texts(now.tree)
    maps = {m.name.rpartition(".")[2] for m in settings.event_map}
    for name, (_, texts, is_open) in old.items():
        if name not in new or is_open or new[name][2]:
            continue
        for text in sorted(texts - new[name][1]):
            sure = Confidence.HIGH if text in settings.messages or name in maps else Confidence.MEDIUM
            message = f"{text!r} was removed from {name}: whoever sends or expects it is not understood"
            yield Finding(NAME, now.path, new[name][0], 1, Severity.ERROR, sure, message)


def public_names(tree: ast.Module) -> list[str]:
    """What a module offers, in order."""
    return [name for node in flat(tree.body) for name in bound_names(node) if not name.startswith("_")]


def offered_names(parsed: Parsed) -> set[str]:
    """What can be imported from a module, its own imports too."""
    statements = flat(parsed.tree.body)
    return {*public_names(parsed.tree), *imported_names(parsed.path, statements)}


def _texts(tree: ast.Module) -> dict[str, tuple[int, frozenset[str], bool]]:
    """Constant name to its line, its texts, and whether it holds something that cannot be read."""
    found: dict[str, tuple[int, frozenset[str], bool]] = {}
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is None or not any(name.isupper() for name in bound_names(node)):
            continue
        parts = _parts(value)
        if parts is not None:
            texts = frozenset(
                p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)
            )
            is_open = any(not isinstance(p, ast.Constant | ast.Attribute) for p in parts)
            found |= dict.fromkeys(bound_names(node), (node.lineno, texts, is_open))
    return found


def _parts(value: ast.expr) -> list[ast.expr | None] | None:
    """The names in a map, a list, a set, ``frozenset({...})`` or ``Literal[...]``; None for anything else."""
    match value:
        case ast.Dict(keys=keys):
            return list(keys)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return list(parts)
        case ast.Call(args=[only], keywords=[]):
            return _parts(only)
        case ast.Subscript(slice=inner) if dotted(value.value).endswith("Literal"):
            return list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
        case _:
            return None
