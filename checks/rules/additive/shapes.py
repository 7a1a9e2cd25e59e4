"""Enum members and message fields, before and now: removed, renamed, made required, narrowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from checks.finding import Confidence, Finding, Severity
from checks.tree.defined import Class, Member
from checks.tree.resolve import Resolver
from checks.tree.symbols import dotted
from checks.tree.things import Thing
from checks.tree.tree import Tree

NAME = "additive"
_MODELS = frozenset({"BaseModel", "SQLModel", "BaseSettings", "TypedDict", "NamedTuple", "Struct"})
_ALIAS = re.compile(r"""\b(?:validation_)?alias=['"](\w+)['"]""")
_ENUMS = frozenset({"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"})


def compare(old_tree: Tree, tree: Tree, path: str) -> Iterator[Finding]:
    """Every class of a file that holds members or fields in both versions."""
    before, now = old_tree.definitions(path), tree.definitions(path)
    if before is None or now is None:
        return
    for name, old in before.classes.items():
        new = now.classes.get(name)
        if new is None:
            continue
        thing = Thing("class", path, name)
        kind = kind_of(tree.resolver, thing)
        found = _members(old, new) if kind == "enum" else _fields(old, new) if kind == "model" else ()
        for change in found:
            if change.line or not is_inherited(tree.resolver, thing, change.name):
                message = f"{name}.{change.name} {change.what}"
                line = change.line or new.line
                yield Finding(NAME, path, line, 1, Severity.ERROR, change.confidence, message)


def is_inherited(resolver: Resolver, thing: Thing, name: str) -> bool:
    """Whether a class of the tree has this member from one above it."""
    above = (resolver.class_of(a) for a in resolver.ancestors(thing) if a != thing)
    return any(made is not None and (name in made.members or name in made.returns) for made in above)


def kind_of(resolver: Resolver, thing: Thing) -> str:
    """``enum``, ``model`` (its fields are a message's), or empty."""
    made = resolver.class_of(thing)
    if made and any(d.rpartition(".")[2] == "dataclass" for d in made.decorators):
        return "model"
    for above in resolver.ancestors(thing):
        last = above.name.rpartition(".")[2]
        if above.what == "outside" and last in _ENUMS:
            return "enum"
        if above.what == "outside" and last in _MODELS:
            return "model"
    return ""


class Change(NamedTuple):
    """What happened to a member or field; ``line`` is 0 where it stands no more."""

    name: str
    what: str
    line: int = 0
    confidence: Confidence = Confidence.HIGH


def _members(old: Class, new: Class) -> Iterator[Change]:
    values = {member.value: name for name, member in new.members.items() if name not in old.members}
    for name, member in old.members.items():
        if name.startswith("_"):
            continue
        if name not in new.members:
            renamed = values.get(member.value)
            done = f"was renamed to {renamed}" if renamed else "was removed"
            yield Change(name, f"{done}: code and stored messages that name it fail")
        elif "auto()" not in member.value and new.members[name].value != member.value:
            what = "has another value: what was stored or sent with the old one is not read"
            yield Change(name, what, new.members[name].line)


def _fields(old: Class, new: Class) -> Iterator[Change]:
    # Other names under which a field is read: ``Field(alias="user")``.
    heirs = {alias: name for name, member in new.members.items() for alias in _ALIAS.findall(member.value)}
    inherited = {heirs[name] for name in heirs if name in old.members}
    added = [n for n in new.members if n not in old.members and n not in inherited]
    for name, member in old.members.items():
        if not member.annotation or name == "model_config" or "ClassVar" in member.annotation:
            continue
        heir = name if name in new.members else heirs.get(name)
        if heir is not None:
            yield from _changed(name, member, new.members[heir])
        else:
            twin = next((a for a in added if new.members[a].annotation == member.annotation), "")
            done = f"was removed (renamed to {twin}?)" if twin else "was removed"
            yield Change(name, f"{done}: readers of the message miss it")
    for name in added:
        member = new.members[name]
        if member.annotation and _is_required(member) and "ClassVar" not in member.annotation:
            what = "was added as required: messages of older senders are refused"
            yield Change(name, what, member.line)


def _changed(name: str, old: Member, new: Member) -> Iterator[Change]:
    if _is_required(new) and not _is_required(old):
        yield Change(name, "is required now: messages of older senders are refused", new.line)
    before, now = _choices(old.annotation), _choices(new.annotation)
    if now < before:
        lost = ", ".join(sorted(before - now))
        yield Change(name, f"no longer takes {lost}: messages that were valid are refused", new.line)
    elif not before <= now:
        what = f"changed its type from {old.annotation} to {new.annotation}: older messages may be refused"
        yield Change(name, what, new.line, Confidence.MEDIUM)


def _is_required(member: Member) -> bool:
    annotation = member.annotation.rpartition(".")[2]
    if annotation.startswith("NotRequired["):
        return False
    value = member.value.replace(" ", "")
    call, _, arguments = value.partition("(")
    if call.rpartition(".")[2] in ("Field", "field"):
        has_default = "default" in arguments or (
            arguments[:1] not in (")", ".") and "=" not in arguments.split(",")[0]
        )
        return not has_default
    return value in ("", "...")


def _choices(annotation: str) -> frozenset[str]:
    """``Optional[int]`` and ``int | None`` as the set of what they take; literals one by one."""
    try:
        node = ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return frozenset({annotation})
    return frozenset(_taken(node))


def _taken(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from (*_taken(node.left), *_taken(node.right))
        return
    name, inner = "", [node]
    if isinstance(node, ast.Subscript):
        name = dotted(node.value).rpartition(".")[2]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    match name:
        case "Optional" | "Union":
            yield from (choice for each in inner for choice in _taken(each))
            yield from ["None"] if name == "Optional" else []
        case "Annotated" | "NotRequired" | "Required":
            yield from _taken(inner[0])
        case "Literal":
            yield from (ast.unparse(each) for each in inner)
        case _:
            yield ast.unparse(node)
