"""json-safe-logs: nothing that an encoder of JSON refuses reaches it: not in a log line, not on a socket.

Theory of operation. Lines that may be a sink are found in the bytes; only functions around them are walked, each
value is reduced to a symbol there, and what is known harmless is dropped at once (``collect.py``). Functions that hand a
parameter on to a sink are sinks themselves, and their calls are looked for in further rounds (``helpers.py``). What
remains is decided when all files are known: an enum class may be defined, mixed with ``str`` or re-exported anywhere, and
what the sink can write depends on the encoder at its end (``encoders.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import structs
from msgspec.structs import replace

from checks.finding import Confidence, Finding, Step
from checks.rules.json_safe_logs import callers, sinks
from checks.rules.json_safe_logs.below import Below
from checks.rules.json_safe_logs.collect import collect, lines
from checks.rules.json_safe_logs.encoders import Encoder, encoders_of, ending, gathered
from checks.rules.json_safe_logs.facts import Facts, Given, Reach, gave_up, join, read, refers
from checks.rules.json_safe_logs.helpers import ROUNDS, Helpers, handed, helpers, helpers_of, sink_of
from checks.rules.json_safe_logs.noted import Noted, given_otherwise, noted
from checks.rules.json_safe_logs.refusals import Refusal, refusal
from checks.rules.json_safe_logs.wording import NAME, Where, finding
from checks.rules.protocol import Brief, Project, Rule, is_test
from checks.settings import Settings
from checks.tree.symbols import Symbol
from checks.tree.things import Thing
from checks.tree.tree import Tree

Encoders = Mapping[str, list[Encoder]]


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    asked = settings.json_safe_logs
    return (
        {name: sorted(words) for name, words in structs.asdict(asked).items()} if asked is not None else None
    )


def wants(path: str, data: bytes, asked: Brief) -> bool | list[int]:
    if path.endswith(".pyi") or is_test(path):
        return False
    near = lines(path, data, asked)
    return True if near is None else near


def further(project: Project, asked: Brief, facts: Mapping[str, Facts]) -> Brief | None:
    """The helpers whose calls are to be looked for; None when all have been."""
    encoders = _encoders(project, facts)
    found = helpers(project.now.resolver, facts, encoders)
    is_first = "sought" not in asked
    sent = {each.function for each in _noted(project, facts, encoders)} if is_first else set()
    sought = frozenset(asked.get("sought", ())) | {*asked["safe"], "__init__", "__call__"}
    new = callers.brief_of({*found, *sent}, sought)
    names = sorted({each.rpartition(":")[2].rpartition(".")[2] for each in sent})
    return {**asked, "helpers": new, "noted": names, "sought": sorted({*sought, *new})} if new else None


def _noted(project: Project, facts: Mapping[str, Facts], encoders: Encoders) -> list[Noted]:
    judges: dict[str, _Judge] = {}

    def is_lost(path: str, reach: Reach) -> bool:
        if path not in judges:
            judges[path] = _Judge(project.now, path, encoders, {})
        return any(each.confidence is Confidence.HIGH for each in judges[path].reach(reach))

    return noted(project.now, facts, is_lost)


def _encoders(project: Project, facts: Mapping[str, Facts]) -> dict[str, list[Encoder]]:
    asked = project.settings.json_safe_logs
    assert asked
    found = [(path, install) for path, each in facts.items() for install in each.installs]
    return gathered(project.now, asked, found)


def gather(project: Project, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """How this tree writes its log lines, by kind of logger, and which functions of it write what they are given."""
    encoders = _encoders(project, facts)
    sent = _noted(project, facts, encoders)
    return {
        "encoders": encoders,
        "helpers": helpers(project.now.resolver, facts, encoders),
        "otherwise": given_otherwise(project.now, facts, sent),
    }


def judge_file(project: Project, path: str, facts: Facts, common: Any) -> Iterator[Finding]:
    otherwise = {(line, column) for line, column in common["otherwise"].get(path, ())}
    judge = _Judge(
        project.now, path, encoders_of(common["encoders"]), helpers_of(common["helpers"]), otherwise
    )
    for reach in facts.reaches:
        yield from judge.reach(reach)
    for given in facts.given:
        yield from judge.given(given)


class _Judge:
    """One file: what each value is, and what becomes of it at the end."""

    def __init__(
        self,
        tree: Tree,
        path: str,
        encoders: Encoders,
        known: Helpers,
        otherwise: Collection[tuple[int, int]] = (),
    ) -> None:
        """``otherwise``: lines and columns that send a parameter which is given something else than it is annotated with."""
        self._tree, self._resolver, self._otherwise = tree, tree.resolver, otherwise
        self._path, self._encoders, self._helpers = path, encoders, known
        self._refused: dict[tuple[Symbol, bool], Refusal | None] = {}
        self._below = Below(tree, path)

    def reach(self, reach: Reach) -> Iterator[Finding]:
        sink = sink_of(self._resolver, self._path, reach)
        is_own = reach.owner is not None and sink == reach.sink and self._is_of_the_tree(reach.owner)
        if sink:
            is_sure = not is_own and (reach.line, reach.column) not in self._otherwise
            yield from self._judged(reach, Where(sink, reach.field), reach.top, is_sure=is_sure)

    def given(self, given: Given) -> Iterator[Finding]:
        """A value that a helper hands on."""
        for handing in handed(self._helpers, self._resolver, self._path, given):
            step = Step(handing.path, handing.line, "it is written here")
            where = Where(handing.sink, handing.field, step)
            found = list(self._judged(given, where, handing.top, is_sure=handing.is_sure))
            if found:
                yield found[0]
                return

    def _judged(self, value: Reach | Given, where: Where, top: str, *, is_sure: bool) -> Iterator[Finding]:
        for is_key_alone in (False, True):
            refused = self._refusal(value.symbol, is_key_alone=is_key_alone)
            if refused is None or self._takes(where.sink, refused):
                return
            answer, encoder = ending(self._encoders, where.sink, top, is_key=refused.is_key)
            if answer != "writes" and not (refused.is_object and answer == "unknown"):
                is_told = is_sure and (answer != "refuses" or not self._is_changed_below(value.symbol))
                refused = replace(refused, is_sure=refused.is_sure and is_told)
                yield finding(self._path, value, where, refused, encoder, is_lost=answer == "refuses")
                return

    def _refusal(self, symbol: Symbol, *, is_key_alone: bool) -> Refusal | None:
        """Why what a symbol is cannot be written; one that stands in many lines is asked about once."""
        asked = symbol, is_key_alone
        if asked not in self._refused:
            thing = self._resolver.what(symbol, self._path)
            self._refused[asked] = refusal(thing, self._resolver, is_key_alone=is_key_alone)
        return self._refused[asked]

    def _is_changed_below(self, symbol: Symbol) -> bool:
        def is_refused(other: Symbol) -> bool:
            found = self._refusal(other, is_key_alone=False)
            return found is not None and found.is_sure

        return is_refused(symbol) and self._below.changes(symbol, is_refused)

    def _takes(self, sink: str, refused: Refusal) -> bool:
        return not refused.is_key and refused.word in sinks.TAKING.get(sink, ())

    def _is_of_the_tree(self, owner: Symbol) -> bool:
        """Whether a logger is the project's own, which may make text of everything; not a subclass of a known one."""
        thing = self._resolver.what(owner, self._path)
        if thing is None or not thing.path:
            return False
        above = self._resolver.ancestors(Thing("class", thing.path, thing.name))
        return not any(each.what == "outside" and each.name.startswith("logging.") for each in above)


RULE = Rule(
    name=NAME,
    summary="Nothing that json.dumps refuses reaches a structured log line, a socket or a response.",
    why="""\
``json.dumps`` refuses plain enums, datetimes, sets, bytes, exceptions, Decimals and UUIDs. Where one of them reaches
it, either the call raises in the middle of a conversation, or the log handler drops the line. Starlette's
``websocket.client_state`` is such an enum. Write ``.value``, ``.name``, ``str(...)``, ``.isoformat()``, or call the
project's safe helper. ``str`` and ``int`` enums are fine, and so are plain ``%s`` arguments.

What decides is the encoder at the end, as some file of the tree sets it up: a Formatter of one's own with plain
``json.dumps`` and Google's ``json_fields`` lose the line; structlog's JSONRenderer, loguru's ``serialize=True`` and
python-json-logger write every value and refuse only keys that are no text (enums, tuples); text formatters write all.
Where nothing shows which it is, a finding does not fail the gate, until the configuration says so:

    json-safe-logs: {safe: [helper], loggers: [app.logs.get_logger], attributes: [phase], plain: [extra], sinks: [publish]}

``plain`` names sinks that end in plain ``json.dumps``, ``trusted`` those that take everything (``extra``,
``structlog``, ``loguru``), ``sinks`` functions that write what they are given. A WebSocket's ``send_json``, JSONResponse,
``json_response``, socket.io's ``emit`` and ``json=`` of HTTP clients are plain, too, and functions of the tree that hand a
parameter on to any of these are found. ``try`` with a fallback in ``except TypeError`` is fine.
A parameter is what its annotation says, unless a call in the tree gives it text: then the finding does not fail the gate.
""",
    brief=brief,
    wants=wants,
    collect=collect,
    refers=refers,
    gave_up=gave_up,
    read=read,
    join=join,
    further=further,
    rounds=ROUNDS,
    gather=gather,
    judge_file=judge_file,
    takes_generated=False,
)
