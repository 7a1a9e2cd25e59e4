"""json-safe-logs: nothing that ``json.dumps`` refuses reaches a log line.

Theory of operation. Lines that may be a sink are found in the bytes; only functions around them are walked, each
value is reduced to a symbol there, and what is known harmless is dropped at once. What remains is decided when all
files are known: an enum class may be defined, mixed with ``str`` or re-exported anywhere.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from checks.finding import Confidence, Finding, Severity, Step
from checks.rules.json_safe_logs import sinks
from checks.rules.json_safe_logs.refusals import Refusal, refusal
from checks.rules.protocol import Brief, Project, Rule, is_test
from checks.settings import Settings
from checks.tree.definitions import Definitions, Wanted, define
from checks.tree.files import lines_of
from checks.tree.flow import Flow
from checks.tree.locals import Locals, way
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Parsed
from checks.tree.resolve import Resolver, Thing
from checks.tree.symbols import DOUBT, Symbol, symbol_of, walk
from checks.tree.tree import Tree

NAME = "json-safe-logs"
_OUTSIDE = frozenset({"const", "outside", "outside instance", "outside attribute", "outside result"})
_HARMLESS = frozenset(
    f"builtins.{n}" for n in ("str", "repr", "int", "float", "bool", "len", "format", "hash", "id", "round")
)


class Reach(NamedTuple):
    """A value that reaches a sink.

    Args:
        steps: lines and words, first first.
        logger: what the logger is, where only its name says that it is one.
    """

    line: int
    column: int
    sink: str
    field: str
    text: str
    symbol: Symbol
    steps: list[tuple[int, str]]
    logger: Symbol | None


#: a reach without text and steps, and what they are made of: most are dropped before anybody asks
Found = tuple[Reach, ast.expr, Locals]


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    asked = settings.json_safe_logs
    return {name: sorted(words) for name, words in asdict(asked).items()} if asked is not None else None


def wants(path: str, data: bytes, asked: Brief) -> bool:
    if path.endswith(".pyi") or is_test(path):
        return False
    return bool(sinks.hints(data, _makers(asked), is_first_enough=True))


def _makers(asked: Brief) -> list[str]:
    return [name.rpartition(".")[2] for name in asked["loggers"]]


def collect(parsed: Parsed, asked: Brief) -> list[Reach]:
    lines = lines_of(parsed.data, sinks.hints(parsed.data, _makers(asked)))
    found: list[Found] = []
    factories = frozenset(asked["loggers"])
    trusted = frozenset(asked["trusted"])

    def visit(call: ast.Call, flow: Flow, names: Locals) -> None:
        for sink in sinks.sinks(call, flow, names, factories):
            if sink.kind not in trusted:
                found.extend(_reaches(sink, flow, names))

    safe, attributes = frozenset(asked["safe"]), frozenset(asked["attributes"])
    Flow(parsed.path, parsed.tree, lines, visit, safe=safe, attributes=attributes)
    return [
        reach._replace(text=_short(value), steps=way(value, names))
        for reach, value, names in _undecided(parsed, found)
    ]


def read(row: Any) -> list[Reach]:
    return [
        Reach(line, column, sink, field, text, symbol_of(symbol) or DOUBT, steps, symbol_of(logger))
        for line, column, sink, field, text, symbol, steps, logger in row
    ]


def _undecided(parsed: Parsed, found: list[Found]) -> list[Found]:
    """Without what this file alone shows to be harmless: ``self.limit`` where the limit is an ``int``."""
    own = f"{parsed.path}:"
    asked = {name for reach, *_ in found for name in _own_names(reach.symbol, own)}
    if not asked:
        return found
    attributes = {
        part.name for reach, *_ in found for part in walk(reach.symbol) if part.form in ("attr", "known")
    }
    here = define(parsed, Wanted(frozenset(asked), frozenset(attributes)))
    resolver = Resolver(ModuleIndex(()), lambda path: here if path == parsed.path else None)
    return [
        each
        for each in found
        if not any(_own_names(each[0].symbol, own))
        or not _is_settled(each[0].symbol, parsed.path, here, resolver)
    ]


def _own_names(symbol: Symbol, own: str) -> Iterator[str]:
    """The names at the top of this very file that a symbol refers to."""
    return (name.removeprefix(own).partition(".")[0] for name in _named(symbol) if name.startswith(own))


def _is_settled(symbol: Symbol, path: str, here: Definitions, resolver: Resolver) -> bool:
    thing = resolver.what(symbol, path)
    if thing is None:
        owner = symbol.parts[0] if symbol.form == "attr" else None
        made = here.classes.get(owner.name.partition(":")[2]) if owner and owner.form == "of" else None
        return made is not None and symbol.name in made.fields and made.fields[symbol.name] is None
    is_known = thing.what == "const" or thing.name.partition(".")[0] in ("builtins", *sys.stdlib_module_names)
    return thing.what in _OUTSIDE and is_known and refusal(thing, resolver) is None


def refers(reaches: list[Reach]) -> Iterator[str]:
    for reach in reaches:
        yield from _named(reach.symbol)
        yield from _named(reach.logger) if reach.logger is not None else ()


def _named(symbol: Symbol) -> Iterator[str]:
    return (part.name for part in walk(symbol) if part.form in ("obj", "of"))


def _reaches(sink: sinks.Sink, flow: Flow, names: Locals) -> Iterator[Found]:
    for field, value in _leaves(sink.value, sink.field):
        symbol = flow.value(value, names)
        if symbol is not None and not _is_harmless(symbol):
            place = (value.lineno, value.col_offset + 1)
            reach = Reach(*place, sink.kind, field, "", symbol, [], sink.logger)
            yield reach, value, names.copy()


def _leaves(node: ast.expr, field: str) -> Iterator[tuple[str, ast.expr]]:
    """The values inside a literal, each with the key it stands under."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and not isinstance(key, ast.Constant):
                yield "a key", key
            name = str(key.value) if isinstance(key, ast.Constant) else field
            yield from _leaves(value, name)
    elif isinstance(node, ast.List | ast.Tuple):
        for each in node.elts:
            yield from _leaves(each, field)
    else:
        yield field, node


def _is_harmless(symbol: Symbol) -> bool:
    if symbol.form == "const":
        return True
    callee = symbol.parts[0] if symbol.form == "call" else None
    return callee is not None and callee.form == "obj" and callee.name in _HARMLESS


def _short(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."


def judge_file(project: Project, path: str, reaches: list[Reach]) -> Iterator[Finding]:
    resolver = project.now.resolver
    for reach in reaches:
        refused = refusal(resolver.what(reach.symbol, path), resolver)
        if refused is not None:
            is_own = reach.logger is not None and _is_of_the_tree(resolver, reach.logger, path)
            yield _finding(path, reach, replace(refused, is_sure=refused.is_sure and not is_own))


def _is_of_the_tree(resolver: Resolver, logger: Symbol, path: str) -> bool:
    """Whether a logger is the project's own, which may make text of everything; not a subclass of a known one."""
    thing = resolver.what(logger, path)
    if thing is None or not thing.path:
        return False
    above = resolver.ancestors(Thing("class", thing.path, thing.name))
    return not any(each.what == "outside" and each.name.startswith("logging.") for each in above)


def _finding(path: str, reach: Reach, refused: Refusal) -> Finding:
    where = f" as {reach.field!r}" if reach.field and reach.field not in ("extra", "a key") else ""
    sink = {
        "json.dumps": "json.dumps without default=",
        "extra": "the log call's extra",
        "message": "a structured log message",
    }.get(reach.sink, f"a {reach.sink} field")
    message = f"{reach.text} is {_a(refused.word)}: {sink} cannot write it{where}"
    trail = [Step(path, line, text) for line, text in reach.steps if line != reach.line]
    if refused.path:
        trail.append(Step(refused.path, refused.line, f"{refused.word} is defined here"))
    confidence = Confidence.HIGH if refused.is_sure else Confidence.MEDIUM
    return Finding(
        NAME, path, reach.line, reach.column, Severity.ERROR, confidence, message, tuple(trail[:3])
    )


def _a(word: str) -> str:
    if word == "bytes":
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


RULE = Rule(
    name=NAME,
    summary="Nothing that json.dumps refuses reaches a structured log line.",
    why="""\
``json.dumps`` refuses plain enums, datetimes, sets, bytes, exceptions, Decimals and UUIDs. Where one of them reaches
a structured log call, either the call raises in the middle of a conversation, or the handler drops the line.
Starlette's ``websocket.client_state`` is such an enum. Write ``.value``, ``.name``, ``str(...)``, ``.isoformat()``,
or call the project's safe helper. ``str`` and ``int`` enums are fine, and so are plain ``%s`` arguments.

    json-safe-logs: {safe: [helper], loggers: [app.logs.get_logger], attributes: [phase], trusted: [loguru]}

``trusted`` names sinks whose encoder takes everything (``extra``, ``structlog``, ``loguru``): loguru's own
``serialize=True`` and structlog's JSONRenderer with its default fallback write a text instead of failing.
""",
    brief=brief,
    wants=wants,
    collect=collect,
    refers=refers,
    read=read,
    judge_file=judge_file,
)
