"""What one module defines, as plain data: classes with fields and members, functions with what they return, values.

Read from the tree of one file; names stay symbols (see ``symbols.py``) until somebody asks what they are. Only the
statements are walked, not every expression, so this costs a fraction of the parse.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from msgspec import Struct

from checks.tree.containers import DICT, iterable, row
from checks.tree.defined import Class, Definitions, Member, Symbols
from checks.tree.doubts import changes_reads, converted, doubt, is_no_value, unclear
from checks.tree.modules import absolute
from checks.tree.parse import Parsed
from checks.tree.symbols import (
    DOUBT,
    ENUM_ATTRIBUTES,
    Lookup,
    Symbol,
    annotation,
    as_key,
    box,
    constant,
    dotted,
    either,
    expression_name,
    imported_names,
    module_lookup,
)

#: expressions of which something can be said outside of any flow
_TELLING = (
    ast.Constant, ast.Name, ast.Attribute, ast.Call, ast.Await, ast.Set, ast.SetComp, ast.GeneratorExp, ast.List, ast.Tuple,
    ast.Dict,
)  # fmt: skip
_YIELDS = (ast.Yield, ast.YieldFrom)
Function = ast.FunctionDef | ast.AsyncFunctionDef
# Tuples are tested faster than unions.
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
NAMED = (*FUNCTIONS, ast.ClassDef)
_ASSIGNING = (ast.Assign, ast.AnnAssign)
#: decorators after which a call gives what the function's ``return`` does
_KEEPING = frozenset(
    {"abstractmethod", "cache", "cached", "cached_property", "asynccontextmanager", "classmethod", "computed_field", "contextmanager", "deprecated", "final",
     "hybrid_property", "lru_cache", "override", "property", "retry", "singledispatchmethod", "staticmethod", "typechecked",
     "validate_call"}
)  # fmt: skip
#: words in the names of those that only look at a call, or repeat it
_LOOKING = frozenset(
    {
        "log",
        "logged",
        "trace",
        "traced",
        "timed",
        "timer",
        "retry",
        "retries",
        "require",
        "requires",
        "required",
    }
)
_LOOP = ("body", "orelse")
_TRY = ("body", "handlers", "orelse", "finalbody")
#: where a compound statement keeps those inside it
_BLOCKS: dict[type[ast.stmt], tuple[str, ...]] = {
    ast.If: _LOOP,
    ast.For: _LOOP,
    ast.AsyncFor: _LOOP,
    ast.While: _LOOP,
    ast.Try: _TRY,
    ast.TryStar: _TRY,
    ast.With: ("body",),
    ast.AsyncWith: ("body",),
    ast.Match: ("cases",),
}


class Wanted(Struct, frozen=True):
    """What is asked about a module, where that is less than everything: names at its top, and names inside classes."""

    names: Collection[str]
    attributes: Collection[str]


def define(parsed: Parsed, only: Wanted | None = None) -> Definitions:
    """Everything that other files can refer to, or what is wanted of it; of a part of a file, what is there whole."""
    statements, imports, look = module_scope(parsed.path, parsed.tree)
    stars = [
        absolute(parsed.path, n.module, n.level)
        for n in statements
        if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"
    ]
    found = Definitions(imports, stars, {}, {}, {}, [] if only else sorted(parsed.left_out))
    for node in statements:
        if isinstance(node, NAMED) and (
            node.name not in only.names if only else node.name in parsed.left_out
        ):
            continue
        if isinstance(node, ast.ClassDef):
            _add_class(found.classes, node, f"{parsed.path}:", look, only.attributes if only else None)
        elif isinstance(node, FUNCTIONS):
            if not _is_overload(node):
                found.functions.setdefault(node.name, returned(node, look))
        else:
            found.values.update(_assigned(node, look))
    return found


@lru_cache(1)  # each rule that looks at a file asks
def module_scope(path: str, tree: ast.Module) -> tuple[list[ast.stmt], dict[str, str], Lookup]:
    """The statements at a module's top, what they import, and its names as its own top level sees them."""
    statements = flat(tree.body)
    imports = imported_names(path, statements)
    own = {name for node in statements for name in bound_names(node)}
    return statements, imports, module_lookup(path, imports, own)


def flat(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """The statements of one scope, those inside ``if``, ``try``, ``with`` and loops too; not those of inner scopes."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        for name in _BLOCKS.get(type(node), ()):
            for inner in getattr(node, name):
                # What is no statement is a handler or a case.
                found += flat((inner,) if isinstance(inner, ast.stmt) else inner.body)
    return found


def bound_names(node: ast.stmt) -> Iterator[str]:
    """Names that this statement defines here; imports are counted apart, and ``NAME += 1`` defines nothing."""
    match node:
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name


def _assigned(node: ast.stmt, look: Lookup) -> Symbols:
    if isinstance(node, ast.Assign):
        value = simple(node.value, look)
        return {t.id: value for t in node.targets if isinstance(t, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        value = simple(node.value, look) if node.value else None
        return {node.target.id: value or annotation(node.annotation, look)}
    return {}


def simple(node: ast.expr | None, look: Lookup) -> Symbol | None:
    """The symbol of an expression outside of any flow: names, attributes, calls, literals."""
    match node:
        case ast.Constant():
            return constant(node)
        case ast.Name() | ast.Attribute():
            base = expression_name(node, look)
            if base is None and isinstance(node, ast.Attribute):
                inner = simple(node.value, look)
                if node.attr in ENUM_ATTRIBUTES:
                    return Symbol("known", node.attr, (inner,))
                return inner and Symbol("attr", node.attr, (inner,))
            return base
        case ast.Call():
            callee = simple(node.func, look)
            return callee and Symbol("call", parts=(callee,))
        case ast.Await():
            return simple(node.value, look)
        case ast.expr():
            return _container(node, look)
        case _:
            return None


def _container(node: ast.expr, look: Lookup) -> Symbol | None:
    match node:
        case ast.Set():
            return iterable("set", *(simple(each, look) for each in node.elts))
        case ast.SetComp() | ast.GeneratorExp():
            return iterable("set" if isinstance(node, ast.SetComp) else "generator")
        case ast.List():
            return box(simple(each, look) for each in node.elts)
        case ast.Tuple():
            return row(simple(each, look) for each in node.elts)
        case ast.Dict():
            keys = (as_key(simple(key, look)) for key in node.keys)
            held = box((*keys, *(simple(each, look) for each in node.values)), DICT)
            return held or Symbol("box", DICT)  # what is harmless now may be added to, and has views
    return None


def _add_class(
    found: dict[str, Class], node: ast.ClassDef, place: str, look: Lookup, attributes: Collection[str] | None
) -> None:
    """A class, and those inside it. ``place`` is its file's path, a colon, and the classes around it."""
    here = place + node.name
    bases = [
        expression_name(base.value if isinstance(base, ast.Subscript) else base, look) for base in node.bases
    ]
    decorators = [dotted(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]
    uses_enum_values = any(keyword.arg == "use_enum_values" for keyword in node.keywords) or (
        _may_configure(node) and "use_enum_values" in ast.dump(node)
    )
    made = Class(node.lineno, bases, decorators, uses_enum_values, {}, {}, {}, [], [], changes_reads(node))
    found.setdefault(here.partition(":")[2], made)
    inner = {child.name: child for child in node.body if isinstance(child, ast.ClassDef)}

    def inside(wanted: str) -> Symbol | None:
        return Symbol("obj", f"{here}.{wanted}") if wanted in inner else look(wanted)

    vague = set(converted(node))
    for child in flat(node.body):
        if isinstance(child, FUNCTIONS):
            vague.update(_add_method(made, child, inside, attributes))
        elif not isinstance(child, ast.ClassDef):
            _add_members(made, child, inside)
    doubt(made, vague)
    for each in inner.values():
        _add_class(found, each, f"{here}.", look, attributes)


def _may_configure(node: ast.ClassDef) -> bool:
    return not {"model_config", "Config"}.isdisjoint(name for n in node.body for name in bound_names(n))


def _add_members(made: Class, node: ast.stmt, look: Lookup) -> None:
    for name, symbol in _assigned(node, look).items():
        value = node.value if isinstance(node, _ASSIGNING) else None
        noted = node.annotation if isinstance(node, ast.AnnAssign) else None
        texts = (ast.unparse(value) if value else "", ast.unparse(noted) if noted else "")
        made.members[name] = Member(node.lineno, *texts)
        made.fields[name] = annotation(noted, look) if noted else symbol


def _is_overload(node: Function) -> bool:
    """One of several signatures: what a call gives is told by the definition behind them."""
    return any(dotted(d).rpartition(".")[2] == "overload" for d in node.decorator_list)


def _add_method(
    made: Class, node: Function, look: Lookup, attributes: Collection[str] | None
) -> Iterator[str]:
    """A method, with what it gives to ``self``; attributes that may hold something else than is noted come back."""
    statements = flat(node.body)
    if (attributes is None or node.name in attributes) and not _is_overload(node):
        made.returns.setdefault(node.name, returned(node, look, statements))
    if node.decorator_list:
        marks = {dotted(d).rpartition(".")[2] for d in node.decorator_list}
        if marks & {"property", "cached_property", "computed_field", "hybrid_property"}:
            made.properties.append(node.name)
        made.serialized.extend(_serialized(node))
    assigned = [each for each in statements if isinstance(each, _ASSIGNING)]
    yield from (name for each in statements for name, is_of_itself in unclear(each) if is_of_itself)
    if not assigned:
        return
    notes = {a.arg: a.annotation for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}

    def inside(name: str) -> Symbol | None:
        return annotation(notes[name], look) if name in notes else look(name)

    for statement in assigned:
        for name, symbol in _given_to_self(statement, inside, look, attributes):
            before = made.fields.get(name)
            is_noted = name in made.members and bool(made.members[name].annotation)
            made.fields[name] = before if is_noted else _both(before, symbol)
            if symbol is None and not is_noted and not is_no_value(statement):
                yield name


def _both(before: Symbol | None, symbol: Symbol | None) -> Symbol | None:
    """What an attribute holds that is given two values; two dictionaries are one to which is added."""
    if before and symbol and before.form == symbol.form == "box" and before.name == symbol.name:
        return Symbol("box", before.name, tuple(dict.fromkeys((*before.parts, *symbol.parts))))
    return either((before, symbol))


def _serialized(node: Function) -> Iterator[str]:
    """The fields that a method writes for pydantic, in Python's mode too."""
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = dotted(call.func if call else decorator).rpartition(".")[2]
        if call is not None and any(keyword.arg == "when_used" for keyword in call.keywords):
            continue
        if name == "model_serializer":
            yield "*"
        elif name == "field_serializer" and call is not None:
            yield from (
                a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )


def _given_to_self(
    node: ast.Assign | ast.AnnAssign, inside: Lookup, look: Lookup, attributes: Collection[str] | None
) -> Iterator[tuple[str, Symbol | None]]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        match target:
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id="self"), attr=name), slice=key):
                if attributes is None or name in attributes:  # ``self.rows[key] = value``
                    yield name, box((as_key(simple(key, inside)), simple(node.value, inside)), DICT)
        if (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
            and (attributes is None or target.attr in attributes)
        ):
            noted = annotation(node.annotation, look) if isinstance(node, ast.AnnAssign) else None
            yield target.attr, noted or simple(node.value, inside)


def returned(node: Function, look: Lookup, statements: list[ast.stmt] | None = None) -> Symbol | None:
    """What calling it gives: its annotation; its return statements where that is absent, or only says ``dict``."""
    noted = annotation(node.returns, look)
    statements = flat(node.body) if statements is None else statements
    yielded = [n.value for n in statements if isinstance(n, ast.Expr) and isinstance(n.value, _YIELDS)]
    if noted is None and yielded and not node.decorator_list:
        return iterable("generator")
    is_vague = noted is None or noted.form == "box" or noted == Symbol("of", "builtins.dict")
    found = _plain_results(node, look, statements) if is_vague else noted
    known = noted if noted is not None and found in (None, Symbol("box", DICT)) else found
    return either((known, DOUBT)) if known is not None and changes_what_is_given(node) else known


def changes_what_is_given(node: Function) -> bool:
    """Whether a decorator may give something else than the function does, or is given: a page of the list that is noted, say.

    Those that are called on an object (``@app.get(...)``) most often note the function and leave it as it is.
    """
    names = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    unknown = (name.id for name in names if isinstance(name, ast.Name) and name.id not in _KEEPING)
    return any(_LOOKING.isdisjoint(name.lower().split("_")) for name in unknown)


def _plain_results(node: Function, look: Lookup, statements: list[ast.stmt]) -> Symbol | None:
    results = [n.value for n in statements if isinstance(n, ast.Return) and n.value is not None]
    if not any(isinstance(value, _TELLING) for value in results):
        return None
    own = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    local = {name for statement in statements for name in bound_names(statement)} | own
    return either(simple(value, lambda name: None if name in local else look(name)) for value in results)
