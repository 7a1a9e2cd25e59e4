"""json-safe-logs: nothing that ``json.dumps`` refuses reaches a log line.

Theory of operation. Lines that may be a sink are found in the bytes; only functions around them are walked, each
value is reduced to a symbol there, and what is known harmless is dropped at once. What remains is decided when all
files are known: an enum class may be defined, mixed with ``str`` or re-exported anywhere.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from checks.finding import Confidence, Finding, Severity, Step
from checks.rules.json_safe_logs import sinks
from checks.rules.json_safe_logs.encoders import Encoder, encoders_of, ending, gathered
from checks.rules.json_safe_logs.installs import Install, install_of, installs, may_install
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
from checks.tree.symbols import DOUBT, Symbol, as_key, is_plain, symbol_of, walk
from checks.tree.tree import Tree

NAME = "json-safe-logs"
_OUTSIDE = frozenset({"const", "outside", "outside instance", "outside attribute", "outside result"})


class Reach(NamedTuple):
    """A value that reaches a sink.

    Args:
        field: the key next to it.
        top: the field of the log line that it is in; empty where that is unknown.
        steps: lines and words, first first.
        logger: what the logger is, where only its name says that it is one.
    """

    line: int
    column: int
    sink: str
    field: str
    top: str
    text: str
    symbol: Symbol
    steps: list[tuple[int, str]]
    logger: Symbol | None


class Facts(NamedTuple):
    """What one file says: values that reach a sink, and the encoders that it sets up."""

    reaches: list[Reach]
    installs: list[Install]


#: a reach without text and steps, and what they are made of: most are dropped before anybody asks
Found = tuple[Reach, ast.expr, Locals]


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    asked = settings.json_safe_logs
    return {name: sorted(words) for name, words in asdict(asked).items()} if asked is not None else None


def wants(path: str, data: bytes, asked: Brief) -> bool:
    if path.endswith(".pyi") or is_test(path):
        return False
    return may_install(data) or bool(sinks.hints(data, _makers(asked), is_first_enough=True))


def _makers(asked: Brief) -> list[str]:
    return [name.rpartition(".")[2] for name in asked["loggers"]]


def collect(parsed: Parsed, asked: Brief) -> Facts | None:
    facts = Facts(_reached(parsed, asked), installs(parsed))
    return facts if any(facts) else None


def _reached(parsed: Parsed, asked: Brief) -> list[Reach]:
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


def read(row: Any) -> Facts:
    reaches, found = row
    made = [
        Reach(line, column, sink, field, top, text, symbol_of(symbol) or DOUBT, steps, symbol_of(logger))
        for line, column, sink, field, top, text, symbol, steps, logger in reaches
    ]
    return Facts(made, [install_of(each) for each in found])


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


def refers(facts: Facts) -> Iterator[str]:
    for reach in facts.reaches:
        yield from _named(reach.symbol)
        yield from _named(reach.logger) if reach.logger is not None else ()


def gave_up(facts: Facts) -> Iterator[tuple[int, str]]:
    """Values of which not all could be followed."""
    for reach in facts.reaches:
        if any(part.form == "lost" for part in walk(reach.symbol)):
            yield reach.line, f"{reach.text} has more parts than are followed"


def _named(symbol: Symbol) -> Iterator[str]:
    return (part.name for part in walk(symbol) if part.form in ("obj", "of"))


def _reaches(sink: sinks.Sink, flow: Flow, names: Locals) -> Iterator[Found]:
    for field, top, symbol, value in _parts(sink, flow, names):
        if symbol is not None and not is_plain(symbol):
            reach = Reach(
                value.lineno, value.col_offset + 1, sink.kind, field, top, "", symbol, [], sink.logger
            )
            yield reach, value, names.copy()


Part = tuple[str, str, Symbol | None, ast.expr]


def _parts(sink: sinks.Sink, flow: Flow, names: Locals) -> Iterator[Part]:
    """What a sink is given, one by one: field, the field around all, the value as a symbol and as it is written."""
    value = sink.value
    local = names.get(value.id) if isinstance(value, ast.Name) else None
    if local is not None and local.fields is not None:
        yield from ((key, key, symbol, value) for key, symbol in local.fields.items())
        return
    for field, top, is_key, each in _leaves(
        value, sink.field, "" if isinstance(value, ast.Dict) else sink.field
    ):
        yield field, top, as_key(flow.key(each, names)) if is_key else flow.value(each, names), each


def _leaves(node: ast.expr, field: str, top: str) -> Iterator[tuple[str, str, bool, ast.expr]]:
    """The values inside a literal, each with the key it stands under; and keys that are no constants."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and not _is_text(key):
                yield "a key", top, True, key
            name = str(key.value) if isinstance(key, ast.Constant) else field
            yield from _leaves(value, name, top or name)
    elif isinstance(node, ast.List | ast.Tuple):
        for each in node.elts:
            yield from _leaves(each, field, top)
    else:
        yield field, top, False, node


def _is_text(key: ast.expr) -> bool:
    return isinstance(key, ast.Constant) and not isinstance(key.value, bytes)


def _short(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."


def gather(project: Project, facts: Mapping[str, Facts]) -> dict[str, list[Encoder]]:
    """How this tree writes its log lines, by kind of logger."""
    asked = project.settings.json_safe_logs
    assert asked
    found = [(path, install) for path, each in facts.items() for install in each.installs]
    return gathered(project.now, asked, found)


def judge_file(project: Project, path: str, facts: Facts, common: Any) -> Iterator[Finding]:
    encoders = encoders_of(common)
    for reach in facts.reaches:
        found = _judged(project.now.resolver, path, reach, encoders)
        if found is not None:
            yield found


def _judged(
    resolver: Resolver, path: str, reach: Reach, encoders: Mapping[str, list[Encoder]]
) -> Finding | None:
    """One value that reaches a sink: what it is, and what becomes of it there."""
    thing = resolver.what(reach.symbol, path)
    for is_key_alone in (False, True):
        refused = refusal(thing, resolver, is_key_alone=is_key_alone)
        if refused is None:
            return None
        answer, encoder = ending(encoders, reach.sink, reach.top, is_key=refused.is_key)
        if answer != "writes":
            is_own = reach.logger is not None and _is_of_the_tree(resolver, reach.logger, path)
            is_sure = refused.is_sure and not is_own and answer == "refuses"
            return _finding(path, reach, replace(refused, is_sure=is_sure), encoder)
    return None


def _is_of_the_tree(resolver: Resolver, logger: Symbol, path: str) -> bool:
    """Whether a logger is the project's own, which may make text of everything; not a subclass of a known one."""
    thing = resolver.what(logger, path)
    if thing is None or not thing.path:
        return False
    above = resolver.ancestors(Thing("class", thing.path, thing.name))
    return not any(each.what == "outside" and each.name.startswith("logging.") for each in above)


#: what the settings call the sinks that end in an encoder of the tree's choice
_FAMILY_WORDS = {"extra": "extra", "message": "extra", "structlog": "structlog", "loguru": "loguru"}
_SINKS = {
    "json.dumps": "json.dumps without default=",
    "json.dumps with default": "json.dumps",
    "extra": "the log call's extra",
    "message": "a structured log message",
    "log_struct": "log_struct",
}


def _finding(path: str, reach: Reach, refused: Refusal, encoder: Encoder | None) -> Finding:
    where = f" as {reach.field!r}" if reach.field and reach.field not in ("extra", "a key") else ""
    sink = _SINKS.get(reach.sink, f"a {reach.sink} field")
    what = f"{_a(refused.word)}{', as a key' if refused.is_key else ''}"
    message = f"{reach.text} is {what}: {sink} cannot write it{where}{_doubt(reach, encoder)}"
    trail = [Step(path, line, text) for line, text in reach.steps if line != reach.line]
    if refused.path:
        trail.append(Step(refused.path, refused.line, f"{refused.word} is defined here"))
    del trail[3:]
    if encoder is not None and encoder.path:
        trail.append(Step(encoder.path, encoder.line, f"written by {encoder.name}"))
    confidence = Confidence.HIGH if refused.is_sure else Confidence.MEDIUM
    return Finding(NAME, path, reach.line, reach.column, Severity.ERROR, confidence, message, tuple(trail))


def _doubt(reach: Reach, encoder: Encoder | None) -> str:
    """Where nothing in the tree says how a sink writes: what would."""
    if reach.sink not in _FAMILY_WORDS or (encoder is not None and encoder.kind != "unknown"):
        return ""
    word = _FAMILY_WORDS[reach.sink]
    what = (
        "no file here sets up its encoder"
        if encoder is None
        else f"what {encoder.name} does with it is not known"
    )
    return f", if it ends in plain json.dumps: {what}; say plain: [{word}] or trusted: [{word}]"


def _a(word: str) -> str:
    if word == "bytes":
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


RULE = Rule(
    name=NAME,
    summary="Nothing that json.dumps refuses reaches a structured log line.",
    why="""\
``json.dumps`` refuses plain enums, datetimes, sets, bytes, exceptions, Decimals and UUIDs. Where one of them reaches
it, either the call raises in the middle of a conversation, or the log handler drops the line. Starlette's
``websocket.client_state`` is such an enum. Write ``.value``, ``.name``, ``str(...)``, ``.isoformat()``, or call the
project's safe helper. ``str`` and ``int`` enums are fine, and so are plain ``%s`` arguments.

What decides is the encoder at the end, as some file of the tree sets it up: a Formatter of one's own with plain
``json.dumps`` and Google's ``json_fields`` lose the line; structlog's JSONRenderer, loguru's ``serialize=True`` and
python-json-logger write every value and refuse only keys that are no text (enums, tuples); text formatters write all.
Where nothing shows which it is, a finding does not fail the gate, until the configuration says so:

    json-safe-logs: {safe: [helper], loggers: [app.logs.get_logger], attributes: [phase], plain: [extra]}

``plain`` names sinks that end in plain ``json.dumps``, ``trusted`` those that take everything (``extra``,
``structlog``, ``loguru``).
""",
    brief=brief,
    wants=wants,
    collect=collect,
    refers=refers,
    gave_up=gave_up,
    read=read,
    gather=gather,
    judge_file=judge_file,
)
