"""The Deployer port: have the Pulumi program applied. Whether the revision gets ready is seen by looking at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from infra.settings import Settings
from pipeline.driving.ports import Platform
from pipeline.errors import (
    PlanRefused,
    PlatformError,
    RevisionNotFound,
    ServiceNotFound,
    StaleWrite,
)
from pipeline.model import Revision, ServiceRef


class Apply(Protocol):
    """One way to run the Pulumi program; see ``stack.py``."""

    @property
    def outlives(self) -> timedelta:
        """See ``ports.Deployer``."""

    def apply(self, settings: Settings) -> None:
        """Returns when what the program declares is accepted."""


@dataclass(frozen=True, slots=True)
class ProgramDeployer:
    """``ports.Deployer``.

    Args:
        settings_of: the settings for an image, as configured now.
    """

    program: Apply
    platform: Platform
    settings_of: Callable[[str], Settings]

    @property
    def outlives(self) -> timedelta:
        return self.program.outlives

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        """Returns when what the program declares was accepted, or the revision is there already.

        Raises: PlanRefused when the configuration makes another revision now, and what applying raises.
        """
        if self._find(ref, revision) is not None:
            return
        settings = self.settings_of(image)
        if settings.revision != revision:
            raise PlanRefused(
                f"{revision} cannot be made: image and settings now make {settings.revision}",
                "The container section of spillway.yaml changed since this rollout began.",
                "Give up the old one: spillway rollout --image DIGEST --supersede",
            )
        try:
            self.program.apply(settings)
        except (
            StaleWrite
        ):  # somebody else wrote the service meanwhile: what is there has to be looked at anew
            raise
        except PlatformError:
            # Whatever it complains of: the revision is there, or it is not. Who made it does not matter.
            if self._find(ref, revision) is None:
                raise

    def _find(self, ref: ServiceRef, revision: str) -> Revision | None:
        try:
            return self.platform.revision(ref, revision)
        except (RevisionNotFound, ServiceNotFound):
            return None
