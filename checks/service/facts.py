"""What is found, as values.  Paths are relative to the root, with forward slashes; lines begin with 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field


class Place(Struct, frozen=True):
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Application(Struct, frozen=True):
    """The object that the server is given.

    Args:
        name: of the variable.
        framework: ``fastapi``, ``starlette``, ``django channels``, ``aiohttp`` ...
        end: the last line of the statement that makes it.
        server: what a server of its module is given: the name, or the function that makes it; empty where it cannot be.
        factory: the function, where the server has to call it.
    """

    name: str
    framework: str
    where: Place
    end: int = 0
    server: str = ""
    factory: str = ""


class Route(Struct, frozen=True):
    """A WebSocket's address, its parameters filled in. Args: handler: function or class, by its plain name."""

    path: str
    handler: str
    where: Place


class Sent(Struct, frozen=True):
    """A message that is sent while another is handled. Args: repeats: it is sent in a loop."""

    type: str
    repeats: bool = False


class Handled(Struct, frozen=True):
    """A message type that the service takes.

    Args:
        style: how it is dispatched: ``dict``, ``decorator``, ``call``, ``chain``.
        dispatcher: the name of the mapping, the decorator or the function.
        sends: what is sent while it is handled, in order, as far as it is sent in any case.
        fields: of the message that the handler reads, with examples.
        member: the enum member that the type stands for: ``MessageType.START``; empty where there is none.
        table: the mapping that gives the member this text, and where it is assigned; empty and None where there is none.
    """

    type: str
    style: str
    dispatcher: str
    where: Place
    sends: tuple[Sent, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    member: str = ""
    table: str = ""
    table_at: Place | None = None


class Service(Struct, frozen=True):
    """All of it.

    Args:
        type_field: the key of a message that holds its type.
        watched: where ``SpillwayTelemetry`` stands already.
    """

    applications: tuple[Application, ...] = ()
    routes: tuple[Route, ...] = ()
    handled: tuple[Handled, ...] = ()
    type_field: str = "type"
    watched: Place | None = None
