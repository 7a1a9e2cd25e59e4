"""What an expression may be, as far as its file alone can say.

Theory of operation. A *symbol* is a small nested sequence, plain enough for JSON, because symbols travel between
processes and into the cache:

    ("obj", "app.state.State")      the thing of that dotted name; ``path.py:Name`` for one of this file
    ("of", "app.state.State")       an instance of it
    ("attr", symbol, "name")        an attribute of something
    ("call", symbol)                what calling it gives
    ("item", symbol)                what iterating or subscripting it gives
    ("box", symbol, ...)            a container with these inside
    ("any", symbol, ...)            one of these, by the way taken
    ("known", symbol, "name", sure) an attribute whose name tells, unless the symbol (or None) says otherwise
    ("fields", symbol)              everything inside an instance
    ("arith", symbol, symbol)       a sum, difference or product
    ("kind", "bytes")               known at once
    ("const", "text")               a string constant, itself

``None`` is everything else: unknown, or known to be harmless. Whether ``State`` is an enum is not decided here; that
takes other files (see ``resolve.py``).
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from checks.tree.modules import absolute

#: attributes that hold a plain enum wherever they are met: Starlette's and FastAPI's WebSocket
ENUM_ATTRIBUTES = frozenset({"client_state", "application_state"})

#: parts of one symbol; what has more is taken as unknown
MOST_PARTS = 60

Symbol = Sequence[Any]
_SMALL = frozenset({"obj", "of", "kind", "const"})
Lookup = Callable[[str], Symbol | None]

_TRANSPARENT = frozenset(
    {"Optional", "Annotated", "Final", "ClassVar", "Required", "NotRequired", "ReadOnly", "Mapped"}
)
_BOXES = frozenset(
    {
        "list", "List", "dict", "Dict", "tuple", "Tuple", "Sequence", "Iterable", "Mapping", "MutableMapping",
        "Iterator", "defaultdict", "OrderedDict", "deque", "Collection", "MutableSequence",
    }
)  # fmt: skip
_SETS = frozenset({"set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"})
_AWAITED = frozenset({"Awaitable", "Coroutine", "AsyncIterator", "AsyncGenerator", "Generator"})


def either(symbols: Iterable[Symbol | None]) -> Symbol | None:
    """One of several; unknown ones fall away."""
    known: list[Symbol] = []
    for symbol in symbols:
        if symbol is not None and symbol not in known:
            known.append(symbol)
    return None if not known else known[0] if len(known) == 1 else ("any", *known)


def box(symbols: Iterable[Symbol | None]) -> Symbol | None:
    """A container; one with nothing telling inside is harmless."""
    known = [symbol for symbol in symbols if symbol is not None and symbol[0] != "const"]
    return ("box", *known) if known else None


def is_large(symbol: Symbol) -> bool:
    """Whether it has more parts than any honest value: ``a = [a, a]`` forty times over has a million million."""
    if symbol[0] in _SMALL:
        return False
    waiting: list[Any] = [symbol]
    count = 0
    while waiting and count <= MOST_PARTS:
        part = waiting.pop()
        count += 1
        if isinstance(part, tuple):
            waiting += part[1:]
    return count > MOST_PARTS


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
    if isinstance(node.value, bytes):
        return ("kind", "bytes")
    return ("const", node.value) if isinstance(node.value, str) else None


def builtin(name: str) -> Symbol | None:
    return ("obj", f"builtins.{name}") if hasattr(builtins, name) else None


def annotation(node: ast.expr | None, look: Lookup) -> Symbol | None:
    """What a value with this annotation is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
    if isinstance(node, ast.Name | ast.Attribute):
        return _instance(expression_name(node, look))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union((node.left, node.right), look)
    if isinstance(node, ast.Subscript):
        return _subscripted(node, look)
    return None


def _union(members: Iterable[ast.expr], look: Lookup) -> Symbol | None:
    """Members that are plain JSON make the whole doubtful, ``None`` does not: ``str | State`` is "any" of two."""
    symbols: list[Symbol | None] = []
    for member in members:
        if isinstance(member, ast.Constant) and member.value is None:
            continue
        symbols.append(annotation(member, look) or ("const", ""))
    return either(symbols)


def _subscripted(node: ast.Subscript, look: Lookup) -> Symbol | None:
    name = dotted(node.value).rpartition(".")[2]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Union":
        return _union(inner, look)
    if name in _TRANSPARENT:
        return annotation(inner[0], look)
    if name in _AWAITED:
        return annotation(inner[-1], look)
    if name in ("type", "Type"):
        return expression_name(inner[0], look)
    if name in _SETS:
        return ("of", "builtins.set")
    if name in _BOXES:
        return box(annotation(each, look) for each in inner)
    return None


def _instance(symbol: Symbol | None) -> Symbol | None:
    return ("of", symbol[1]) if symbol is not None and symbol[0] == "obj" else None


def expression_name(node: ast.expr, look: Lookup) -> Symbol | None:
    """The symbol of a plain or dotted name; dotted names that start at an import stay one ``obj``."""
    if isinstance(node, ast.Name):
        return look(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    base = expression_name(node.value, look)
    if base is None:
        return None
    return ("obj", f"{base[1]}.{node.attr}") if base[0] == "obj" else ("attr", base, node.attr)


def module_lookup(path: str, imports: Mapping[str, str], own: Iterable[str]) -> Lookup:
    """Names as a module's top level sees them."""
    mine = frozenset(own)

    def look(name: str) -> Symbol | None:
        if name in mine:
            return ("obj", f"{path}:{name}")
        if name in imports:
            return ("obj", imports[name])
        return builtin(name)

    return look
