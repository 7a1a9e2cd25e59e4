"""What an apply would clear or change although nobody asked for it: listed, and refused unless it is waived.  PURE.

Theory of operation. Three things are lost when the provider replaces a whole service: what its input types have no word
for, what the installed client has no name for (its fields arrive with their numbers), and what its last state would put
back. The first and the last can be written another way: the Admin API takes a template alone, with a mask, and leaves
the rest of the service as it is. A field of the *template* that has no name cannot be written by us at all: the next
revision would lack it. So a deployment goes one of three ways: as declared, by the Admin API, or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from infra.deployment import Deployment
from infra.document import Doc, covers, leaves, without
from pipeline import credentials
from pipeline.errors import FieldsLost
from pipeline.redact import REDACTED
from pipeline.secret_names import is_secret_name

_SHOWN = 12  # losses of one message
_VARIABLE = re.compile(r".*\benv\[([^\]]*)\]\.value\Z", re.DOTALL)
_TOLD = 120  # characters of a value


class Loss(Struct, frozen=True):
    """One field. ``why`` completes "would be ..."."""

    path: str
    value: Any
    why: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {shown(self.path, self.value)}"
        return f"{self.path}{value}: {self.why}"


class Ruling(Struct, frozen=True):
    """Args:
    refused: nothing that we can do keeps these.
    beyond: the provider cannot keep these; a write of the template alone does.
    """

    refused: tuple[Loss, ...] = ()
    beyond: tuple[Loss, ...] = ()

    def refuse(self, service: str) -> None:
        """Raise FieldsLost for what nothing keeps."""
        if self.refused:
            raise refusal(service, self.refused)

    def refuse_all(self, service: str) -> None:
        """The same for who has the provider and nothing else: a bare ``pulumi up``."""
        if self.refused or self.beyond:
            raise refusal(service, (*self.refused, *self.beyond))


def losses(live: Doc, declared: Doc, why: str = "") -> tuple[Loss, ...]:
    """Every field of ``live`` that is not, or is otherwise, in ``declared``."""
    after = leaves(declared)
    return tuple(
        Loss(
            path,
            value,
            why or (f"becomes {shown(path, after[path])}" if path in after else "would be cleared"),
        )
        for path, value in leaves(live).items()
        if after.get(path) != value
    )


def rule(made: Deployment, inexpressible: Iterable[str], waive: Sequence[str]) -> Ruling:
    """Which way a deployment may go.

    Args:
        inexpressible: paths of the declared document that the provider's input types have no word for.
    """
    unknown_base = (Loss(f"template.{path}", None, _NAMELESS) for path in made.unknown_base)
    kept = without(made.document, list(inexpressible))
    beyond = (
        *losses(made.document, kept, "the provider has no word for it"),
        *(Loss(path, None, _NAMELESS) for path in made.unknown),
        *(_returning(made, path) for path in made.cleared),
    )
    return Ruling(
        *(tuple(x for x in found if not is_waived(x.path, waive)) for found in (unknown_base, beyond))
    )


_NAMELESS = "this version has no name for it"


def _returning(made: Deployment, path: str) -> Loss:
    template = (made.before or {}).get("template", {})
    value = next((value for each, value in leaves(template).items() if covers(path, each)), None)
    return Loss(f"template.{path}", value, "left the file, and the provider's state would put it back")


def is_waived(path: str, waive: Sequence[str]) -> bool:
    """A name waives the field and what is in it, in the API's JSON or in snake_case."""
    return any(covers(name, path) for each in waive for name in (each, camel(each)))


def camel(path: str) -> str:
    """``volume_mounts[data].mount_path`` in the API's JSON; what is in brackets is a name."""
    parts = re.split(r"(\[[^\]]*\])", path)
    return "".join(
        p if p.startswith("[") else re.sub(r"_([a-z0-9])", lambda m: m[1].upper(), p) for p in parts
    )


def shown(path: str, value: Any) -> str:
    """A value for people, secrets masked by the name of their variable or by their look."""
    found = _VARIABLE.match(path)
    name = found[1] if found else path.rpartition(".")[2].strip("[]")
    text = value if isinstance(value, str) else json.dumps(value)
    is_secret = is_secret_name(name) or (isinstance(value, str) and credentials.of_environment({name: value}))
    return REDACTED if found and is_secret else text if len(text) <= _TOLD else f"{text[:_TOLD]}..."


def refusal(service: str, lost: Sequence[Loss]) -> FieldsLost:
    """In three lines: how many, which, and the way out."""
    told = "\n".join(f"  {loss}" for loss in lost[:_SHOWN])
    more = f"\n  and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
    names = ", ".join(loss.path for loss in lost[:3]) + (", ..." if len(lost) > 3 else "")
    return FieldsLost(
        f"{service}: this would lose {len(lost)} live setting{'s' if len(lost) > 1 else ''} that nobody asked to change",
        told.strip() + more,
        f"Newer versions may know them; to lose them all the same: container: {{waive: [{names}]}}",
    )
