"""Functions of the tree that hand a parameter on to a sink: whoever calls one writes to that sink.

Theory of operation. While functions are walked, a parameter whose annotation says nothing is a symbol of its own. Where
it reaches a sink, the function is a helper. Then the files that mention a helper's name are walked for calls of it; a
parameter that is handed to a helper makes one more helper, up to ``ROUNDS`` deep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from checks.rules.json_safe_logs.encoders import Encoder, ending
from checks.rules.json_safe_logs.facts import Facts, Given, Reach
from checks.rules.json_safe_logs.sinks import GUESSED, RAISING, SENDING
from checks.tree.resolve import Resolver
from checks.tree.symbols import Parameter, Symbol

ROUNDS = 3
#: whose sockets and clients call plain ``json.dumps``
_FRAMEWORKS = (
    "starlette.",
    "fastapi.",
    "aiohttp.",
    "channels.",
    "requests.",
    "httpx.",
    "socketio.",
    "flask_socketio.",
)
#: by guessed sink, the method that decides
_METHODS = {"send_json?": "send_json", "json=?": "post", "emit?": "emit"}
#: methods through which a framework's own hands on what it is given: a subclass may make text of it there
_INNER = ("encode_json", "request", "_request", "build_request", "prepare_request")


class Handing(NamedTuple):
    """What becomes of one parameter of a helper.

    Args:
        parameter: as ``Parameter.text``.
        sink, field, top: as in ``Reach``.
        path, line: where it reaches the sink.
        is_sure: whether it does so as it was given, in every branch.
    """

    parameter: str
    sink: str
    field: str
    top: str
    path: str
    line: int
    is_sure: bool


#: by path and name of a function, ``app/send.py:Sender.send``
Helpers = dict[str, list[Handing]]


def helpers_of(rows: Mapping[str, Any]) -> Helpers:
    """As JSON gives them back."""
    return {name: [Handing(*each) for each in several] for name, several in rows.items()}


def helpers(resolver: Resolver, facts: Mapping[str, Facts], encoders: Mapping[str, list[Encoder]]) -> Helpers:
    """All helpers, as far as their callers were collected already; of sinks that may lose a value."""
    found: Helpers = {}
    for path, each in facts.items():
        for reach in each.reaches:
            for name, made in _direct(resolver, path, reach, encoders):
                _add(found, name, made)
    for _ in range(ROUNDS):
        for path, each in facts.items():
            for given in each.given:
                for parameter, is_whole in _parameters(given.symbol):
                    for handing in handed(found, resolver, path, given):
                        made = handing._replace(
                            parameter=parameter.text, is_sure=handing.is_sure and is_whole
                        )
                        _add(found, f"{path}:{parameter.function}", made)
    return found


def _direct(
    resolver: Resolver, path: str, reach: Reach, encoders: Mapping[str, list[Encoder]]
) -> Iterator[tuple[str, Handing]]:
    """Functions whose parameter reaches this sink, where that may lose a value."""
    parameters = list(_parameters(reach.symbol))
    sink = sink_of(resolver, path, reach) if parameters else ""
    if not sink or ending(encoders, sink, reach.top, is_key=False).answer != "refuses":
        return
    is_sure = reach.owner is None or sink in SENDING
    for parameter, is_whole in parameters:
        top = "" if sink in RAISING else reach.top  # those refuse it in any field: one row says it
        made = Handing(parameter.text, sink, reach.field, top, path, reach.line, is_sure and is_whole)
        yield f"{path}:{parameter.function}", made


def sink_of(resolver: Resolver, path: str, reach: Reach) -> str:
    """The sink, where what it belongs to says which; empty where that is the tree's own, whose code is looked at."""
    if reach.sink not in GUESSED or reach.owner is None:
        return reach.sink
    owner = resolver.what(reach.owner, path)
    found = resolver.attribute(owner, _METHODS[reach.sink])
    if reach.sink == "emit?" and (found is None or not found.name.startswith(_FRAMEWORKS)):
        return ""
    if found is None:
        return reach.sink
    if found.what == "method":
        return ""
    inner = (resolver.attribute(owner, name) for name in _INNER)
    is_own = any(each is not None and each.what == "method" for each in inner)
    return reach.sink.removesuffix("?") if found.name.startswith(_FRAMEWORKS) and not is_own else reach.sink


def _add(found: Helpers, name: str, made: Handing) -> None:
    """One handing for each parameter and sink is enough."""
    rows = found.setdefault(name, [])
    if all((row.parameter, row.sink, row.top) != (made.parameter, made.sink, made.top) for row in rows):
        rows.append(made)


def handed(found: Helpers, resolver: Resolver, path: str, given: Given) -> Iterator[Handing]:
    """What becomes of a value that a call gives to a helper; nothing where it is no helper."""
    thing = resolver.what(given.callee, path)
    if thing is None or thing.what not in ("function", "method"):
        return
    for handing in found.get(f"{thing.path}:{thing.name}", ()):
        parameter = Parameter.of(handing.parameter)
        if given.keyword and given.keyword != "**":
            is_it = given.keyword == parameter.name or (
                parameter.name == "**" and given.keyword not in parameter.others
            )
        else:
            is_it = given.place == parameter.place if given.place >= 0 else parameter.name == "**"
        if is_it:
            top = (
                given.keyword
                if parameter.name == "**" and given.keyword != "**" and not handing.top
                else handing.top
            )
            yield handing._replace(top=top)


def _parameters(symbol: Symbol, is_whole: bool = True) -> Iterator[tuple[Parameter, bool]]:
    """The parameters inside a symbol, and whether each is there in every branch."""
    if symbol.form == "param":
        yield Parameter.of(symbol.name), is_whole
    elif symbol.form in ("box", "row", "key", "any"):
        for part in symbol.parts:
            if part is not None:
                yield from _parameters(part, is_whole and symbol.form != "any")
