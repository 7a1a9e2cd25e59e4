"""A service or a revision's template as a document: proto JSON (camelCase, enums by name), merged and compared.  PURE.

Theory of operation. Between the layers a template is a dict, so that a field that this program knows nothing of goes
through it. What has to be known is written here: which lists are sets of named things (containers, variables, volumes,
mounts), and which fields exclude each other, so that naming one takes the others away.

A *path* says where something is: ``containers[app].env[TOKEN].value``. A named thing is found by its name, one without
a name by its number.

Source: comments of google/cloud/run/v2/k8s.min.proto, vendor_settings.proto and revision_template.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

Doc = Mapping[str, Any]

#: Lists that are sets: each thing in them has a name of its own.
NAMED = frozenset({"containers", "env", "volumes", "volumeMounts"})
#: Fields whose keys are somebody's own words. A label that is called ``env`` or ``value`` is no field of that name.
MAPS = frozenset({"labels", "annotations", "limits", "environmentVariables"})
#: Of each of these a message has one.
ONE_OF = (
    ("value", "valueSource"),
    ("httpGet", "tcpSocket", "grpc"),
    ("secret", "cloudSqlInstance", "emptyDir", "nfs", "gcs"),
    ("useDefault", "policy"),
    ("connector", "networkInterfaces"),
)
#: Zero (or false) says something in these alone; everywhere else the API means "not set" by it.
ZERO_COUNTS = frozenset({"gpuZonalRedundancyDisabled", "manualInstanceCount"})


class Change(Struct, frozen=True):
    """One field that differs. None is "not there"."""

    path: str
    before: Any
    after: Any


def items(field: str, listed: Sequence[Any], beside: Sequence[Any] = ()) -> dict[str, Any]:
    """The things of a named list by what identifies them; mounts of one volume at several places by place too.

    Args:
        beside: a list that this one is matched with.
    """
    names = [str(item.get("name") or index) for index, item in enumerate(listed)]
    if field == "volumeMounts" and any(
        len({m.get("name") for m in each}) < len(each) for each in (listed, beside)
    ):
        names = [f"{name}:{mount.get('mountPath', '')}" for name, mount in zip(names, listed, strict=True)]
    return dict(zip(names, listed, strict=True))


def leaves(document: Doc, *, zeros: bool = False) -> dict[str, Any]:
    """Every field that is set, by its path. A message that is empty is set too: ``emptyDir: {}``.

    Args:
        zeros: fields that are zero as well.
    """
    return dict(_leaves(document, "", zeros=zeros)) if document else {}


def _leaves(value: Any, at: str, *, zeros: bool) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield at, value
        return
    for key, each in value.items():
        path = below(at, key)
        if key in MAPS and isinstance(each, Mapping) and each:
            yield from ((below(path, word), said) for word, said in each.items())
        elif key in NAMED and isinstance(each, Sequence):
            for name, item in items(key, each).items():
                yield from _leaves(item, f"{path}[{name}]", zeros=zeros)
        elif zeros or each or key in ZERO_COUNTS or isinstance(each, Mapping):
            yield from _leaves(each, path, zeros=zeros)


def below(at: str, key: str) -> str:
    """The path of a field. A key of a map that has dots or slashes in it stands in brackets."""
    if not key.isidentifier():
        return f"{at}[{key}]"
    return f"{at}.{key}" if at else key


def differences(before: Doc, after: Doc) -> tuple[Change, ...]:
    """Field by field, in the order of ``before``; what is only in ``after`` comes last."""
    old, new = leaves(before), leaves(after)
    paths = dict.fromkeys((*old, *new))
    return tuple(Change(p, old.get(p), new.get(p)) for p in paths if old.get(p) != new.get(p))


def covers(path: str, other: str) -> bool:
    """Whether ``other`` is this field or something in it."""
    return other == path or (other.startswith(path) and other[len(path)] in ".[")


def overlaid(base: Doc, asked: Doc, *, clears: bool = True) -> dict[str, Any]:
    """``base`` with what is asked: field by field, things of a named list by their names, other lists whole.

    None clears a field. Where one of several is asked, the others go.

    Args:
        clears: off where both are askings: then None is kept, for whatever they will be laid over.
    """
    made = dict(base)
    for key, value in asked.items():
        for others in ONE_OF:
            if key in others and value is not None:
                made = {k: v for k, v in made.items() if k == key or k not in others}
        if value is not None:
            made[key] = _laid(key, made.get(key), value, clears=clears)
        elif clears:
            made.pop(key, None)
        else:
            made[key] = None
    return made


def _laid(key: str, before: Any, asked: Any, *, clears: bool) -> Any:
    if key in MAPS and isinstance(asked, Mapping):
        laid = {**(before or {}), **asked}
        return {word: said for word, said in laid.items() if said is not None or not clears}
    if key in NAMED and isinstance(asked, Sequence):
        found, wanted = items(key, before or (), asked), items(key, asked, before or ())
        return [
            *(
                overlaid(item, wanted[name], clears=clears) if name in wanted else item
                for name, item in found.items()
            ),
            *(overlaid({}, item, clears=clears) for name, item in wanted.items() if name not in found),
        ]
    if isinstance(asked, Mapping):
        return overlaid(before if isinstance(before, Mapping) else {}, asked, clears=clears)
    return asked


def without(document: Doc, paths: Sequence[str]) -> dict[str, Any]:
    """The document without these fields or things, and without what is empty after that."""
    return _without(document, "", paths) if paths else dict(document)


def _without(value: Doc, at: str, paths: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, each in value.items():
        path = below(at, key)
        if any(covers(gone, path) for gone in paths):
            continue
        if not any(covers(path, gone) for gone in paths):
            made[key] = each
        elif key in NAMED:
            kept = [
                _without(item, f"{path}[{name}]", paths)
                for name, item in items(key, each).items()
                if not any(covers(gone, f"{path}[{name}]") for gone in paths)
            ]
            made |= {key: kept} if kept else {}
        elif isinstance(each, Mapping):
            rest = _without(each, path, paths)
            made |= {key: rest} if rest else {}
        else:
            made[key] = each
    return made
