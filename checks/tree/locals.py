"""What local names are at one point of a function, and what branches and tests do to them."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from msgspec import Struct

from checks.tree.containers import DICT, extended, joined
from checks.tree.symbols import DOUBT, Symbol, box, dotted, either, is_large, reduced

_NARROWING = frozenset({"isinstance", "hasattr", "issubclass", "callable"})
_COUNTS = frozenset({"int", "float", "len"})
_NUMBERS = (int, float)
_PLAIN = frozenset({"str", "int", "float", "bool", "dict", "list"})
_FALSE_ALIKE = frozenset(
    {"builtins.set", "builtins.frozenset", "builtins.bytes", "builtins.bytearray", "decimal.Decimal", "datetime.timedelta"}
)  # fmt: skip
_MOST_STEPS = 2
_MOST_FIELDS = 60


class Local(Struct):
    """What a name is now. Nobody changes one; that it is not frozen makes it three times as fast to make.

    Args:
        line: that made it so; 0 for what has no place of its own, such as ``self``.
        how: what that line did, in words.
        source: the expression that it was made from.
        fields: of a dictionary whose keys are all known, what is under each; None where they are not.
    """

    symbol: Symbol | None
    line: int = 0
    how: str = ""
    source: ast.expr | None = None
    fields: Mapping[str, Symbol | None] | None = None

    def __post_init__(self) -> None:
        if self.symbol is not None and self.symbol.parts and is_large(self.symbol):
            self.symbol = reduced(self.symbol)
        if self.fields is not None and len(self.fields) > _MOST_FIELDS:
            self.fields = None


Locals = dict[str, Local]
#: a name where it is None, or empty
ABSENT = Local(None)


def way(value: ast.expr, names: Locals) -> list[tuple[int, str]]:
    """How a value came here, as lines and words, first first; a name that was bound anew since is left out."""
    steps: list[tuple[int, str]] = []
    local = _first_known(value, names)
    while local is not None and local.line and len(steps) < _MOST_STEPS:
        steps.insert(0, (local.line, local.how))
        before = _first_known(local.source, names) if local.source is not None else None
        local = before if before is not local and before is not None and before.line <= local.line else None
    return steps


def _first_known(node: ast.expr, names: Locals) -> Local | None:
    """The local that an expression reads first and that is known to be something."""
    while isinstance(node, ast.Attribute):
        node = node.value
    for child in ast.walk(node) if not isinstance(node, ast.Name) else (node,):
        if isinstance(child, ast.Name):
            local = names.get(child.id)
            if local is not None and local.symbol is not None:
                return local
    return None


def with_part(
    local: Local, key: str | None, value: Symbol | None, part: Local, *, is_dict: bool = False
) -> Local:
    """A container with one more value, under a key that is known or not; ``part`` has the line that adds it.

    Args:
        is_dict: it is subscripted, so unless it is known to be a list it is a dictionary.
    """
    fields = None if local.fields is None or key is None else {**local.fields, key: value}
    before = local.symbol
    name = before.name if before is not None and before.form == "box" else DICT if is_dict else ""
    if fields is not None:
        symbol = box(fields.values(), DICT)
    elif value is None:
        symbol = before
    else:
        symbol = extended(before, value, DICT if local.fields is not None else name)
    shown = part if value is not None else local
    return Local(symbol, shown.line, shown.how, shown.source, fields)


def without_part(local: Local, key: str) -> Local:
    """A container from which a key was taken; where it is not known under what its values are, all are in doubt."""
    if local.fields is None:
        return doubted(local)
    fields = {k: v for k, v in local.fields.items() if k != key}
    return Local(box(fields.values(), DICT), local.line, local.how, local.source, fields)


def doubted(local: Local) -> Local:
    """It may be what it was, or something harmless."""
    symbol = either((local.symbol, DOUBT)) if local.symbol is not None else None
    return Local(symbol, local.line, local.how, local.source)


def key_of(node: ast.expr | None) -> str | None:
    """The text of a constant key."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def augmented(name: str, before: Local, node: ast.AugAssign, added: Symbol | None) -> Local:
    """``name += value``: what is known of it stays so; where a number is added, so does where it became that."""
    if before.symbol is not None and is_counted(node.value):
        return Local(before.symbol, before.line, before.how, before.source)
    return Local(before.symbol or added, node.lineno, f"{name} is set here", node.value)


def is_counted(node: ast.expr) -> bool:
    """Whether an expression is a number by itself; ``slices.py`` leaves out what adds one (``_COUNTING``)."""
    match node:
        case ast.Constant():
            return isinstance(node.value, _NUMBERS)
        case ast.Call(func=ast.Name(id=name)):
            return name in _COUNTS
        case ast.BinOp():
            return is_counted(node.left) and is_counted(node.right)
    return False


def narrow(test: ast.expr, yes: Locals, no: Locals) -> None:
    """Forget on the other side what a test asked about; ``not`` turns sides."""
    match test:
        case ast.Name(id=name) if name in no and not _is_false_alike(no[name].symbol):
            no[name] = ABSENT
        case ast.Compare(ast.Name(id=name), [ast.Is() | ast.IsNot() as word], [ast.Constant(None)]):
            side = yes if isinstance(word, ast.Is) else no
            side.update({name: ABSENT} if name in side else {})
        case ast.UnaryOp(op=ast.Not(), operand=asked):
            narrow(asked, no, yes)
        case ast.BoolOp(op=word):
            for each in test.values:
                narrow(each, yes if isinstance(word, ast.And) else {}, no if isinstance(word, ast.Or) else {})
        case ast.Call(func=ast.Name(id=function), args=[ast.Name(id=name), *_]) if function in _NARROWING:
            # On the other side nothing is known: ``x if isinstance(x, str) else x.value`` asks because it may be either.
            if name in no and not _is_no_text_yet(no[name], test):
                no[name] = Local(None)
            if name in yes and _asks_for_plain(test):
                yes[name] = Local(None)


def narrow_attribute(test: ast.expr, yes: Locals, no: Locals) -> None:
    """``x.out if isinstance(x.out, str) else ...``: an attribute is known so inside of one expression alone."""
    match test:
        case ast.Call(func=ast.Name(id="isinstance"), args=[ast.Attribute(value=ast.Name()) as asked, _]):
            (yes if _asks_for_plain(test) else no)[dotted(asked)] = Local(None)


def _either(before: Local, local: Local) -> Local:
    """One of two branches; where a name is None in one of them, the other says what it is when it is there."""
    if before is ABSENT or local is ABSENT:
        return local if before is ABSENT else before
    shown = before if before.symbol is not None else local
    return Local(joined(before.symbol, local.symbol), shown.line, shown.how, shown.source)


def _is_false_alike(symbol: Symbol | None) -> bool:
    """Whether what is refused may be false itself: an empty set, a zero of ``Decimal``."""
    return symbol is not None and (symbol.form in ("iter", "kind") or symbol.name in _FALSE_ALIKE)


def _is_no_text_yet(local: Local, test: ast.Call) -> bool:
    """A parameter of which all that is said is that it is no ``str``: ``if not isinstance(data, str): data = dumps(data)``."""
    is_text = len(test.args) > 1 and dotted(test.args[1]) == "str"
    return is_text and local.symbol is not None and local.symbol.form == "param"


def _asks_for_plain(test: ast.Call) -> bool:
    """``isinstance(x, str)``: on this side it is what JSON takes."""
    if len(test.args) < 2:
        return False
    kinds = test.args[1].elts if isinstance(test.args[1], ast.Tuple) else [test.args[1]]
    return all(dotted(kind) in _PLAIN for kind in kinds)


def become(names: Locals, branches: list[Locals]) -> None:
    """What names are after branches that go on."""
    if not branches:
        return
    merged: Locals = dict(branches[0])
    for branch in branches[1:]:
        for name, local in branch.items():
            before = merged.get(name)
            if before is None:
                merged[name] = local
            elif before is not local and before.symbol != local.symbol:
                merged[name] = _either(before, local)
    names.clear()
    names.update(merged)
