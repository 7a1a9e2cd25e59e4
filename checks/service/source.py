"""The files of a Python service, and its functions and enums by name. Nothing is imported or run.

A file is parsed when somebody asks for what is in it; where that may be is told by the outlines of all.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from checks.rules.event_map.messages import class_in
from checks.rules.protocol import is_test
from checks.service.facts import Place
from checks.service.outline import ENUMS, TYPE_FIELDS, Outline, outline, owner
from checks.service.parts import Parts
from checks.tree import files
from checks.tree.body import Function, functions, statements, walk
from checks.tree.definitions import flat
from checks.tree.modules import ModuleIndex
from checks.tree.parse import PARSE_LIMIT_BYTES, Unparsable, parse
from checks.tree.symbols import dotted, imported_names

MOST_FILES = 3_000
MESSAGES = frozenset(
    {
        "ws",
        "websocket",
        "websockets",
        "socket",
        "sockets",
        "message",
        "messages",
        "msg",
        "event",
        "events",
        "chat",
        "sio",
        "socketio",
    }
)
#: words of what a message's type is kept in
TYPES = frozenset({"type", "subtype", "mtype", "event", "action", "kind", "op", "opcode", "operation", "cmd", "command", "method", "verb", "msg", "message", "request", "notification", "packet", "topic", "intent"})  # fmt: skip
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: trees that are kept of a service of which not all is looked at: one of 400 lines takes a megabyte
_FEW = 8
#: functions that are kept
_MOST_FUNCTIONS = 300


class Named(NamedTuple):
    """A function, where it is, and its dotted path inside the module."""

    path: str
    name: str
    node: Function


class Source:
    """Every module that can be read, tests apart.

    Args:
        outlines: by path.
        parse: the tree of one file; None where it cannot be parsed.
        read: the bytes of one file; None where it cannot be read.
    """

    def __init__(
        self,
        outlines: Mapping[str, Outline],
        parse: Callable[[str], ast.Module | None],
        read: Callable[[str], bytes | None],
    ) -> None:
        self.paths = tuple(outlines)
        self._outlines, self.tree = outlines, parse
        self._parts = Parts(read)
        self._at_hand: tuple[str, ast.Module] | None = None
        self._modules = ModuleIndex(outlines)
        self._defined: dict[str, Counter[str]] = defaultdict(Counter)
        self._enums: dict[str, list[str]] = defaultdict(list)
        for path, each in outlines.items():
            for name, times in each.functions.items():
                self._defined[name][path] = times
            for name in each.enums:
                self._enums[name].append(path)
        self._found = lru_cache(_MOST_FUNCTIONS)(self._function)
        self._members: dict[str, dict[str, str]] = {}
        self._imported: dict[str, Mapping[str, str]] = {}

    @classmethod
    def below(cls, root: Path, *, keeps_all: bool = True) -> Source:
        """Raises CheckError when the root is no folder that can be read.

        Args:
            keeps_all: whether trees are kept once they are parsed; a few are otherwise.
        """
        outlines: dict[str, Outline] = {}
        for path in files.discover(root).paths[:MOST_FILES]:
            data = files.read_or_none(root, path) if path.endswith(".py") and not is_client(path) else None
            if data is not None and len(data) <= PARSE_LIMIT_BYTES:
                outlines[path] = outline(data)

        read = partial(files.read_or_none, root)

        @lru_cache(None if keeps_all else _FEW)
        def parsed(path: str) -> ast.Module | None:
            data = read(path)
            try:
                return parse(path, data).tree if data is not None else None
            except Unparsable:
                return None

        return cls(outlines, parsed, read)

    @property
    def type_field(self) -> str:
        """The key by which messages are told apart: the one that is read most."""
        seen: Counter[str] = Counter()
        for each in self._outlines.values():
            seen += each.reads
        best = max(TYPE_FIELDS, key=lambda name: (seen[name], -TYPE_FIELDS.index(name)))
        return best if seen[best] else "type"

    def dispatching(self, field: str) -> Iterator[tuple[str, ast.Module]]:
        """The files in which messages may be told apart by that key."""
        for path, each in self._outlines.items():
            tree = self.tree(path) if each.may_dispatch(self._defined, self._enums, field) else None
            if tree is not None:
                self._at_hand = path, tree
                yield path, tree

    def saying(self, says: Callable[[bytes], bool], several: Iterable[Named]) -> Iterator[Named]:
        """Those of the functions of one file whose text says so."""
        for each in several:
            rows = self._parts.rows(each.path)
            if says(b"\n".join(rows[each.node.lineno - 1 : each.node.end_lineno])):
                yield each

    def function(self, name: str, path: str) -> Named | None:
        """The function or method of that plain name, this file's first; None where it is not there, or not the only one."""
        places: Mapping[str, int] = self._defined.get(name, {})
        is_only = sum(islice(places.values(), 2)) == 1
        home = path if path in places else next(iter(places)) if is_only else None
        if home is None:
            return None
        return self._found(home, name)

    def _function(self, home: str, name: str) -> Named | None:
        known = self._parts.function(home, name) if self._own(home) is None else None
        rows = [known] if known is not None else functions(self.tree(home) or ast.Module([], []))
        return next((Named(home, dotted_path, node) for dotted_path, node in rows if node.name == name), None)

    def class_in(self, path: str, name: str) -> ast.ClassDef | None:
        """The class of a dotted name inside of a file."""
        own = self._own(path) if name.isascii() else self.tree(path)
        return class_in(own, name) if own is not None else self._parts.class_in(path, name)

    def _own(self, path: str) -> ast.Module | None:
        """The tree of the file that is looked at, if it is this one."""
        return self._at_hand[1] if self._at_hand and self._at_hand[0] == path else None

    def member(self, node: ast.expr) -> str:
        """``Enum.MEMBER`` of an expression such as ``types.Enum.MEMBER.value``; empty for anything else."""
        full = dotted(node).removesuffix(".value")
        name = f"{owner(full)}.{full.rpartition('.')[2]}"
        return name if name in self._members_of(owner(full)) else ""

    def _members_of(self, enum: str) -> Mapping[str, str]:
        """``Enum.MEMBER`` to its text, of all enums of that name."""
        if enum not in self._members:
            nodes = (node for path in self._enums.get(enum, ()) for node in self._classes(path))
            self._members[enum] = {
                f"{enum}.{name}": text
                for node in nodes
                if node.name == enum and any(dotted(b).rpartition(".")[2] in ENUMS for b in node.bases)
                for name, text in _texts(node)
            }
        return self._members[enum]

    def _classes(self, path: str) -> Iterator[ast.ClassDef]:
        tree = self.tree(path)
        return (node for node in (flat(tree.body) if tree else ()) if isinstance(node, ast.ClassDef))

    def text(self, node: ast.expr | None) -> str:
        """The text that an expression is: a constant, or an enum member's value; empty for anything else."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else ""
        member = self.member(node) if node is not None else ""
        return self._members_of(member.partition(".")[0])[member] if member else ""

    @cached_property
    def nodes(self) -> list[tuple[str, ast.AST]]:
        """Every node of every file, with its file."""
        return [(path, node) for path in self.paths for node in walk(self.tree(path) or ast.Module([], []))]

    def functions_of(self, path: str) -> list[Named]:
        tree = self.tree(path)
        return [Named(path, name, node) for name, node in functions(tree)] if tree else []

    def imported(self, path: str) -> Iterable[str]:
        """Local names of all that a file imports."""
        return self._imports(path)

    def _imports(self, path: str) -> Mapping[str, str]:
        """Local name to dotted name, of every import of a file wherever it stands."""
        if path not in self._imported:
            nodes = statements(self.tree(path) or ast.Module([], []))
            imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
            self._imported[path] = imported_names(path, imports)
        return self._imported[path]

    def full_name(self, path: str, name: str) -> str:
        """A dotted name as its file's imports make it: ``web.Application`` to ``aiohttp.web.Application``."""
        first, _, rest = name.partition(".")
        return ".".join(filter(None, (self._imports(path).get(first, first), rest)))

    def inside(self, path: str, name: str) -> tuple[str, str]:
        """The file of a dotted name as its importer sees it, and the name inside of that; empty outside of the service."""
        full = self.full_name(path, name)
        found = self._modules.split(full, path)
        is_own = found is None and full == name and path in self._outlines
        return (found[0], ".".join(found[1])) if found else (path, name) if is_own else ("", "")

    def constant(self, path: str, node: ast.expr | None) -> str:
        """The text that a name or an attribute of a class is given, wherever that is; empty for anything else."""
        home, name = self.inside(path, dotted(node).removesuffix(".value")) if node is not None else ("", "")
        *classes, last = name.split(".")
        is_near = bool(home and name) and (self._own(home) is not None or self._parts.may_give(home, last))
        tree = self.tree(home) if is_near else None
        body = tree.body if tree else []
        for part in classes:
            body = [n for c in body if isinstance(c, ast.ClassDef) and c.name == part for n in c.body]
        for statement in body:
            match statement:
                case (
                    ast.Assign(targets=[ast.Name(id=found)], value=ast.Constant(value=str(text)))
                    | ast.AnnAssign(target=ast.Name(id=found), value=ast.Constant(value=str(text)))
                ) if found == last:
                    return text
        return ""

    def home(self, path: str, name: str) -> tuple[str, str]:
        """The file and the plain name of a variable that may be another module's."""
        found = self._modules.split(self.full_name(path, name), path)
        return (found[0], found[1][-1]) if found and found[1] else (path, name.rpartition(".")[2])


def is_client(path: str) -> bool:
    """Whether a file is of the tests, which send what the service should answer; Twisted's stand in ``test``."""
    return is_test(path) or "test" in path.split("/")[:-1]


def words_in(nodes: Iterable[ast.expr]) -> set[str]:
    """Of all names and texts in some expressions."""
    parts = [part for each in nodes for part in walk(each)]
    said = [dotted(part) for part in parts if isinstance(part, ast.Name | ast.Attribute)]
    said += [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return {word for each in said for word in words_of(each)}


def speaks_of_messages(text: str) -> bool:
    """Whether a path or a name has a word for sockets or messages in it."""
    return not MESSAGES.isdisjoint(words_of(text))


def words_of(text: str) -> list[str]:
    """Of a path or a name, in small letters: ``onChatMessage`` is on, chat, message."""
    return re.split(r"[^a-z]+", _HUMP.sub("_", text).lower())


def place(path: str, node: ast.AST) -> Place:
    return Place(path, getattr(node, "lineno", 1))


def _texts(enum: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Members and their texts; ``auto()`` of a StrEnum is the name in small letters, and a number is no text."""
    is_str = any(dotted(base).endswith("StrEnum") for base in enum.bases)
    for node in enum.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield name, node.value.value
            else:
                yield name, name.lower() if is_str and isinstance(node.value, ast.Call) else ""
