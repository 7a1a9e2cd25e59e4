"""YAML to plain values, with the line and column of every key: the only place that parses YAML.

Refused, with file:line:column: duplicate keys, merge keys, tags other than the standard scalars, documents that
expand through aliases or nest beyond reason. (PyYAML itself keeps the last of two equal keys, and a nesting of a few
thousand levels ends it with a RecursionError, which is not a YAMLError.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeline.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 50_000

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed values, and where each of them stands (1-based line and column, by path)."""

    file: str
    value: object
    places: Mapping[Path, tuple[int, int]] = field(default_factory=dict)

    def where(self, path: Path) -> str:
        """``file:line:column`` of the nearest enclosing key that exists."""
        line, column = self._place(path)
        return f"{self.file}:{line}:{column}"

    def line(self, path: Path) -> int:
        """The line of the nearest enclosing key that exists."""
        return self._place(path)[0]

    def _place(self, path: Path) -> tuple[int, int]:
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, (1, 1))


def parse(text: str, file: str) -> Document:
    """Raises ConfigError, naming file:line:column."""
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"{file}:1:1: {len(text):,} characters", f"A configuration holds at most {MAX_BYTES:,}."
        )
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise ConfigError(f"{file}:{place}: not valid YAML", f"{error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}:1:1: not valid YAML", str(error).split("\n", maxsplit=1)[0]) from error
    except RecursionError as error:
        raise ConfigError(f"{file}:1:1: nested too deep", f"At most {MAX_DEPTH} levels are read.") from error
    reader = _Reader(file)
    value = reader.read(node, ()) if node is not None else None
    return Document(file, value, reader.places)


class _Reader:
    """Walks the node graph, counting, so that aliases cannot expand without bound."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.places: dict[Path, tuple[int, int]] = {}
        self._nodes = 0
        self._scalars = yaml.constructor.SafeConstructor()

    def read(self, node: yaml.Node, path: Path) -> object:
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        self._nodes += 1
        if self._nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise self._refuse(node, "too large once its aliases are followed, or nested too deep")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise self._refuse(key_node, "a key must be plain text")
            key = str(key_node.value)
            if key in result:
                first = self.places[(*path, key)][0]
                raise self._refuse(key_node, f"duplicate key {key!r}, first on line {first}")
            self.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            result[key] = self.read(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.Node) -> object:
        make: Callable[[Any], object] | None = {
            "tag:yaml.org,2002:null": self._scalars.construct_yaml_null,
            "tag:yaml.org,2002:bool": self._scalars.construct_yaml_bool,
            "tag:yaml.org,2002:int": self._scalars.construct_yaml_int,
            "tag:yaml.org,2002:float": self._scalars.construct_yaml_float,
            "tag:yaml.org,2002:str": self._scalars.construct_yaml_str,
            # a bare date stays the text it was
            "tag:yaml.org,2002:timestamp": self._scalars.construct_yaml_str,
        }.get(node.tag)
        if make is None:
            raise self._refuse(node, f"the tag {node.tag} is not read")
        try:
            return make(node)
        except (ValueError, yaml.YAMLError) as error:
            raise self._refuse(node, f"{node.value!r} cannot be read") from error

    def _refuse(self, node: yaml.Node, why: str) -> ConfigError:
        place = f"{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        return ConfigError(f"{self.file}:{place}: {why}")
