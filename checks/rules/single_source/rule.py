"""single-source: a helper is defined once, in its home, and everybody imports that one.

Theory of operation. Only files whose bytes hold the symbol are parsed (and those that hold every telling word of its
body: a copy under another name). Each says what it defines, imports and reads; then each import is followed by path.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from checks.finding import Finding, Step
from checks.rules.protocol import Brief, Project, Rule, error, is_test
from checks.rules.single_source import fix as fixes
from checks.rules.single_source.facts import Definition, Facts, Import, Mentions, Read, read
from checks.settings import Settings, SingleSource
from checks.tree import body
from checks.tree.bindings import Binding, Occurrences, Use
from checks.tree.parse import Parsed
from checks.tree.symbols import dotted
from checks.tree.tree import Tree

NAME = "single-source"
_error = partial(error, NAME)
MIN_COPY_NODES = 12


def brief(settings: Settings, tree: Tree) -> Brief | None:
    symbols = [_brief_of(s, tree.parsed(s.home)) for s in settings.single_source]
    return {"symbols": symbols} if symbols else None


def _brief_of(symbol: SingleSource, home: Parsed | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": symbol.symbol.rpartition(".")[2],
        "home": symbol.home,
        "words": [],
        "print": "",
    }
    found = [f for name, f in body.functions(home.tree) if name == symbol.symbol] if home else []
    if found and body.has_size(found[-1], MIN_COPY_NODES):
        words = (word.decode() for word in body.words(found[-1]))
        made["words"] = sorted(
            words, key=lambda word: (-len(word), word)
        )  # the rarest first, by their length
        made["print"] = body.print_of(found[-1])
    return made


def wants(_path: str, data: bytes, asked: Brief) -> bool:
    return any(_mentions(data, one) or _may_copy(data, one) for one in asked["symbols"])


def _mentions(data: bytes, one: dict[str, Any]) -> bool:
    return one["name"].encode() in data


def _may_copy(data: bytes, one: dict[str, Any]) -> bool:
    return len(one["words"]) > 1 and all(word.encode() in data for word in one["words"])


def collect(parsed: Parsed, asked: Brief) -> Facts | None:
    found: Facts = {}
    for one in asked["symbols"]:
        copies = _copies(parsed, one) if one["print"] else []
        if _mentions(parsed.data, one):
            found[one["name"]] = _mentions_of(parsed, one["name"], copies)
        elif copies:
            found[one["name"]] = Mentions(copies, [], [], [])
    return found or None


def _copies(parsed: Parsed, one: dict[str, Any]) -> list[Definition]:
    if not _may_copy(parsed.data, one):
        return []
    found = [*body.functions(parsed.tree), *body.named_lambdas(parsed.tree)]
    return [
        _definition(node, "copy", name.rpartition(".")[0], name.rpartition(".")[2])
        for name, node in found
        if name.rpartition(".")[2] != one["name"] and body.print_of(node) == one["print"]
    ]


def _mentions_of(parsed: Parsed, name: str, copies: list[Definition]) -> Mentions:
    names = Occurrences(parsed, name)
    made = [b for b in names.bindings if _defines(b, {name, *names.other_names})]
    imports = [b for b in names.bindings if b.kind in ("import", "star", "renamed")]
    return Mentions(
        [_definition(b.node, b.kind, b.scope.path, name, b) for b in made] + copies,
        [_import(b) for b in imports],
        [wrong for use in names.uses if (wrong := _read(names, use)) is not None],
        sorted({use.line for use in names.uses if not use.through}),
    )


def _defines(binding: Binding, names: set[str]) -> bool:
    """An alias of the one source (``name = utils.name``) is no second definition, and neither is an overload."""
    if binding.kind in ("def", "class"):
        return not binding.is_overload and not binding.is_for_types
    if binding.kind != "assign" or binding.scope.kind in ("function", "lambda", "comprehension"):
        return binding.kind == "assign" and isinstance(binding.value, ast.Lambda)
    value = binding.value
    if isinstance(value, ast.Call) and len(value.args) == 1:
        value = value.args[0]
    return dotted(value).rpartition(".")[2] not in names if value is not None else True


def _definition(
    node: ast.AST, kind: str, where: str, name: str, binding: Binding | None = None
) -> Definition:
    is_function = isinstance(node, body.Function)
    assert isinstance(node, ast.stmt | ast.expr)
    decorators = node.decorator_list if isinstance(node, body.Function | ast.ClassDef) else []
    args = node.args if isinstance(node, body.Function) else None
    return Definition(
        line=node.lineno,
        column=node.col_offset + 1,
        kind=kind,
        where=where,
        is_conditional=bool(binding and binding.is_conditional),
        print=body.print_of(node) if isinstance(node, body.Function) else "",
        first_line=min([node.lineno, *(d.lineno for d in decorators)]),
        last_line=node.end_lineno or node.lineno,
        parameters=[a.arg for a in (*args.posonlyargs, *args.args)] if args and not args.kwonlyargs else [],
        is_alone=is_function and not decorators and node.col_offset == 0,
        name=name,
    )


def _import(binding: Binding) -> Import:
    node = binding.node
    assert isinstance(node, ast.Import | ast.ImportFrom)
    end = [node.end_lineno or node.lineno, node.end_col_offset or 0]
    is_whole = isinstance(node, ast.ImportFrom) and len(node.names) == 1
    return Import(
        node.lineno,
        node.col_offset + 1,
        binding.kind,
        binding.module,
        end,
        is_whole,
        bool(getattr(node, "level", 0)),
    )


def _read(names: Occurrences, use: Use) -> Read | None:
    """What is wrong with a use, as far as its own file can say; None when it refers to an import or a definition."""
    line, column = use.line, use.column + 1
    if use.through:
        head, _, rest = use.through.partition(".")
        module = names.module_imports.get(head)
        return Read(line, column, "through", f"{module}.{rest}" if rest else module) if module else None
    bound = names.binding_of(use)
    named = [b for b in bound if b.kind != "star"]
    if not named:
        return Read(line, column, "star" if bound else "unbound", bound[0].module if bound else "")
    if all(b.is_for_types for b in named) and not use.is_annotation:
        return Read(line, column, "types", "")
    if all(b.kind == "param" for b in named):
        return Read(line, column, "param", "")
    is_inner = named[0].scope.kind in ("function", "lambda", "comprehension")
    is_local = all(b.kind in ("local", "assign") and not isinstance(b.value, ast.Lambda) for b in named)
    hides = (is_local and is_inner) or any(b.kind == "local" and b.line <= line for b in named)
    return Read(line, column, "local", "") if hides else None


def judge(project: Project, asked: Brief, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    for symbol, one in zip(project.settings.single_source, asked["symbols"], strict=True):
        mine = {path: each[one["name"]] for path, each in facts.items() if one["name"] in each}
        yield from SymbolJudge(project.now, symbol, one, mine).findings()


class SymbolJudge:
    """One symbol, over all files that mention it."""

    def __init__(
        self, tree: Tree, symbol: SingleSource, one: dict[str, Any], mentions: Mapping[str, Mentions]
    ) -> None:
        self._tree, self._symbol, self._mentions = tree, symbol, mentions
        self._name: str = one["name"]
        self._owner = symbol.symbol.rpartition(".")[0]
        self._print: str = one["print"]
        self._fixer = fixes.Fixer(tree, symbol, mentions)

    def findings(self) -> Iterator[Finding]:
        home = self._symbol.home
        if not self._tree.has(home):
            yield _error(
                home,
                (1, 1),
                f"the home of {self._name} is missing: there is no {home}{self._tree.hint(home)}",
            )
            return
        yield from self._in_home(self._at_home)
        for path in self._mentions:
            if path == home or path == home + "i" or is_test(path):
                continue
            yield from self._definitions(path)
            if not self._owner:
                yield from self._imports(path)
                yield from self._reads(path)

    @property
    def _at_home(self) -> list[Definition]:
        found = self._mentions.get(self._symbol.home)
        return found.definitions if found else []

    def _in_home(self, made: list[Definition]) -> Iterator[Finding]:
        here = [d for d in made if d.where == self._owner and d.kind != "copy"]
        if not here:
            yield _error(self._symbol.home, (1, 1), f"{self._symbol.symbol} is not defined in its home")
        for again in here[1:]:
            both = all(d.is_conditional for d in here)
            message = f"{self._name} is defined again in its own home; the first is on line {here[0].line}"
            yield _error(self._symbol.home, (again.line, again.column), message, is_sure=not both)
        for other in made:
            if other.kind == "copy" or (other.where and not self._owner):
                yield self._second(self._symbol.home, other)

    def _definitions(self, path: str) -> Iterator[Finding]:
        for made in self._mentions[path].definitions:
            if path.endswith(".pyi") and made.kind != "copy":
                continue
            if self._owner and made.kind != "copy" and made.print != self._print:
                continue
            yield self._second(path, made)

    def _second(self, path: str, made: Definition) -> Finding:
        home = self._symbol.home
        what = {"def": "definition", "assign": "assignment", "class": "class"}.get(made.kind, "copy")
        place = f" in {made.where}" if made.where else ""
        if made.kind == "copy":
            message = f"{made.name}{place} is a copy of {self._name} under another name; its home is {home}"
        else:
            message = f"second {what} of {self._name}{place}; its home is {home}"
        is_sure = made.kind == "copy" or not made.where or self._is_distinctive or made.print == self._print
        fix = self._fixer.replace_copy(path, made)
        return _error(
            path, (made.line, made.column), message, is_sure=is_sure, fix=fix, trail=self._home_step()
        )

    @property
    def _is_distinctive(self) -> bool:
        """``_safe_state_for_logging`` inside a class is no coincidence; ``format`` is."""
        return self._name.strip("_").count("_") >= 2

    def _home_step(self) -> tuple[Step, ...]:
        line = next((d.line for d in self._at_home if d.where == self._owner), 1)
        return (Step(self._symbol.home, line, f"the home of {self._name}"),)

    def _imports(self, path: str) -> Iterator[Finding]:
        for used in self._mentions[path].imports:
            origin = self._tree.modules.find(used.module, path)
            is_passed_on = path in self._symbol.reexporters and origin is None
            if (
                used.kind == "star"
                or is_passed_on
                or origin in (self._symbol.home, *self._symbol.reexporters)
            ):
                continue
            # ``import name`` of a package that is called like the symbol says nothing about the symbol.
            if self._tree.modules.find(f"{used.module}.{self._name}", path) is not None:
                continue
            where = origin or used.module
            message = f"{self._name} is imported from {where}, not from its home {self._symbol.home}"
            fix = self._fixer.replace_import(path, used)
            yield _error(path, (used.line, used.column), message, is_sure=origin is not None, fix=fix)

    def _reads(self, path: str) -> Iterator[Finding]:
        told: set[tuple[str, str]] = set()
        for use in self._mentions[path].reads:
            message = self._complaint(path, use)
            if not message or (use.how, use.detail) in told:
                continue
            told.add((use.how, use.detail))
            is_missing = use.how in ("unbound", "star", "types")
            fix = self._fixer.add_import(path) if is_missing else None
            # Where a file that hides the name has it from nowhere, a common name may just be its own.
            is_known = self._is_distinctive or bool(self._mentions[path].imports)
            is_sure = is_missing or use.how == "through" or is_known
            yield _error(path, (use.line, use.column), message, is_sure=is_sure, fix=fix)

    def _complaint(self, path: str, use: Read) -> str:
        name, home = self._name, self._symbol.home
        if use.how == "through":
            origin = self._tree.modules.find(use.detail, path)
            is_other = origin is not None and origin not in (home, *self._symbol.reexporters)
            return f"{name} is used through {origin}, not from its home {home}" if is_other else ""
        if use.how == "star":
            return (
                f"{name} comes through 'from {use.detail} import *'; import it by name from its home {home}"
            )
        return {
            "unbound": f"{name} is used but not imported; its home is {home}",
            "types": f"{name} is imported for type checkers only, but called at run time; its home is {home}",
            "param": f"a parameter hides {name}; its home is {home}",
            "local": f"a local variable hides {name}; its home is {home}",
        }[use.how]


RULE = Rule(
    name=NAME,
    summary="A configured helper is defined once, in its home, and imported from there.",
    why="""\
Copies of one helper drift apart: one learns about enums, the others do not, and the call sites that use the
others fail. Configure a symbol and its home; every other definition, every copy under another name and every use
that does not come from the home is a finding. Lazy imports inside functions are fine; so are type stubs and tests.

    single-source:
      - {symbol: _safe_state_for_logging, home: app/core/logging.py, reexporters: [app/core/__init__.py]}
""",
    brief=brief,
    wants=wants,
    collect=collect,
    read=read,
    judge=judge,
    is_quick=True,
)
