"""Which method a verb and a path mean: the HTTP rules that the client package carries in its REST transports.

The package's descriptors have no services in them, so the rules are read where its REST transports keep them:
``_Base{Service}RestTransport._Base{Method}._get_http_options()``. Nothing here names a method.
Source: ``google.api.http`` (http.proto) for templates, bodies and how a path is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from urllib.parse import unquote

from pipeline.local.api.methods import LONGRUNNING, client_methods
from pipeline.local.control.state import Refused

_VARIABLE = re.compile(r"\{([\w.]+)=([^}]*)\}")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to call a method.

    Args:
        method: as in ``google.cloud.run.v2.Services/GetService``.
        path: what it matches; its groups are the values of ``fields``.
        fields: of the request, dotted, in the path.
        body: field of the request that the body is; ``*`` for all of it, empty for none.
    """

    method: str
    verb: str
    path: re.Pattern[str]
    fields: tuple[str, ...]
    body: str

    def values(self, match: re.Match[str]) -> Mapping[str, str]:
        """Fields of the request by what the path says of them. Raises Refused."""
        try:
            return dict(zip(self.fields, map(_decoded, match.groups()), strict=True))
        except UnicodeDecodeError as error:
            raise Refused("INVALID_ARGUMENT", "The path is not UTF-8.") from error


def rules() -> Iterator[Rule]:
    """All of the client package, operations among them. No two match the same verb and path."""
    seen = set()
    for service, methods in client_methods().items():
        name = service.rpartition(".")[2]
        folder = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        module = import_module(f"google.cloud.run_v2.services.{folder}.transports.rest_base")
        for key, stub in vars(getattr(module, f"_Base{name}RestTransport")).items():
            method = key.removeprefix("_Base")
            owner = service if method in methods else LONGRUNNING
            for option in stub._get_http_options() if key.startswith("_Base") else ():  # noqa: SLF001
                rule = _rule(f"{owner}/{method}", option)
                if rule not in seen:  # each service brings the operations along
                    seen.add(rule)
                    yield rule


def _rule(method: str, option: Mapping[str, str]) -> Rule:
    """A ``*`` is one segment; the last one holds no colon, which begins a custom verb."""
    template = option["uri"]
    path = _VARIABLE.sub(lambda variable: f"({variable[2].replace('*', '[^/]+')})", template)
    path = re.sub(r"\[\^/\]\+\)$", "[^/:]+)", path)
    fields = tuple(variable[1] for variable in _VARIABLE.finditer(template))
    return Rule(method, option["method"].upper(), re.compile(path), fields, option.get("body", ""))


def _decoded(value: str) -> str:
    """A value of several segments: an encoded slash stays encoded, or it would look like another segment."""
    return "%2F".join(unquote(part, errors="strict") for part in _ENCODED_SLASH.split(value))
