"""What a module says about a dispatcher that is no mapping, as changes of one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.rules.event_map import dispatch
from checks.rules.event_map.change import Change, Entry, key_of
from checks.tree.definitions import Function, flat
from checks.tree.parse import Parsed
from checks.tree.symbols import Lookup, Symbol, dotted, expression_name

#: what may hold a dispatcher
Owner = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def dispatchers(parsed: Parsed, name: str, look: Lookup) -> Iterator[Change]:
    """Functions and classes of that name that choose by a value, or with which handlers are registered."""
    rows = dispatch.rows_of(parsed.tree.body)
    owners: list[tuple[Owner | None, list[ast.stmt]]] = [(None, parsed.tree.body)]
    for _, above in owners:  # it grows: classes in classes, functions in functions
        owners += [(n, n.body) for n in flat(above) if isinstance(n, Owner)]
    for owner, body in owners:
        place = f"{parsed.path}:{owner.name}.{name}" if owner else f"{parsed.path}:{name}"
        for node in flat(body):
            found = _dispatch(node, owner, name, rows)
            if found is not None:
                keys = [_entry(key, look) for key in found.keys]
                head = (Symbol("obj", place), owner.name if owner else "", node.lineno, node.col_offset + 1)
                yield Change("assign", *head, keys, found.is_open, [], found.style, found.example)
            elif owner is None and isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                for held in {dotted(target) for target in node.targets}:
                    example = f'@{held}.{name}("{{key}}") above its handler'
                    head = (
                        Symbol("obj", f"{parsed.path}:{held}.{name}"),
                        held,
                        node.lineno,
                        node.col_offset + 1,
                    )
                    yield Change("holder", *head, [], False, [], dispatch.REGISTERED, example)


def _dispatch(
    node: ast.stmt, owner: Owner | None, name: str, rows: dispatch.Rows
) -> dispatch.Dispatch | None:
    if isinstance(node, Function) and node.name == name:
        above = owner if isinstance(owner, ast.ClassDef) else None
        return dispatch.of_function(node, above, rows) or dispatch.registry(node)
    if isinstance(node, ast.ClassDef) and node.name == name and owner is None:
        return dispatch.Dispatch(f"subclasses of {name}", f'class ...({name}): type: Literal["{{key}}"]', [])
    return None


def handlers(node: ast.AST, name: str, look: Lookup) -> Iterator[Change]:
    """What is registered with it, and subclasses of it, each as one more entry."""
    found = list(dispatch.registered(node, name))
    if isinstance(node, ast.ClassDef):
        text = dispatch.literal_of(node)
        bases = [base for base in node.bases if dotted(base).rpartition(".")[2] == name]
        found += [(base, dispatch.Key(text, node.name)) for base in bases if text is not None]
    for named, key in found:
        target = expression_name(named, look)
        # ``self.on("x", handler)`` is the class's own
        target = target or Symbol("obj", dotted(named))
        place = (key.node.lineno, key.node.col_offset + 1)
        example = f'{dotted(named)}("{{key}}", ...)'
        entries = [_entry(key, look)]
        yield Change("update", target, "", *place, entries, False, [], dispatch.REGISTERED, example)


def _entry(key: dispatch.Key, look: Lookup) -> Entry:
    return Entry(
        key_of(key.node, look), key.node.lineno, key.node.col_offset + 1, "handler", None, key.handler
    )
