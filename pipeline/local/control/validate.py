"""Whether a spec is one that Cloud Run accepts.

Theory of operation. Each rule reads the spec (proto JSON, defaults filled in) and yields what is wrong with it, most of
them from a table of what must not be and what is said of it; the first complaint refuses the write with
INVALID_ARGUMENT, before anything is stored. Rules that need to know which
revisions exist are in ``writes.py``. Where the cloud's behaviour is not established the stricter reading is taken: what
passes here should pass there.
Source: comments of google/cloud/run/v2/service.proto, revision_template.proto and k8s.min.proto.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from pipeline.local.control.state import BY_NAME, LATEST, Json, invalid, said, seconds
from pipeline.model import ServiceRef, is_reserved

RESERVED_VARIABLES = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
_ID = re.compile(r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][-a-z0-9_./]{0,62}")
_LABEL_VALUE = re.compile(r"[-a-z0-9_.]{0,63}")
_ANNOTATION_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SECRET = re.compile(r"(projects/[-a-z0-9:.]+/secrets/)?[-A-Za-z0-9_]{1,255}")
_SECRET_VERSION = re.compile(r"[1-9][0-9]{0,17}|[A-Za-z][-A-Za-z0-9_]{0,62}")
_ANNOTATION_BYTES = 256 * 1024
_TAG_AND_SERVICE = 46  # what the host name leaves for both: 63 less "---" and the service's hash

Problems = Iterator[str]


def check_id(field: str, given: str) -> None:
    """Refuse a name of a service or a job that the API would not take. Args: field: of the request, that it is in."""
    if not _ID.fullmatch(given):
        raise invalid(
            f"{field} '{given}': must begin with a letter, hold only lower-case letters, digits and hyphens,"
            " not end with a hyphen, and be shorter than 50 characters.",
        )


def check_spec(ref: ServiceRef, spec: Json) -> None:
    """Refuse a spec, with defaults filled in, that breaks any rule; the first complaint is the message."""
    refuse(problem for rule in _RULES for problem in rule(ref.service, spec))


def refuse(problems: Problems) -> None:
    """With the first of them, if there is one."""
    for problem in problems:
        raise invalid(problem)


def _description(_: str, spec: Json) -> Problems:
    length = len(spec.get("description", ""))
    return said((length > 512, f"description: {length} characters, at most 512."))


def _metadata(_: str, spec: Json) -> Problems:
    for where, holder in (("", spec), ("template.", spec["template"])):
        yield from _labels(f"{where}labels", holder.get("labels", {}))
        yield from _annotations(f"{where}annotations", holder.get("annotations", {}))


def _labels(where: str, labels: Json) -> Problems:
    yield from _reserved(where, labels)
    if len(labels) > 64:
        yield f"{where}: {len(labels)} labels, at most 64."
    yield from (
        f"{where}: '{key}={value}' is not a label: lower-case letters, digits, '-' and '_', at most 63 characters, the"
        " key beginning with a letter."
        for key, value in labels.items()
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value)
    )


def _annotations(where: str, annotations: Json) -> Problems:
    yield from _reserved(where, annotations)
    yield from (
        f"{where}: '{key}' is not an annotation key: an optional DNS prefix and '/', then a name of at most 63 characters."
        for key in annotations
        if not _ANNOTATION_KEY.fullmatch(key)
    )
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    yield from said((size > _ANNOTATION_BYTES, f"{where}: {size} bytes, at most {_ANNOTATION_BYTES}."))


def _reserved(where: str, entries: Json) -> Problems:
    return (
        f"{where}: '{key}' is in a reserved namespace; set the field of the v2 API instead."
        for key in entries
        if is_reserved(key)
    )


def _revision_name(service: str, spec: Json) -> Problems:
    name = spec["template"].get("revision", "")
    return said(
        (
            name and (not name.startswith(f"{service}-") or name == f"{service}-"),
            (
                f"template.revision '{name}': The revision name must be prefixed by the name of the enclosing"
                " Service with a trailing -"
            ),
        ),
        (
            name and not _DNS_LABEL.fullmatch(name),
            f"template.revision '{name}': only lower-case letters, digits and hyphens, at most 63 characters.",
        ),
    )


def _template(_: str, spec: Json) -> Problems:
    template = spec["template"]
    concurrency, timeout_s = template["max_instance_request_concurrency"], seconds(template["timeout"])
    yield from said(
        (
            not 1 <= concurrency <= 1000,
            f"template.max_instance_request_concurrency: {concurrency} is not between 1 and 1000.",
        ),
        (not 0 < timeout_s <= 3600, f"template.timeout: {timeout_s:g} s is not between 1 and 3600."),
    )
    for where, scaling in (("", spec.get("scaling", {})), ("template.", template.get("scaling", {}))):
        low, high = scaling.get("min_instance_count", 0), scaling.get("max_instance_count", 0)
        if low < 0 or high < 0 or (high and low > high):
            yield f"{where}scaling: min_instance_count {low} and max_instance_count {high} do not go together."


def _containers(_: str, spec: Json) -> Problems:
    containers = spec["template"].get("containers", [])
    yield from check_count("template.containers", containers)
    names = [container.get("name", "") for container in containers]
    if len(containers) > 1 and (exposed := sum(bool(each.get("ports")) for each in containers)) != 1:
        yield f"template.containers: Revision template should contain exactly one container with an exposed port, not {exposed}."  # fmt: skip
    if waiting := _waiting_for_ever(containers):
        yield f"template.containers.depends_on: {', '.join(waiting)} wait for each other."
    for index, container in enumerate(containers):
        where = f"template.containers[{index}]"
        yield from check_container(where, container, RESERVED_VARIABLES)
        if twice := [name for name in names[:index] if name and name == names[index]]:
            yield f"{where}.name: '{twice[0]}' is the name of another container."
        strangers = [wanted for wanted in container.get("depends_on", []) if wanted not in names]
        yield from (f"{where}.depends_on: there is no container '{wanted}'." for wanted in strangers)
        if "startup_probe" in container:
            yield from _startup_probe(where, container["startup_probe"])


def _waiting_for_ever(containers: list[Json]) -> list[str]:
    """Names of the containers that start after themselves."""
    waiting = {each.get("name", ""): set(each.get("depends_on", [])) for each in containers}
    while free := [name for name, awaited in waiting.items() if not awaited & waiting.keys()]:
        for name in free:
            del waiting[name]
    return sorted(waiting)


def check_count(where: str, containers: Sequence[Json]) -> Problems:
    """Whether a template has too few or too many."""
    count = len(containers)
    return said((not 1 <= count <= 10, f"{where}: {count} containers, at least one and at most 10."))


def check_container(where: str, container: Json, reserved: Collection[str]) -> Problems:
    """What is wrong with one, of a service or a job. Args: reserved: variables that the system sets."""
    yield from said((not container.get("image"), f"{where}.image: must be set."))
    yield from _variables(where, container.get("env", []), reserved)


def _variables(where: str, env: Sequence[Json], reserved: Collection[str]) -> Problems:
    names = [variable.get("name", "") for variable in env]
    yield from said(
        (len(env) > 1000, f"{where}.env: {len(env)} variables, at most 1000."),
        (not all(names), f"{where}.env: a variable without a name."),
    )
    for variable in env:
        if "value_source" in variable:
            yield from _secret(f"{where}.env '{variable.get('name')}'", variable["value_source"])
    taken = [name for name in names if name in reserved]
    twice = next((name for name, count in Counter(names).items() if count > 1), "")
    yield from said(
        (
            taken,
            (
                f"{where}.env: The following reserved env names were provided: {', '.join(taken)}."
                " These values are automatically set by the system."
            ),
        ),
        (twice, f"{where}.env: {twice} is set more than once."),
    )


def _secret(where: str, source: Json) -> Problems:
    found = source.get("secret_key_ref", {})
    secret, version = found.get("secret", ""), found.get("version", "")
    return said(
        (
            not _SECRET.fullmatch(secret),
            f"{where}: secret '{secret}' is neither a name of letters, digits, '-' and '_' nor projects/P/secrets/NAME.",
        ),
        (
            version and not _SECRET_VERSION.fullmatch(version),
            f"{where}: version '{version}' is neither 'latest' nor a number nor an alias.",
        ),
    )


def _startup_probe(where: str, probe: Json) -> Problems:
    period, timeout = probe.get("period_seconds", 10), probe.get("timeout_seconds", 1)
    total = period * probe.get("failure_threshold", 3)
    at = f"{where}.startup_probe"
    return said(
        (total > 240, f"{at}: failure_threshold * period_seconds is {total} s, at most 240."),
        (timeout > period, f"{at}: timeout_seconds {timeout} is longer than period_seconds {period}."),
    )


def _traffic(service: str, spec: Json) -> Problems:
    for index, target in enumerate(spec["traffic"]):
        yield from _target(f"traffic[{index}]", service, target)
    total = sum(target.get("percent", 0) for target in spec["traffic"])
    tags = Counter(target["tag"] for target in spec["traffic"] if target.get("tag"))
    twice = next((tag for tag, count in tags.items() if count > 1), "")
    yield from said(
        (total != 100, f"traffic: percentages sum to {total}, must be 100."),
        (twice, f"traffic: tag '{twice}' is used more than once."),
    )


def _target(where: str, service: str, target: Json) -> Problems:
    kind, revision, tag = target.get("type_"), target.get("revision", ""), target.get("tag", "")
    percent = target.get("percent", 0)
    return said(
        (kind not in (LATEST, BY_NAME), f"{where}.type: must be {LATEST} or {BY_NAME}."),
        (kind == BY_NAME and not revision, f"{where}.revision: must be set with type {BY_NAME}."),
        (kind == LATEST and revision, f"{where}.revision: must be empty with type {LATEST}."),
        (not 0 <= percent <= 100, f"{where}.percent: {percent} is not between 0 and 100."),
        (
            tag and not _DNS_LABEL.fullmatch(tag),
            f"{where}.tag: '{tag}' is not a DNS label: lower-case letters, digits and hyphens, beginning with a letter.",
        ),
        (
            tag and len(tag) + len(service) > _TAG_AND_SERVICE,
            f"{where}.tag: '{tag}' and the service name together are longer than {_TAG_AND_SERVICE} characters.",
        ),
    )


_RULES = (_description, _metadata, _revision_name, _template, _containers, _traffic)
