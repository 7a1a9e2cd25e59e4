"""What is given on the command line, taken as it is given: typer asks pydantic for each word, and loads it for that.

Loading it takes longer than the rest of the command line, and 9 MiB. So text stays text, what has its type already keeps
it, a whole number within its bounds is one, and a path is a path, whatever stands there: who needs the file says what is
wrong with it. Mistakes are left to typer. Where typer works otherwise, nothing is lost but time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from typer.core import TyperCommand, TyperGroup

_WHOLE = re.compile("[0-9]{1,9}")


class _Plain:
    def get_params(self, ctx: Any) -> Any:
        return _plain(super().get_params(ctx))  # type: ignore[misc]


class Command(_Plain, TyperCommand):
    """A command whose words are taken so."""


class Group(_Plain, TyperGroup):
    """A group of commands, likewise."""


def _plain(params: Sequence[Any]) -> Sequence[Any]:
    for param in params:
        kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        slow = getattr(param, "get_runtime_param", None)
        if (
            (isinstance(kind, type) or kind == list[str])
            and slow is not None
            and not isinstance(slow, partial)
        ):
            param.get_runtime_param = partial(_AsGiven, kind, slow)
    return params


class _AsGiven(Struct):
    """Stands for what typer makes for a parameter, and makes that when it is needed."""

    kind: Any
    slow: Callable[[], Any]

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        is_single = not param.multiple and param.nargs == 1
        if is_single and (value is None or isinstance(value, self.kind)):
            return value
        if is_single and isinstance(value, str):
            if self.kind is Path:
                return Path(value)
            if issubclass(self.kind, Enum) and value in {each.value for each in self.kind}:
                return self.kind(value)
            if self.kind is int and _WHOLE.fullmatch(value) and _is_within(int(value), param):
                return int(value)
        if self.kind == list[str] and not isinstance(value, str):
            return list(value or ())
        return self.slow().coerce(value, param=param, ctx=ctx)


def _is_within(number: int, param: Any) -> bool:
    """Whether typer would take it, as far as its option says so."""
    bounds = param.type_descriptor.parameter_info
    least, most = (getattr(bounds, name, None) for name in ("min", "max"))
    return (least is None or number >= least) and (most is None or number <= most)
