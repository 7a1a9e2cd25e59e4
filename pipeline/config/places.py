"""Where a service lives, by ``spillway.yaml``: ``service`` and ``environments`` alone.

Who only looks at a service, or gives its traffic back, needs no more of the file than this; what is wrong elsewhere in it
stands in nobody's way then.
"""

from __future__ import annotations

from msgspec import Struct, field

from pipeline.config import sections
from pipeline.config.environments_section import Environment, check_order
from pipeline.config.fields import Misplaced, Name
from pipeline.config.yamltree import Document
from pipeline.errors import ConfigError, UserError
from pipeline.model import ServiceRef


class Places(Struct, frozen=True, kw_only=True):
    """A service and its environments.

    Args:
        service: the name of the Cloud Run service.
        environments: where the service lives, by a name of yours: `--env NAME`.
    """

    service: Name = ""
    environments: dict[Name, Environment] = field(default_factory=dict)

    def environment(self, name: str | None) -> tuple[str, Environment]:
        """The named environment, or the only one. Raises UserError."""
        known = ", ".join(self.environments)
        if name is None:
            if len(self.environments) > 1:
                raise UserError(
                    f"which environment? spillway.yaml has {len(self.environments)}",
                    f"They are: {known}.",
                    "Name one: --env NAME",
                )
            name = next(iter(self.environments))
        if name not in self.environments:
            raise UserError(
                f"no environment {name!r}", f"spillway.yaml has: {known}", "Name one of them: --env NAME"
            )
        return name, self.environments[name]

    def ref(self, environment: Environment) -> ServiceRef:
        return environment.ref(self.service)


def read(document: Document) -> Places | None:
    """None where one of the two is missing or wrong: the whole schema says what."""
    alone = {name: each for name in ("service", "environments") if (each := document.keys.get(name))}
    if len(alone) < 2:
        return None
    try:
        places = sections.read(Places, alone, document)
        check_order(places.environments, places.service)
    except (ConfigError, Misplaced):
        return None
    return places
