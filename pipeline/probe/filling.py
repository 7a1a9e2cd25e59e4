"""What of a scenario goes over HTTP, with its templates filled in as their values become known.  PURE."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.probe.http_text import TOKEN, VALUE
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import HttpStep
from pipeline.probe.templates import Scope, Unspeakable, references, sayable


class Carried(Struct):
    """The headers of a scenario, which go with each of its requests: each is filled in once, as soon as it can be.

    Args:
        wanted: as they stand in the file.
    """

    wanted: Mapping[str, str]
    _made: dict[str, str] = field(default_factory=dict)

    def known(self, scope: Scope) -> Mapping[str, str]:
        """Those whose values are known by now. Raises Unspeakable."""
        for name, template in self.wanted.items():
            if name not in self._made and _is_known(template, scope):
                self._made[name] = carriable(name, scope.text(template))
        return self._made

    def all(self, scope: Scope) -> Mapping[str, str]:
        """Raises Unspeakable, where the value of one is not known."""
        for name, template in self.wanted.items():
            if name not in self._made:
                self._made[name] = carriable(name, scope.text(template))
        return self._made


def filled_in(step: HttpStep, scope: Scope) -> HttpStep:
    """Raises Unspeakable."""
    return replace(
        step,
        path=scope.path(step.path),
        body=scope.rendered(step.body),
        send=sayable(send) if isinstance(send := scope.rendered(step.send), str) else send,
        form={sayable(scope.text(name)): sayable(scope.text(value)) for name, value in step.form.items()},
        headers={name: carriable(name, scope.text(value)) for name, value in step.headers.items()},
    )


def ready(scenario: Scenario, carried: Carried, scope: Scope) -> Scenario:
    """With all that the handshake needs. Raises Unspeakable."""
    subprotocols = tuple(map(scope.text, scenario.subprotocols))
    if not all(map(TOKEN.fullmatch, subprotocols)):
        raise Unspeakable("what is filled in to a subprotocol is nothing that HTTP can carry")
    return replace(
        scenario,
        headers=carried.all(scope),
        subprotocols=subprotocols,
        framing=dataclasses.replace(scenario.framing, options=scope.rendered(scenario.framing.options)),
    )


def carriable(name: str, value: str) -> str:
    """The value of a header, if HTTP can carry it. Raises Unspeakable."""
    if not VALUE.fullmatch(value):
        raise Unspeakable(f"what is filled in to the header {name} is nothing that HTTP can carry")
    return value


def _is_known(template: str, scope: Scope) -> bool:
    return all(each.kind != "variable" or each.name in scope.variables for each in references(template))
