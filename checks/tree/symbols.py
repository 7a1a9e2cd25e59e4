"""What an expression may be, as far as its file alone can say.

Theory of operation. A *symbol* is a small tree. It is a tuple, so that JSON writes it as it is when it goes to another
process or into the cache; ``symbol_of`` reads it back. Its forms, with the name and the parts that each has:

    obj     "app.state.State"       the thing of that dotted name; ``path.py:Name`` for one of this file
    of      "app.state.State"       an instance of it
    attr    "name", part            an attribute of something
    call            part            what calling it gives
    item            part            what iterating it gives
    at     "0"      part            what is in that place; by a computed key where the name is empty, ``=text`` by that text
    box    "dict"   part, ...       a container with these inside; only dictionaries have a name
    row             part, ...       a tuple with these in their places
    iter   "set"    part, ...       what is refused itself and gives these when it is iterated
    key             part            a key of the dictionary around it
    any             part, ...       one of these, depending on the branch that was taken
    known   "name", part or None    an attribute that its name identifies, unless the part's class defines it otherwise
    fields  "asdict", part          everything inside an instance, as that function or method gives it
    arith           part, part      a sum, difference or product
    kind    "bytes"                 of a kind that its own expression shows
    const   "text"                  a string constant, itself
    param   "function:name:place:others"    a parameter of which nothing is known (``Parameter``)
    lost                            parts of a container that were given up, because it has too many

``None`` stands for everything else: unknown, or known to be harmless. Whether ``State`` is an enum is not decided
here: that needs other files (see ``resolve.py``).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Literal, NamedTuple

from checks.tree.modules import absolute

#: attributes that hold a plain enum wherever they are met: Starlette's and FastAPI's WebSocket
ENUM_ATTRIBUTES = frozenset({"client_state", "application_state"})

#: of one symbol, all levels together; of one that has more, what tells least is given up
MOST_PARTS = 120
#: calls whose result is text or a number
PLAIN_CALLS = frozenset(
    f"builtins.{n}" for n in ("str", "repr", "int", "float", "bool", "len", "format", "hash", "id", "round")
)

Form = Literal[
    "obj", "of", "attr", "call", "item", "at", "box", "row", "iter", "key", "any", "known", "fields", "arith", "kind", "const", "lost",
    "param",
]  # fmt: skip


class Symbol(NamedTuple):
    """One symbol. ``is_sure`` is False for a ``known`` attribute of something that may be anything."""

    form: Form
    name: str = ""
    parts: tuple[Symbol | None, ...] = ()
    is_sure: bool = True


class Parameter(NamedTuple):
    """A parameter of a function.

    Args:
        function: its dotted path inside the module.
        name: ``**`` for the keywords that are left over.
        place: of an argument that is it, from 0, without ``self``; -1 where there is none.
        others: for ``**``, the names that have parameters of their own.
    """

    function: str
    name: str
    place: int
    others: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.function}:{self.name}:{self.place}:{','.join(self.others)}"

    @classmethod
    def of(cls, text: str) -> Parameter:
        function, name, place, others = text.split(":")
        return cls(function, name, int(place), tuple(others.split(",")))


Lookup = Callable[[str], Symbol | None]

#: a value that JSON takes, as one of several: what is also possible is then not certain
DOUBT = Symbol("const")

_TRANSPARENT = frozenset(
    {"Optional", "Annotated", "Final", "ClassVar", "Required", "NotRequired", "ReadOnly", "Mapped"}
)
_LISTS = frozenset({"list", "List", "Sequence", "Iterable", "Collection", "MutableSequence"})
_DICTS = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "DefaultDict", "OrderedDict"})
_ITERABLES = (
    dict.fromkeys(("set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"), "set")
    | dict.fromkeys(("Generator", "AsyncGenerator"), "generator")
    | dict.fromkeys(("Iterator", "AsyncIterator"), "iterator")
    | {"deque": "deque"}
)
_REFUSED_CONSTANTS = (bytes, complex)
_AWAITED = frozenset({"Awaitable", "Coroutine"})


def symbol_of(row: Any) -> Symbol | None:
    """A symbol as JSON gives it back, or one that never left. Raises TypeError, ValueError for anything else."""
    if row is None or isinstance(row, Symbol):
        return row
    form, name, parts, is_sure = row
    return Symbol(form, name, tuple(map(symbol_of, parts)), is_sure)


def either(symbols: Iterable[Symbol | None]) -> Symbol | None:
    """One of several; unknown ones fall away."""
    known: list[Symbol] = []
    for symbol in symbols:
        if symbol is not None and symbol not in known:
            known.append(symbol)
    return None if not known else known[0] if len(known) == 1 else Symbol("any", parts=tuple(known))


def box(symbols: Iterable[Symbol | None], name: str = "") -> Symbol | None:
    """A container; None where nothing inside it can be said to be anything but harmless."""
    known = tuple(symbol for symbol in symbols if symbol is not None and symbol.form != "const")
    return Symbol("box", name, known) if known else None


def as_key(symbol: Symbol | None) -> Symbol | None:
    """A key of a dictionary: encoders that take every value still refuse it."""
    return Symbol("key", parts=(symbol,)) if symbol is not None and symbol.form != "const" else None


def walk(symbol: Symbol) -> Iterator[Symbol]:
    """The symbol and everything inside it."""
    yield symbol
    for part in symbol.parts:
        if part is not None:
            yield from walk(part)


def is_large(symbol: Symbol) -> bool:
    """Whether it has more parts than are followed: ``a = [a, a]`` forty times over has 2**40."""
    return next(islice(walk(symbol), MOST_PARTS, None), None) is not None


def is_plain(symbol: Symbol) -> bool:
    """Whether JSON takes it, by its form alone."""
    if symbol.form == "const":
        return True
    callee = symbol.parts[0] if symbol.form == "call" else None
    return callee is not None and callee.form == "obj" and callee.name in PLAIN_CALLS


#: which parts of a container that has too many are kept first: what says by itself that JSON refuses it
_TELLING = {"known": 0, "kind": 0, "of": 1, "obj": 2}


def reduced(symbol: Symbol, most: int = MOST_PARTS) -> Symbol:
    """At most so many parts: those that are plain go, those that tell most stay, and the rest is ``lost``."""
    if next(islice(walk(symbol), most, None), None) is None:
        return symbol
    if symbol.form not in ("box", "row", "any"):
        return Symbol("lost")
    parts = dict.fromkeys(part for part in symbol.parts if part is not None and not is_plain(part))
    kept: list[Symbol] = []
    left = most - 2
    for part in sorted(parts, key=_rank):
        made = reduced(part, left) if left > 0 else Symbol("lost")
        if made.form != "lost":
            kept.append(made)
            left -= _rank(made)[1]
    if len(kept) < len(parts):
        kept.append(Symbol("lost"))
    return symbol._replace(form="any" if symbol.form == "any" else "box", parts=tuple(kept))


def _rank(symbol: Symbol) -> tuple[int, int]:
    inside = list(islice(walk(symbol), MOST_PARTS))
    return min(_TELLING.get(part.form, 3) for part in inside), len(inside)


def imported_names(path: str, statements: Iterable[ast.stmt]) -> dict[str, str]:
    """Local name to dotted name, for the import statements among these.

    The first of two counts: the second is what ``except ImportError`` falls back to.
    """
    names: dict[str, str] = {}
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names.setdefault(alias.asname or top, alias.name if alias.asname else top)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node.module, node.level)
            found = {a.asname or a.name: f"{module}.{a.name}" for a in node.names if a.name != "*"}
            names = found | names
    return names


def dotted(node: ast.expr) -> str:
    """``a.b.c`` as text, or empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def constant(node: ast.Constant) -> Symbol | None:
    if isinstance(node.value, _REFUSED_CONSTANTS):
        return Symbol("kind", type(node.value).__name__)
    return Symbol("const", node.value) if isinstance(node.value, str) else None


def annotation(node: ast.expr | None, look: Lookup) -> Symbol | None:
    """What a value with this annotation is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    match node:
        case ast.Name() | ast.Attribute():
            symbol = expression_name(node, look)
            return Symbol("of", symbol.name) if symbol is not None and symbol.form == "obj" else None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union((left, right), look)
        case ast.Subscript():
            return _subscripted(node, look)
        case _:
            return None


def _union(members: Iterable[ast.expr], look: Lookup) -> Symbol | None:
    """Members that are plain JSON make the whole doubtful, ``None`` does not: ``str | State`` is "any" of two."""
    others = (m for m in members if not (isinstance(m, ast.Constant) and m.value is None))
    return either(annotation(member, look) or DOUBT for member in others)


def _subscripted(node: ast.Subscript, look: Lookup) -> Symbol | None:
    name = dotted(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Union":
        return _union(inner, look)
    if name in _TRANSPARENT or name in _AWAITED:
        return annotation(inner[0 if name in _TRANSPARENT else -1], look)
    if name in ("type", "Type"):
        return expression_name(inner[0], look)
    if name == "NDArray":
        return Symbol("of", "numpy.ndarray")
    parts = [annotation(each, look) for each in inner]
    if name in _ITERABLES:
        known = tuple(part for part in parts[:1] if part is not None)
        return Symbol("iter", _ITERABLES[name], known)
    if name in ("tuple", "Tuple"):
        is_long = any(isinstance(each, ast.Constant) and each.value is ... for each in inner)
        return box(parts) if is_long or not any(parts) else Symbol("row", parts=tuple(parts))
    if name in _DICTS and len(parts) == 2:
        return box((as_key(parts[0]), parts[1]), "dict")
    return box(parts) if name in _LISTS else None


def expression_name(node: ast.expr, look: Lookup) -> Symbol | None:
    """The symbol of a plain or dotted name; dotted names that start at an import stay one ``obj``."""
    if isinstance(node, ast.Name):
        return look(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    return attribute_of(expression_name(node.value, look), node.attr)


def attribute_of(base: Symbol | None, name: str) -> Symbol | None:
    """An attribute of something: a longer dotted name where that is a name."""
    if base is None or base.form == "param":
        return None
    if base.form != "obj":
        return Symbol("attr", name, (base,))
    return Symbol("obj", f"{base.name}.{name}")


def module_lookup(path: str, imports: Mapping[str, str], own: Iterable[str]) -> Lookup:
    """Names as a module's top level sees them."""
    mine = frozenset(own)

    def look(name: str) -> Symbol | None:
        if name in mine:
            return Symbol("obj", f"{path}:{name}")
        if name in imports:
            return Symbol("obj", imports[name])
        return Symbol("obj", f"builtins.{name}") if hasattr(builtins, name) else None

    return cache(look)
