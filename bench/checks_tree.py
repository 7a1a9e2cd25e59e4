"""A backend that never was: seeded Python files in the shape of a large FastAPI service, about 340 lines each.

Shape: packages of twenty modules; routes, services, models and repositories with imports of each other, loggers
nearly everywhere, ``extra=`` in a third of the files, ``json.dumps`` in a sixth, enums and pydantic models in the model
modules, one helper that three files in a hundred use. In a dense tree half of the functions log structured fields, one in
eight of those through a helper of the tree.

Functions are made of statements that are drawn one by one, and are as alike as those of real code: in django, litellm and
apache-airflow-core a quarter to a half of the functions share their name with another one, a sixth to two fifths are
enough like another one for their syntax trees to be compared, and one to three in a hundred are copies.
"""

from __future__ import annotations

import random
from pathlib import Path

from checks.settings import EventMap, JsonSafeLogs, Settings, SingleSource

HELPER = "_safe_state_for_logging"
HOME = "app/core/states.py"
SETTINGS = Settings(
    single_source=(SingleSource(HELPER, HOME),),
    event_map=(EventMap("MESSAGE_TYPES", "app/core/events.py", {"run": "START"}),),
    json_safe_logs=JsonSafeLogs(safe=(HELPER,)),
)
_WORDS = """
    account agent billing cache channel chunk cost event filter job ledger lookup message node
    order page plan queue quota record region result role room rule search session shard slot
    stage state step store stream task thread token tool topic trace user vault window worker
""".split()  # noqa: SIM905 - words, not a literal to read
_VERBS = """
    add apply bind build check claim close collect count drop emit fetch find flush get handle join keep list load lock
    merge move open pack parse poll pull push put read reset run save scan send show sort start stop sync touch trim wait
""".split()  # noqa: SIM905
#: functions of one name that are like one another; and which share of all have such
_FAMILIES = 600
_RELATED = 0.2
_HOME = f'''\
"""Text for states."""

from enum import Enum


def {HELPER}(state):
    """Text for a state."""
    if isinstance(state, Enum):
        return str(state.name).lower()
    return str(getattr(state, "label", state))
'''
_EVENTS = '''\
"""The map of messages."""

from enum import Enum


class MessageType(str, Enum):
    START = "start"
    STOP = "stop"


MESSAGE_TYPES = {"run": MessageType.START, "halt": MessageType.STOP}
'''


_AUDIT = '''\
"""One way to log what was done."""

import json


def audit(event, **fields):
    print(json.dumps({"event": event, **fields}))
'''


def plant(root: Path, count: int, seed: int = 7, *, is_dense: bool = False) -> int:
    """Write ``count`` files below ``root``; returns the number of lines."""
    rng = random.Random(seed)
    kinds = ("models", "services", "routes", "repositories", "jobs")
    names = [f"app/p{i // 20:03d}/{rng.choice(kinds)}_{i:05d}.py" for i in range(count)]
    lines = 0
    for folder in [*sorted({str(Path(name).parent) for name in names}), "app", "app/core"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "__init__.py").write_text("")
    (root / HOME).write_text(_HOME)
    (root / "app/core/events.py").write_text(_EVENTS)
    (root / "app/core/audit.py").write_text(_AUDIT)
    models = [name for name in names if "/models_" in name]
    for name in names:
        text = _file(rng, name, models, is_dense=is_dense)
        lines += text.count("\n")
        (root / name).write_text(text)
    return lines


def _file(rng: random.Random, name: str, models: list[str], *, is_dense: bool) -> str:
    uses_helper = rng.random() < 0.01
    has_extra, has_dumps = rng.random() < 0.35, rng.random() < 0.17
    model = rng.choice(models)
    parts = [
        f'"""{name}."""\n',
        "import json\nimport logging\nfrom datetime import datetime\nfrom typing import Any\n",
    ]
    parts.append(f"from {_module(model)} import Model{_number(model)}, Phase{_number(model)}\n")
    if uses_helper:
        parts.append(f"from app.core.states import {HELPER}\n")
    if is_dense:
        parts.append("from app.core.audit import audit\n")
    parts.append("\nlogger = logging.getLogger(__name__)\n\n")
    if name in models:
        parts.append(_model(rng, _number(name)))
    while sum(part.count("\n") for part in parts) < 335:
        made = _class(rng, _number(model), has_extra, has_dumps, uses_helper)
        parts.append(_densely(rng, made) if is_dense else made)
    return "".join(parts)


def _densely(rng: random.Random, text: str) -> str:
    """The same class, with structured fields logged at the end of every second method."""
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("        return ") and rng.random() < 0.5:
            a, b, c = rng.sample(_WORDS, 3)
            fields = f'{{"{a}": self.limit, "{b}": len("{b}"), "{c}": model.{c}, "phase": model.phase.value}}'
            call = f'logger.info("{a} done", extra={fields})'
            is_audit = rng.random() < 1 / 8
            lines.append(
                f'        audit("{a}", {b}=self.limit, {c}=model.{c})\n' if is_audit else f"        {call}\n"
            )
        lines.append(line)
    return "".join(lines)


def _module(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


def _number(name: str) -> str:
    return name.rpartition("_")[2].removesuffix(".py")


def _model(rng: random.Random, number: str) -> str:
    members = "".join(f"    {w.upper()} = {i}\n" for i, w in enumerate(rng.sample(_WORDS, 5)))
    fields = "".join(
        f"    {w}: {rng.choice(('str', 'int', 'float', 'list[str]', 'str | None'))}\n"
        for w in rng.sample(_WORDS, 8)
    )
    head = "from enum import Enum\nfrom pydantic import BaseModel\n\n\n"
    return f"{head}class Phase{number}(Enum):\n{members}\n\nclass Model{number}(BaseModel):\n{fields}    phase: Phase{number}\n\n\n"


def _class(rng: random.Random, model: str, has_extra: bool, has_dumps: bool, uses_helper: bool) -> str:
    noun = rng.choice(_WORDS)
    methods = "".join(
        _method(rng, model, has_extra, has_dumps, uses_helper) for _ in range(rng.randint(3, 6))
    )
    return (
        f"class {noun.title()}{rng.choice(('Service', 'Store', 'Manager', 'Router'))}{rng.randint(1, 999)}:\n"
        f'    """Looks after {noun}s."""\n\n'
        f"    def __init__(self, limit: int = {rng.randint(1, 500)}) -> None:\n"
        f"        self.limit = limit\n        self.{noun}s: dict[str, Any] = {{}}\n        self.started = datetime.now()\n\n{methods}\n"
    )


def _method(rng: random.Random, model: str, has_extra: bool, has_dumps: bool, uses_helper: bool) -> str:
    # its family's where it has one; the last of its statements are its own, if it has any
    drawn = random.Random(rng.randrange(_FAMILIES)) if rng.random() < _RELATED else rng
    a, b, c, d = drawn.sample(_WORDS, 4)
    last = drawn.choice(_WORDS)
    name = (
        f"{drawn.choice(_VERBS)}_{b}" if drawn.random() < 0.25 else f"{drawn.choice(_VERBS)}_{a}_{last}_{b}"
    )
    body = [
        f"        {a} = self.limit + len({b})",
        *(line for _ in range(drawn.randint(1, 4)) for line in _statement(drawn, a, b)),
        *_ordinary(drawn, a, b, c, d),
        *(line for _ in range(rng.randint(0, 3)) for line in _statement(rng, a, "model")),
    ]
    if has_extra and rng.random() < 0.4:
        body.append(
            f'        logger.info("{d}", extra={{"{a}": {a}, "{c}": len({b}), "name": model.{rng.choice(_WORDS)}}})'
        )
    if has_dumps and rng.random() < 0.3:
        body.append(
            f'        payload = json.dumps({{"{a}": {a}, "phase": model.phase.value}})\n        {d}["payload"] = payload'
        )
    if uses_helper and rng.random() < 0.5:
        body.append(f'        logger.debug("{a} %s", {HELPER}(model.phase))')
    text = "\n".join(body)
    return f'    async def {name}(self, {b}: list[str], model: Model{model}) -> dict[str, Any]:\n        """{a.title()} by {b}."""\n{text}\n        return {d}\n\n'


def _ordinary(rng: random.Random, a: str, b: str, c: str, d: str) -> list[str]:
    """What a service does and logs, some of it in some order; ``d`` is a dictionary behind it."""
    some = [
        [
            f"        if {a} > {rng.randint(2, 99)}:",
            f'            logger.info("{c} %s of %s", {a}, {b})',
        ],
        [f'        {c} = [{d} for {d} in {b} if {d} and {d} != "{a}"]'],
        [
            "        try:",
            f'            {a} += int(self.{rng.choice(_WORDS)}.{rng.choice(_VERBS)}("{a}", {rng.randint(0, 9)}))',
            f"        except ({rng.choice(('TypeError', 'KeyError', 'OSError'))}, ValueError) as error:",
            f'            logger.warning("{a} failed: %s", error)',
            f'            raise RuntimeError(f"{a} of {{len({b})}}") from error',
        ],
        [f'        logger.info("{rng.choice(_VERBS)} {c}: %s", {a})'],
    ]
    kept = [lines for lines in rng.sample(some, len(some)) if rng.random() < 0.6]
    fields = f'{{"{a}": {a}, "{rng.choice(_WORDS)}": len({b}), "kind": "{rng.choice(_WORDS)}"}}'
    return [line for lines in kept for line in lines] + [f"        {d} = {fields}"]


def _statement(rng: random.Random, a: str, b: str) -> list[str]:
    """One statement out of a dozen kinds, with names of its own."""
    (k, w, x, y), (v, u) = rng.sample(_WORDS, 4), rng.sample(_VERBS, 2)
    made = rng.choice(
        (
            f"{x}_{y} = self.{w}.{v}({b}, {k}={rng.randint(0, 99)})",
            f"if not self.{w}.{v}_{k}({b}):\n    return {{}}",
            f"for {x}_{w} in self.{w}s.{v}({a}):\n    self.{u}_{y}({x}_{w}.{k})",
            f"with self.{w}_{k}({b}) as {x}_{y}:\n    {x}_{y}.{v}({a})",
            f"await self.{w}.{v}_{k}({b}, {a})",
            f"{x}_{y} = max(self.{w}_{k}, {rng.randint(0, 99)}) if self.{k} else None",
            f"while {a} < self.{w}_{k}:\n    {a} += self.{y}.{v}({rng.randint(1, 9)})",
            f"assert {b} is not self.{w}_{k}",
            f"{x}_{y} = {v}_{w}({b}, {k}=self.{y}) or self.{u}_{k}",
            f'{x}_{y} = [{w}.{k} for {w} in self.{y}.{v}({b}) if {w}.{x} in ("{k}", "{u}")]',
            f'{x}_{y} = {{"{w}": self.{k}, "{y}": self.{v}_{k}({a})}}',
            f"self.{w}s.{v}(*self.{y}_{k}, {a})",
            f"{x}_{y} = lambda {k}: {k}.{w}({a}) or self.{v}_{y}",
        )
    )
    return [f"        {line}" for line in made.split("\n")]
