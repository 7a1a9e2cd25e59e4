"""What an expression may be, given what its local names are now: a symbol (see ``symbols.py``), or None."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping

from checks.tree.anew import doubt_by_key, is_turn_of, made_anew, spread_below
from checks.tree.containers import DICT, VIEWS, at, is_dict, item, iterable, joined, member, row, spread, view
from checks.tree.definitions import module_scope
from checks.tree.locals import Local, Locals, doubted, key_of, narrow, narrow_attribute, with_part
from checks.tree.symbols import (
    DOUBT,
    ENUM_ATTRIBUTES,
    Symbol,
    as_key,
    attribute_of,
    box,
    constant,
    dotted,
    either,
    expression_name,
)
from checks.tree.top_values import top_values

_CONTAINERS = frozenset({"list", "tuple", "sorted"})
_ITERATORS = {
    "set": "set", "frozenset": "set", "iter": "iterator", "reversed": "iterator", "filter": "iterator", "range": "range",
}  # fmt: skip
_OF_DICTS = VIEWS | {"copy", "get"}
_DICT_CLASSES = frozenset(
    {"builtins.dict", "collections.defaultdict", "collections.OrderedDict", "collections.Counter"}
)
_DUMPS = frozenset({"model_dump", "dict", "_asdict"})
_BITWISE = (ast.BitOr, ast.BitAnd, ast.BitXor)
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult)
_SAFE_WORDS = frozenset({"value", "name", "_value_", "_name_"})
_SOCKET_WORDS = frozenset({"ws", "websocket", "socket", "sock", "conn", "connection"})


class Expressions:
    """The expressions of one module."""

    def __init__(
        self,
        path: str,
        tree: ast.Module,
        *,
        safe: frozenset[str],
        attributes: frozenset[str],
        shared: frozenset[str] = frozenset(),
    ) -> None:
        """``shared``: names that functions inside set anew (``rebound``)."""
        statements, imports, self.look = module_scope(path, tree)
        self._path, self._shared = path, shared
        self._holds = False  # something of the object itself is among the names
        self._safe, self._attributes = safe, attributes | ENUM_ATTRIBUTES
        self._knows_sockets = any("starlette" in v or "fastapi" in v for v in imports.values())
        self.module_values = top_values(statements, self.look)

    def bind(
        self, target: ast.expr, value: Symbol | None, names: Locals, line: int, source: ast.expr | None = None
    ) -> None:
        """Give a target a value; ``payload["state"] = value`` puts it into the container."""
        match target:
            case ast.Name(id=name):
                fields = self._fields(source, names) if source is not None and value is not None else None
                fields = fields if name not in self._shared or not self._sets_outside(name) else None
                names[name] = Local(value, line, f"{name} is set here", source, fields)
            case ast.Starred():
                self.bind(target.value, value, names, line, source)
            case ast.Tuple() | ast.List():
                is_placed = not any(isinstance(each, ast.Starred) for each in target.elts)
                for index, each in enumerate(target.elts):
                    self.bind(each, at(value, index if is_placed else None), names, line, source)
            case ast.Attribute(value=ast.Name(id="self"), attr=attribute):
                fields = self._fields(source, names) if source is not None and value is not None else None
                self._holds = True
                names[f"self.{attribute}"] = Local(
                    value, line, f"self.{attribute} is set here", source, fields
                )
            case ast.Subscript(value=ast.Name() | ast.Attribute() as container, slice=key):
                where = Local(None, line, source=source)
                self.put(container, key_of(key), value, names, where, is_dict=True)
                if is_turn_of(key, container, names):
                    names[dotted(container)] = doubted(names[dotted(container)])
                if not isinstance(key, ast.Constant):
                    keyed = as_key(self.key(key, names))
                    self.put(container, None, keyed, names, where, is_dict=True)

    def put(
        self,
        container: ast.expr,
        key: str | None,
        value: Symbol | None,
        names: Locals,
        where: Local,
        *,
        is_dict: bool = False,
    ) -> None:
        """Add a value to a container: a local one, or one of the object's own."""
        name = dotted(container)
        is_own = name.startswith("self.") and name.count(".") == 1
        if is_own and name not in names and value is not None:
            self._holds = True
            names[name] = Local(self.value(container, names))
        if name in names:
            part = Local(None, where.line, f"it is put into {name} here", where.source)
            local = names[name]
            if key is not None and local.fields is None and _form(local.symbol) not in ("", "box"):
                local = doubted(local)  # it may be what was refused that is made anew
            names[name] = with_part(local, key, value, part, is_dict=is_dict)

    def _fields(self, node: ast.expr, names: Locals) -> Mapping[str, Symbol | None] | None:
        """Key by key, what a literal or ``dict(...)`` holds; None where a key cannot be read."""
        if isinstance(node, ast.Dict):
            pairs = [(key_of(key), value) for key, value in zip(node.keys, node.values, strict=True)]
        elif isinstance(node, ast.Call) and dotted(node.func) == "dict" and not node.args:
            pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
        else:
            return None
        known = {key: self.value(value, names) for key, value in pairs if key is not None}
        return known if len(known) == len(pairs) else None

    def comprehended(self, generators: list[ast.comprehension], names: Locals) -> Locals:
        inner = dict(names)
        for generator in generators:
            element = item(self.value(generator.iter, inner))
            self.bind(generator.target, element, inner, generator.target.lineno, generator.iter)
            for test in generator.ifs:
                narrow(test, inner, {})
                doubt_by_key(test, generator.target, inner)
        return inner

    def value(self, node: ast.expr | None, names: Locals) -> Symbol | None:
        """What an expression may be."""
        handler = self._VALUES.get(type(node))
        return handler(self, node, names) if handler else None

    def _name(self, node: ast.Name, names: Locals) -> Symbol | None:
        found = names[node.id].symbol if node.id in names else self.look(node.id)
        if not self._shared:
            return found
        is_shared = node.id in self._shared and (node.id not in names or self._sets_outside(node.id))
        return joined(found, None) if is_shared and found is not None else found

    def _sets_outside(self, name: str) -> bool:  # noqa: ARG002 - where there are functions
        """Whether a local name of here is set by another function, too."""
        return False

    def owner(self, node: ast.expr, names: Locals) -> Symbol | None:
        """What a method is called on: a client or logger that is set anew is one of the same kind, so not in doubt."""
        if not isinstance(node, ast.Name):
            return self.value(node, names)
        return names[node.id].symbol if node.id in names else self.look(node.id)

    def _attribute(self, node: ast.Attribute, names: Locals) -> Symbol | None:
        if isinstance(node.value, ast.Name) and (own := names.get(f"{node.value.id}.{node.attr}")):
            return own.symbol
        base = self.value(node.value, names)
        if node.attr in self._attributes:
            return Symbol("known", node.attr, (base,), self._is_socket(node.value))
        if node.attr == "__dict__":
            return _fields_of(base, "")
        if (
            base is None
            or base.form in ("known", "box", "row")
            or (base.form == "kind" and node.attr in _SAFE_WORDS)
        ):
            return None
        return attribute_of(base, node.attr)

    def _is_socket(self, node: ast.expr) -> bool:
        """By the words of the name, where nothing else says it; a configured attribute is what it is."""
        words = dotted(node).lower().replace(".", "_").split("_")
        return self._knows_sockets or any(word in _SOCKET_WORDS for word in words)

    def _call(self, node: ast.Call, names: Locals) -> Symbol | None:
        word = node.func.attr if isinstance(node.func, ast.Attribute) else dotted(node.func)
        if word in self._safe:
            return None
        if isinstance(node.func, ast.Name) or dotted(node.func) == "dataclasses.asdict":
            found = self._builtin_call(word, node, names)
            if found is not None:
                return found if found != DOUBT else None
        if isinstance(node.func, ast.Attribute):
            if word in _DUMPS:
                base = self.value(node.func.value, names)
                return _fields_of(base, word) if not _is_partial(node) else None
            if word in _OF_DICTS and self._is_dict(node.func.value, names):
                return self._of_dict(word, self.value(node.func.value, names))
            if word in VIEWS and self._holds_dict(node.func.value, names):
                return view(None, word)
        callee = self.value(node.func, names)
        return Symbol("call", parts=(callee,)) if callee is not None and callee.form != "param" else None

    def _is_dict(self, node: ast.expr, names: Locals) -> bool:
        local = names.get(dotted(node))
        return is_dict(self.value(node, names)) or (local is not None and local.fields is not None)

    def _holds_dict(self, node: ast.expr, names: Locals) -> bool:
        """Whether it is a dictionary, of which nothing else is known."""
        symbol, local = self.value(node, names), names.get(dotted(node))
        if symbol is not None and symbol.form == "of":
            return symbol.name in _DICT_CLASSES
        match local.source if local is not None else None:
            case ast.Dict() | ast.DictComp():
                return True
            case ast.Call(func=made):
                named = expression_name(made, self.look)
                return named is not None and named.name in _DICT_CLASSES
        return False

    def _of_dict(self, word: str, base: Symbol | None) -> Symbol | None:
        """What a method of a dictionary gives."""
        if word in VIEWS:
            return view(base, word)
        return base if word == "copy" else joined(at(base), None)

    def _builtin_call(self, word: str, node: ast.Call, names: Locals) -> Symbol | None:
        """Calls that hand their arguments on; ``DOUBT`` stands for "harmless", None for "some other call"."""
        first = self.value(node.args[0], names) if node.args else None
        match word, node.args:
            case "dict", _:
                parts = [self.value(k.value, names) for k in node.keywords]
                return box([*parts, *spread_below(node, first, names)], DICT) or DOUBT
            case _, [_, *_] if word in _CONTAINERS:
                return first if _form(first) == "row" and word == "tuple" else box([item(first)]) or DOUBT
            case _, _ if word in _ITERATORS:
                return iterable(
                    _ITERATORS[word], item(self.value(node.args[-1], names)) if node.args else None
                )
            case "map", [function, *_]:
                callee = self.value(function, names)
                is_known = callee is not None and callee.form != "param"
                return iterable("iterator", Symbol("call", parts=(callee,)) if is_known else None)
            case "zip", _:
                return iterable("iterator", row(item(self.value(each, names)) for each in node.args))
            case "enumerate", [_, *_]:
                return iterable("iterator", row((None, item(first))))
            case "asdict" | "vars", _:
                return _fields_of(first, word) if not node.keywords else DOUBT
            case "getattr", [owner, ast.Constant(value=name), *_]:
                if str(name) in self._attributes:
                    return Symbol("known", str(name), (first,), self._is_socket(owner))
                is_harmless = first is None or first.form in ("known", "box", "row", "iter", "param")
                return DOUBT if is_harmless else Symbol("attr", str(name), (first,))
            case _:
                return None

    def _choice(self, node: ast.IfExp, names: Locals) -> Symbol | None:
        yes, no = dict(names), dict(names)
        narrow(node.test, yes, no)
        narrow_attribute(node.test, yes, no)
        return joined(self.value(node.body, yes), self.value(node.orelse, no))

    def _one_of(self, node: ast.BoolOp, names: Locals) -> Symbol | None:
        """``a and b`` is ``b``, or something falsy, which no enum and no time is."""
        if isinstance(node.op, ast.And):
            yes = dict(names)
            for test in node.values[:-1]:
                narrow(test, yes, {})
            return joined(self.value(node.values[-1], yes), None)
        return joined(*(self.value(each, names) for each in node.values))

    def _operator(self, node: ast.BinOp, names: Locals) -> Symbol | None:
        left, right = self.value(node.left, names), self.value(node.right, names)
        if not isinstance(node.op, ast.BitOr):
            left, right = (None if _form(side) == "param" else side for side in (left, right))
        if isinstance(node.op, ast.Mod) and (left is None or left.form == "const"):
            return None
        if isinstance(node.op, _BITWISE):
            return either((left, right))
        if isinstance(node.op, ast.Div):  # a path goes on, whatever follows; a quotient may be a number
            is_text = right is not None and right.form == "const"
            return Symbol("arith", "" if is_text else "/", (left, None)) if left else None
        if not isinstance(node.op, _ARITHMETIC) or "const" in (_form(left), _form(right)):
            return None
        return Symbol("arith", parts=(left, right)) if left or right else None

    def _literal(self, node: ast.List | ast.Tuple | ast.Set, names: Locals) -> Symbol | None:
        parts = [
            item(self.value(e.value, names)) if isinstance(e, ast.Starred) else self.value(e, names)
            for e in node.elts
        ]
        if isinstance(node, ast.Set):
            return iterable("set", *parts)
        is_placed = isinstance(node, ast.Tuple) and not any(isinstance(e, ast.Starred) for e in node.elts)
        return row(parts) if is_placed else box(parts)

    def _dict(self, node: ast.Dict, names: Locals) -> Symbol | None:
        keys = [as_key(self.key(key, names)) for key in node.keys if key is not None]
        anew = made_anew(node)
        for key, value in zip(node.keys, node.values, strict=True):
            found = self.value(value, names)
            if value in anew:
                found = joined(found, None)
            keys += [found] if key is not None else spread(found)
        return box(keys, DICT)

    def _each_of(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, names: Locals) -> Symbol | None:
        each = self.value(node.elt, self.comprehended(node.generators, names))
        if isinstance(node, ast.ListComp):
            return box([each])
        return iterable("set" if isinstance(node, ast.SetComp) else "generator", each)

    def _dict_of(self, node: ast.DictComp, names: Locals) -> Symbol | None:
        inner = self.comprehended(node.generators, names)
        return box([as_key(self.key(node.key, inner)), self.value(node.value, inner)], DICT)

    def key(self, node: ast.expr, names: Locals) -> Symbol | None:
        """A tuple is no key of JSON, whatever is in it."""
        return Symbol("kind", "tuple") if isinstance(node, ast.Tuple) else self.value(node, names)

    def _subscript(self, node: ast.Subscript, names: Locals) -> Symbol | None:
        """``record["key"]`` says nothing about which of the values it is; ``by_id[key]`` all but says it."""
        key = key_of(node.slice)
        local = names.get(dotted(node.value))
        if local is not None and local.fields is not None and key is not None:
            return local.fields.get(key)
        base = self.value(node.value, names)
        if isinstance(node.slice, ast.Slice) and _is_sliced_alike(base):
            return base
        if key is not None:
            return member(base, key)
        if base is not None and base.form == "box":
            return None if isinstance(node.slice, ast.Constant) else joined(at(base), None)
        return at(base, _place_of(node.slice))

    _VALUES: dict[type, Callable[..., Symbol | None]] = {  # noqa: RUF012 - a table, filled once
        ast.Constant: lambda _flow, node, _names: constant(node),
        ast.Lambda: lambda _flow, _node, _names: Symbol("kind", "function"),
        ast.JoinedStr: lambda _flow, _node, _names: DOUBT,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Call: _call,
        ast.Await: lambda flow, node, names: flow.value(node.value, names),
        ast.NamedExpr: lambda flow, node, names: flow.value(node.value, names),
        ast.IfExp: _choice,
        ast.BoolOp: _one_of,
        ast.BinOp: _operator,
        ast.List: _literal,
        ast.Tuple: _literal,
        ast.Set: _literal,
        ast.SetComp: _each_of,
        ast.ListComp: _each_of,
        ast.GeneratorExp: _each_of,
        ast.DictComp: _dict_of,
        ast.Dict: _dict,
        ast.Subscript: _subscript,
    }


def _fields_of(base: Symbol | None, word: str) -> Symbol | None:
    return Symbol("fields", word, (base,)) if base is not None and base.form != "param" else None


def _is_sliced_alike(symbol: Symbol | None) -> bool:
    """Whether some of it is what all of it is: bytes, and the elements of a list."""
    if symbol is None or symbol.form == "of":
        return symbol is not None and symbol.name in ("builtins.bytes", "builtins.bytearray")
    return symbol.form == "box" or symbol == Symbol("kind", "bytes")


def _place_of(node: ast.expr) -> int | None:
    """A place that is written as a number, negative ones too."""
    match node:
        case ast.Constant(value=int(place)) if abs(place) < sys.maxsize:
            return int(place)  # True is a place, too
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(place))) if abs(place) < sys.maxsize:
            return -place
    return None


def _is_partial(call: ast.Call) -> bool:
    """Whether a record is not given whole and as Python: ``mode="json"``, or some of its fields."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    mode = given.get("mode", ast.Constant("python"))
    is_python = isinstance(mode, ast.Constant) and mode.value == "python"
    return not is_python or not given.keys().isdisjoint(("exclude", "include", None))


def _form(symbol: Symbol | None) -> str:
    return symbol.form if symbol is not None else ""
