"""What an expression may be, given what its local names are now: a symbol (see ``symbols.py``), or None."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from checks.tree.definitions import module_scope, simple
from checks.tree.locals import Local, Locals, item, joined, key_of, narrow, with_part
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
)

_CONTAINERS = frozenset({"list", "tuple", "sorted", "reversed", "iter"})
_DUMPS = frozenset({"model_dump", "dict", "_asdict"})
_SAFE_WORDS = frozenset({"value", "name", "_value_", "_name_"})
_SOCKET_WORDS = frozenset({"ws", "websocket", "socket", "sock", "conn", "connection"})


class Expressions:
    """The expressions of one module."""

    def __init__(
        self, path: str, tree: ast.Module, *, safe: frozenset[str], attributes: frozenset[str]
    ) -> None:
        statements, imports, self.look = module_scope(path, tree)
        self._path = path
        self._safe, self._attributes = safe, attributes | ENUM_ATTRIBUTES
        self._knows_sockets = any("starlette" in v or "fastapi" in v for v in imports.values())
        #: what names at the top are given by calls: loggers, mostly
        self.module_values = {
            target.id: simple(node.value, self.look)
            for node in statements
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def bind(
        self, target: ast.expr, value: Symbol | None, names: Locals, line: int, source: ast.expr | None = None
    ) -> None:
        """Give a target a value; ``payload["state"] = value`` puts it into the container."""
        match target:
            case ast.Name(id=name):
                fields = self._fields(source, names) if source is not None and value is not None else None
                names[name] = Local(value, line, f"{name} is set here", source, fields)
            case ast.Starred():
                self.bind(target.value, value, names, line, source)
            case ast.Tuple() | ast.List():
                for each in target.elts:
                    self.bind(each, item(value), names, line, source)
            case ast.Subscript(value=ast.Name(id=name), slice=key):
                where = Local(None, line, source=source)
                self.put(name, key_of(key), value, names, where)
                if not isinstance(key, ast.Constant):
                    self.put(name, None, as_key(self.key(key, names)), names, where)

    def put(self, name: str, key: str | None, value: Symbol | None, names: Locals, where: Local) -> None:
        """Add a value to the container that a name stands for."""
        if name in names:
            part = Local(None, where.line, f"it is put into {name} here", where.source)
            names[name] = with_part(names[name], key, value, part)

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
        return inner

    def value(self, node: ast.expr | None, names: Locals) -> Symbol | None:
        """What an expression may be."""
        handler = self._VALUES.get(type(node))
        return handler(self, node, names) if handler else None

    def _name(self, node: ast.Name, names: Locals) -> Symbol | None:
        return names[node.id].symbol if node.id in names else self.look(node.id)

    def _attribute(self, node: ast.Attribute, names: Locals) -> Symbol | None:
        base = self.value(node.value, names)
        if node.attr in self._attributes:
            return Symbol("known", node.attr, (base,), self._is_socket(node.value))
        if node.attr == "__dict__":
            return _fields_of(base, "")
        if (
            base is None
            or base.form in ("known", "box")
            or (base.form == "kind" and node.attr in _SAFE_WORDS)
        ):
            return None
        return attribute_of(base, node.attr)

    def _is_socket(self, node: ast.expr) -> bool:
        """By the words of the name, where nothing else says it; a configured attribute is what it is."""
        words = dotted(node).lower().replace(".", "_").split("_")
        return self._knows_sockets or any(word in _SOCKET_WORDS for word in words)

    def _call(self, node: ast.Call, names: Locals) -> Symbol | None:
        word = dotted(node.func).rpartition(".")[2]
        if word in self._safe:
            return None
        if isinstance(node.func, ast.Name) or dotted(node.func) == "dataclasses.asdict":
            found = self._builtin_call(word, node, names)
            if found is not None:
                return found if found != DOUBT else None
        if isinstance(node.func, ast.Attribute) and word in _DUMPS:
            is_json = any(k.arg in ("mode", "exclude", "include", "by_alias") for k in node.keywords)
            base = self.value(node.func.value, names)
            return _fields_of(base, word) if not is_json else None
        callee = self.value(node.func, names)
        return Symbol("call", parts=(callee,)) if callee is not None and callee.form != "param" else None

    def _builtin_call(self, word: str, node: ast.Call, names: Locals) -> Symbol | None:
        """Calls that hand their arguments on; ``DOUBT`` stands for "harmless", None for "some other call"."""
        first = self.value(node.args[0], names) if node.args else None
        match word, node.args:
            case "dict", _:
                parts = [self.value(k.value, names) for k in node.keywords]
                spread = (
                    first
                    if first and first.form == "param"
                    else item(first)
                    if _form(first) == "box"
                    else None
                )
                return box([*parts, spread]) or DOUBT
            case _, [_, *_] if word in _CONTAINERS:
                return box([item(first)]) or DOUBT
            case "asdict" | "vars", _:
                return _fields_of(first, word)
            case "getattr", [owner, ast.Constant(value=name), *_]:
                if str(name) in self._attributes:
                    return Symbol("known", str(name), (first,), self._is_socket(owner))
                is_harmless = first is None or first.form in ("known", "box", "param")
                return DOUBT if is_harmless else Symbol("attr", str(name), (first,))
            case _:
                return None

    def _choice(self, node: ast.IfExp, names: Locals) -> Symbol | None:
        yes, no = dict(names), dict(names)
        narrow(node.test, yes, no)
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
        if isinstance(node.op, ast.BitOr | ast.BitAnd | ast.BitXor):
            return either((left, right))
        if isinstance(node.op, ast.Div):  # a path goes on; a quotient may be a number
            return Symbol("arith", parts=(left, None)) if left and right and right.form == "const" else None
        if not isinstance(node.op, ast.Add | ast.Sub | ast.Mult) or "const" in (_form(left), _form(right)):
            return None
        return Symbol("arith", parts=(left, right)) if left or right else None

    def _literal(self, node: ast.List | ast.Tuple, names: Locals) -> Symbol | None:
        return box(self.value(e.value if isinstance(e, ast.Starred) else e, names) for e in node.elts)

    def _dict(self, node: ast.Dict, names: Locals) -> Symbol | None:
        keys = (as_key(self.key(key, names)) for key in node.keys if key is not None)
        return box((*keys, *(self.value(value, names) for value in node.values)))

    def _list_of(self, node: ast.ListComp | ast.GeneratorExp, names: Locals) -> Symbol | None:
        return box([self.value(node.elt, self.comprehended(node.generators, names))])

    def _dict_of(self, node: ast.DictComp, names: Locals) -> Symbol | None:
        inner = self.comprehended(node.generators, names)
        return box([as_key(self.key(node.key, inner)), self.value(node.value, inner)])

    def key(self, node: ast.expr, names: Locals) -> Symbol | None:
        """A tuple is no key of JSON, whatever is in it."""
        return Symbol("kind", "tuple") if isinstance(node, ast.Tuple) else self.value(node, names)

    def _subscript(self, node: ast.Subscript, names: Locals) -> Symbol | None:
        """``record["key"]`` says nothing about which of the values it is; ``by_id[key]`` all but says it."""
        key = key_of(node.slice)
        local = names.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if local is not None and local.fields is not None and key is not None:
            return local.fields.get(key)
        base = self.value(node.value, names)
        if base is not None and base.form == "box":
            return None if isinstance(node.slice, ast.Constant) else joined(item(base), None)
        return item(base)

    _VALUES: dict[type, Callable[..., Symbol | None]] = {  # noqa: RUF012 - a table, filled once
        ast.Constant: lambda _flow, node, _names: constant(node),
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
        ast.Set: lambda _flow, _node, _names: Symbol("of", "builtins.set"),
        ast.SetComp: lambda _flow, _node, _names: Symbol("of", "builtins.set"),
        ast.ListComp: _list_of,
        ast.DictComp: _dict_of,
        ast.Dict: _dict,
        ast.Subscript: _subscript,
    }


def _fields_of(base: Symbol | None, word: str) -> Symbol | None:
    return Symbol("fields", word, (base,)) if base is not None and base.form != "param" else None


def _form(symbol: Symbol | None) -> str:
    return symbol.form if symbol is not None else ""
