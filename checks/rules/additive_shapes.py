"""Enum members and message fields, before and now: removed, renamed, made required, narrowed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.definitions import Class, Member
from checks.finding import Confidence, Finding, Severity
from checks.resolve import Thing
from checks.rules.rule import Project
from checks.symbols import dotted

NAME = "additive"
_MODELS = frozenset({"BaseModel", "SQLModel", "BaseSettings", "TypedDict", "NamedTuple", "Struct"})
_ENUMS = frozenset({"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"})


def compare(project: Project, path: str) -> Iterator[Finding]:
    """Every class of a file that holds members or fields in both versions."""
    before, now = project.definitions_in_base(path), project.definitions(path)
    if before is None or now is None:
        return
    for name, old in before["classes"].items():
        new = now["classes"].get(name)
        if new is None:
            continue
        kind = _kind(project, path, name, new)
        found = _members(old, new) if kind == "enum" else _fields(old, new) if kind == "model" else ()
        for line, confidence, message in found:
            yield Finding(NAME, path, line or new["line"], 1, Severity.ERROR, confidence, f"{name}.{message}")


def shape_classes(tree: ast.Module) -> frozenset[str]:
    """Names of classes whose members are compared here."""
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and (
            any(dotted(b).rpartition(".")[2] in _MODELS | _ENUMS for b in node.bases)
            or any("dataclass" in ast.dump(d) for d in node.decorator_list)
        )
    )


def _kind(project: Project, path: str, name: str, new: Class) -> str:
    if any(d.rpartition(".")[2] == "dataclass" for d in new["decorators"]):
        return "model"
    for above in project.resolver.ancestors(Thing("class", path, name)):
        last = above.name.rpartition(".")[2]
        if above.what == "outside" and last in _ENUMS:
            return "enum"
        if above.what == "outside" and last in _MODELS:
            return "model"
    return ""


Change = tuple[int, Confidence, str]


def _members(old: Class, new: Class) -> Iterator[Change]:
    values = {member["value"]: name for name, member in new["members"].items() if name not in old["members"]}
    for name, member in old["members"].items():
        if name.startswith("_"):
            continue
        if name not in new["members"]:
            renamed = values.get(member["value"])
            done = f"was renamed to {renamed}" if renamed else "was removed"
            yield 0, Confidence.HIGH, f"{name} {done}: code and stored messages that name it fail"
        elif "auto()" not in member["value"] and new["members"][name]["value"] != member["value"]:
            line = new["members"][name]["line"]
            yield (
                line,
                Confidence.HIGH,
                f"{name} has another value: what was stored or sent with the old one is not read",
            )


def _fields(old: Class, new: Class) -> Iterator[Change]:
    added = [name for name in new["members"] if name not in old["members"]]
    for name, member in old["members"].items():
        if not member["annotation"] or name == "model_config" or "ClassVar" in member["annotation"]:
            continue
        if name not in new["members"]:
            twin = next((a for a in added if new["members"][a]["annotation"] == member["annotation"]), "")
            done = f"was removed (renamed to {twin}?)" if twin else "was removed"
            yield 0, Confidence.HIGH, f"{name} {done}: readers of the message miss it"
        else:
            yield from _changed(name, member, new["members"][name])
    for name in added:
        member = new["members"][name]
        if member["annotation"] and _is_required(member) and "ClassVar" not in member["annotation"]:
            yield (
                member["line"],
                Confidence.HIGH,
                f"{name} was added as required: messages of older senders are refused",
            )


def _changed(name: str, old: Member, new: Member) -> Iterator[Change]:
    if _is_required(new) and not _is_required(old):
        yield new["line"], Confidence.HIGH, f"{name} is required now: messages of older senders are refused"
    before, now = _choices(old["annotation"]), _choices(new["annotation"])
    if now < before:
        lost = ", ".join(sorted(before - now))
        yield (
            new["line"],
            Confidence.HIGH,
            f"{name} no longer takes {lost}: messages that were valid are refused",
        )
    elif not before <= now and before != now:
        text = f"{name} changed its type from {old['annotation']} to {new['annotation']}: older messages may be refused"
        yield new["line"], Confidence.MEDIUM, text


def _is_required(member: Member) -> bool:
    annotation = member["annotation"].rpartition(".")[2]
    if annotation.startswith("NotRequired["):
        return False
    value = member["value"].replace(" ", "")
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
    elif isinstance(node, ast.Subscript):
        name = dotted(node.value).rpartition(".")[2]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name in ("Optional", "Union"):
            yield from (choice for each in inner for choice in _taken(each))
            yield from ["None"] if name == "Optional" else []
        elif name in ("Annotated", "NotRequired", "Required"):
            yield from _taken(inner[0])
        elif name == "Literal":
            yield from (ast.unparse(each) for each in inner)
        else:
            yield ast.unparse(node)
    else:
        yield ast.unparse(node)
