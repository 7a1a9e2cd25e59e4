"""Where values go inside one function: what each name may be when a call is reached.

Theory of operation. Statements are taken in order, with a table of what each local name is now. Branches are walked
with copies and put together again; a branch that leaves (``return``, ``raise``) does not count afterwards; a test like
``isinstance(x, Enum)`` or ``hasattr(x, "value")`` makes ``x`` unknown on its other side. Loops are walked once. Only
functions that hold an interesting line are walked at all. Nothing is certain here: the names stay symbols.

What makes this cheap. ``lines`` are the lines on which a call of interest may stand. A function without one is not
entered, and in every block the walk stops behind the last of them: what comes later cannot change what is asked.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from unicodedata import normalize

from checks.tree.anew import as_update, hand_over
from checks.tree.calls import added, expressions_below, is_marked, is_own_call, last_of
from checks.tree.containers import DICT, item, spread
from checks.tree.definitions import FUNCTIONS, Function, changes_what_is_given
from checks.tree.doubts import contradicted
from checks.tree.expressions import Expressions
from checks.tree.guards import falls_back, suppresses
from checks.tree.locals import Local, Locals, augmented, become, is_counted, narrow, without_part
from checks.tree.symbols import DOUBT, Parameter, Symbol, annotation, box, dotted, either, imported_names

_ADDING = frozenset({"update", "append", "setdefault", "insert", "extend", "add"})
#: annotations that say nothing of what is inside
_VAGUE = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "typing", "collections.abc")
    for name in ("dict", "list", "object", "Any", "Dict", "List", "Mapping", "MutableMapping")
)
#: what ``async with`` gives is the thing itself
_CLIENTS = frozenset({"AsyncClient", "Client", "ClientSession", "Session"})
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
#: statements that leave a block, and those that may be a call alone
_LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_CALLING = (ast.Expr, ast.Assign, ast.AnnAssign)
#: names go on behind a backslash, and what is not ASCII may be in them
_SHARING = re.compile(
    rb"(?:^|[;:])[ \t\f]*+(?:global|nonlocal)\b((?:[\w, \t\x80-\xff]|\\\r?\n)++)", re.MULTILINE
)
_WORD = re.compile(rb"[\w\x80-\xff]+")
Visit = Callable[[ast.Call, "Flow", Locals], None]


class Flow(Expressions):
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
        binds_inside: bool,
        shared: frozenset[str] = frozenset(),
    ) -> None:
        """``binds_inside``: there is a ``:=`` somewhere. ``shared``: see ``Expressions``."""
        super().__init__(path, tree, safe=safe, attributes=attributes, shared=shared)
        self._lines, self._visit, self._binds_inside = lines, visit, binds_inside
        self._class, self._is_inside = "", False
        self._outside: dict[Function, frozenset[str]] = {}
        self.is_guarded = False  # by an ``except`` that has another way
        self.function: Function | None = None  # the innermost one
        self._last = lines[-1] if lines else 0
        self._notes: dict[str, Symbol | None] = {}
        self._scope(tree.body, {})

    def _is_near(self, node: ast.stmt) -> bool:
        at = bisect_left(self._lines, node.lineno)
        return at < len(self._lines) and self._lines[at] <= (node.end_lineno or node.lineno)

    def _scope(self, body: Sequence[ast.stmt], outer: Locals) -> None:
        """A module or class: what it assigns is seen by the rest of it, not by the functions in it.

        They run later, when a name of the module may be something else, and do not see a class's names at all.
        """
        names = dict(outer)
        for node in body:
            if node.lineno > self._last:
                break
            # A function gets the names of outside of this scope: when it runs, the ones of this scope may have changed.
            if isinstance(node, FUNCTIONS):
                if self._is_near(node):
                    self._function(node, outer)
            elif isinstance(node, ast.ClassDef):
                if self._is_near(node):
                    self._statement(node, dict(outer))
            else:
                self._statement(node, names)

    def _block(self, body: Sequence[ast.stmt], names: Locals) -> bool:
        """Walk statements; True when the block always leaves."""
        for node in body:
            if node.lineno > self._last:
                break  # nothing below is asked about
            if self._statement(node, names):
                return True
        return False

    def _statement(self, node: ast.stmt, names: Locals) -> bool:
        if isinstance(node, FUNCTIONS):
            if self._is_near(node):
                self._function(node, names)
            names[node.name] = Local(None)
            return False
        if isinstance(node, ast.ClassDef):
            outer, self._class = self._class, f"{self._class}.{node.name}" if self._class else node.name
            self._scope(node.body, names)
            self._class = outer
            return False
        compound = self._COMPOUND.get(type(node))
        if compound:
            return compound(self, node, names)
        if self._is_near(node):
            for child in expressions_below(node):
                self._calls_in(child, names)
        elif self._binds_inside:
            for each in (n for n in ast.walk(node) if isinstance(n, ast.NamedExpr)):
                self.bind(each.target, self.value(each.value, names), names, node.lineno, each.value)
        self._assign(node, names)
        own = [name for name in names if name.startswith("self.")] if self._holds else ()
        for name in own if own and any(map(is_own_call, ast.walk(node))) else ():
            del names[name]  # a method of its own may have set it anew
        return isinstance(node, _LEAVING)

    def _function(self, node: Function, outer: Locals) -> None:
        names = dict(outer)
        self._parameters(node, names)
        # Inside, the last interesting line is that of this function; ``self`` of a nested function is no class's.
        before = self._last, self._class, self._is_inside, self.is_guarded, self.function
        self._last = self._lines[bisect_right(self._lines, node.end_lineno or node.lineno) - 1]
        self._class, self._is_inside, self.is_guarded, self.function = "", True, False, node
        self._block(node.body, names)
        self._last, self._class, self._is_inside, self.is_guarded, self.function = before

    def _sets_outside(self, name: str) -> bool:
        """A function's own name is another's too where it, or one inside of it, says so."""
        if self.function is None:
            return False
        if self.function not in self._outside:
            said = (n for n in ast.walk(self.function) if isinstance(n, ast.Global | ast.Nonlocal))
            self._outside[self.function] = frozenset(word for each in said for word in each.names)
        return name in self._outside[self.function]

    def _parameters(self, node: Function, names: Locals) -> None:
        """What a function is given, by its annotations; of a parameter without, that it is that parameter."""
        placed = (*node.args.posonlyargs, *node.args.args)
        is_method = bool(placed and self._class) and not is_marked(node, "staticmethod")
        name = f"{self._class}.{node.name}" if self._class else node.name
        own = f"<local>.{name}" if self._is_inside else name
        may_change = bool(node.decorator_list) and changes_what_is_given(node)
        defaults = (
            *(None,) * (len(placed) - len(node.args.defaults)),
            *node.args.defaults,
            *node.args.kw_defaults,
        )
        for index, argument in enumerate((*placed, *node.args.kwonlyargs)):
            noted = contradicted(self._noted(argument.annotation), defaults[index])
            if noted is None or (noted.form == "of" and noted.name in _VAGUE):
                place = index - is_method if index < len(placed) else -1
                noted = Symbol("param", Parameter(own, argument.arg, place).text)
                noted = either((noted, DOUBT)) if may_change else noted
            how = "is annotated so" if argument.annotation is not None else "is a parameter"
            names[argument.arg] = Local(noted, argument.lineno, f"{argument.arg} {how}")
        if is_method:
            is_class = is_marked(node, "classmethod")
            names[placed[0].arg] = Local(Symbol("obj" if is_class else "of", f"{self._path}:{self._class}"))
        if node.args.vararg:
            inner = annotation(node.args.vararg.annotation, self.look)
            names[node.args.vararg.arg] = Local(box([inner]), node.args.vararg.lineno)
        if node.args.kwarg:
            others = tuple(each.arg for each in (*placed, *node.args.kwonlyargs))
            noted = annotation(node.args.kwarg.annotation, self.look)
            is_vague = noted is None or (noted.form == "of" and noted.name in _VAGUE)
            inner = Symbol("param", Parameter(own, "**", -1, others).text) if is_vague else noted
            names[node.args.kwarg.arg] = Local(box([inner], DICT), node.args.kwarg.lineno)

    def _noted(self, node: ast.expr | None) -> Symbol | None:
        """What is annotated so; one name stands at many parameters."""
        if not isinstance(node, ast.Name):
            return annotation(node, self.look)
        if node.id not in self._notes:
            self._notes[node.id] = annotation(node, self.look)
        return self._notes[node.id]

    def _if(self, node: ast.If, names: Locals) -> bool:
        self._calls_in(node.test, names)
        yes, no = dict(names), dict(names)
        narrow(node.test, yes, no)
        left, right = self._block(node.body, yes), self._block(node.orelse, no)
        become(names, [branch for branch, leaves in ((yes, left), (no, right)) if not leaves])
        return left and right

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, names: Locals) -> bool:
        """The body is walked once; afterwards a name is what it was before, or what one turn makes of it."""
        inside = dict(names)
        self._calls_in(node.test if isinstance(node, ast.While) else node.iter, names)
        if not isinstance(node, ast.While):
            self.bind(node.target, item(self.value(node.iter, names)), inside, node.lineno, node.iter)
        self._block(node.body, inside)
        become(names, [names, inside])
        self._block(node.orelse, names)
        return False

    def _with(self, node: ast.With | ast.AsyncWith, names: Locals) -> bool:
        before = self.is_guarded
        for each in node.items:
            self._calls_in(each.context_expr, names)
            self.is_guarded = self.is_guarded or suppresses(each.context_expr)
            if each.optional_vars is not None:
                is_itself = isinstance(each.context_expr, ast.Call) and last_of(each.context_expr) in _CLIENTS
                value = self.value(each.context_expr, names) if is_itself else None
                self.bind(each.optional_vars, value, names, node.lineno)
        self._block(node.body, names)
        self.is_guarded = before
        return False  # what it suppresses goes on behind it

    def _try(self, node: ast.Try | ast.TryStar, names: Locals) -> bool:
        body = dict(names)
        before, self.is_guarded = self.is_guarded, self.is_guarded or falls_back(node.handlers)
        leaves = self._block(node.body, body)
        self.is_guarded = before
        leaves = leaves or self._block(node.orelse, body)
        ends = [] if leaves else [body]
        for handler in node.handlers:
            inside = dict(names)
            # The body may have been left anywhere: what it assigned is there, or is not there yet.
            for name, local in body.items():
                if inside.get(name) != local:
                    doubtful = either((local.symbol, DOUBT)) if local.symbol else None
                    inside[name] = Local(doubtful, local.line, local.how, local.source)
            if handler.name:
                caught = f"{handler.name} is caught here"
                inside[handler.name] = Local(Symbol("kind", "exception"), handler.lineno, caught)
            if not self._block(handler.body, inside):
                ends.append(inside)
        become(names, ends)
        return self._block(node.finalbody, names) or not ends

    def _match(self, node: ast.Match, names: Locals) -> bool:
        self._calls_in(node.subject, names)
        ends: list[Locals] = [names]
        for case in node.cases:
            # A capture may be any part of the subject, so nothing is known of it.
            inside = dict(names)
            for child in ast.walk(case.pattern):
                captured = getattr(child, "name", None) or getattr(child, "rest", None)
                if isinstance(captured, str):
                    inside[captured] = Local(None)
            if not self._block(case.body, inside):
                ends.append(inside)
        become(names, ends)
        return False

    _COMPOUND: dict[type, Callable[..., bool]] = {  # noqa: RUF012 - a table, filled once
        ast.If: _if,
        ast.For: _loop,
        ast.AsyncFor: _loop,
        ast.While: _loop,
        ast.With: _with,
        ast.AsyncWith: _with,
        ast.Try: _try,
        ast.TryStar: _try,
        ast.Match: _match,
    }

    def _assign(self, node: ast.stmt, names: Locals) -> None:
        hand_over(node, names)
        if isinstance(node, _CALLING) and isinstance(node.value, ast.Call):
            self._mutation(node.value, names)
        match node:
            case ast.Expr() | ast.Return() | ast.Raise():
                pass
            case ast.Assign():
                for target in node.targets:
                    self._bind_pairs(target, node.value, names, node.lineno)
            case ast.AnnAssign():
                value = self.value(node.value, names) if node.value else None
                noted = value if value is not None else annotation(node.annotation, self.look)
                self.bind(node.target, noted, names, node.lineno, node.value)
            case ast.AugAssign(target=ast.Name(id=name)):
                self._augment(name, node, names)
            case ast.Import() | ast.ImportFrom() if self._is_inside:
                found = imported_names(self._path, [node])
                names.update({name: Local(Symbol("obj", full), node.lineno) for name, full in found.items()})
            case ast.Delete():
                for target in node.targets:
                    self._delete(target, names)

    def _augment(self, name: str, node: ast.AugAssign, names: Locals) -> None:
        update = as_update(node) if name in names else None
        if update is not None:
            self._mutation(update, names)
        elif name in names or not is_counted(node.value):
            value = self.value(node.value, names)
            names[name] = augmented(name, names.get(name, Local(None)), node, value)

    def _delete(self, target: ast.expr, names: Locals) -> None:
        match target:
            case ast.Name(id=name):
                names[name] = Local(None)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))) if name in names:
                names[name] = without_part(names[name], key)

    def _bind_pairs(self, target: ast.expr, value: ast.expr, names: Locals, line: int) -> None:
        """``a, b = x, y`` is two assignments."""
        sides = (ast.Tuple, ast.List)
        if isinstance(target, sides) and isinstance(value, sides) and len(target.elts) == len(value.elts):
            for each, part in zip(target.elts, [self.value(e, names) for e in value.elts], strict=True):
                self.bind(each, part, names, line, value)
        else:
            self.bind(target, self.value(value, names), names, line, value)

    def _mutation(self, call: ast.Call, names: Locals) -> None:
        """``payload.update(state=value)``, ``rows.append(value)``, ``payload.pop("state")``."""
        match call.func, call.args:
            case ast.Attribute(value=ast.Attribute() as own, attr=method), _ if method in _ADDING:
                self._add(own, call, names)
            case ast.Attribute(value=ast.Name(id=name)), _ if name not in names:
                pass
            case ast.Attribute(value=ast.Name(id=name), attr="pop"), [ast.Constant(value=str(taken)), *_]:
                names[name] = without_part(names[name], taken)
            case ast.Attribute(value=ast.Name(id=name), attr="clear"), _:
                names[name] = Local(None)
            case ast.Attribute(value=ast.Name() as local, attr=method), _ if method in _ADDING:
                self._add(local, call, names)

    def _add(self, container: ast.expr, call: ast.Call, names: Locals) -> None:
        """What a method adds: values, or what is inside of another container."""
        for key, value in added(call):
            where, found = Local(None, call.lineno, source=value), self.value(value, names)
            is_whole = key is None and value in call.args
            if is_whole and dotted(call.func).endswith(".update"):
                for each in spread(found):
                    self.put(container, None, each, names, where)
            else:
                is_each = is_whole and dotted(call.func).endswith(".extend")
                self.put(container, key, item(found) if is_each else found, names, where)

    def _calls_in(self, node: ast.expr, names: Locals) -> None:
        """Visit every call below an expression; those inside comprehensions and lambdas see their own names."""
        inner = names
        if isinstance(node, ast.Call):
            self._visit(node, self, _before(node, names) if self._binds_inside else names)
        elif isinstance(node, ast.NamedExpr):
            self.bind(node.target, self.value(node.value, names), names, node.lineno, node.value)
        elif isinstance(node, _COMPREHENSIONS):
            inner = self.comprehended(node.generators, names)
        elif isinstance(node, ast.Lambda):
            inner = names | {a.arg: Local(None) for a in (*node.args.args, *node.args.kwonlyargs)}
        for child in expressions_below(node):
            self._calls_in(child, inner)


def rebound(data: bytes) -> frozenset[str]:
    """Names that functions of a file set outside of themselves: what they were given elsewhere they may not be."""
    if b"global" not in data and b"nonlocal" not in data:
        return frozenset()
    names = (name for match in _SHARING.finditer(data) for name in _WORD.findall(match[1]))
    # The parser spells a name in one way, too.
    return frozenset(normalize("NFKC", name.decode(errors="replace")) for name in names)


def _before(call: ast.Call, names: Locals) -> Locals:
    """The names as a call's arguments see them: what one argument binds, another may read, before or after."""
    bound = {n.target.id for n in ast.walk(call) if isinstance(n, ast.NamedExpr)}
    return names | {name: Local(None) for name in bound} if bound else names
