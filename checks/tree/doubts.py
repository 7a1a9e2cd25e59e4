"""What a class does to its attributes, so that what they are given is not certain to be what they hold."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from checks.tree.defined import Class
from checks.tree.symbols import DOUBT, Symbol, dotted, either

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: methods through which every attribute of an object goes, or the members of an enum
_READING = frozenset({"__get__", "__getattribute__", "__setattr__"})
_METACLASSES = frozenset({"ABCMeta", "EnumMeta", "EnumType", "ABCEnumMeta", "type"})
_VALIDATORS = frozenset({"validator", "field_validator"})
#: what makes text or a number of a value
_PLAIN = frozenset(
    {"str", "int", "float", "bool", "repr", "isoformat", "strftime", "timestamp", "hex", "decode"}
)
_SAFE = frozenset({"value", "name"})
_DOUBTFUL_VALUES = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.JoinedStr)


def changes_reads(node: ast.ClassDef) -> bool:
    """A metaclass of one's own, ``__getattribute__`` and its like: ``Phase.OPEN`` may give the value."""
    made_by = (k.value for k in node.keywords if k.arg == "metaclass")
    if any(dotted(each).rpartition(".")[2] not in _METACLASSES for each in made_by):
        return True
    return any(isinstance(each, _FUNCTIONS) and each.name in _READING for each in node.body)


def converted(node: ast.ClassDef) -> Iterator[str]:
    """Fields that a validator makes text of, or a converter of attrs."""
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            call = child.value if isinstance(child.value, ast.Call) else None
            if call is not None and any(k.arg == "converter" for k in call.keywords):
                yield child.target.id
        elif isinstance(child, _FUNCTIONS):
            marks = (d for d in child.decorator_list if isinstance(d, ast.Call))
            validating = [d for d in marks if dotted(d.func).rpartition(".")[2] in _VALIDATORS]
            for call in validating if validating and _gives_plain(child) else ():
                yield from (str(a.value) for a in call.args if isinstance(a, ast.Constant))


def _gives_plain(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if node.returns is not None and dotted(node.returns) in _PLAIN:
        return True
    results = (n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None)
    return any(_is_made_plain(each) for result in results for each in ast.walk(result))


def _is_made_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
        return name in _PLAIN
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Attribute) and node.attr in _SAFE)


def unclear(node: ast.stmt) -> Iterator[tuple[str, bool]]:
    """Attributes of ``self`` that a statement sets, and whether it makes them of what they were.

    ``object.__setattr__(self, "name", ...)`` is one, too.
    """
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                name = _own(target)
                if name:
                    yield name, _mentions(value, name)
        case ast.AnnAssign(target=target, value=ast.expr() as value) if _own(target):
            yield _own(target), _mentions(value, _own(target))
        case ast.Expr(value=ast.Call(args=[_, ast.Constant(value=str(name)), value]) as call):
            if dotted(call.func) == "object.__setattr__":
                yield name, _mentions(value, name)


def is_no_value(node: ast.stmt) -> bool:
    """``self.started = None``: it is not there yet; ``self.rows[key] = value`` leaves what else is in it."""
    value = getattr(node, "value", None)
    is_put = any(isinstance(target, ast.Subscript) for target in getattr(node, "targets", ()))
    return is_put or value is None or (isinstance(value, ast.Constant) and value.value is None)


def _own(target: ast.expr) -> str:
    """``self.name`` or ``self.name[key]``."""
    inside = target.value if isinstance(target, ast.Subscript) else target
    first, _, name = dotted(inside).partition(".")
    return name if first == "self" and "." not in name else ""


def _mentions(value: ast.expr, name: str) -> bool:
    return any(isinstance(each, ast.Attribute) and dotted(each) == f"self.{name}" for each in ast.walk(value))


def doubt(made: Class, names: Iterable[str]) -> None:
    """These attributes may hold something else."""
    for name in names:
        before = made.fields.get(name)
        if before is not None:
            made.fields[name] = either((before, DOUBT))


def contradicted(noted: Symbol | None, default: ast.expr | None) -> Symbol | None:
    """A parameter by its annotation; a default that is something else shows that the annotation does not say all."""
    is_text = isinstance(default, ast.Attribute) and default.attr in _SAFE
    is_other = isinstance(default, _DOUBTFUL_VALUES) and getattr(default, "value", 0) not in (None, ...)
    return either((noted, DOUBT)) if noted is not None and (is_text or is_other) else noted
