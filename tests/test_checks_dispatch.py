"""Dispatch in the forms that people write: the handler that is missing is found in each, and the whole one is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.finding import Finding
from checks.runner import run
from checks.settings import EventMap, Settings
from tests.test_checks_examples import plant

KEYS = ("start_agent", "stop_agent", "ping", "execute_agent")
CONSTANTS = "".join(f'{key.upper()} = "{key}"\n' for key in KEYS)
ENUM = "from enum import Enum, StrEnum\nclass Kind(StrEnum):\n" + "".join(
    f'    {key.upper()} = "{key}"\n' for key in KEYS
)
REGISTRY = "class Registry:\n    def register(self, kind, handler=None): ...\n\n\nregistry = Registry()\n"
FILES = {"kinds.py": CONSTANTS + ENUM, "registry.py": REGISTRY}
HEAD = f"import kinds\nfrom kinds import Kind, {', '.join(map(str.upper, KEYS))}\nfrom registry import registry\n"


def each(row: str) -> Callable[[tuple[str, ...]], str]:
    """The same rows for each key: ``{k}`` is the key, ``{K}`` its constant, ``{el}`` is empty in the first row."""
    return lambda keys: "".join(
        row.format(k=key, K=key.upper(), el="el" * bool(number), subject="kind" if number else "(kind := m['type'])")
        for number, key in enumerate(keys)
    )  # fmt: skip


CHAIN = "async def dispatch(ws, m):\n    kind = m['type']\n"
#: what is configured, what stands before the rows, and the row of each key
FORMS = {
    "constants": ("dispatch", CHAIN, "    {el}if kind == {K}:\n        await f(ws)\n"),
    "constants of a module": ("dispatch", CHAIN, "    {el}if kind == kinds.{K}:\n        await f(ws)\n"),
    "constants on the left": ("dispatch", CHAIN, "    {el}if {K} == kind:\n        await f(ws)\n"),
    "one of constants": ("dispatch", CHAIN, "    {el}if kind in ({K}, 'more'):\n        await f(ws)\n"),
    "members, by identity": ("dispatch", CHAIN, "    {el}if kind is Kind.{K}:\n        await f(ws)\n"),
    "named in the first test": (
        "dispatch",
        "async def dispatch(ws, m):\n",
        "    {el}if {subject} == '{k}':\n        await f(ws)\n",
    ),
    "match on constants": (
        "dispatch",
        "async def dispatch(ws, m):\n    match m['type']:\n",
        "        case kinds.{K}:\n            await f(ws)\n",
    ),
    "a class in a class": (
        "dispatch",
        "class Outer:\n    class Router:\n        async def dispatch(self, m):\n            match m:\n",
        "                case {{'type': '{k}'}}:\n                    await self.f()\n",
    ),
    "a registry, by place": ("registry.register", "", "registry.register('{k}', f)\n"),
    "a registry, by keyword": ("registry.register", "", "registry.register(kind='{k}', handler=f)\n"),
    "a registry, by its method": ("register", "", "registry.register(handler=f, kind={K})\n"),
    "a registry, called twice": ("register", "", "registry.register(kind='{k}')(f)\n"),
    "a registry, above handlers": ("register", "", "@registry.register(kind='{k}')\nasync def on_{k}(): ...\n"),
    "a registry, by member": ("register", "", "registry.register(Kind.{K}, f)\n"),
}  # fmt: skip


def findings(tmp_path: Path, name: str, texts: dict[str, str]) -> tuple[Finding, ...]:
    settings = Settings(event_map=(EventMap(name, "app.py", dict.fromkeys(KEYS, "")),))
    root = plant(tmp_path, FILES | texts)
    return run(root, settings, only=["event-map"], jobs=1, cache=False).findings


@pytest.mark.parametrize("form", FORMS)
def test_the_missing_one_is_found(form: str, tmp_path: Path) -> None:
    name, before, row = FORMS[form]
    (missing,) = findings(tmp_path, name, {"app.py": HEAD + before + each(row)(KEYS[:-1])})
    assert missing.fails_gate
    assert "'execute_agent' is not handled" in missing.message


@pytest.mark.parametrize("form", FORMS)
def test_the_whole_one_is_left_alone(form: str, tmp_path: Path) -> None:
    name, before, row = FORMS[form]
    assert findings(tmp_path, name, {"app.py": HEAD + before + each(row)(KEYS)}) == ()


def test_what_another_file_registers_with_the_same_registry_counts(tmp_path: Path) -> None:
    used = HEAD + each("registry.register('{k}', f)\n")(KEYS[:-1])
    more = "from registry import registry\nregistry.register('execute_agent', f)\n"
    assert findings(tmp_path, "register", {"app.py": used, "more.py": more}) == ()


def test_what_is_registered_with_another_one_does_not(tmp_path: Path) -> None:
    used = HEAD + each("registry.register('{k}', f)\n")(KEYS[:-1])
    more = "class Other:\n    def register(self, kind, handler): ...\n\n\nother = Other()\nother.register('execute_agent', f)\n"
    assert len(findings(tmp_path, "register", {"app.py": used, "more.py": more})) == 1


def test_with_a_registry_that_cannot_be_read_nothing_is_sure(tmp_path: Path) -> None:
    used = "from elsewhere import hub\n" + each("hub.register('{k}', f)\n")(KEYS[:-1])
    (missing,) = findings(tmp_path, "register", {"app.py": used})
    assert not missing.fails_gate
