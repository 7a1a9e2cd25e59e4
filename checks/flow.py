"""Where values go inside one function: what each name may be when a call is reached.

Theory of operation. Statements are taken in order, with a table of what each local name is now. Branches are walked
with copies and put together again; a branch that leaves (``return``, ``raise``) does not count afterwards; a test like
``isinstance(x, Enum)`` or ``hasattr(x, "value")`` makes ``x`` unknown on its other side. Loops are walked once. Only
functions that hold an interesting line are walked at all. Nothing is certain here: the names stay symbols.
"""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from checks.definitions import Function, bound_names, flat, simple
from checks.symbols import (
    ENUM_ATTRIBUTES,
    Symbol,
    annotation,
    box,
    builtin,
    constant,
    dotted,
    either,
    imported_names,
)

_NARROWING = frozenset({"isinstance", "hasattr", "issubclass", "callable"})
_CONTAINERS = frozenset({"list", "tuple", "sorted", "reversed", "iter"})
_DUMPS = frozenset({"model_dump", "dict", "_asdict"})
_SAFE_WORDS = frozenset({"value", "name", "_value_", "_name_"})
_DOUBT: Symbol = ("const", "")


@dataclass(frozen=True, slots=True)
class Local:
    """What a name is now, and the line that made it so."""

    symbol: Symbol | None
    line: int = 0


Names = dict[str, Local]
Visit = Callable[[ast.Call, "Flow", Names], None]


class Flow:
    """Walks a module; calls ``visit`` for each call on or around an interesting line."""

    def __init__(
        self,
        path: str,
        tree: ast.Module,
        lines: Sequence[int],
        visit: Visit,
        *,
        safe: frozenset[str],
        attributes: frozenset[str],
    ) -> None:
        statements = list(flat(tree.body))
        self._path = path
        self._imports = imported_names(path, statements)
        self._own = {name for node in statements for name in bound_names(node)}
        self._lines, self._visit = lines, visit
        self._safe, self._attributes = safe, attributes | ENUM_ATTRIBUTES
        self._knows_sockets = any("starlette" in v or "fastapi" in v for v in self._imports.values())
        self.module_values = _module_values(statements, self.look)
        self._class = ""
        self._last = lines[-1] if lines else 0
        self._block(tree.body, {}, is_module=True)

    def look(self, name: str) -> Symbol | None:
        """A name as the module's top level sees it."""
        if name in self._own:
            return ("obj", f"{self._path}:{name}")
        return ("obj", self._imports[name]) if name in self._imports else builtin(name)

    def _is_near(self, node: ast.stmt) -> bool:
        at = bisect_left(self._lines, node.lineno)
        return at < len(self._lines) and self._lines[at] <= (node.end_lineno or node.lineno)

    # -- statements ------------------------------------------------------------------------------------------

    def _block(self, body: Sequence[ast.stmt], names: Names, *, is_module: bool = False) -> bool:
        """Walk statements; True when the block always leaves."""
        for node in body:
            if is_module and not self._is_near(node):
                continue
            if node.lineno > self._last:
                break  # nothing below is asked about
            if self._statement(node, names):
                return True
        return False

    def _statement(self, node: ast.stmt, names: Names) -> bool:
        if isinstance(node, Function):
            if self._is_near(node):
                self._function(node, names)
            names[node.name] = Local(None)
            return False
        if isinstance(node, ast.ClassDef):
            outer, self._class = self._class, node.name if not self._class else f"{self._class}.{node.name}"
            self._block(node.body, {}, is_module=True)
            self._class = outer
            return False
        compound = self._COMPOUND.get(type(node))
        if compound:
            return compound(self, node, names)
        if self._is_near(node):
            self._calls(node, names)
        self._assign(node, names)
        return isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break)

    def _function(self, node: Function, outer: Names) -> None:
        names = dict(outer)
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        for argument in arguments:
            names[argument.arg] = Local(annotation(argument.annotation, self.look), argument.lineno)
        if (
            arguments
            and self._class
            and not any(dotted(d).endswith("staticmethod") for d in node.decorator_list)
        ):
            owner = f"{self._path}:{self._class}"
            form = "obj" if any(dotted(d).endswith("classmethod") for d in node.decorator_list) else "of"
            names[arguments[0].arg] = Local((form, owner), 0)
        for extra in (node.args.vararg, node.args.kwarg):
            if extra:
                inner = annotation(extra.annotation, self.look)
                names[extra.arg] = Local(box([inner]), extra.lineno)
        outer_last = self._last
        self._last = self._lines[bisect_right(self._lines, node.end_lineno or node.lineno) - 1]
        self._block(node.body, names)
        self._last = outer_last

    def _if(self, node: ast.If, names: Names) -> bool:
        self._calls_in(node.test, names)
        yes, no = dict(names), dict(names)
        narrow(node.test, yes, no)
        left, right = self._block(node.body, yes), self._block(node.orelse, no)
        _become(names, [branch for branch, leaves in ((yes, left), (no, right)) if not leaves])
        return left and right

    def _for(self, node: ast.For | ast.AsyncFor, names: Names) -> bool:
        self._calls_in(node.iter, names)
        inside = dict(names)
        self.bind(node.target, _item(self.value(node.iter, names)), inside, node.lineno)
        self._block(node.body, inside)
        _become(names, [names, inside])
        self._block(node.orelse, names)
        return False

    def _while(self, node: ast.While, names: Names) -> bool:
        self._calls_in(node.test, names)
        inside = dict(names)
        self._block(node.body, inside)
        _become(names, [names, inside])
        self._block(node.orelse, names)
        return False

    def _with(self, node: ast.With | ast.AsyncWith, names: Names) -> bool:
        for item in node.items:
            self._calls_in(item.context_expr, names)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, None, names, node.lineno)
        return self._block(node.body, names)

    def _try(self, node: ast.Try | ast.TryStar, names: Names) -> bool:
        body = dict(names)
        leaves = self._block(node.body, body) or self._block(node.orelse, body)
        ends = [] if leaves else [body]
        for handler in node.handlers:
            inside = dict(names)
            for name, local in body.items():
                if inside.get(name) != local:
                    inside[name] = (
                        Local(either((local.symbol, _DOUBT)), local.line) if local.symbol else local
                    )
            if handler.name:
                inside[handler.name] = Local(("kind", "exception"), handler.lineno)
            if not self._block(handler.body, inside):
                ends.append(inside)
        _become(names, ends)
        return self._block(node.finalbody, names) or not ends

    def _match(self, node: ast.Match, names: Names) -> bool:
        self._calls_in(node.subject, names)
        ends: list[Names] = [names]
        for case in node.cases:
            inside = dict(names)
            for child in ast.walk(case.pattern):
                captured = getattr(child, "name", None) or getattr(child, "rest", None)
                if isinstance(captured, str):
                    inside[captured] = Local(None)
            if not self._block(case.body, inside):
                ends.append(inside)
        _become(names, ends)
        return False

    _COMPOUND: dict[type, Callable[..., bool]] = {  # noqa: RUF012 - a table, filled once
        ast.If: _if,
        ast.For: _for,
        ast.AsyncFor: _for,
        ast.While: _while,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.Match: _match,
    }

    def _assign(self, node: ast.stmt, names: Names) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind_pairs(target, node.value, names, node.lineno)
        elif isinstance(node, ast.AnnAssign):
            noted = annotation(node.annotation, self.look)
            value = self.value(node.value, names) if node.value else None
            self.bind(node.target, value if value is not None else noted, names, node.lineno)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = names.get(node.target.id, Local(None)).symbol
            names[node.target.id] = Local(before or self.value(node.value, names), node.lineno)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found = imported_names(self._path, [node])
            names.update({name: Local(("obj", full), node.lineno) for name, full in found.items()})
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self._mutation(node.value, names)
        elif isinstance(node, ast.Delete):
            names.update({t.id: Local(None) for t in node.targets if isinstance(t, ast.Name)})

    def _bind_pairs(self, target: ast.expr, value: ast.expr, names: Names, line: int) -> None:
        """``a, b = x, y`` is two assignments."""
        sides = (ast.Tuple, ast.List)
        if isinstance(target, sides) and isinstance(value, sides) and len(target.elts) == len(value.elts):
            for each, part in zip(target.elts, [self.value(e, names) for e in value.elts], strict=True):
                self.bind(each, part, names, line)
        else:
            self.bind(target, self.value(value, names), names, line)

    def bind(self, target: ast.expr, value: Symbol | None, names: Names, line: int) -> None:
        """Give a target a value; ``payload["state"] = value`` puts it into the container."""
        if isinstance(target, ast.Name):
            names[target.id] = Local(value, line)
        elif isinstance(target, ast.Tuple | ast.List):
            for each in target.elts:
                self.bind(each.value if isinstance(each, ast.Starred) else each, _item(value), names, line)
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self._put(target.value.id, value, names, line)

    def _put(self, name: str, value: Symbol | None, names: Names, line: int) -> None:
        if value is None or name not in names:
            return
        before = names[name].symbol
        kept = (
            before[1:] if before is not None and before[0] == "box" else () if before is None else (before,)
        )
        names[name] = Local(box((*kept, value)), line)

    def _mutation(self, call: ast.Call, names: Names) -> None:
        """``payload.update(state=value)`` and ``rows.append(value)``."""
        function = call.func
        if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
            return
        if function.attr in ("update", "append", "setdefault", "insert", "extend"):
            for value in (*call.args[-1:], *(keyword.value for keyword in call.keywords)):
                self._put(function.value.id, self.value(value, names), names, call.lineno)

    # -- expressions -----------------------------------------------------------------------------------------

    def _calls(self, node: ast.stmt, names: Names) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._calls_in(child, names)

    def _calls_in(self, node: ast.expr, names: Names) -> None:
        """Visit every call below an expression; those inside comprehensions and lambdas see their own names."""
        if isinstance(node, ast.Call):
            self._visit(node, self, names)
        inner = names
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            inner = self._comprehended(node.generators, names)
        elif isinstance(node, ast.Lambda):
            inner = names | {a.arg: Local(None) for a in (*node.args.args, *node.args.kwonlyargs)}
        for child in _expressions(node):
            self._calls_in(child, inner)

    def _comprehended(self, generators: list[ast.comprehension], names: Names) -> Names:
        inner = dict(names)
        for generator in generators:
            self.bind(
                generator.target, _item(self.value(generator.iter, inner)), inner, generator.target.lineno
            )
        return inner

    def value(self, node: ast.expr | None, names: Names) -> Symbol | None:
        """What an expression may be."""
        handler = self._VALUES.get(type(node))
        return handler(self, node, names) if handler else None

    def _name(self, node: ast.Name, names: Names) -> Symbol | None:
        return names[node.id].symbol if node.id in names else self.look(node.id)

    def _attribute(self, node: ast.Attribute, names: Names) -> Symbol | None:
        base = self.value(node.value, names)
        if node.attr in self._attributes:
            return ("known", base, node.attr, self._is_socket(node.value, base))
        if base is None or base[0] in ("known", "box") or (base[0] == "kind" and node.attr in _SAFE_WORDS):
            return None
        return ("obj", f"{base[1]}.{node.attr}") if base[0] == "obj" else ("attr", base, node.attr)

    def _is_socket(self, node: ast.expr, base: Symbol | None) -> bool:
        words = dotted(node).lower()
        return self._knows_sockets or base is not None or any(w in words for w in ("ws", "socket", "conn"))

    def _call(self, node: ast.Call, names: Names) -> Symbol | None:
        word = dotted(node.func).rpartition(".")[2]
        if word in self._safe:
            return None
        if isinstance(node.func, ast.Name):
            found = self._builtin_call(word, node, names)
            if found is not None:
                return found if found != _DOUBT else None
        if isinstance(node.func, ast.Attribute) and word in _DUMPS:
            is_json = any(k.arg in ("mode", "exclude", "include", "by_alias") for k in node.keywords)
            base = self.value(node.func.value, names)
            return ("fields", base) if base is not None and not is_json else None
        callee = self.value(node.func, names)
        return ("call", callee) if callee is not None else None

    def _builtin_call(self, word: str, node: ast.Call, names: Names) -> Symbol | None:
        """Calls that hand their arguments on; ``_DOUBT`` stands for "harmless", None for "some other call"."""
        first = self.value(node.args[0], names) if node.args else None
        if word == "dict":
            parts = [self.value(k.value, names) for k in node.keywords]
            return box([*parts, *([_item(first)] if first and first[0] == "box" else [])]) or _DOUBT
        if word in _CONTAINERS and node.args:
            return box([_item(first)]) or _DOUBT
        if word in ("asdict", "vars") and first is not None:
            return ("fields", first)
        if word == "getattr" and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            name = str(node.args[1].value)
            if name in self._attributes:
                return ("known", first, name, self._is_socket(node.args[0], first))
            return ("attr", first, name) if first is not None and first[0] not in ("known", "box") else _DOUBT
        return None

    def _choice(self, node: ast.IfExp, names: Names) -> Symbol | None:
        yes, no = dict(names), dict(names)
        narrow(node.test, yes, no)
        return _joined(self.value(node.body, yes), self.value(node.orelse, no))

    def _operator(self, node: ast.BinOp, names: Names) -> Symbol | None:
        left, right = self.value(node.left, names), self.value(node.right, names)
        if isinstance(node.op, ast.Mod) and (left is None or left[0] == "const"):
            return None
        if isinstance(node.op, ast.BitOr) and (left or right):
            return either((left, right))
        is_arithmetic = isinstance(node.op, ast.Add | ast.Sub | ast.Mult)
        return (
            ("arith", left, right)
            if is_arithmetic and left and right and "const" not in (left[0], right[0])
            else None
        )

    def _literal(self, node: ast.List | ast.Tuple, names: Names) -> Symbol | None:
        return box(self.value(e.value if isinstance(e, ast.Starred) else e, names) for e in node.elts)

    def _dict(self, node: ast.Dict, names: Names) -> Symbol | None:
        keys = (self.value(key, names) for key in node.keys if key is not None)
        return box((*keys, *(self.value(value, names) for value in node.values)))

    def _list_of(self, node: ast.ListComp | ast.GeneratorExp, names: Names) -> Symbol | None:
        return box([self.value(node.elt, self._comprehended(node.generators, names))])

    def _dict_of(self, node: ast.DictComp, names: Names) -> Symbol | None:
        inner = self._comprehended(node.generators, names)
        return box([self.value(node.key, inner), self.value(node.value, inner)])

    def _subscript(self, node: ast.Subscript, names: Names) -> Symbol | None:
        """``record["key"]`` says nothing about which of the values it is; ``by_id[key]`` all but says it."""
        base = self.value(node.value, names)
        if base is not None and base[0] == "box":
            return None if isinstance(node.slice, ast.Constant) else _joined(_item(base), None)
        return _item(base)

    _VALUES: dict[type, Callable[..., Symbol | None]] = {  # noqa: RUF012 - a table, filled once
        ast.Constant: lambda _flow, node, _names: constant(node),
        ast.JoinedStr: lambda _flow, _node, _names: _DOUBT,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Call: _call,
        ast.Await: lambda flow, node, names: flow.value(node.value, names),
        ast.NamedExpr: lambda flow, node, names: flow.value(node.value, names),
        ast.IfExp: _choice,
        ast.BoolOp: lambda flow, node, names: _joined(*(flow.value(each, names) for each in node.values)),
        ast.BinOp: _operator,
        ast.List: _literal,
        ast.Tuple: _literal,
        ast.Set: lambda _flow, _node, _names: ("kind", "set"),
        ast.SetComp: lambda _flow, _node, _names: ("kind", "set"),
        ast.ListComp: _list_of,
        ast.DictComp: _dict_of,
        ast.Dict: _dict,
        ast.Subscript: _subscript,
    }


def narrow(test: ast.expr, yes: Names, no: Names) -> None:
    """Forget on the other side what a test asked about; ``not`` turns sides."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        narrow(test.operand, no, yes)
    elif isinstance(test, ast.BoolOp):
        for each in test.values:
            narrow(
                each, yes if isinstance(test.op, ast.And) else {}, no if isinstance(test.op, ast.Or) else {}
            )
    elif (
        isinstance(test, ast.Call)
        and isinstance(test.func, ast.Name)
        and test.func.id in _NARROWING
        and test.args
    ):
        asked = test.args[0]
        if isinstance(asked, ast.Name) and asked.id in no:
            no[asked.id] = Local(None)
        if isinstance(asked, ast.Name) and asked.id in yes and _asks_for_plain(test):
            yes[asked.id] = Local(None)


def _asks_for_plain(test: ast.Call) -> bool:
    """``isinstance(x, str)``: on this side it is what JSON takes."""
    if len(test.args) < 2:
        return False
    kinds = test.args[1].elts if isinstance(test.args[1], ast.Tuple) else [test.args[1]]
    return all(dotted(kind) in ("str", "int", "float", "bool", "dict", "list") for kind in kinds)


def _joined(*symbols: Symbol | None) -> Symbol | None:
    """One of several ways; a way that is harmless makes the rest doubtful."""
    known = [s for s in symbols if s is not None]
    if not known:
        return None
    return either(symbols) if len(known) == len(symbols) else either((*known, _DOUBT))


def _become(names: Names, branches: list[Names]) -> None:
    """What names are after branches that go on."""
    if not branches:
        return
    merged: Names = dict(branches[0])
    for branch in branches[1:]:
        for name, local in branch.items():
            before = merged.get(name)
            if before is None:
                merged[name] = local
            elif before is not local and before.symbol != local.symbol:
                told = before if before.symbol is not None else local
                merged[name] = Local(_joined(before.symbol, local.symbol), told.line)
    names.clear()
    names.update(merged)


def _item(symbol: Symbol | None) -> Symbol | None:
    if symbol is None or symbol[0] in ("kind", "const", "known"):
        return None
    if symbol[0] == "box":
        return symbol[1] if len(symbol) == 2 else _joined(*symbol[1:], None)
    return ("item", symbol)


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.keyword | ast.comprehension):
            yield from _expressions(child)


def _module_values(
    statements: Sequence[ast.stmt], look: Callable[[str], Symbol | None]
) -> Mapping[str, Symbol | None]:
    """What names at the top are given by calls: loggers, mostly."""
    return {
        target.id: simple(node.value, look)
        for node in statements
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
