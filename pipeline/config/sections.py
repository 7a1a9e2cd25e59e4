"""Values of a document to the classes that declare its keys, with a complaint for everything that does not fit.

The schema is the classes themselves, those of ``checks.settings`` among them. A field's key is its name with hyphens,
unless it is declared with another (``NOT_A_KEY``: with none); the name itself is read too. A field without default must be there,
and a key without field is an error. What ``__post_init__`` raises is a complaint about the section. All complaints are
found at once.

Values are repeated only where they cannot be secret: scalars, cut short, and none below an environment, headers or messages.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, structs
from msgspec.structs import FieldInfo

from pipeline.config.fields import NAMED_KINDS, NOT_A_KEY, Misplaced, Unfit
from pipeline.config.yamltree import Document, Path
from pipeline.errors import ConfigError
from pipeline.secret_names import is_secret_name
from pipeline.units import shown

_UNTOLD = frozenset(
    {"env", "headers", "send", "reply", "when", "body", "expect", "never", "command", "subprotocols"}
)
_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}
_QUOTED = {int: r"[-+]?\d{1,15}", bool: "true|false"}


_Read = TypeVar("_Read", bound=Struct)


class Complaint(NamedTuple):
    """One complaint, with its place and key."""

    is_missing: bool
    text: str


class Key(NamedTuple):
    """One key of a section."""

    name: str
    field: FieldInfo
    hint: Any

    @property
    def is_required(self) -> bool:
        return self.field.required


@cache
def keys_of(shape: Any) -> tuple[Key, ...]:
    hints = get_type_hints(shape, include_extras=True)
    return tuple(
        Key(_key_of(each), each, hints[each.name])
        for each in structs.fields(shape)
        if NOT_A_KEY not in get_args(hints[each.name])
    )


def _key_of(field: FieldInfo) -> str:
    return field.name.replace("_", "-") if field.encode_name == field.name else field.encode_name


def is_section(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def keys_below(hint: Any) -> set[str]:
    """Every key of a section and of those inside it."""
    found = {name for inner in get_args(hint) for name in keys_below(inner)}
    if is_section(hint):
        for key in keys_of(hint):
            found |= {key.name} | keys_below(key.hint)
    return found


def path_text(path: Path) -> str:
    return ".".join(str(part) if len(str(part)) <= 60 else f"{str(part)[:57]}..." for part in path)


class Reader:
    """Reads one document.

    Args:
        known: the section whose keys, its own and those below it, may have been meant by one that is unknown.
    """

    def __init__(self, document: Document, known: type) -> None:
        self._document, self._known = document, known
        self.complaints: list[Complaint] = []

    def read(self, hint: Any, value: Any, path: Path = ()) -> Any:
        """The value as what a field is declared to be; whatever is returned beside a complaint means nothing."""
        origin, inner = get_origin(hint), get_args(hint)
        if is_section(hint):
            return self._section(hint, value, path)
        if origin is Annotated:
            return self._stepped(inner[0], inner[1:], value, path)
        if origin in (Union, UnionType):
            # A section without required keys is there, with its defaults, where its key stands alone.
            is_on = is_section(inner[0]) and not any(key.is_required for key in keys_of(inner[0]))
            value = {} if value is None and is_on else value
            return None if value is None else self.read(inner[0], value, path)
        if origin in (list, tuple):
            rows = enumerate(value) if self._is_a(list, value, path) else ()
            return origin(self.read(inner[0], each, (*path, index)) for index, each in rows)
        if origin in (dict, Mapping):
            return self._mapping(inner, _keys_alone(value) if origin is Mapping else value, path)
        if origin is Literal:
            return self._tried(path, value, _one_of, value, inner)
        self._is_a(hint, value, path)
        return value

    def _stepped(self, hint: Any, steps: Sequence[Any], value: Any, path: Path) -> Any:
        before = len(self.complaints)
        value = self.read(hint, value, path)
        for step in steps:
            if len(self.complaints) == before:
                value = self._tried(path, value, NAMED_KINDS.get(step, step), value)
        return value

    def _mapping(self, inner: tuple[Any, ...], value: Any, path: Path) -> dict[str, Any]:
        made = {}
        for key, each in value.items() if self._is_a(dict, value, path) else ():
            self.read(inner[0], key, (*path, key))
            made[key] = self.read(inner[1], each, (*path, key))
        return made

    def _section(self, shape: Any, value: Any, path: Path) -> Any:
        short = getattr(shape, "SHORT", "")
        if short and isinstance(value, str):  # a section may stand as one of its keys' values alone
            value = {short: value}
        if not self._is_a(dict, value, path):
            return None
        before, rest = len(self.complaints), dict(value)
        given: dict[str, Any] = {}
        for key in keys_of(shape):
            name = key.name if key.name in rest else key.field.name
            if name in rest:
                given[key.field.name] = self._field(shape, key, rest.pop(name), (*path, name), given)
            elif key.is_required:
                self._complain(
                    (*path, key.name), f"missing key {path_text((*path, key.name))}", is_missing=True
                )
        for name in rest:
            hint = near(name, keys_below(self._known))
            self._complain((*path, name), f"unknown key {path_text((*path, name))}{hint}")
        is_sound = len(self.complaints) == before
        return self._tried(path, value, partial(shape, **given)) if is_sound else None

    def _field(self, shape: Any, key: Key, value: Any, path: Path, beside: Mapping[str, Any]) -> Any:
        """A field; its section may have a check of it beside those that came before it."""
        before = len(self.complaints)
        made, check = self.read(key.hint, value, path), getattr(shape, "CHECKS", {}).get(key.field.name)
        if check and len(self.complaints) == before:
            self._tried(path, made, check, made, key.field.name, beside)
        return made

    def _is_a(self, kind: Any, value: Any, path: Path) -> bool:
        """Whether it is of a plain type; no number is a text, and no switch a number."""
        if kind not in _WORDS or type(value) is kind:
            return True
        hint = ""
        if kind is str and isinstance(value, int | float):
            hint = ": write it in quotes"
        elif isinstance(value, str) and re.fullmatch(_QUOTED.get(kind, "(?!)"), value):
            hint = ": write it without quotes"
        self._complain(path, f"{path_text(path)}: must be {_WORDS[kind]}{self._got(value, path)}{hint}")
        return False

    def _tried(self, path: Path, value: Any, make: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return make(*arguments)
        except ValueError as error:
            said = f"{error}{self._got(value, path)}{error.hint}" if isinstance(error, Unfit) else str(error)
            path = (*path, *error.below) if isinstance(error, Misplaced) else path
            self._complain(path, f"{path_text(path)}: {said}" if path else said)
        return None

    def _complain(self, path: Path, text: str, *, is_missing: bool = False) -> None:
        self.complaints.append(Complaint(is_missing, f"{self._document.where(path)}: {text}"))

    def _got(self, value: Any, path: Path) -> str:
        is_scalar = value is not None and not isinstance(value, bool | list | dict)
        if is_scalar and any(p in _UNTOLD or (isinstance(p, str) and is_secret_name(p)) for p in path):
            return ""
        spelt = self._document.words.get(path)
        return f", got {spelt}, which YAML reads as {shown(value)}" if spelt else f", got {shown(value)}"


def read(shape: type[_Read], value: Any, document: Document, known: type | None = None) -> _Read:
    """The value as this section. Raises ConfigError. Args: known: as of ``Reader``; the section itself without it."""
    reader = Reader(document, known or shape)
    made: _Read = reader.read(shape, value)
    if reader.complaints:
        raise refusal(reader.complaints)
    return made


def _keys_alone(value: Any) -> Any:
    """A list of keys, where any member will do."""
    is_keys = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return dict.fromkeys(value, "") if is_keys else value


def _one_of(value: Any, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        *others, last = choices
        raise Unfit(f"must be {', '.join(others)} or {last}")
    return value


def near(word: str, known: set[str]) -> str:
    """ ", did you mean ...?", or nothing."""
    plain = word[:60].lower().replace("_", "-")
    found = [plain] if plain in known else difflib.get_close_matches(plain, sorted(known), n=1)
    return f", did you mean {found[0]}?" if found and found[0] != word else ""


def refusal(complaints: Sequence[Complaint]) -> ConfigError:
    """The first complaint in full, and the number of further ones: a misspelt key before the key that it leaves missing."""
    lines = [each.text for each in sorted(complaints, key=lambda each: each.is_missing)]
    what, why, fix = [*lines[0].split("\n"), "", ""][:3]
    more = "\n".join(line.split("\n")[0] for line in lines[1:6])
    return ConfigError(what, more or why, f"and {len(lines) - 6} more" if len(lines) > 6 else fix)
