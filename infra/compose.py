"""The candidate's template: the stable revision's as it is live, with what is asked.  PURE.

Theory of operation. The provider sends a service whole, and what a program does not declare is cleared. So a candidate
starts from the *base*, the template of the stable revision as Cloud Run reports it, and never from the service's own,
which may be that of a candidate that failed. Then

- what the settings set for the base and do not name any more is taken out (a default takes its place where we have one),
- what they name now is laid over it, and everything else stays as somebody else made it.

Which names the settings set is written on each revision, in one annotation. It says for which revision it was written,
because a revision that is made by hand gets a copy of it. Where nothing is live, or nothing ever served, the base is
what ``NEW`` says.

The revision is named after its content, without what is ours in it (the secret and what the middleware is told, the
annotation): the same content has the same name, and no name stands for two. Asked for again after it was promoted it is the stable revision itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from infra.asked import Asked, asked_of, main_index, ports, startup_probe
from infra.document import Doc, below, covers, items, leaves, overlaid, without
from infra.settings import Settings
from pipeline.errors import ConfigError
from pipeline.model import NONCE_VARIABLE, OWN_VARIABLES, is_reserved

MADE_ANNOTATION = "spillway.revision/made"
#: Rises when other content is made of the same settings and base: the name must change with the content.
_TEMPLATE_VERSION = 2
_HASH_DIGITS = 10  # a service has at most 49 characters, a revision 63
#: What a new service gets where nothing is asked. cpuIdle is Cloud Run's default, which naming limits would switch off.
NEW_TEMPLATE: Doc = {
    "timeout": "3600s",
    "maxInstanceRequestConcurrency": 80,
    "scaling": {"maxInstanceCount": 10},
}
NEW_MAIN: Doc = {
    "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "cpuIdle": True},
    "startupProbe": startup_probe(240),
}
#: Left out of a declaration, these keep what the provider's last state has. So they are cleared in another way.
_KEPT_BY_STATE = re.compile(
    r"(?:containers\[[^\]]*\]\.)?"
    r"(?:timeout|serviceAccount|maxInstanceRequestConcurrency|scaling|ports|resources|startupProbe)\b"
)
_MAIN = "container"  # in a key, the container that serves, whatever its name is or becomes
_THING = re.compile(r".*?\b(?:env|volumes|volumeMounts)\[[^\]]*\]")


class Made(Struct, frozen=True):
    """What a revision says of how it was made.

    Args:
        asked: hash of what was asked.
        keys: names of what the settings set.
    """

    revision: str
    asked: str
    keys: tuple[str, ...]

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()


class Composed(Struct, frozen=True):
    """One revision, named, without the variables that are its own.

    Args:
        template: all of it, our annotation too.
        main: index of the container that serves.
        is_base: it is the stable revision itself: nothing is to be made.
        cleared: paths that are to be cleared and would come back from the provider's state.
    """

    revision: str
    template: Doc
    main: int = 0
    is_base: bool = False
    cleared: tuple[str, ...] = ()

    def with_nonce(self, nonce: str, telemetry: Mapping[str, str] | None = None) -> Doc:
        """The template with the revision's own secret and what the middleware is told, in the container that serves."""
        containers = list(self.template["containers"])
        own = {NONCE_VARIABLE: nonce, **(telemetry or {})}
        env = [
            *containers[self.main].get("env", ()),
            *({"name": name, "value": value} for name, value in own.items()),
        ]
        containers[self.main] = {**containers[self.main], "env": env}
        return {**self.template, "containers": containers}


def made_of(revision: str, template: Doc) -> Made | None:
    """What the annotation says of this very revision; None where it is another's, or says nothing that we know."""
    try:
        made = msgspec.json.decode(template.get("annotations", {})[MADE_ANNOTATION], type=Made)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError, RecursionError):
        return None
    return made if made.revision == revision else None


def compose(settings: Settings, stable: str = "", live: Doc | None = None) -> Composed:
    """The revision that the settings make of this base. Raises ConfigError.

    Args:
        stable: name of the revision that ``live`` is the template of; empty for none.
    """
    digest = _digest(settings.asked)
    made = made_of(stable, live) if live is not None else None
    if live is not None and made is not None and made.asked == digest:
        return Composed(stable, live, is_base=True)
    base = _stripped(live) if live is not None else {"containers": [{}]}
    containers = list(base.get("containers") or [{}])
    index = main_index(containers)
    asked = asked_of(settings.template, containers[index].get("name", ""))
    keys = tuple(dict.fromkeys(_keys(asked, containers, made)))
    gone = [
        key for key in (made.keys if made else ()) if not any(covers(key, k) or covers(k, key) for k in keys)
    ]
    if live is None:
        base, containers = dict(NEW_TEMPLATE), [NEW_MAIN]
    else:
        base, containers, index = _emptied(base, containers, index, gone)
    template = _overlaid(base, containers, index, asked)
    name = f"{settings.service}-{_digest([_TEMPLATE_VERSION, sorted(leaves(template).items())])}"
    notes = {**template.get("annotations", {}), MADE_ANNOTATION: Made(name, digest, keys).encode()}
    cleared = tuple(_cleared(live or {}, template))
    return Composed(name, {**template, "annotations": notes}, index, cleared=cleared)


def unreserved(document: Doc) -> dict[str, Any]:
    """Without annotations and labels that no request may carry."""
    return without(document, reserved(document))


def reserved(document: Doc) -> list[str]:
    """Paths of those annotations and labels."""
    kinds = ("annotations", "labels")
    return [below(kind, key) for kind in kinds for key in document.get(kind, ()) if is_reserved(key)]


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def _stripped(live: Doc) -> dict[str, Any]:
    """What a revision has that is not ours."""
    variables = (
        f"containers[{name}].env[{variable}]"
        for name in items("containers", live.get("containers", ()))
        for variable in OWN_VARIABLES
    )
    return without(unreserved(live), [f"annotations[{MADE_ANNOTATION}]", "revision", *variables])


def _emptied(
    base: Doc, containers: Sequence[Doc], main: int, gone: Sequence[str]
) -> tuple[dict[str, Any], list[Doc], int]:
    """Without what was ours and is asked no more; a default of ours comes back. And where the container is then."""
    names = list(items("containers", containers))
    paths = [key.replace(_MAIN, f"containers[{names[main]}]", 1) if _is_main(key) else key for key in gone]
    rest = without(
        {**base, "containers": containers}, [p for p in paths if not p.endswith((".image", ".name"))]
    )
    kept = list(rest.get("containers", ()))
    of_main = [key.removeprefix(f"{_MAIN}.") for key in gone if _is_main(key)]
    new_main = {**NEW_MAIN, "ports": ports(8080)}  # Cloud Run's own, which it would not fill in again
    index = sum(f"containers[{name}]" not in gone for name in names[:main])
    kept[index] = overlaid(kept[index], _only(new_main, of_main))
    return overlaid(rest, _only(NEW_TEMPLATE, gone)), kept, index


def _is_main(key: str) -> bool:
    return key.startswith(f"{_MAIN}.")


def _only(defaults: Doc, paths: Sequence[str]) -> dict[str, Any]:
    """Of the defaults, what stands at these paths."""
    return without(defaults, [path for path in leaves(defaults) if not any(covers(p, path) for p in paths)])


def _overlaid(base: Doc, containers: list[Doc], main: int, asked: Asked) -> dict[str, Any]:
    made = [
        overlaid(each, asked.main if index == main else asked.others.get(each.get("name", ""), {}))
        for index, each in enumerate(containers)
    ]
    there = {each.get("name", "") for each in made}
    for name, entry in asked.others.items():
        if name not in there and not entry.get("image"):
            raise ConfigError(
                f"container.template.containers: {name} has no image",
                f"The service has {', '.join(filter(None, there)) or 'one container without a name'}.",
                f"Give {name} its image, or name one that is there.",
            )
    made += [overlaid({}, entry) for name, entry in asked.others.items() if name not in there]
    return {**overlaid(base, asked.template), "containers": made}


def _keys(asked: Asked, containers: Sequence[Doc], before: Made | None) -> Iterator[str]:
    """The names of what is set. A container that was not there is ours whole; of others, what is named."""
    yield from _names(asked.template)
    yield from (f"{_MAIN}.{key}" for key in _names(asked.main) if key != "image")
    live = {each.get("name", "") for each in containers}
    for name, entry in asked.others.items():
        path = f"containers[{name}]"
        is_ours = name not in live or (before is not None and path in before.keys)
        yield from [path] if is_ours else (below(path, key) for key in _names(entry) if key != "name")


def _names(asked: Doc) -> Iterator[str]:
    for path, value in leaves(asked, zeros=True).items():
        found = _THING.match(path)
        if value is not None:
            yield found[0] if found else path


def _cleared(live: Doc, template: Doc) -> Iterator[str]:
    """Fields that are gone whole, while what they belonged to is still there."""
    after = leaves(template)
    for path in leaves(live):
        found = _KEPT_BY_STATE.match(path)
        if found and not any(covers(found[0], other) for other in after):
            owner = found[0].rpartition(".")[0]
            if not owner or any(covers(owner, other) for other in after):
                yield found[0]
