"""From one file: values that reach a sink, and values that are given to functions which hand them on."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator

from checks.rules.json_safe_logs import callers, sinks
from checks.rules.json_safe_logs.facts import Facts, Given, Reach, named
from checks.rules.json_safe_logs.hints import hints
from checks.rules.json_safe_logs.installs import installs, may_install
from checks.rules.json_safe_logs.refusals import refusal
from checks.rules.json_safe_logs.ways import Ways
from checks.rules.protocol import Brief
from checks.tree.anew import made_anew
from checks.tree.containers import joined
from checks.tree.defined import Definitions
from checks.tree.definitions import Wanted, define
from checks.tree.files import lines_of
from checks.tree.flow import Flow, rebound
from checks.tree.locals import Locals, way
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Parsed
from checks.tree.resolve import Resolver
from checks.tree.symbols import Symbol, as_key, dotted, is_plain, walk

_OUTSIDE = frozenset({"const", "outside", "outside instance", "outside attribute", "outside result"})

_SEQUENCES = (ast.List, ast.Tuple)
#: field, the field around all, the value as a symbol and as it is written
Leaf = tuple[str, str, Symbol | None, ast.expr]
#: what a reach is made of, with its sink and what names are there: most are dropped before anybody asks for one
Found = tuple[sinks.Sink, str, str, Symbol, ast.expr, Locals]


def collect(parsed: Parsed, asked: Brief) -> Facts | None:
    """All that one file says; only what the helpers of the brief are given, where it names some."""
    if "helpers" in asked:
        facts = Facts([], [], _given(parsed, asked))
    else:
        set_up = (
            installs(parsed) if parsed.lines is None else []
        )  # a part is asked for where nothing is set up
        facts = Facts(_reached(parsed, asked), set_up, [])
    return facts if any(facts) else None


def lines(path: str, data: bytes, asked: Brief) -> list[int] | None:
    """Where the calls stand that are looked at; None where all of the file is."""
    return _lines(path, data, asked) if "helpers" in asked or not may_install(data) else None


def _lines(path: str, data: bytes, asked: Brief) -> list[int]:
    if "helpers" in asked:
        return lines_of(data, callers.calls_of(path, data, asked["helpers"]))
    return lines_of(data, hints(data, asked))


def _flow(parsed: Parsed, asked: Brief, visit: sinks.Visit) -> None:
    safe, attributes = frozenset(asked["safe"]), frozenset(asked["attributes"])
    near = parsed.lines if parsed.lines is not None else _lines(parsed.path, parsed.data, asked)
    binds_inside = b":=" in parsed.data
    Flow(
        parsed.path,
        parsed.tree,
        near,
        visit,
        safe=safe,
        attributes=attributes,
        binds_inside=binds_inside,
        shared=rebound(parsed.data),
    )


def _reached(parsed: Parsed, asked: Brief) -> list[Reach]:
    found: list[Found] = []
    known = sinks.Known(frozenset(asked["loggers"]), frozenset(asked["sinks"]))
    trusted, ways = frozenset(asked["trusted"]), Ways(parsed)

    def visit(call: ast.Call, flow: Flow, names: Locals) -> None:
        for sink in sinks.sinks(call, flow, names, known):
            if sink.kind not in trusted and not (flow.is_guarded and sink.kind in sinks.RAISING):
                found.extend(_reaches(sink, call, flow, names, ways))

    _flow(parsed, asked, visit)
    settled = _settled(parsed, (symbol for _, _, _, symbol, _, _ in found))
    return [_reach(*each) for each in found if each[3] not in settled]


def _reach(sink: sinks.Sink, field: str, top: str, symbol: Symbol, value: ast.expr, names: Locals) -> Reach:
    place = (value.lineno, value.col_offset + 1)
    return Reach(*place, sink.kind, field, top, _short(value), symbol, way(value, names), sink.owner)


def _given(parsed: Parsed, asked: Brief) -> list[Given]:
    helpers, ways = frozenset(asked["helpers"]), Ways(parsed)
    noted = frozenset(asked["noted"])  # what is harmless tells something of these, too
    found: list[Given] = []

    def visit(call: ast.Call, flow: Flow, names: Locals) -> None:
        word = call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)
        if word not in helpers or flow.is_guarded:
            return
        callee = flow.value(call.func, names)
        if callee is None:
            return
        for index, keyword, value in _arguments(call):
            symbol = flow.value(value, names)
            if symbol is not None and (word in noted or not is_plain(symbol)):
                place = (value.lineno, value.col_offset + 1)
                symbol = ways.as_handed(symbol, value, call, flow.function)
                found.append(Given(*place, callee, index, keyword, _short(value), symbol, way(value, names)))

    _flow(parsed, asked, visit)
    settled = _settled(parsed, (given.symbol for given in found))
    return [given for given in found if given.symbol not in settled]


def _arguments(call: ast.Call) -> Iterator[tuple[int, str, ast.expr]]:
    for index, value in enumerate(call.args):
        if isinstance(value, ast.Starred):
            break
        yield index, "", value
    yield from ((-1, keyword.arg or "**", keyword.value) for keyword in call.keywords)


def _settled(parsed: Parsed, found: Iterable[Symbol]) -> set[Symbol]:
    """What this file alone shows to be harmless: ``self.limit`` where the limit is an ``int``."""
    own = f"{parsed.path}:"
    every = {s: frozenset(_own_names(s, own)) for s in frozenset(found)}  # each is asked about once
    symbols = {symbol: names for symbol, names in every.items() if names}
    if not symbols:
        return set()
    asked = frozenset[str]().union(*symbols.values())
    attributes = {part.name for symbol in symbols for part in walk(symbol) if part.form in ("attr", "known")}
    here = define(parsed, Wanted(asked, frozenset(attributes)))
    if parsed.lines is not None:
        here = _without_results(here)
    resolver = Resolver(ModuleIndex(()), lambda path, _name: here if path == parsed.path else None)
    return {s for s in symbols if _is_settled(s, parsed.path, here, resolver)}


def _without_results(found: Definitions) -> Definitions:
    """Of a part of a file: a function that is cut short does not show what it gives."""
    classes = {
        name: made._replace(returns=dict.fromkeys(made.returns)) for name, made in found.classes.items()
    }
    return found._replace(classes=classes, functions=dict.fromkeys(found.functions))


def _own_names(symbol: Symbol, own: str) -> Iterator[str]:
    """The names at the top of this very file that a symbol refers to."""
    return (name.removeprefix(own).partition(".")[0] for name in named(symbol) if name.startswith(own))


def _is_settled(symbol: Symbol, path: str, here: Definitions, resolver: Resolver) -> bool:
    thing = resolver.what(symbol, path)
    if thing is None:
        owner = symbol.parts[0] if symbol.form == "attr" else None
        made = here.classes.get(owner.name.partition(":")[2]) if owner and owner.form == "of" else None
        return made is not None and symbol.name in made.fields and made.fields[symbol.name] is None
    is_known = thing.what == "const" or thing.name.partition(".")[0] in ("builtins", *sys.stdlib_module_names)
    return thing.what in _OUTSIDE and is_known and refusal(thing, resolver) is None


def _reaches(sink: sinks.Sink, call: ast.Call, flow: Flow, names: Locals, ways: Ways) -> Iterator[Found]:
    then: Locals = {}
    for field, top, symbol, value in _parts(sink, flow, names):
        if symbol is not None and not is_plain(symbol):
            then = then or names.copy()
            is_asked = sink.kind in sinks.RAISING
            given = ways.as_handed(symbol, value, call, flow.function) if is_asked else symbol
            yield sink, field, top, given, value, then


def _parts(sink: sinks.Sink, flow: Flow, names: Locals) -> Iterator[Leaf]:
    """What a sink is given, one by one."""
    value = sink.value
    local = names.get(value.id) if isinstance(value, ast.Name) else None
    if local is not None and local.fields is not None:
        is_whole = sink.kind in ("extra", "message")
        fields = local.fields.items()
        yield from ((key, key if is_whole else sink.field, symbol, value) for key, symbol in fields)
        return
    anew = made_anew(value) if isinstance(value, ast.Dict) else ()
    for field, top, is_key, each in _leaves(
        value, sink.field, "" if isinstance(value, ast.Dict) else sink.field
    ):
        symbol = as_key(flow.key(each, names)) if is_key else flow.value(each, names)
        if each in anew:
            symbol = joined(symbol, None)
        yield field, top, symbol, each


def _leaves(node: ast.expr, field: str, top: str) -> Iterator[tuple[str, str, bool, ast.expr]]:
    """The values inside a literal, each with the key it stands under; and keys that are no constants."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and not _is_text(key):
                yield "a key", top, True, key
            name = str(key.value) if isinstance(key, ast.Constant) else field
            yield from _leaves(value, name, top or name)
    elif isinstance(node, _SEQUENCES) and not any(isinstance(e, ast.Starred) for e in node.elts):
        for each in node.elts:
            yield from _leaves(each, field, top)
    else:
        yield field, top, False, node


def _is_text(key: ast.expr) -> bool:
    return isinstance(key, ast.Constant) and not isinstance(key.value, bytes)


def _short(node: ast.expr) -> str:
    text = dotted(node) or " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."
