"""Where one name is bound and used in a module, scope by scope.

Theory of operation. Python decides by the text alone which scope a name belongs to: the innermost function that binds
it, then outer functions, then the module; class bodies are seen only by themselves. So one walk collects, per scope,
what binds the name and where it is read, and each use is then looked up through the scopes. Attribute uses
(``utils.name``) are noted with the dotted module path they go through.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator

from msgspec import Struct, field

from checks.tree.files import lines_of, places
from checks.tree.modules import absolute
from checks.tree.parse import Parsed
from checks.tree.symbols import dotted

Defining = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SKIPPABLE = (
    Defining | ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Expr | ast.Return | ast.For | ast.While
)


class Binding(Struct):
    """One thing that gives the name a meaning.

    Args:
        kind: ``def``, ``class``, ``assign``, ``import``, ``star``, ``module`` (a package of that name), ``param``,
            ``default`` (a parameter whose default is the name itself) or ``local`` (loop, ``with``, ``except``).
        module: of an import, the absolute dotted module; of a star too.
    """

    kind: str
    node: ast.AST
    scope: Scope
    line: int
    module: str = ""
    is_conditional: bool = False
    is_for_types: bool = False
    is_overload: bool = False
    value: ast.expr | None = None


class Scope(Struct):
    kind: str  # module, class, function, lambda, comprehension
    name: str
    parent: Scope | None
    bindings: list[Binding] = field(default_factory=list)
    is_global: bool = False

    @property
    def path(self) -> str:
        above = self.parent.path if self.parent else ""
        return f"{above}.{self.name}" if above else self.name


class Use(Struct):
    """One read of the name; ``through`` is the dotted expression before the dot of an attribute use."""

    scope: Scope
    line: int
    column: int
    through: str = ""
    is_annotation: bool = False


class Occurrences(ast.NodeVisitor):
    """Walks one module for one name."""

    def __init__(self, parsed: Parsed, name: str) -> None:
        self.module = Scope("module", "", None)
        self.bindings: list[Binding] = []
        self.uses: list[Use] = []
        self.module_imports: dict[str, str] = {}
        self.other_names: set[str] = set()  # under which it is imported too
        self._path, self._name = parsed.path, name
        self._lines = lines_of(parsed.data, places(parsed.data, name.encode()))
        self._scope = self.module
        self._conditional = self._types = self._annotation = 0
        self.visit(parsed.tree)

    def binding_of(self, use: Use) -> list[Binding]:
        """What the use refers to: the bindings of the innermost scope that has one."""
        scope: Scope | None = use.scope
        is_first = True
        while scope is not None:
            if scope.is_global:
                return self.module.bindings
            if scope.bindings and (is_first or scope.kind != "class"):
                return scope.bindings
            is_first = is_first and scope.kind == "comprehension"
            scope = scope.parent
        return []

    def visit(self, node: ast.AST) -> None:
        """Enter a node, unless it is one that cannot matter."""
        if isinstance(node, _SKIPPABLE):
            first = (
                node.decorator_list[0].lineno
                if isinstance(node, Defining) and node.decorator_list
                else node.lineno
            )
            at = bisect_left(self._lines, first)
            if at == len(self._lines) or self._lines[at] > (node.end_lineno or first):
                return
        super().visit(node)

    # -- what binds ------------------------------------------------------------------------------------------

    def _bind(self, kind: str, node: ast.AST, *, module: str = "", value: ast.expr | None = None) -> None:
        scope = self.module if self._scope.is_global else self._scope
        line = getattr(node, "lineno", 1)
        made = Binding(
            kind, node, scope, line, module, bool(self._conditional), bool(self._types), value=value
        )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            made.is_overload = any(dotted(d).rpartition(".")[2] == "overload" for d in node.decorator_list)
        if kind != "renamed":  # ``import name as other`` says where it comes from, but binds another name
            scope.bindings.append(made)
        self.bindings.append(made)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            local = alias.asname or alias.name.partition(".")[0]
            self.module_imports[local] = alias.name if alias.asname else local
            if local == self._name:
                self._bind("assign" if alias.asname else "module", node, module=alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = absolute(self._path, node.module, node.level)
        for alias in node.names:
            if alias.name == "*":
                self._bind("star", node, module=module)
            elif alias.name == self._name:
                is_renamed = alias.asname not in (None, self._name)
                self._bind("renamed" if is_renamed else "import", node, module=module)
                self.other_names |= {str(alias.asname)} if is_renamed else set()
            elif alias.asname == self._name:
                self._bind("assign", node, module=module)
            self.module_imports[alias.asname or alias.name] = f"{module}.{alias.name}"

    def visit_Global(self, node: ast.Global) -> None:
        self._scope.is_global = self._scope.is_global or self._name in node.names

    def visit_Name(self, node: ast.Name) -> None:
        if node.id != self._name:
            return
        if isinstance(node.ctx, ast.Load):
            self.uses.append(Use(self._scope, node.lineno, node.col_offset, "", bool(self._annotation)))
        elif isinstance(node.ctx, ast.Store):
            self._bind("local", node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr == self._name and isinstance(node.ctx, ast.Load):
            through = dotted(node.value)
            if through:
                self.uses.append(Use(self._scope, node.lineno, node.col_offset, through))
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == self._name:
                self._bind("assign", node, value=node.value)
            else:
                self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._as_annotation(node.annotation)
        if node.value is None:
            return
        self.visit(node.value)
        if isinstance(node.target, ast.Name) and node.target.id == self._name:
            self._bind("assign", node, value=node.value)
        else:
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        if node.target.id == self._name:
            self._bind("assign", node, value=node.value)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar | ast.ExceptHandler) -> None:
        if node.name == self._name:
            self._bind("local", node)
        self.generic_visit(node)

    visit_MatchStar = visit_ExceptHandler = visit_MatchAs

    # -- what opens a scope ----------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name == self._name:
            self._bind("def", node)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._outside_of(node.args)
        self._as_annotation(node.returns)
        self._inside("function", node.name, node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._outside_of(node.args)
        self._inside("lambda", "<lambda>", node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.name == self._name:
            self._bind("class", node)
        for child in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(child)
        self._inside("class", node.name, None, node.body)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        outer, self._scope = self._scope, Scope("comprehension", "", self._scope)
        for generator in node.generators:
            self.visit(generator.target)
        self.generic_visit(node)
        self._scope = outer

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def _outside_of(self, args: ast.arguments) -> None:
        for argument in _arguments(args):
            self._as_annotation(argument.annotation)
        for default in (*args.defaults, *args.kw_defaults):
            if default is not None:
                self.visit(default)

    def _inside(
        self, kind: str, name: str, args: ast.arguments | None, body: list[ast.stmt] | list[ast.expr]
    ) -> None:
        outer, conditional, types = self._scope, self._conditional, self._types
        self._scope, self._conditional, self._types = Scope(kind, name, outer), 0, 0
        for argument in _arguments(args) if args else ():
            if args and argument.arg == self._name:
                is_itself = any(
                    isinstance(d, ast.Name) and d.id == self._name
                    for d in (*args.defaults, *args.kw_defaults)
                )
                self._bind("default" if is_itself else "param", argument)
        for child in body:
            self.visit(child)
        self._scope, self._conditional, self._types = outer, conditional, types

    def _as_annotation(self, node: ast.expr | None) -> None:
        if node is not None:
            self._annotation += 1
            self.visit(node)
            self._annotation -= 1

    # -- what makes it conditional ---------------------------------------------------------------------------

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        types = dotted(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        self._conditional += 1
        self._types += types
        for child in node.body:
            self.visit(child)
        self._types -= types
        for child in node.orelse:
            self.visit(child)
        self._conditional -= 1

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        self._conditional += 1
        self.generic_visit(node)
        self._conditional -= 1

    visit_TryStar = visit_Try


def _arguments(args: ast.arguments) -> Iterator[ast.arg]:
    yield from (*args.posonlyargs, *args.args, *args.kwonlyargs)
    yield from (a for a in (args.vararg, args.kwarg) if a)
