"""additive: compared with the base, things were only added, so what runs and what is stored keeps working.

Theory of operation. Only files that differ are read, in both versions. Signatures and public names are compared by
griffe, one file at a time and by text alone; enum members, message fields and names in maps are compared here,
because there a private class or a value matters as much as a public name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from checks.finding import Confidence, Finding, Severity
from checks.rules.additive import names, shapes
from checks.rules.protocol import Brief, Project, Rule, is_test
from checks.settings import Settings
from checks.tree import files
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.things import Thing
from checks.tree.tree import Tree

NAME = "additive"

#: griffe's kind of breakage -> what happened, what it breaks, and how sure that is
_BREAKS = {
    "PARAMETER_REMOVED": ("parameter {} of {} was removed: calls that pass it fail", Confidence.HIGH),
    "PARAMETER_MOVED": ("parameter {} of {} was moved: calls by position pass something else", Confidence.HIGH),
    "PARAMETER_CHANGED_KIND": ("parameter {} of {} is of another kind: calls in the old form fail", Confidence.HIGH),
    "PARAMETER_CHANGED_REQUIRED": ("parameter {} of {} is required now: calls without it fail", Confidence.HIGH),
    "PARAMETER_ADDED_REQUIRED": (
        "parameter {} of {} was added without a default: every existing call fails", Confidence.HIGH,
    ),
    "OBJECT_REMOVED": ("{1} was removed: whoever imports it fails", Confidence.HIGH),
    "OBJECT_CHANGED_KIND": ("{1} is something else now: whoever uses it as before fails", Confidence.HIGH),
    "CLASS_REMOVED_BASE": (
        "{1} lost a base class: isinstance checks and inherited methods are gone", Confidence.MEDIUM,
    ),
}  # fmt: skip


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    return {} if settings.additive is not None else None


def judge(project: Project, _asked: Brief, _facts: Mapping[str, Any]) -> Iterator[Finding]:
    now, tree = project.now, project.before
    for path in project.base.changed if project.base else ():
        before = tree.read(path) if tree else None
        if tree is None or before is None or is_test(path) or path.endswith(".pyi"):
            continue
        if not now.has(path):
            yield from _gone(now, path, before)
            continue
        yield from shapes.compare(tree, now, path)
        parsed = now.parsed(path)
        if parsed is not None:
            yield from names.compare(project.settings, before, parsed)
            yield from _signatures(now, before, parsed)


def _gone(tree: Tree, path: str, before: bytes) -> Iterator[Finding]:
    """A module that is gone, as a file and as a package. Names that its successor offers are not missed."""
    stem = path.removesuffix(".py").removesuffix("/__init__")
    heirs = [tree.parsed(heir) for heir in (f"{stem}.py", f"{stem}/__init__.py") if tree.has(heir)]
    kept = {name for heir in heirs if heir for name in names.offered_names(heir)}
    try:
        gone = [n for n in names.public_names(parse(path, before).tree) if n not in kept]
    except Unparsable:
        return
    if gone:
        shown = ", ".join(gone[:4]) + (f" and {len(gone) - 4} more" if len(gone) > 4 else "")
        message = f"the module is gone, and with it {shown}: whoever imports it fails"
        yield Finding(NAME, path, 1, 1, Severity.ERROR, Confidence.HIGH, message)


def _signatures(tree: Tree, before: bytes, now: Parsed) -> Iterator[Finding]:
    import griffe  # a fifth of a second, needed only where files differ

    path = now.path

    name = path.rpartition("/")[2].partition(".")[0]
    try:
        where = Path(path)  # a name for griffe's messages; it reads no file, the text is passed
        old, new = (
            griffe.visit(name, filepath=where, code=files.decode(data)) for data in (before, now.data)
        )
        breakages = list(griffe.find_breaking_changes(old, new))
    except (griffe.GriffeError, SyntaxError, ValueError, RecursionError):
        return  # one version is not Python for this interpreter; that is in ``skipped`` already
    for breakage in breakages:
        kind = breakage.kind.name
        inside = breakage.obj.path.split(".")[1:]
        if kind in _BREAKS and not (
            kind == "OBJECT_REMOVED" and _is_reported_or_inherited(tree, path, inside)
        ):
            words, confidence = _BREAKS[kind]
            message = words.format(_parameter(breakage), ".".join(inside))
            yield Finding(NAME, path, _line(now, inside), 1, Severity.ERROR, confidence, message)


def _is_reported_or_inherited(tree: Tree, path: str, names: list[str]) -> bool:
    """A member that is compared as a message's field, or that its class still inherits."""
    owner = ".".join(names[:-1])
    thing = Thing("class", path, owner)
    if not owner or tree.resolver.class_of(thing) is None:
        return False
    return bool(shapes.kind_of(tree.resolver, thing)) or shapes.is_inherited(tree.resolver, thing, names[-1])


def _parameter(breakage: object) -> str:
    """The parameter's name, as it was, or as it is where it is new; empty for other breakages."""
    values = (getattr(breakage, "old_value", None), getattr(breakage, "new_value", None))
    return next((name for value in values if (name := getattr(value, "name", ""))), "")


def _line(now: Parsed, names: list[str]) -> int:
    """Where it stands now, or what it stood in."""
    line, body = 1, now.tree.body
    for name in names:
        node = next((n for n in body if getattr(n, "name", None) == name), None)
        if node is None:
            return line
        line, body = node.lineno, getattr(node, "body", [])
    return line


RULE = Rule(
    name=NAME,
    summary="Compared with the base, names, members, fields and keys were only added.",
    why="""\
During a rollout two revisions serve side by side, and clients and stored messages are older than both. What is
removed, renamed, made required or narrowed breaks one of them. Compared are public functions and classes, enum
members, fields of pydantic models, dataclasses and typed dictionaries, and names in maps and lists of events; each
finding says what it breaks. Without such findings the report's risk part says "additive only: yes".

    additive: {base: origin/main}
""",
    brief=brief,
    judge=judge,
)
