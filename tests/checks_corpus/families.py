"""Cases made from a seed: the same few questions under other names, in other layouts, at other places of a file.

Each family puts a tree together from independent choices and knows the answer from the choices alone. What they add
to the cases written by hand is that no rule can live from a habit of their author: names, folders, line ends, the
distance between two lines, what stands around them.
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.checks_corpus import settings
from tests.checks_corpus.corpus import Case, marked

PER_FAMILY = 40
_WORDS = "agent cart frame ledger node offer parcel quota room session shard ticket vault wallet".split()  # noqa: SIM905
_VERBS = "describe encode explain label mask quote render summarise".split()  # noqa: SIM905
_ROOTS = ("", "src/", "services/api/")
_HEADS = (
    (),
    ("def work(*given, **more):",),
    ("class Worker:", "def work(self, *given, **more):"),
    ("async def work(flag):", "if flag:"),
    ("def work(flag):", "for _ in range(3):", "with flag:"),
    ("class Outer:", "class Inner:", "@staticmethod\ndef work(flag):"),
)


def cases(rule: str, seed: int = 20) -> Iterator[Case]:
    """The generated cases of one rule; none for rules that have no family."""
    make = _FAMILIES.get(rule)
    for number in range(PER_FAMILY if make else 0):
        rng = random.Random(f"{rule} {seed} {number}")
        case = _FAMILIES[rule](rng, f"made from seed {seed}, {number}")
        yield replace(case, files={path: _ended(rng, text) for path, text in case.files.items()})


def _filler(rng: random.Random) -> str:
    """Harmless code between two things that matter; empty more often than not."""
    word = rng.choice(_WORDS)
    choices = (
        "",
        f"# about the {word}\n",
        f"{word.upper()}_LIMIT = {rng.randint(1, 99)}\n",
        f'def _{word}(value):\n    """The {word}."""\n    return [value] * {rng.randint(2, 9)}\n\n\n',
    )
    return "".join(rng.choice(choices) for _ in range(rng.randint(0, 3)))


def _placed(rng: random.Random, code: str) -> str:
    """The statements at the top of the module, in a function, in a method, below a condition."""
    for head in reversed(rng.choice(_HEADS)):
        code = f"{head}\n{textwrap.indent(code, '    ')}"
    return code


def _ended(rng: random.Random, text: str) -> str:
    """With the first bytes and the line ends of some other editor."""
    text = rng.choice(("", "", "\ufeff")) + text
    return text.replace("\n", "\r\n") if rng.random() < 0.2 else text


# -- single-source: one helper, four files that meet it in different ways ------------------------------------


def _single_source(rng: random.Random, title: str) -> Case:
    name = f"{rng.choice(('', '_'))}{rng.choice(_VERBS)}_{rng.choice(_WORDS)}_for_{rng.choice(_WORDS)}"
    package = f"{rng.choice(_ROOTS)}{rng.choice(_WORDS)}_core"
    module = package.rpartition("/")[2]
    home = f"{package}/{rng.choice(_WORDS)}_text.py"
    dotted = f"{module}.{home.rpartition('/')[2].removesuffix('.py')}"
    attribute, constant = rng.sample(_WORDS, 2)
    body = f'    if hasattr(given, "{attribute}"):\n        return given.{attribute}.lower()\n    return "{constant}"\n'
    files = {
        f"{package}/__init__.py": f"from {dotted} import {name}\n",
        home: f'{_filler(rng)}def {name}(given):\n    """Text."""\n{body}',
    }
    menu = _single_source_sites(name, dotted, module, body)
    for number, site in enumerate(rng.sample(menu, 4)):
        head, code = site
        files[f"{package}/part{number}/__init__.py"] = ""
        text = f"{head}{_filler(rng)}{_placed(rng, code)}{_filler(rng)}"
        files[f"{package}/part{number}/{rng.choice(_WORDS)}.py"] = text
    return marked("single-source", title, files, settings.single_source({"symbol": [[name, home]]}))


def _single_source_sites(name: str, dotted: str, module: str, body: str) -> list[tuple[str, str]]:
    """What a file imports, and statements that can stand anywhere."""
    renamed = body.replace("given", "it")
    changed = body.replace("lower", "upper")
    return [
        (f"from {dotted} import {name}\n", f"print({name}(1))\n"),
        ("", f"from {dotted} import {name}\nprint({name}(1))\n"),
        (f"from {dotted} import {name} as tell\n", "print(tell(1))\n"),
        (f"import {dotted}\n", f"print({dotted}.{name}(1))\n"),
        (f'"""Has {name} in it."""\n', f'print("{name}(1)")  # {name}(1)\n'),
        ("", f"print(given.{name}(1), dict({name}=1))\n"),
        ("", f"def other_{name}(given):\n{changed}"),
        (f"from {module} import {name}  #! is imported from\n", f"print({name}(1))\n"),
        ("", f"from {module} import {name}  #! is imported from\nprint({name}(1))\n"),
        ("", f"print({name}(1))  #! is used but not imported\n"),
        (f"from {dotted} import *\n", f"print({name}(1))  #! comes through\n"),
        ("", f"def {name}(given):  #! second definition\n    return given\n"),
        ("", f"async def {name}(given, more=None):  #! second definition\n    return given\n"),
        ("", f"{name} = lambda given: given  #! second assignment\n"),
        ("", f"def tell(it):  #! is a copy of\n{renamed}"),
        ("", f"def work2({name}):\n    return {name}(1)  #! a parameter hides\n"),
        ("", f"def work2(rows):\n    return [{name}(1) for {name} in rows]  #! a local variable hides\n"),
    ]


# -- event-map: some keys, of which some are missing, wrong, doubled or nearly there -------------------------


def _event_map(rng: random.Random, title: str) -> Case:
    name = f"{rng.choice(_WORDS)}_{rng.choice(('kinds', 'routes', 'types'))}".upper()
    enum = f"{rng.choice(_WORDS).title()}Kind"
    keys = [f"{rng.choice(_VERBS)}_{word}" for word in rng.sample(_WORDS, 6)]
    members = [word.upper() for word in rng.sample(_WORDS, 3)]
    package = f"{rng.choice(_ROOTS)}app"
    wanted = {key: rng.choice(members) for key in keys}
    harm = dict(zip(keys, rng.sample(("missing", "wrong", "unknown", "", "", ""), 6), strict=True))
    entries = [row for key in keys for row in _entry(rng, key, wanted[key], members, enum, harm[key])]
    is_whole = "missing" not in harm.values()
    mark = "" if is_whole else "  #! is not mapped"
    enum_text = f"from enum import Enum\n\n\nclass {enum}(str, Enum):\n" + "".join(
        f'    {member} = "{member.lower()}"\n' for member in members
    )
    style = rng.choice(_STYLES)
    more, text = style(name, entries, mark)
    files = {
        f"{package}/__init__.py": "",
        f"{package}/kinds.py": enum_text,
        f"{package}/more.py": f"from app.kinds import {enum}\n\n{more}",
        f"{package}/events.py": f"from app.kinds import {enum}\n{_filler(rng)}{text}{_filler(rng)}",
    }
    row = [name, f"{package}/events.py", *(f"{key}={member}" for key, member in wanted.items())]
    return marked("event-map", title, files, settings.event_map({"map": [row]}))


def _entry(
    rng: random.Random, key: str, member: str, members: list[str], enum: str, harm: str
) -> list[tuple[str, str, str]]:
    """Key, value and mark; nothing for one that is missing."""
    if harm == "missing":
        return []
    if harm == "wrong":
        other = rng.choice([m for m in members if m != member])
        return [(key, f"{enum}.{other}", "  #! not to")]
    if harm == "unknown":
        return [(key, f"{enum}.{member}S", f"  #! did you mean {member}")]
    value = rng.choice((f"{enum}.{member}", f'{enum}["{member}"]', f'{enum}("{member.lower()}")'))
    return [(key, value, "")]


Entry = tuple[str, str, str]


def _rows(entries: list[Entry]) -> str:
    return "".join(f'    "{key}": {value},{mark}\n' for key, value, mark in entries)


def _literal(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    return "", f"{name} = {{{mark}\n{_rows(entries)}}}\n"


def _annotated(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    return "", f"from typing import Final\n{name}: Final[dict] = {{{mark}\n{_rows(entries)}}}\n"


def _called(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    return "", f"{name} = dict({mark}\n" + "".join(f"    {k}={v},{m}\n" for k, v, m in entries) + ")\n"


def _item_by_item(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    return "", f"{name} = {{}}{mark}\n" + "".join(f'{name}["{k}"] = {v}{m}\n' for k, v, m in entries)


def _updated(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    half = len(entries) // 2
    return "", f"{name} = {{{mark}\n{_rows(entries[:half])}}}\n{name}.update({{\n{_rows(entries[half:])}}})\n"


def _spread(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    half = len(entries) // 2
    more = f"MORE = {{\n{_rows(entries[:half])}}}\n"
    return more, f"from app.more import MORE\n{name} = {{{mark}\n    **MORE,\n{_rows(entries[half:])}}}\n"


def _from_afar(name: str, entries: list[Entry], mark: str) -> tuple[str, str]:
    half = len(entries) // 2
    more = f"from app.events import {name}\n{name} |= {{\n{_rows(entries[:half])}}}\n"
    return more, f"{name} = {{{mark}\n{_rows(entries[half:])}}}\n"


_STYLES = (_literal, _annotated, _called, _item_by_item, _updated, _spread, _from_afar)


# -- json-safe-logs: a value, the way it takes, the sink it reaches ------------------------------------------

#: imports, parameter annotation, an expression that makes one, the word of the complaint (empty for what json takes)
_VALUES = (
    ("from app.kinds import Plain\n", "Plain", "Plain.ONE", "enum Plain"),
    ("from app.kinds import Plain as Renamed\n", "Renamed", "Renamed(1)", "enum Plain"),
    ("from datetime import datetime\n", "datetime", "datetime.now()", "datetime"),
    ("import datetime as dt\n", "dt.date", "dt.date.today()", "date"),
    ("from decimal import Decimal\n", "Decimal", 'Decimal("1")', "Decimal"),
    ("import uuid\n", "uuid.UUID", "uuid.uuid4()", "UUID"),
    ("", "set[str]", '{"a"}', "set"),
    ("", "bytes", 'b"a"', "bytes"),
    ("", "ValueError", 'ValueError("a")', "exception"),
    ("from app.kinds import Word\n", "Word", "Word.ONE", ""),
    ("from app.kinds import Level\n", "Level", "Level.ONE", ""),
    ("", "str", '"a"', ""),
    ("", "int | None", "len([1])", ""),
    ("from datetime import datetime\n", "str", "datetime.now().isoformat()", ""),
)
#: statements before, and what is handed to the sink; ``{v}`` is the value
_WAYS = (
    ("", "{v}"),
    ("kept = {v}\n", "kept"),
    ("kept = {v}\nagain = kept\n", "again"),
    ("rows = [{v}]\n", "rows"),
    ("rows = []\nrows.append({v})\n", "rows"),
    ('record = {{"n": 1}}\nrecord["v"] = {v}\n', "record"),
    ('record = {{"n": 1, "v": {v}}}\n', '{{**record, "m": 2}}'),
    ("record = dict(v={v})\n", 'record["v"]'),
    ("", '[{{"deep": [1, {v}]}}]'),
)
#: the same, but json takes what comes out
_SAFE_WAYS = (
    ("kept = str({v})\n", "kept"),
    ("", '"%s" % [{v}]'),
    ("", "repr({v})"),
    ("kept = {v}\nkept = 1\n", "kept"),
    ("rows = [str(each) for each in [{v}]]\n", "rows"),
    ('record = {{"v": {v}}}\nrecord["v"] = 1\n', "record"),
    ("kept = type({v}).__name__\n", "kept"),
    ("", "[{v} is None, 1]"),
)
#: imports, statement; ``{v}`` is what is handed over
_SINKS = (
    ("import json\n", "json.dumps({v})"),
    ("from json import dumps\n", 'dumps({{"v": {v}}}, indent=2)'),
    ("import logging\nlog = logging.getLogger(__name__)\n", 'log.info("x", extra={{"v": {v}}})'),
    (
        "import logging\nlogger = logging.getLogger('x')\n",
        'logger.error("x", extra={{"json_fields": {{"v": {v}}}}})',
    ),
    ("import structlog\nslog = structlog.get_logger()\n", 'slog.info("x", v={v})'),
    ("from loguru import logger\n", "logger.bind(v={v}).info('x')"),
    ("from app.logs import get_logger\nout = get_logger()\n", 'out.warning("x", v={v})'),
)
_SAFE_SINKS = (
    ("import json\n", "json.dumps({v}, default=str)"),
    ("import logging\nlog = logging.getLogger(__name__)\n", 'log.info("%s", {v})'),
    ("", "print({v})"),
)
_KINDS = """\
import enum


class Plain(enum.Enum):
    ONE = 1


class Word(str, enum.Enum):
    ONE = "one"


class Level(enum.IntEnum):
    ONE = 1
"""


def _json_safe_logs(rng: random.Random, title: str) -> Case:
    files = {"app/__init__.py": "", "app/kinds.py": _KINDS, "app/logs.py": "def get_logger(): ...\n"}
    for number in range(3):
        imports, annotation, made, word = rng.choice(_VALUES)
        is_safe_way, is_safe_sink = rng.random() < 0.3, rng.random() < 0.2
        before, handed = rng.choice(_SAFE_WAYS if is_safe_way else _WAYS)
        more, sink = rng.choice(_SAFE_SINKS if is_safe_sink else _SINKS)
        value, wrap = rng.choice(((made, "{code}"), ("given", f"def f(given: {annotation}):\n{{code}}")))
        mark = f"  #! {word}" if word and not (is_safe_way or is_safe_sink) else ""
        code = f"{before.format(v=value)}{sink.format(v=handed.format(v=value))}{mark}\n"
        text = wrap.format(code=textwrap.indent(code, "    ") if value == "given" else code)
        files[f"app/part{number}.py"] = f"{imports}{more}{_filler(rng)}{_placed(rng, text)}{_filler(rng)}"
    plain = [["extra", "structlog", "loguru"]]
    asked = settings.json_safe_logs({"loggers": [["app.logs.get_logger"]], "plain": plain})
    return marked("json-safe-logs", title, files, asked)


_FAMILIES: dict[str, Callable[[random.Random, str], Case]] = {
    "single-source": _single_source,
    "event-map": _event_map,
    "json-safe-logs": _json_safe_logs,
}
