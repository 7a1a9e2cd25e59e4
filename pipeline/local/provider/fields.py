"""What the real ``gcp.cloudrunv2.Service`` sends, field by field, spelled as Pulumi does.  PURE.

Theory of operation. Every write is the whole service, without a mask and without an etag, so what it leaves out is
cleared. It is made of the last state and of what the program declares. What the program does *not* declare is

    kept       as in the last state, however old that is: the fields of ``KEPT`` (the provider's "optional, computed")
    merged     labels and annotations: the state's foreign keys stay, keys that were declared and are not any more go
    cleared    everything else ("optional"), at any depth
    never sent what the server alone computes

Items of a list are matched by index, so a ``percent`` that is left out is that of the line which stood there. A zero
(false, 0, an empty string or list) is left out. What differs between that write and the state is the difference that
Pulumi shows; a field which somebody else sets again and again and the program never names differs for ever.
Source: the provider's own; the table is J1 of the facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

#: The provider's own: they say where and how, and are not part of the service.
PLACE = ("project", "location", "name")
PROVIDER_ONLY = frozenset({*PLACE, "deletionProtection", "deletionPolicy"})
#: Kind -> where the state has all keys of that kind, foreign ones included.
MERGED = {"labels": "effectiveLabels", "annotations": "effectiveAnnotations"}
INPUTS = frozenset({
    *MERGED, "binaryAuthorization", "buildConfig", "client", "clientVersion", "customAudiences",
    "defaultUriDisabled", "description", "iapEnabled", "ingress", "invokerIamDisabled", "launchStage",
    "multiRegionSettings", "scaling", "template", "traffics",
})  # fmt: skip
_PROBES = tuple(f"template.containers.{kind}Probe" for kind in ("startup", "liveness", "readiness"))
KEPT = frozenset({
    "ingress", "launchStage", "scaling", "scaling.manualInstanceCount", "scaling.maxInstanceCount",
    "scaling.minInstanceCount", "scaling.scalingMode", "traffics", "traffics.percent", "template.timeout",
    "template.serviceAccount", "template.maxInstanceRequestConcurrency", "template.scaling",
    "template.scaling.maxInstanceCount", "template.containers.ports", "template.containers.ports.name",
    "template.containers.resources", "template.containers.resources.limits", "template.containers.startupProbe",
    *(f"{probe}.{how}.port" for probe in _PROBES for how in ("httpGet", "tcpSocket", "grpc")),
})  # fmt: skip
#: Sent when the block is declared and the field is not.
DEFAULTS: Json = {
    f"{probe}.{field}": value
    for probe in _PROBES
    for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("failureThreshold", 3))
}
#: Below ``INPUTS``: computed by the server, or of the API alone, so that the provider neither sees nor sends it.
_UNSEEN = frozenset({
    "buildConfig.name", "template.containers.buildInfo", "template.encryptionKeyRevocationAction",
    "template.encryptionKeyShutdownDuration", "template.containers.readinessProbe.initialDelaySeconds",
    "template.containers.readinessProbe.tcpSocket", "template.containers.readinessProbe.httpGet.httpHeaders",
})  # fmt: skip
#: Keys in them are data.
MAPS = frozenset({"labels", "annotations", "limits"})
_MARK = {"goog-pulumi-provisioned": "true"}  # at creation


def sent(state: Json, declared: Json) -> dict[str, Any]:
    """The whole service as the provider writes it.

    Args:
        state: of the last operation, in the form of ``kept``; empty for a service to be created.
    """
    whole = _filled("", _inputs(state), {key: declared[key] for key in INPUTS & declared.keys()})
    for kind, effective in MERGED.items():
        foreign = {k: v for k, v in state.get(effective, {}).items() if k not in state.get(kind, {})}
        whole[kind] = {**foreign, **(declared.get(kind) or {})}
    if not state:
        whole["labels"] |= _MARK
    return _without_zeros("", whole)


def difference(state: Json, declared: Json) -> tuple[str, ...]:
    """Paths (``template.containers[0].image``) at which an update would change the state; empty for none."""
    now = {**_inputs(state), **{kind: state.get(effective, {}) for kind, effective in MERGED.items()}}
    key = "deletionProtection"
    is_protected_otherwise = key in state and key in declared and state[key] != declared[key]
    differing = _differing("", _without_zeros("", now), sent(state, declared))
    return (*differing, key) if is_protected_otherwise else tuple(differing)


def kept(found: Json, last: Json) -> dict[str, Any]:
    """The state to keep of a service as it was found.

    Args:
        last: the state before, or what was just declared: which labels and annotations are the program's.
    """
    state = {**found, **{key: last[key] for key in PROVIDER_ONLY & last.keys()}}
    for kind, effective in MERGED.items():
        state[effective] = dict(found.get(kind, {}))
        state[kind] = {k: v for k, v in state[effective].items() if k in (last.get(kind) or {})}
    return state


def refreshed(inputs: Json, state: Json) -> dict[str, Any]:
    """The program's inputs as they are live: what it declares, with the state's values. Without inputs, all there is."""
    if not inputs:
        return {key: state[key] for key in sorted((INPUTS | PROVIDER_ONLY) & state.keys()) if state[key]}
    return {key: value if key in PROVIDER_ONLY else _as_live(value, state.get(key)) for key, value in inputs.items()
            if key in PROVIDER_ONLY or key in state}  # fmt: skip


def _inputs(state: Json) -> dict[str, Any]:
    return {key: state[key] for key in INPUTS & state.keys()}


def _filled(path: str, old: Any, new: Any) -> Any:
    """What is declared, with what is kept of the old where nothing is declared."""
    if isinstance(new, list):
        there = dict(enumerate(old)) if isinstance(old, list) else {}
        return [_filled(path, there.get(index), item) for index, item in enumerate(new)]
    if not isinstance(new, Mapping) or _leaf(path) in MAPS:
        return new
    before = old if isinstance(old, Mapping) else {}
    whole = {}
    defaults = {_leaf(each) for each in DEFAULTS if path and each.rpartition(".")[0] == path}
    for key in sorted({*before, *new, *defaults}):
        inner = f"{path}.{key}" if path else key
        if new.get(key) is not None:
            whole[key] = _filled(inner, before.get(key), new[key])
        elif inner in DEFAULTS:
            whole[key] = DEFAULTS[inner]
        elif inner in KEPT and key in before:
            whole[key] = before[key]
    return whole


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]


def _without_zeros(path: str, value: Any) -> Any:
    """Objects may be empty, which says something (``tcpSocket: {}``); maps, lists and plain values may not."""
    if isinstance(value, list):
        return [_without_zeros(path, item) for item in value]
    if not isinstance(value, Mapping) or _leaf(path) in MAPS:
        return value
    kept_values = {}
    for key, item in value.items():
        inner = f"{path}.{key}" if path else key
        made = _without_zeros(inner, item)
        is_object = isinstance(made, Mapping) and key not in MAPS
        if inner not in _UNSEEN and (made or is_object):
            kept_values[key] = made
    return kept_values


def _differing(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differing(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differing(f"{path}[{index}]", before, after)
    elif old != new:
        yield path


def _as_live(declared: Any, live: Any) -> Any:
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        return {key: _as_live(value, live[key]) for key, value in declared.items() if key in live}
    if isinstance(declared, list) and isinstance(live, list) and len(declared) == len(live):
        return [_as_live(item, found) for item, found in zip(declared, live, strict=True)]
    return live
