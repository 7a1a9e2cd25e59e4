"""The ``checks:`` section of ``spillway.yaml``: ``checks.settings`` with our words for what does not fit.

The schema stands in ``checks.settings`` alone, which knows no pydantic; the models are made of its classes here. A
section that is there with nothing in it (``json-safe-logs:``) switches its rule on; one that is absent leaves it off.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, create_model

from checks.settings import Settings, build
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
    """A list of keys, where any member will do."""
    is_keys = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return dict.fromkeys(value, "") if isinstance(value, list) and is_keys else value


#: what a kind of text must be, by its name in ``checks.settings``
_KINDS = {
    "name": AfterValidator(
        text_like(r"\w{1,200}(\.\w{1,200}){0,20}", "a name of the source, such as helper or Class.method")
    ),
    "source file": AfterValidator(_below_source),
    "word": Field(min_length=1),
}


class _Section(BaseModel):
    model_config = SECTION


#: one model for each class of the settings that has keys of its own
SECTIONS: list[type[BaseModel]] = []


def _model(shape: Any) -> type[BaseModel]:
    hints = get_type_hints(shape, include_extras=True)
    made: dict[str, Any] = {}
    for each in fields(shape):
        key = each.metadata.get("key", each.name.replace("_", "-"))
        if key is not None:
            is_required = each.default is MISSING and each.default_factory is MISSING
            made[each.name] = (_field(hints[each.name]), Field(... if is_required else None, alias=key))
    model = create_model(shape.__name__, __base__=_Section, **made)
    SECTIONS.append(model)
    return model


def _field(hint: Any) -> Any:
    """A field's type for pydantic: YAML has lists where the settings have tuples."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _model(hint)
    if origin is Annotated:
        return Annotated[arguments[0], _KINDS[arguments[1]]]
    if origin is tuple:
        return list[_field(arguments[0])]  # type: ignore[misc]
    if origin is Mapping:
        return Annotated[dict[_field(arguments[0]), arguments[1]], BeforeValidator(_keys_alone)]  # type: ignore[misc]
    if origin in (Union, UnionType):
        inner = _field(arguments[0])
        has_own_keys = is_dataclass(arguments[0]) and not any(
            f.is_required() for f in inner.model_fields.values()
        )
        return Annotated[inner | None, BeforeValidator(_empty_is_on)] if has_own_keys else inner | None
    return hint


def _settings(section: BaseModel | None) -> Settings | None:
    return build(Settings, section.model_dump(exclude_unset=True)) if section is not None else None


if TYPE_CHECKING:
    OptionalChecks = Settings | None
else:
    OptionalChecks = Annotated[
        _model(Settings) | None, BeforeValidator(_empty_is_on), AfterValidator(_settings)
    ]
