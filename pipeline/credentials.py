"""Which values of a configuration are secret, so that the sink knows them before anything is printed.  PURE.

Theory of operation. Hiding too little gives a secret away; hiding ``production`` or ``8080`` wherever they occur makes output
useless. So:

- what a *name* calls secret (``token``, ``Authorization``, ``apiKey`` ...; ``secret_names.py``) is learnt, and so
  is all that stands below such a key, unless it is an everyday word (``true``, ``none``, ``bearer`` ...);
- what goes by ``session``, ``sid`` or ``key`` is learnt when it has both letters and digits;
- any other value is learnt when it *looks random*: twenty or more letters and digits in one run that change between
  capitals, small letters and digits as no word, version, path or date does. Image digests, commits and UUIDs do too,
  and everybody may see them: they are left out by their shape, or by a name such as ``GIT_COMMIT``;
- ``${env:NAME}`` makes the variable's value secret, whatever it is, and ``${file:PATH}`` the file's text.

Looked through are environments, headers, messages, expected values, commands and the queries of paths; a webhook's
address and secret are secret whatever they look like, since who has them may speak in our name. The sink itself
leaves values of under six characters alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from urllib.parse import parse_qsl, unquote

from pipeline.secret_names import is_secret_name

_EVERYDAY = frozenset(
    [
        "anonymous",
        "bearer",
        "basic",
        "debug",
        "default",
        "development",
        "digest",
        "disabled",
        "enabled",
        "example",
        "internal",
        "localhost",
        "nothing",
        "optional",
        "password",
        "private",
        "production",
        "public",
        "required",
        "secret",
        "staging",
        "string",
        "testing",
        "unknown",
        "warning",
    ]
)
_HALF_SECRET = re.compile(r"(?i)(?:.*[-_.])?(?:session(?:[-_]?(?:id|key))?|sid|j?sess(?:ion)?id|key)\Z")
_PUBLIC = re.compile(r"(?i)commit|sha|digest|revision|version|checksum|hash|public|build|image|trace")
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
_FROM_ENVIRONMENT = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_FROM_FILE = re.compile(r"\$\{file:([^{}]+)\}")
_PUBLIC_SHAPE = re.compile(
    r"@sha256:|\A[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"  # an image, a UUID
)
_RUN = re.compile(r"[A-Za-z0-9+/=_-]+")
_ENOUGH = 20  # letters and digits of a run that looks random
_NOT_SAID = frozenset({"within", "close", "save", "method", "status"})  # ours, of a scenario


def of_config(tree: object, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets in what ``spillway.yaml`` came to, valid or not.

    Args:
        tree: as ``yamltree`` reads it.
        environment: of this process, for ``${env:NAME}``.
    """
    sections = _mapping(tree)
    container = _mapping(sections.get("container"))
    found = list(_of_values(container.get("env")))
    for name, value in _pairs(container.get("template")):
        found += _of_values(value, name)
    for image in _mapping(sections.get("images")).values():
        found += _of_values(_mapping(image).get("env"))
        found += _of_command(_mapping(image).get("command"))
    for scenario in _mapping(sections.get("scenarios")).values():
        for key, value in _mapping(scenario).items():
            if key not in _NOT_SAID:
                found += _of_values(value, key if key == "path" else "")
    webhook = sections.get("webhook")
    addressed = _texts([*webhook.values()] if isinstance(webhook, Mapping) else webhook)
    found += [text for text in addressed if len(text) > len("google-chat")]
    names = {name for text in _texts(sections) for name in _FROM_ENVIRONMENT.findall(text)}
    found += [environment[name] for name in sorted(names) if name in environment]
    return tuple(dict.fromkeys(found))


def files_of(tree: object) -> tuple[str, ...]:
    """Paths of the files that hold secrets, each once: ``${file:PATH}``."""
    scenarios = _mapping(tree).get("scenarios")
    return tuple(dict.fromkeys(path for text in _texts(scenarios) for path in _FROM_FILE.findall(text)))


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    """Of things that have a name and a value, variables and headers, both."""
    if isinstance(value, Mapping):
        if "name" in value and "value" in value:
            yield str(value["name"]), value["value"]
        for each in value.values():
            yield from _pairs(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _pairs(each)


def resolved(text: str, environment: Mapping[str, str]) -> str:
    """With the value of each ``${env:NAME}``. Raises KeyError for a variable that is not set."""
    return _FROM_ENVIRONMENT.sub(lambda match: environment[match[1]], text)


def of_environment(values: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets among the variables of a container: ours to know, and not ours to show."""
    return tuple(_of_values(values))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> Iterator[str]:
    """Those that may have templates: keys of what is said may, too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (*_texts(key), *_texts(each))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _of_values(value: object, name: str = "", *, below_secret: bool = False) -> Iterator[str]:
    """Secrets among the leaves of a value that goes by this name."""
    is_secret = below_secret or is_secret_name(name)
    if isinstance(value, Mapping):
        for key, each in value.items():
            if key != "save":
                yield from _of_values(each, str(key), below_secret=is_secret)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _of_values(each, name, below_secret=below_secret)
    elif isinstance(value, str):
        yield from _of_text(value, name, is_secret=is_secret)
    elif is_secret and isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _of_text(text: str, name: str, *, is_secret: bool) -> Iterator[str]:
    if name.rpartition(".")[2] == "path" or "?" in text:
        yield from _of_address(text)
    for piece in _PLACEHOLDER.split(text):
        for part in {piece.strip(), *piece.split()} if is_secret or " " in piece.strip() else {piece}:
            if _is_secret(part, name, is_named=is_secret):
                yield part


def _of_address(text: str) -> Iterator[str]:
    """Query values, as they stand and decoded, and random parts of the path."""
    path, _, query = text.partition("?")
    for part in path.split("/"):
        if looks_random(part):
            yield part
    for pair in query.partition("#")[0].replace(";", "&").split("&")[:1000]:
        key, _, raw = pair.partition("=")
        for name, value in parse_qsl(pair, keep_blank_values=True) or [(unquote(key), raw)]:
            if _is_secret(value, name, is_named=is_secret_name(name)) and "${" not in raw:
                yield from (value, raw)


def _of_command(command: object) -> Iterator[str]:
    """``--token VALUE``, ``--token=VALUE``, ``TOKEN=VALUE``."""
    words = [word for word in command if isinstance(word, str)] if isinstance(command, Sequence) else []
    for before, word in pairwise(["", *words]):
        name, is_pair, value = word.partition("=")
        if is_pair:
            yield from _of_text(value, name.lstrip("-"), is_secret=is_secret_name(name))
        elif before.startswith("-") and "=" not in before and not word.startswith("-"):
            yield from _of_text(word, before.lstrip("-"), is_secret=is_secret_name(before))


def _is_secret(value: str, name: str, *, is_named: bool) -> bool:
    if value.lower() in _EVERYDAY:
        return False
    if is_named:
        return True
    if _HALF_SECRET.match(name):
        return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return looks_random(value) and not _PUBLIC.search(name)


def looks_random(text: str) -> bool:
    """Whether twenty or more letters and digits in a row change between capitals, small letters and digits as chance would."""
    return not _PUBLIC_SHAPE.search(text) and any(_is_random(run) for run in _RUN.findall(text))


def _is_random(run: str) -> bool:
    kinds = ["digit" if c.isdigit() else "upper" if c.isupper() else "lower" for c in run if c.isalnum()]
    changes = sum(one != other for one, other in pairwise(kinds))
    # of 100 pairs, chance changes 62 in base 64, 40 in base 36 and 47 in hexadecimal; CamelCase 33, gpt-4o-2024 under 20
    share = 0.45 if {"upper", "lower"} <= set(kinds) else 0.25
    return len(kinds) >= _ENOUGH and changes >= share * len(kinds)
