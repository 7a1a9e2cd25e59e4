"""The ``checks:`` section of ``spillway.yaml``, as it stands in the file; ``checking.py`` makes settings of it.

A section that is there with nothing in it (``json-safe-logs:``) switches its rule on; one that is absent leaves it off.
"""

from __future__ import annotations

import posixpath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from pipeline.config.fields import text_like
from pipeline.config.section import SECTION
from pipeline.units import shown


def _below_source(path: str) -> str:
    """The path made plain. Raises ValueError where it leads out of the source folder."""
    plain = posixpath.normpath(path)
    if "\0" in path or not path or plain == "." or plain.startswith(("/", "../")) or plain == "..":
        raise ValueError(
            f"{shown(path)} is not a file below the source folder: write for example app/core/utils.py"
        )
    return plain


def _empty_is_on(value: object) -> object:
    return {} if value is None else value


def _keys_alone(value: object) -> object:
    return (
        dict.fromkeys(value, "")
        if isinstance(value, list) and all(isinstance(v, str) for v in value)
        else value
    )


SourceFile = Annotated[str, AfterValidator(_below_source)]
Symbol = Annotated[
    str,
    AfterValidator(
        text_like(r"\w{1,200}(\.\w{1,200}){0,20}", "a name of the source, such as helper or Class.method")
    ),
]
Word = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = SECTION


class SymbolConfig(_Section):
    """One helper that must be defined once, in its home."""

    symbol: Symbol
    home: SourceFile
    reexporters: list[SourceFile] = []


class EventMapConfig(_Section):
    """One map of message types. ``requires``: keys and their members; a list of keys where any member will do."""

    name: Annotated[Symbol, Field(alias="map")]
    home: Annotated[SourceFile, Field(alias="in")]
    requires: Annotated[dict[Word, str], BeforeValidator(_keys_alone)] = {}


class JsonSafeLogsConfig(_Section):
    """How values reach logs here; see ``checks.settings.JsonSafeLogs``."""

    safe: list[Word] = []
    loggers: list[Word] = []
    attributes: list[Word] = []
    trusted: list[Literal["extra", "structlog", "loguru"]] = []


class AdditiveConfig(_Section):
    """``base`` is a git ref, or a folder relative to the file."""

    base: Word


class SocketConfigConfig(_Section):
    """What socket-config cannot know from the rest of the file."""

    entry_point: SourceFile | None = None


class ChecksConfig(_Section):
    single_source: list[SymbolConfig] = []
    event_map: list[EventMapConfig] = []
    json_safe_logs: Annotated[JsonSafeLogsConfig | None, BeforeValidator(_empty_is_on)] = None
    additive: AdditiveConfig | None = None
    socket_config: Annotated[SocketConfigConfig, BeforeValidator(_empty_is_on)] = SocketConfigConfig()
    exclude: list[Word] = []
    baseline: str = ""


SECTIONS = (
    ChecksConfig,
    SymbolConfig,
    EventMapConfig,
    JsonSafeLogsConfig,
    AdditiveConfig,
    SocketConfigConfig,
)
OptionalChecks = Annotated[ChecksConfig | None, BeforeValidator(_empty_is_on)]
