"""What one module defines, as plain data: classes with fields and members, functions with what they return, values.

Read from the tree of one file; names stay symbols (see ``symbols.py``) until somebody asks what they are. Only the
statements are walked, not every expression, so this costs a fraction of the parse.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TypedDict

from checks.modules import absolute
from checks.parse import Parsed
from checks.symbols import (
    ENUM_ATTRIBUTES,
    Lookup,
    Symbol,
    annotation,
    box,
    constant,
    dotted,
    either,
    expression_name,
    imported_names,
    module_lookup,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Member(TypedDict):
    """A name assigned in a class body: an enum member, a field, a class attribute."""

    line: int
    type: Symbol | None
    value: str  # the value's source text; empty for a bare annotation
    annotation: str


class Class(TypedDict):
    line: int
    bases: list[Symbol | None]
    decorators: list[str]
    members: dict[str, Member]
    fields: dict[str, Symbol | None]  # members and what methods assign to self
    returns: dict[str, Symbol | None]
    properties: list[str]
    uses_enum_values: bool


class Definitions(TypedDict):
    """One module, by top-level name (classes by their dotted path inside the module)."""

    imports: dict[str, str]
    stars: list[str]
    classes: dict[str, Class]
    functions: dict[str, Symbol | None]
    values: dict[str, Symbol | None]


def define(parsed: Parsed) -> Definitions:
    """Everything that other files can refer to."""
    statements = list(flat(parsed.tree.body))
    imports = imported_names(parsed.path, statements)
    own = {name for node in statements for name in bound_names(node)}
    look = module_lookup(parsed.path, imports, own)
    found: Definitions = {
        "imports": imports,
        "stars": [absolute(parsed.path, n.module, n.level) for n in statements if _is_star(n)],  # type: ignore[attr-defined]
        "classes": {},
        "functions": {},
        "values": {},
    }
    for node in statements:
        if isinstance(node, ast.ClassDef):
            _add_class(found["classes"], node, "", look, parsed.path)
        elif isinstance(node, Function):
            found["functions"].setdefault(node.name, returned(node, look))
        else:
            found["values"].update(_assigned(node, look))
    return found


def _is_star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of one scope, those inside ``if``, ``try``, ``with`` and loops too; not those of inner scopes."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.For | ast.AsyncFor | ast.While):
            yield from flat(node.body)
            yield from flat(node.orelse)
        elif isinstance(node, ast.Try | ast.TryStar):
            for block in (node.body, *(h.body for h in node.handlers), node.orelse, node.finalbody):
                yield from flat(block)
        elif isinstance(node, ast.With | ast.AsyncWith):
            yield from flat(node.body)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                yield from flat(case.body)


def bound_names(node: ast.stmt) -> Iterator[str]:
    """Names that this statement defines here; imports are counted apart."""
    if isinstance(node, Function | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (t.id for t in node.targets if isinstance(t, ast.Name))
    elif isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id


def _assigned(node: ast.stmt, look: Lookup) -> dict[str, Symbol | None]:
    if isinstance(node, ast.Assign):
        value = simple(node.value, look)
        return {t.id: value for t in node.targets if isinstance(t, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        value = simple(node.value, look) if node.value else None
        return {node.target.id: value or annotation(node.annotation, look)}
    return {}


def simple(node: ast.expr | None, look: Lookup) -> Symbol | None:
    """The symbol of an expression outside of any flow: names, attributes, calls, literals."""
    if isinstance(node, ast.Constant):
        return constant(node)
    if isinstance(node, ast.Name | ast.Attribute):
        base = expression_name(node, look)
        if base is None and isinstance(node, ast.Attribute):
            if node.attr in ENUM_ATTRIBUTES:
                return ("known", simple(node.value, look), node.attr, True)
            inner = simple(node.value, look)
            return ("attr", inner, node.attr) if inner is not None else None
        return base
    if isinstance(node, ast.Call):
        callee = simple(node.func, look)
        return ("call", callee) if callee is not None else None
    if isinstance(node, ast.Await):
        return simple(node.value, look)
    if isinstance(node, ast.Set | ast.SetComp):
        return ("kind", "set")
    if isinstance(node, ast.List | ast.Tuple):
        return box(simple(each, look) for each in node.elts)
    return box(simple(each, look) for each in node.values) if isinstance(node, ast.Dict) else None


def _add_class(found: dict[str, Class], node: ast.ClassDef, outer: str, look: Lookup, path: str) -> None:
    name = outer + node.name
    made: Class = {
        "line": node.lineno,
        "bases": [expression_name(_unsubscripted(base), look) for base in node.bases],
        "decorators": [dotted(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list],
        "members": {},
        "fields": {},
        "returns": {},
        "properties": [],
        "uses_enum_values": "use_enum_values" in ast.dump(node) if _may_configure(node) else False,
    }
    found.setdefault(name, made)
    inner = {child.name: child for child in node.body if isinstance(child, ast.ClassDef)}

    def inside(wanted: str) -> Symbol | None:
        return ("obj", f"{path}:{name}.{wanted}") if wanted in inner else look(wanted)

    for child in flat(node.body):
        if isinstance(child, Function):
            _add_method(made, child, inside)
        elif not isinstance(child, ast.ClassDef):
            _add_members(made, child, inside)
    for child in inner.values():
        _add_class(found, child, f"{name}.", look, path)


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _may_configure(node: ast.ClassDef) -> bool:
    names = {
        t.id for n in node.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    }
    return "model_config" in names or any(
        isinstance(n, ast.ClassDef) and n.name == "Config" for n in node.body
    )


def _add_members(made: Class, node: ast.stmt, look: Lookup) -> None:
    for name, symbol in _assigned(node, look).items():
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        noted = node.annotation if isinstance(node, ast.AnnAssign) else None
        made["members"][name] = {
            "line": node.lineno,
            "type": symbol,
            "value": ast.unparse(value) if value else "",
            "annotation": ast.unparse(noted) if noted else "",
        }
        made["fields"][name] = annotation(noted, look) if noted else symbol


def _add_method(made: Class, node: Function, look: Lookup) -> None:
    made["returns"].setdefault(node.name, returned(node, look))
    marks = {dotted(d).rpartition(".")[2] for d in node.decorator_list}
    if marks & {"property", "cached_property", "computed_field", "hybrid_property"}:
        made["properties"].append(node.name)
    parameters = {
        a.arg: annotation(a.annotation, look)
        for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    }
    for statement in flat(node.body):
        for name, symbol in _given_to_self(statement, look, parameters):
            before = made["fields"].get(name)
            made["fields"][name] = before if name in made["members"] else either((before, symbol))


def _given_to_self(
    node: ast.stmt, look: Lookup, parameters: dict[str, Symbol | None]
) -> Iterator[tuple[str, Symbol | None]]:
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
        ):
            noted = annotation(node.annotation, look) if isinstance(node, ast.AnnAssign) else None
            yield (
                target.attr,
                noted or simple(node.value, lambda n: parameters[n] if n in parameters else look(n)),
            )


def returned(node: Function, look: Lookup) -> Symbol | None:
    """What calling it gives: its annotation; its return statements where that is absent, or only says ``dict``."""
    noted = annotation(node.returns, look)
    is_vague = noted is None or noted[0] == "box" or noted == ("of", "builtins.dict")
    return (_plain_results(node, look) or noted) if is_vague else noted


def _plain_results(node: Function, look: Lookup) -> Symbol | None:
    own = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    local = {name for statement in flat(node.body) for name in bound_names(statement)} | own
    results = [n for n in flat(node.body) if isinstance(n, ast.Return) and n.value is not None]
    return either(simple(n.value, lambda name: None if name in local else look(name)) for n in results)
