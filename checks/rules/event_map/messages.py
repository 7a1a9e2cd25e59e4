"""Dispatch by a message's class: the literal that each class has, subclasses of one, and unions of several."""

from __future__ import annotations

import ast

from checks.rules.event_map.keys import KINDS, is_key
from checks.tree.definitions import Function, flat
from checks.tree.symbols import dotted

#: arguments of a class statement that are for its key
_KEYWORDS = frozenset({*KINDS, "discriminator", "key"})


def literal_of(node: ast.ClassDef) -> ast.expr | None:
    """The key of a message class: ``type: Literal["x"] = "x"``, ``type = "x"``, ``class X(Base, tag="x")``; of several the first."""
    return next(iter(literals_of(node)), None)


def literals_of(node: ast.ClassDef) -> list[ast.expr]:
    """All keys of a message class: ``type: Literal["x", "y"]``."""
    for keyword in node.keywords:
        if keyword.arg in _KEYWORDS and is_key(keyword.value):
            return [keyword.value]
    return next((texts for statement in flat(node.body) if (texts := _given(statement))), [])


def has_one_key(node: ast.ClassDef) -> bool:
    """Whether no field may hold several types: ``action: Literal["add", "remove"]`` says what a message is about."""
    noted = [n for n in flat(node.body) if isinstance(n, ast.AnnAssign) and dotted(n.target) in KINDS]
    return not any(
        n.value is None
        and isinstance(n.annotation, ast.Subscript)
        and isinstance(n.annotation.slice, ast.Tuple)
        for n in noted
        if dotted(getattr(n.annotation, "value", n.annotation)).endswith("Literal")
    )


def has_field(node: ast.ClassDef, below: ast.ClassDef) -> bool:
    """Whether a class notes the field in which one below it has its key, as one that differs."""
    noted = {dotted(n.target) for n in flat(node.body) if isinstance(n, ast.AnnAssign) and not _given(n)}
    held = {dotted(n.target) for n in flat(below.body) if isinstance(n, ast.AnnAssign) and _given(n)}
    return not noted.isdisjoint(held)


def _given(statement: ast.stmt) -> list[ast.expr]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=noted, value=value) if name in KINDS:
            if isinstance(noted, ast.Subscript) and dotted(noted.value).endswith("Literal"):
                return _listed(noted.slice)
            return _default(value)
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in KINDS:
            return _default(value)
        case ast.FunctionDef(name=name, body=[*_, ast.Return(value=ast.expr() as value)]) if name in KINDS:
            return [value] if is_key(value) else []
    return []


def _default(value: ast.expr | None) -> list[ast.expr]:
    """A constant, also as the default of a field."""
    if isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2].lower() == "field":
        defaults = [keyword.value for keyword in value.keywords if keyword.arg == "default"]
        value = next(iter((*defaults, *value.args)), None)
    return [value] if value is not None and is_key(value) else []


def union_of(value: ast.expr) -> list[ast.expr] | None:
    """The members of ``A | B``, ``Union[A, B]``, ``Annotated[A | B, Field(discriminator="type")]``."""
    match value:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            sides = union_of(left), union_of(right)
            return None if None in sides else [*(sides[0] or []), *(sides[1] or [])]
        case ast.Subscript(value=kind, slice=inner):
            members = _listed(inner)
            if dotted(kind).endswith("Annotated"):
                inside = union_of(members[0]) if members else None
                return [value] if tag_of(value) is not None else inside
            return members if dotted(kind).endswith("Union") else None
        case ast.Name() | ast.Attribute() if dotted(value).rpartition(".")[2][:1].isupper():
            return [value]
    return None


def _listed(inner: ast.expr) -> list[ast.expr]:
    """What stands in the brackets of an annotation; ``Literal[()]`` and ``Union[()]`` have nothing."""
    return inner.elts if isinstance(inner, ast.Tuple) else [inner]


def tag_of(value: ast.expr) -> ast.expr | None:
    """The key of ``Annotated[A, Tag("x")]``."""
    match value:
        case ast.Subscript(value=kind, slice=ast.Tuple(elts=[_, *notes])) if dotted(kind).endswith(
            "Annotated"
        ):
            tags = (
                n.args[0]
                for n in notes
                if isinstance(n, ast.Call) and n.args and dotted(n.func).endswith("Tag")
            )
            return next(tags, None)
    return None


def root_of(node: ast.ClassDef) -> ast.expr | None:
    """What a pydantic root model stands for."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and dotted(statement.target) in ("root", "__root__"):
            return statement.annotation
    for base in node.bases:
        if isinstance(base, ast.Subscript) and dotted(base.value).rpartition(".")[2] == "RootModel":
            return base.slice
    return None


def is_enum(node: ast.ClassDef) -> bool:
    return any(dotted(base).endswith("Enum") for base in node.bases)


def class_in(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """The class of a dotted name inside of a module."""
    body = tree.body
    found: ast.ClassDef | None = None
    for part in name.split("."):
        found = next((n for n in flat(body) if isinstance(n, ast.ClassDef) and n.name == part), None)
        if found is None:
            return None
        body = found.body
    return found


def bases_in(node: ast.ClassDef, name: str) -> list[ast.expr]:
    """Those of the bases that are called so."""
    plain = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
    return [base for base in plain if dotted(base).rpartition(".")[2] == name]


def first_note(node: Function) -> ast.expr | None:
    """The annotation of the first argument that is not the object's own."""
    given = [a for a in (*node.args.posonlyargs, *node.args.args) if a.arg not in ("self", "cls")]
    return given[0].annotation if given else None
