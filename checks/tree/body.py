"""Function bodies in a normal form: local names are numbered, docstrings and annotations left out.

Two functions with the same normal form do the same by the text: attribute names, constants and the names of other
functions count; what parameters and variables are called does not.
"""

from __future__ import annotations

import ast
import hashlib
from collections import deque
from collections.abc import Iterator
from itertools import islice

Function = ast.FunctionDef | ast.AsyncFunctionDef
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: where statements keep those inside them
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_DROPPED = frozenset(
    {"annotation", "returns", "decorator_list", "type_comment", "ctx", "kind", "type_params"}
)
_KINDS = [each for each in vars(ast).values() if isinstance(each, type) and issubclass(each, ast.AST)]
#: of each kind of node, how it is written, and what of it counts
_WRITTEN = {
    kind: (f"({kind.__name__}", tuple(f for f in kind._fields if f not in _DROPPED)) for kind in _KINDS
}
#: text fields that may name a local variable; what is in others is what it says, also where a variable is called so
_NAMING = frozenset({"name", "asname", "rest"})
#: fields in which there are no names that a function could bind
_NAMELESS = frozenset({"ctx", "op", "ops", "attr", "id", "kind", "type_comment", "n"})
_INNER = {kind: tuple(f for f in kind._fields if f not in _NAMELESS) for kind in _KINDS} | {ast.Constant: ()}


def below(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, as ``ast.iter_child_nodes``, but for operators and contexts: a third of all nodes."""
    found: list[ast.AST] = []
    for name in _INNER[type(node)]:
        value = getattr(node, name, None)
        if type(value) is list:
            found += [each for each in value if isinstance(each, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, level by level, as ``ast.walk`` in three fifths of the time: see ``below``."""
    left = deque([node])
    while left:
        node = left.popleft()
        left.extend(below(node))
        yield node


def normal_form(node: Function | ast.Lambda) -> str:
    """One line of text; equal for functions that differ in local names, comments and docstrings only."""
    if isinstance(node, ast.Lambda):
        body: list[ast.stmt] = [ast.Return(value=node.body)]
    else:
        body = without_docstring(node.body)
    names = _local_names(node)
    parts: list[str] = []
    _write(node.args, names, parts)
    for statement in body:
        _write(statement, names, parts)
    return " ".join(parts)


def print_of(node: Function | ast.Lambda) -> str:
    return print_of_form(normal_form(node))


def print_of_form(form: str) -> str:
    return hashlib.sha256(form.encode(errors="surrogatepass")).hexdigest()[:24]


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_doc = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if is_doc else body


def words(node: Function) -> set[bytes]:
    """Attribute names, text constants and names from outside: what a copy of it must hold, whatever it is called."""
    found: set[str] = set()
    local = _local_names(node)
    for child in (c for statement in without_docstring(node.body) for c in ast.walk(statement)):
        match child:
            case ast.Attribute(attr=word):
                found.add(word)
            case ast.Name(id=word) if word not in local:
                found.add(word)
            case ast.Constant(value=str(word)) if _stands_as_it_is(word):
                found.add(word)
    return {word.encode() for word in found if len(word) > 2}


def _stands_as_it_is(text: str) -> bool:
    """Whether a constant is written in the source just like this."""
    return text.isascii() and text.isprintable() and not any(c in text for c in "\\'\"{}")


def has_size(node: Function, least: int) -> bool:
    """Whether the body has so many syntax nodes: below about 12 a function is too small to be anybody's copy."""
    nodes = (child for statement in without_docstring(node.body) for child in ast.walk(statement))
    return next(islice(nodes, least - 1, None), None) is not None


def functions(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its dotted path inside the module, outer ones first."""
    for child in (each for block in _BLOCKS for each in getattr(tree, block, ())):
        name = owner
        if isinstance(child, _NAMED):
            name = f"{owner}.{child.name}" if owner else child.name
        if isinstance(child, Function):
            yield name, child
        if isinstance(child, ast.Match) or hasattr(child, "body"):
            yield from functions(child, name)


def named_lambdas(tree: ast.AST) -> Iterator[tuple[str, ast.Lambda]]:
    """Every ``name = lambda ...``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))


def _local_names(node: Function | ast.Lambda) -> dict[str, str]:
    names: dict[str, str] = {}
    waiting: list[ast.AST] = [node]
    for child in waiting:  # it grows: everything below the function, level by level
        if isinstance(child, ast.Name):
            if isinstance(child.ctx, ast.Store):
                names.setdefault(child.id, f"_{len(names)}")
            continue
        if isinstance(child, ast.arg):
            names.setdefault(child.arg, f"_{len(names)}")
        elif isinstance(child, ast.ExceptHandler) and child.name:
            names.setdefault(child.name, f"_{len(names)}")
        waiting += below(child)
    return names


def _write(node: object, names: dict[str, str], parts: list[str]) -> None:
    """The tests stand in the order of how often they are true: this is called for every node of every function."""
    kind = type(node)
    if isinstance(node, ast.Name):
        parts.append(names.get(node.id, node.id))
    elif isinstance(node, list):
        for each in node:
            _write(each, names, parts)
    elif isinstance(node, ast.arg):
        parts.append(names[node.arg])
    elif kind in _WRITTEN:
        head, fields = _WRITTEN[kind]
        parts.append(head)
        for field in fields:
            value = getattr(node, field, None)
            if type(value) is str and field not in _NAMING:
                parts.append(repr(value).replace(" ", "\u00b7"))
            elif value is not None:
                _write(value, names, parts)
        parts.append(")")
    elif node is not None:
        text = names.get(node, node) if isinstance(node, str) else node
        parts.append(repr(text).replace(" ", "\u00b7"))
