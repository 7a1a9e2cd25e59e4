"""What a module says about a dispatcher that is no mapping, as changes of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.rules.event_map import dispatch
from checks.rules.event_map.change import Change, Entry, key_of
from checks.rules.event_map.conditions import Rows
from checks.rules.event_map.keys import Dispatch, Key
from checks.rules.event_map.messages import bases_in, literals_of
from checks.rules.event_map.registered import REGISTERED, registered, registry
from checks.tree.body import walk
from checks.tree.definitions import Function, flat
from checks.tree.parse import Parsed
from checks.tree.symbols import Lookup, Symbol, attribute_of, dotted, expression_name, imported_names

#: what may hold a dispatcher
Owner = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def dispatchers(parsed: Parsed, name: str, look: Lookup) -> Iterator[Change]:
    """Functions and classes of that name that choose by a value, or with which handlers are registered."""
    rows = dispatch.rows_of(parsed.tree.body)
    owners: list[tuple[Owner | None, list[ast.stmt]]] = [(None, parsed.tree.body)]
    for _, outer in owners:  # it grows: classes in classes, functions in functions
        owners += [(n, n.body) for n in flat(outer) if isinstance(n, Owner)]
    for owner, body in owners:
        place = f"{parsed.path}:{owner.name}.{name}" if owner else f"{parsed.path}:{name}"
        for node in flat(body):
            above = owner if isinstance(owner, ast.ClassDef) else None
            for found in _dispatches(node, above, body, name, rows, is_top=owner is None):
                inside = node if isinstance(node, ast.ClassDef) else above
                near = _inside(node, parsed.path, look)
                keys = [_entry(key, near, parsed.path, inside) for key in found.keys]
                head = (Symbol("obj", place), owner.name if owner else "", node.lineno, node.col_offset + 1)
                yield Change("assign", *head, keys, found.is_open, [], found.style, found.example)
            if owner is None and isinstance(node, ast.Assign):
                yield from _holders(node, name, parsed.path)


def _inside(node: ast.stmt, path: str, look: Lookup) -> Lookup:
    """Names as a function sees them that imports some itself."""
    inner = walk(node) if isinstance(node, Function) else ()
    imports = imported_names(path, [each for each in inner if isinstance(each, ast.Import | ast.ImportFrom)])
    return (lambda name: Symbol("obj", imports[name]) if name in imports else look(name)) if imports else look


def _holders(node: ast.Assign, name: str, path: str) -> Iterator[Change]:
    """``router = Router()``, whose method registers; ``on = Registry()`` and ``on = router.on``, which register themselves."""
    for held in {dotted(target) for target in node.targets}:
        is_itself = held == name and isinstance(node.value, ast.Call | ast.Attribute)
        if is_itself or isinstance(node.value, ast.Call):
            inner = held if is_itself else f"{held}.{name}"
            head = (
                Symbol("obj", f"{path}:{inner}"),
                "" if is_itself else held,
                node.lineno,
                node.col_offset + 1,
            )
            example = f'@{inner}("{{key}}") above its handler'
            yield Change("holder", *head, [], False, [], REGISTERED, example)


def _dispatches(
    node: ast.stmt,
    owner: ast.ClassDef | None,
    body: list[ast.stmt],
    name: str,
    rows: Rows,
    *,
    is_top: bool,
) -> list[Dispatch]:
    if isinstance(node, Function) and node.name == name:
        near = dispatch.functions_of(body)
        return dispatch.of_function(node, owner, rows, near) or [registry(node)]
    if isinstance(node, ast.ClassDef) and node.name == name and is_top:
        return list(dispatch.of_class(node, rows))
    return []


def handlers(node: ast.AST, name: str, look: Lookup) -> Iterator[Change]:
    """What is registered with it, and subclasses of it, each as one more entry; ``below`` for one without a key of its own."""
    found = list(registered(node, name))
    if isinstance(node, ast.ClassDef):
        texts = literals_of(node)
        for base in bases_in(node, name):
            if texts:
                found += [(base, Key(text, node.name)) for text in texts]
            else:
                above = expression_name(base, look) or Symbol("obj", dotted(base))
                yield Change("below", above, node.name, node.lineno, node.col_offset + 1, [], False, [])
    for named, key in found:
        # ``self.on("x", handler)`` is the class's own
        target = expression_name(named, look) or Symbol("obj", dotted(named))
        entry = _entry(key, look)
        example = f'{dotted(named)}("{{key}}", ...)'
        yield Change("update", target, "", entry.line, entry.column, [entry], False, [], REGISTERED, example)


def _entry(key: Key, look: Lookup, path: str = "", owner: ast.ClassDef | None = None) -> Entry:
    """A key as an entry; what stands for ``self`` is the class's own."""
    node, place = key.node, (getattr(key.node, "lineno", 1), getattr(key.node, "col_offset", 0) + 1)
    first, _, rest = dotted(node).partition(".")
    if key.form == "handler":
        return Entry(key_of(node, look), *place, "handler", None, key.handler)
    if key.form == "super":
        above = expression_name(owner.bases[0], look) if owner is not None and owner.bases else None
        return Entry(None, *place, "spread", attribute_of(above, key.handler), "")
    if first in ("self", "cls") and owner is not None:
        return Entry(None, *place, key.form, Symbol("obj", f"{path}:{owner.name}.{rest}"), key.handler)
    return Entry(
        None, *place, key.form, expression_name(node, look), key.handler if key.form == "functions" else ""
    )
