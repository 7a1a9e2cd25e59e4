"""Function bodies in a normal form: local names are numbered, docstrings and annotations left out.

Two functions with the same normal form do the same by the text: attribute names, constants and the names of other
functions count; what parameters and variables are called does not.
"""

from __future__ import annotations

import ast
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

Function = ast.FunctionDef | ast.AsyncFunctionDef
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: nodes that are one name
_NAMES = (ast.Name, ast.arg)
#: where statements keep those inside them
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_DROPPED = frozenset({"type_comment", "ctx", "kind"})
_UNCOUNTED = frozenset({"annotation", "returns", "decorator_list", "type_params"})
_KINDS = [each for each in vars(ast).values() if isinstance(each, type) and issubclass(each, ast.AST)]
#: of each kind of node, how it is written, the fields that count, and those in which names may be bound all the same
_WRITTEN = {
    kind: (
        f"({kind.__name__}",
        tuple(f for f in kind._fields if f not in _DROPPED and f not in _UNCOUNTED),
        tuple(f for f in kind._fields if f in _UNCOUNTED),
    )
    for kind in _KINDS
}
#: text fields that may name a local variable; what is in others is what it says, also where a variable is called so
_NAMING = frozenset({"name", "asname", "rest"})
#: fields in which there are no names that a function could bind
_NAMELESS = frozenset({"ctx", "op", "ops", "attr", "id", "kind", "type_comment", "n"})
_INNER = {kind: tuple(f for f in kind._fields if f not in _NAMELESS) for kind in _KINDS} | {ast.Constant: ()}
#: of what holds statements, where
_HELD = {kind: tuple(f for f in kind._fields if f in _BLOCKS) for kind in _KINDS}


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


def names_given(node: ast.AST, is_it: Callable[[ast.expr], bool]) -> Iterator[str]:
    """Names that are set to such a value anywhere below a node."""
    for each in walk(node):
        match each:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.NamedExpr(target=target, value=value):
                targets = [target]
            case _:
                continue
        if is_it(value):
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements of a tree, level by level as in ``walk``, with handlers and cases."""
    left = deque([tree])
    while left:
        node = left.popleft()
        for block in _HELD[type(node)]:
            left.extend(getattr(node, block))
        yield node


def normal_form(node: Function | ast.Lambda) -> str:
    """One line of text; equal for functions that differ in local names, comments and docstrings only."""
    return _Written(node).form()


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
    local = _Written(node).names()
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
    left: list[ast.AST] = [*without_docstring(node.body)]
    seen = 0
    while left and seen + len(left) < least:
        seen += 1
        left.extend(ast.iter_child_nodes(left.pop()))
    return seen + len(left) >= least


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


class _Written:
    """A function as it is written in its normal form, gone through once: which names are its own is known at the end."""

    def __init__(self, node: Function | ast.Lambda) -> None:
        self._parts: list[str] = []
        #: which of the parts are names, and which are names that are written as texts are
        self._named: list[int] = []
        self._quoted: list[int] = []
        #: each name that is bound, with how deep that stands
        self._bound: list[tuple[int, str]] = []
        self._write(node.args, 1)
        if isinstance(node, ast.Lambda):
            self._parts.append("(Return")
            self._write_all([node.body], 1)
            self._parts.append(")")
        else:
            self._write_all(without_docstring(node.body), 1)
            self._bind([*node.decorator_list, node.returns], 1)

    def names(self) -> dict[str, str]:
        """By local name its number, level by level of the syntax tree."""
        own = dict.fromkeys(name for _, name in sorted(self._bound, key=itemgetter(0)))
        return {name: f"_{number}" for number, name in enumerate(own)}

    def form(self) -> str:
        names, parts = self.names(), self._parts
        for at in self._named:
            parts[at] = names.get(parts[at], parts[at])
        for at in self._quoted:
            parts[at] = repr(names.get(parts[at], parts[at]))
        return " ".join(parts)

    def _write(self, node: ast.AST, depth: int) -> None:
        """This is called for every node but names of every function: what most of their fields are is asked first."""
        parts, (head, fields, uncounted) = self._parts, _WRITTEN[type(node)]
        parts.append(head)
        for field in fields:
            value = getattr(node, field, None)
            if isinstance(value, _NAMES):
                self._write_name(value, depth + 1)
            elif isinstance(value, ast.AST):
                self._write(value, depth + 1)
            elif type(value) is str and field not in _NAMING:
                parts.append(repr(value).replace(" ", "\u00b7"))
            elif value is not None:
                self._write_all(value if type(value) is list else [value], depth + 1)
        parts.append(")")
        for field in uncounted:
            self._bind(getattr(node, field, None), depth + 1)

    def _write_name(self, node: ast.Name | ast.arg, depth: int) -> None:
        self._named.append(len(self._parts))
        if isinstance(node, ast.Name):
            self._parts.append(node.id)
            if isinstance(node.ctx, ast.Store):
                self._bound.append((depth, node.id))
        else:
            self._parts.append(node.arg)
            self._bind(node, depth)

    def _write_all(self, values: Sequence[object], depth: int) -> None:
        for value in values:
            if isinstance(value, _NAMES):
                self._write_name(value, depth)
            elif isinstance(value, ast.AST):
                if isinstance(value, ast.ExceptHandler) and value.name:
                    self._bound.append((depth, value.name))
                self._write(value, depth)
            elif isinstance(value, str):
                self._quoted.append(len(self._parts))
                self._parts.append(value)
            elif value is not None:
                self._parts.append(repr(value).replace(" ", "\u00b7"))

    def _bind(self, nodes: object, depth: int) -> None:
        """Names that are bound in what does not count itself: an annotation, decorators."""
        for node in nodes if isinstance(nodes, list) else [nodes]:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._bound.append((depth, node.id))
            elif isinstance(node, ast.arg):
                self._bound.append((depth, node.arg))
            if isinstance(node, ast.AST):
                self._bind(below(node), depth + 1)
