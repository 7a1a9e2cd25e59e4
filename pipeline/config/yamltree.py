"""YAML to plain values, with the line and column of every key: the only place that parses YAML.

Refused, with file:line:column: duplicate keys, merge keys, tags other than the standard scalars, documents that are
large, nest deep or expand through aliases (told from the events, before a tree is made of them), and every plain scalar
that YAML 1.1 and 1.2 read differently (``062``, ``1:30``, ``0x10``, ``1_000``, ``1e3``): whoever wrote it meant one of the
two. ``yes``, ``no``, ``on`` and ``off`` are such scalars too, but common where a switch is wanted; so they are read, and
``Document.words`` tells how they were spelt to whoever wanted something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

import yaml
from msgspec import Struct, field

from pipeline.errors import ConfigError
from pipeline.secret_names import is_secret_name
from pipeline.units import shown

MAX_CHARACTERS = 256 * 1024
MAX_DEPTH = 40
MAX_NODES = 20_000  # with aliases followed
MAX_ALIASES = 200

_TOO_DEEP = f"nested too deep: at most {MAX_DEPTH} levels are read"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is twenty times as fast
_TAG = "tag:yaml.org,2002:"
_TRUE = frozenset({"true", "yes", "on"})
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMBER_OF_1_2 = re.compile(rf"{_FLOAT.pattern}|0[ox][0-9a-fA-F]+")

Path = tuple[str | int, ...]


class Document(Struct, frozen=True):
    """Parsed values, and where each of them stands (1-based line and column, by path).

    Args:
        words: by path, the spelling of what is true or false and not spelt so (``yes``, ``Off``).
    """

    file: str
    value: object
    places: Mapping[Path, tuple[int, int]] = field(default_factory=dict)
    words: Mapping[Path, str] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """``file:line:column`` of the nearest enclosing key that exists."""
        line, column = self._place(path)
        return f"{self.file}:{line}:{column}"

    @property
    def keys(self) -> Mapping[str, Any]:
        """Of a mapping; none where it is something else."""
        return self.value if isinstance(self.value, dict) else {}

    def line(self, path: Path) -> int:
        """The line of the nearest enclosing key that exists."""
        return self._place(path)[0]

    def _place(self, path: Path) -> tuple[int, int]:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def parse(text: str, file: str) -> Document:
    """Raises ConfigError, naming file:line:column."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"{file}:1:1: too large",
            f"It has {len(text):,} characters; a configuration has at most {MAX_CHARACTERS:,}.",
        )
    try:
        _measure(yaml.parse(text, Loader=_LOADER), file)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        place = _place_in(text, error.problem_mark or error.context_mark)
        problem = str(error.problem or error.context)
        if "nesting" in problem:  # libyaml's own limit is reached before ours when it reads ahead
            raise ConfigError(f"{file}:{place}: {_TOO_DEEP}") from error
        line = text.split("\n")[int(place.partition(":")[0]) - 1]
        if "cannot start any token" in problem and line.lstrip(" ").startswith("\t"):
            problem = "a tab at its beginning: YAML is indented by blanks"
        raise ConfigError(f"{file}:{place}: not valid YAML", f"{problem}.") from error
    except UnicodeEncodeError as error:  # half a surrogate pair: no file in UTF-8 has one
        raise ConfigError(f"{file}:1:1: not valid YAML", f"Character {error.start + 1} is none.") from error
    except yaml.reader.ReaderError as error:
        why = f"Character {error.position + 1} cannot stand in a text file."
        raise ConfigError(f"{file}:1:1: not valid YAML", why) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}:1:1: not valid YAML", str(error).partition("\n")[0]) from error
    reader = _Reader(file)
    value = reader.read(node, ()) if node is not None else None
    return Document(file, value, reader.places, reader.words)


def _place_in(text: str, mark: Any) -> str:
    """``line:column``, inside the text also where the fault is that it ended."""
    lines = text.split("\n") if text.strip() else [""]
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    if mark is None:
        return "1:1"
    is_behind = mark.line >= len(lines)
    return f"{len(lines)}:{len(lines[-1]) + 1}" if is_behind else f"{mark.line + 1}:{mark.column + 1}"


def _measure(events: Iterator[yaml.Event], file: str) -> None:
    """Refuse what is too much before a tree is made of it: making one recurses, and costs most of the time."""
    depth = nodes = aliases = 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent)
        too_much = (
            (depth > MAX_DEPTH, _TOO_DEEP),
            (nodes > MAX_NODES, f"too large: at most {MAX_NODES:,} keys and values are read"),
            (aliases > MAX_ALIASES, f"too many aliases: at most {MAX_ALIASES} are followed"),
        )
        for is_so, words in too_much:
            if is_so:
                raise _refusal(file, event, words)


class _Reader:
    """Walks the node graph, counting, so that aliases cannot expand without bound."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path, tuple[int, int]] = {}
        self.words: dict[Path, str] = {}
        self._nodes = 0

    def read(self, node: yaml.Node, path: Path) -> object:
        self.places.setdefault(path, _place_of(node))
        self._nodes += 1
        if self._nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise _refusal(self.file, node, "too large once its aliases are followed, or nested too deep")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_TAG}merge":
                raise _refusal(self.file, key_node, "a key must be plain text")
            key = str(key_node.value)
            if key in result:
                first = self.places[(*path, key)][0]
                raise _refusal(self.file, key_node, f"duplicate key {shown(key)}, first on line {first}")
            self.places[(*path, key)] = _place_of(key_node)
            result[key] = self.read(value_node, (*path, key))
        return result

    def _scalar(self, node: Any, path: Path) -> object:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        match kind:
            case "null":
                return None
            case "bool":
                if text.lower() not in ("true", "false"):
                    self.words[path] = text
                return text.lower() in _TRUE
            case "int" if _INTEGER.fullmatch(text):
                return int(text)
            case "float" if _FLOAT.fullmatch(text) and isfinite(float(text)):
                return float(text)
            case "str" if not node.style and _NUMBER_OF_1_2.fullmatch(text):
                raise self._refuse_spelling(path, text, "is text to YAML 1.1 and a number to YAML 1.2")
            case "str" | "timestamp":  # a bare date stays the text it was
                return text
            case "int" | "float":
                raise self._refuse_spelling(path, text, _otherwise(text))
            case "value":
                raise self._refuse_spelling(path, text, "has a meaning of its own in YAML 1.1")
        raise _refusal(
            self.file, node, f"the tag {shown(node.tag)} is not read: a configuration has plain values alone"
        )

    def _refuse_spelling(self, path: Path, text: str, why: str) -> ConfigError:
        named = next((part for part in reversed(path) if isinstance(part, str)), "")
        spelling = "this value" if is_secret_name(named) else text if len(text) <= 40 else f"{text[:40]}..."
        quoted = "it in quotes" if is_secret_name(named) else f'"{spelling}"'
        line, column = self.places[path]
        return ConfigError(
            f"{self.file}:{line}:{column}: {named}: {spelling} {why}".replace(": : ", ": "),
            "",
            f"Write {quoted} for the text, or the number in plain decimal digits.",
        )


def _refusal(file: str, node: Any, why: str) -> ConfigError:
    """Args: node: or an event."""
    line, column = _place_of(node)
    return ConfigError(f"{file}:{line}:{column}: {why}")


def _place_of(node: Any) -> tuple[int, int]:
    """Of a node or an event."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def _otherwise(text: str) -> str:
    """What YAML 1.1 makes of a number that is not in plain decimal digits."""
    if len(text) > 40:
        return "is a number of more digits than can be kept"
    if ":" in text:
        return "is a number in base 60 to YAML 1.1 and text to YAML 1.2 (a duration is written 12m30s)"
    if "_" in text:
        return "is a number to YAML 1.1 and text to YAML 1.2"
    lowered = text.lower().lstrip("+-")
    if lowered.startswith(("0x", "0b")):
        return "is a number of base 16 or 2"
    if lowered.startswith("0") and lowered.isdecimal():
        return "starts with a zero, which makes it octal in YAML 1.1 and decimal in YAML 1.2"
    return "is a number that cannot be kept"
