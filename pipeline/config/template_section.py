"""``container: template:`` and ``container: service:``: Cloud Run's own messages, held to the client package's descriptors.

A key is the API's own name for a field, in its JSON (``volumeMounts``) or in snake_case (``volume_mounts``), an enum's
value its name, a duration a text with its unit, and null clears a field. Every complaint has its file:line:column.
The client package is imported when one of the two keys is there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config.sections import path_text
from pipeline.config.yamltree import Document
from pipeline.errors import ConfigError
from pipeline.model import OUTPUT_ONLY, OWN_VARIABLES, is_reserved
from pipeline.units import parse_duration, shown

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

TEMPLATE: Path = ("container", "template")
SERVICE: Path = ("container", "service")
#: Of a template, and of a service: not the file's to say, and why.
NOT_OF_THE_FILE = {
    TEMPLATE: {"revision": "the revision is named after its content"},
    SERVICE: {
        "template": "it stands beside service:, under container:",
        "traffic": "the rollout moves it",
        **dict.fromkeys(("client", "client_version"), "Cloud Run's tools write it"),
    },
}
#: Short key: the field that it stands for, of the template or (``container.``) of the container that serves.
_SHORT = {
    "timeout": "timeout", "concurrency": "maxInstanceRequestConcurrency", "service-account": "serviceAccount",
    "min-instances": "scaling.minInstanceCount", "max-instances": "scaling.maxInstanceCount",
    "port": "container.ports", "cpu": "container.resources.limits.cpu", "memory": "container.resources.limits.memory",
    "startup": "container.startupProbe",
}  # fmt: skip
_RESERVED = """Cloud Run keeps this namespace to itself and refuses such keys
What they said in v1 is a field of its own in v2.
Name that field in place of the key."""
#: Lists whose things have names of their own, and what one is called.
_NAMED = {"containers": "container", "volumes": "volume", "env": "variable", "volumeMounts": "mount"}
_LEAVE_OUT = ": leave one of them out"
_BALANCED = "Name a load balancer's under probes.address (docs/reaching.md), or leave it out."
_INSIDE = "Hold the probes inside the network, or name a load balancer's addresses (docs/reaching.md); or leave it out."
_KINDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def check(document: Document, container: Any, *, is_reached: bool = False, is_inside: bool = False) -> None:
    """Raises ConfigError: the first complaint in full.

    Args:
        container: the section as it was validated.
        is_reached: probes go by other addresses than the tags'.
        is_inside: probes are held inside the network.
    """
    for path, value in ((TEMPLATE, container.template), (SERVICE, container.service)):
        if value:
            for where, problem in _problems(path, value, document, (is_reached, is_inside)):
                more = problem.split("\n")
                raise ConfigError(f"{document.where(where)}: {path_text(where)}: {more[0]}", *more[1:3])


def cleared(document: Document) -> tuple[str, ...]:
    """The short keys that are null: what they stand for is to be cleared, as where ``template:`` says null."""
    section = document.keys.get("container") or {}
    null = {key.replace("_", "-") for key, value in section.items() if value is None}
    return tuple(short.replace("-", "_") for short in _SHORT if short in null)


def as_document(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """What the section asks, in the API's JSON. Args: path: ``TEMPLATE`` or ``SERVICE``; value: checked."""
    return _Reading(path).message(descriptor_of(path), value, path) if value else {}


def descriptor_of(path: Path) -> Any:
    from pipeline.rpc.run import run_v2

    kind: Any = run_v2.RevisionTemplate if path == TEMPLATE else run_v2.Service
    return kind.pb(kind()).DESCRIPTOR


def _problems(
    path: Path, value: Mapping[str, Any], document: Document, reached: tuple[bool, bool]
) -> Iterator[Problem]:
    reading = _Reading(path)
    made = reading.message(descriptor_of(path), value, path)
    yield from reading.problems
    yield from _reserved(made, path)
    if path == SERVICE:
        yield from _unreachable(made, path, *reached)
    else:
        yield from _of_containers(made, path)
        yield from _said_twice(made, document.keys.get("container") or {}, path)


class _Reading:
    """One walk along a message's fields, with what is wrong on the way."""

    def __init__(self, path: Path) -> None:
        self.problems: list[Problem] = []
        self._refused = NOT_OF_THE_FILE[path]
        self._top = path

    def message(self, descriptor: Any, value: Any, path: Path) -> Any:
        """The value in the API's JSON, as far as it is sound."""
        if not isinstance(value, Mapping):
            self._wrong(path, "a mapping", value)
            return {}
        known = {word: field for field in descriptor.fields for word in words(field)}
        made: dict[str, Any] = {}
        for key, each in value.items():
            field = known.get(key)
            if field is None or (path == SERVICE and field.json_name in OUTPUT_ONLY):
                self.problems.append(((*path, key), _unknown(key, descriptor, is_known=field is not None)))
            elif path == self._top and (why := self._refused.get(field.name)):
                self.problems.append(((*path, key), f"not for the file: {why}"))
            elif field.json_name in made:
                self.problems.append(((*path, key), f"this field stands here twice{_LEAVE_OUT}"))
            else:
                self._one_of(field.json_name, each, made, (*path, key))
                made[field.json_name] = None if each is None else self._field(field, each, (*path, key))
        return made

    def _one_of(self, name: str, value: Any, beside: Mapping[str, Any], path: Path) -> None:
        """Fields that exclude each other: laid over a template, the last one would silently win."""
        from infra.document import ONE_OF

        others = [o for group in ONE_OF if name in group for o in group if beside.get(o) is not None]
        if others and value is not None:
            self.problems.append((path, f"excludes {others[0]}, which stands beside it{_LEAVE_OUT}"))

    def _field(self, field: Any, value: Any, path: Path) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return self._map(value, path)
        if not field.is_repeated:
            return self._one(field, value, path)
        if isinstance(value, list):
            made = [self._one(field, each, (*path, index)) for index, each in enumerate(value)]
            if kind := _NAMED.get(field.json_name):
                self.problems += _namesakes(kind, made, path)
            return made
        self._wrong(path, "a list", value)
        return []

    def _one(self, field: Any, value: Any, path: Path) -> Any:
        if field.enum_type is not None:
            return self._enum(field.enum_type, value, path)
        if field.message_type is None:
            return self._scalar(field, value, path)
        if field.message_type.full_name == "google.protobuf.Duration":
            return self._duration(value, path)
        return self.message(field.message_type, value, path)

    def _scalar(self, field: Any, value: Any, path: Path) -> Any:
        wanted = type_of(field)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            self._wrong(path, _KINDS.get(wanted, "another value"), value)
        elif isinstance(value, int) and wanted is int and not 0 <= value <= most(field):
            self._wrong(path, f"at least 0 and at most {most(field)}", value)
        return str(value) if field.cpp_type == field.CPPTYPE_INT64 else value

    def _enum(self, kind: Any, value: Any, path: Path) -> Any:
        names = [each.name for each in kind.values if each.number]
        if value not in names:
            self.problems.append((path, f"must be one of {', '.join(names)}{_near(str(value), names)}"))
        return value

    def _duration(self, value: Any, path: Path) -> Any:
        try:
            seconds = f"{parse_duration(value).total_seconds():.6f}"
        except ValueError as error:
            self.problems.append((path, str(error)))
            return value
        # As proto JSON has it, so that it equals what is live: no digits after the point, three or six.
        return f"{seconds.removesuffix('000').removesuffix('.000')}s"

    def _map(self, value: Any, path: Path) -> Any:
        if not isinstance(value, Mapping):
            self._wrong(path, "a mapping", value)
            return {}
        for key, each in value.items():
            if each is not None and not isinstance(each, str):
                self._wrong((*path, key), "text", each)
        return dict(value)

    def _wrong(self, path: Path, wanted: str, value: Any) -> None:
        is_secret = "env" in path or "httpHeaders" in path or "http_headers" in path
        got = "" if is_secret else f", got {shown(value)}"
        quoted = ": write it in quotes" if wanted == "text" and isinstance(value, int | float) else ""
        self.problems.append((path, f"must be {wanted}{got}{quoted}"))


def type_of(field: Any) -> type:
    kinds = {
        field.CPPTYPE_STRING: str,
        field.CPPTYPE_BOOL: bool,
        field.CPPTYPE_DOUBLE: float,
        field.CPPTYPE_FLOAT: float,
    }
    return kinds.get(field.cpp_type, int)


def most(field: Any) -> int:
    return 2**63 - 1 if field.cpp_type == field.CPPTYPE_INT64 else 2**31 - 1


def words(field: Any) -> tuple[str, str]:
    """How a field may be written."""
    return field.name.rstrip("_"), field.json_name


def _unknown(key: str, descriptor: Any, *, is_known: bool) -> str:
    if is_known:
        return "Cloud Run says this of a service, and takes it from nobody"
    names = [field.name.rstrip("_") for field in descriptor.fields]
    return f"no field of Cloud Run's {descriptor.name}{_near(key, [*names, *(f.json_name for f in descriptor.fields)])}"


def _near(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word[:80], known, n=1) or difflib.get_close_matches(
        word[:80].replace("-", "_"), known, n=1
    )
    return f", did you mean {found[0]}?" if found else ""


def _reserved(made: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    from infra.deployment import OWN_ANNOTATIONS

    for kind in ("annotations", "labels"):
        for key in made.get(kind) or ():
            if is_reserved(key):
                yield (*path, kind, key), _RESERVED
            if key in OWN_ANNOTATIONS:
                yield (*path, kind, key), "Spillway's own: it is written by the rollout"


def _unreachable(made: Mapping[str, Any], path: Path, is_reached: bool, is_inside: bool) -> Iterator[Problem]:
    """With these, tag addresses answer 404, and no candidate can be probed there at 0 %."""
    ingress = made.get("ingress")
    if ingress == "INGRESS_TRAFFIC_NONE":
        yield (*path, "ingress"), f"{ingress} cannot be rolled out to: nobody reaches the service"
    if is_reached:
        return
    why = "Tag addresses then answer 404, so the candidate cannot be probed at 0%.\n"
    if ingress not in (None, "INGRESS_TRAFFIC_ALL") and not is_inside:
        yield (
            (*path, "ingress"),
            f"{ingress} cannot be rolled out to without probes.from: job, or probes.address\n{why}{_INSIDE}",
        )
    if made.get("defaultUriDisabled"):
        yield (
            (*path, "default_uri_disabled"),
            f"the default address must stay enabled without probes.address\n{why}{_BALANCED}",
        )


def _namesakes(kind: str, made: list[Any], path: Path) -> Iterator[Problem]:
    """Things of a list are told apart by name: of two with one name, the last would silently win."""
    seen = set()
    for index, each in enumerate(made):
        name = each.get("name") or ""
        identity = repr((name, each.get("mountPath")))  # one volume may be mounted at several places
        if not name and kind != "container":
            yield (*path, index), f"a {kind} needs a name"
        elif identity in seen:
            yield (*path, index), f"{name or f'a {kind} without a name'} stands here twice{_LEAVE_OUT}"
        seen.add(identity)


def _of_containers(made: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for index, entry in enumerate(made.get("containers") or ()):
        at: Path = (*path, "containers", index)
        if not entry.get("name") and entry.get("image"):
            yield (*at, "image"), "the container that serves has the image of --image; others need a name"
        for number, variable in enumerate(entry.get("env") or ()):
            if (name := variable.get("name")) in OWN_VARIABLES:
                yield (*at, "env", number), f"{name} is Spillway's own"


def _said_twice(made: Mapping[str, Any], section: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """A short key, and the same field in the API's words."""
    said = {key.replace("_", "-") for key in section}
    for short, field in _SHORT.items():
        for at, holder in _holders(made, path, field):
            if short in said and _has(holder, field.removeprefix("container.").split(".")):
                yield (
                    at,
                    f"container.{short} says {field.removeprefix('container.')} already: leave one of them out",
                )
    names = section.get("env") or {}
    for at, holder in _holders(made, path, "container.env"):
        for variable in holder.get("env") or ():
            if variable.get("name") in names:
                yield at, f"container.env says {variable['name']} already: leave one of them out"


def _holders(made: Mapping[str, Any], path: Path, field: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """What may say the field again: the template, or the entry of the container that serves."""
    if not field.startswith("container."):
        yield (*path, field.split(".", maxsplit=1)[0]), made
        return
    for index, entry in enumerate(made.get("containers") or ()):
        if "image" not in entry:
            yield (*path, "containers", index), entry


def _has(holder: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(holder, Mapping) or holder.get(key) is None:
            return False
        holder = holder[key]
    return True
