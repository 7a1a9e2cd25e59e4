"""Dispatch that is no dictionary, read as if it were one: all the ways in which a function or a class may choose.

What chooses may do so by several values; each is one candidate, and whoever knows the keys that are asked for takes the one
that knows most of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.rules.event_map.by_name import by_name, of_library
from checks.rules.event_map.conditions import Near, Rows, by_comparison
from checks.rules.event_map.keys import Dispatch, Key, is_key
from checks.rules.event_map.messages import is_enum, root_of, tag_of, union_of
from checks.rules.event_map.tables import by_outer_table, by_table
from checks.tree.definitions import Function, flat
from checks.tree.symbols import dotted


def of_function(node: Function, owner: ast.ClassDef | None, rows: Rows, near: Near) -> list[Dispatch]:
    """How a function chooses by a value; nothing where it does not, as one that registers handlers."""
    named, table = by_name(node, owner, near), by_table(node)
    found = [*([named] if named else []), *by_comparison(node, rows, near), *([table] if table else [])]
    if not found and (outer := by_outer_table(node)):
        found.append(outer)
    is_first = named is not None and named.keys
    return found if is_first else sorted(found, key=lambda each: -len(each.keys))


def of_class(node: ast.ClassDef, rows: Rows) -> Iterator[Dispatch]:
    """How a class chooses: by its subclasses, its members, what it stands for, or in a method."""
    library, root = of_library(node), root_of(node)
    near = functions_of(node.body)
    if is_enum(node):
        members = Key(
            ast.Name(node.name, ctx=ast.Load(), lineno=node.lineno, col_offset=node.col_offset), "", "members"
        )
        yield Dispatch(f"members of {node.name}", '... = "{key}"', [members])
        return
    yield Dispatch(f"subclasses of {node.name}", f'class ...({node.name}): type: Literal["{{key}}"]', [])
    if root is not None:
        members_of = union_of(root) or []
        yield Dispatch(
            "a union of classes", 'a class with type: Literal["{key}"]', list(map(message_key, members_of))
        )
    if library:
        yield library
    for method in near.values():
        yield from (each for each in of_function(method, node, rows, near) if each.keys)


def message_key(node: ast.expr) -> Key:
    """One member of a union: a class, or one with a tag."""
    tag = tag_of(node)
    return Key(node, "", "message") if tag is None else Key(tag, "")


def functions_of(body: list[ast.stmt]) -> dict[str, Function]:
    return {node.name: node for node in flat(body) if isinstance(node, Function)}


def rows_of(body: list[ast.stmt]) -> Rows:
    """Texts that stand in a row under a name: ``PROGRESS = frozenset({"a", "b"})``."""
    found: dict[str, list[ast.expr]] = {}
    for node in body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and dotted(value.func) in ("frozenset", "set", "tuple") and value.args:
            value = value.args[0]
        if isinstance(value, ast.Tuple | ast.List | ast.Set) and all(map(is_key, value.elts)):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found |= {target.id: value.elts for target in targets if isinstance(target, ast.Name)}
    return found
