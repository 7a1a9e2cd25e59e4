"""The Deployer port: have the Pulumi program applied, then wait until Cloud Run has judged the revision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from infra.settings import Settings
from pipeline.errors import (
    PlanRefused,
    PlatformError,
    PlatformUnavailable,
    RevisionFailed,
    RevisionNotFound,
    ServiceNotFound,
)
from pipeline.model import Readiness, Revision, ServiceRef
from pipeline.ports import Clock, Platform

_POLL = timedelta(milliseconds=100)
_SLACK = timedelta(minutes=2)  # beyond the startup probe: pulling the image, starting an instance


class Apply(Protocol):
    """One way to run the Pulumi program; see ``stack.py``."""

    def apply(self, settings: Settings) -> None:
        """Returns when what the program declares is accepted."""
        ...


@dataclass(frozen=True, slots=True)
class ProgramDeployer:
    """``ports.Deployer``.

    Args:
        settings_of: the settings for an image, as configured now.
    """

    program: Apply
    platform: Platform
    clock: Clock
    settings_of: Callable[[str], Settings]

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        """Returns when the revision is ready.

        Raises: RevisionFailed, PlanRefused when the configuration makes another revision now, PlatformUnavailable when
        Cloud Run does not judge it in time, and what applying raises.
        """
        settings = self.settings_of(image)
        if self._find(ref, revision) is None:
            if settings.revision != revision:
                raise PlanRefused(
                    f"{revision} cannot be made: image and settings now make {settings.revision}",
                    "The container section of spillway.yaml changed since this rollout began.",
                    "Give up the old one: spillway rollout --image DIGEST --supersede",
                )
            self._apply(ref, settings)
        self._await(ref, revision, timedelta(seconds=settings.template.startup_s) + _SLACK)

    def _apply(self, ref: ServiceRef, settings: Settings) -> None:
        """Whatever applying complains of: the revision is there, or it is not. Who made it does not matter."""
        try:
            self.program.apply(settings)
        except PlatformError:
            if self._find(ref, settings.revision) is None:
                raise

    def _find(self, ref: ServiceRef, revision: str) -> Revision | None:
        try:
            return self.platform.revision(ref, revision)
        except (RevisionNotFound, ServiceNotFound):
            return None

    def _await(self, ref: ServiceRef, name: str, patience: timedelta) -> None:
        until = self.clock.now() + patience
        while True:
            found = self._find(ref, name)
            if found is not None and found.readiness is Readiness.READY:
                return
            if found is not None and found.readiness is Readiness.FAILED:
                raise RevisionFailed(f"{name} never became ready", found.message)
            if self.clock.now() >= until:
                seen = f"it is {found.readiness}: {found.message}" if found else "it is not there"
                raise PlatformUnavailable(
                    f"{name} is not judged after {patience.total_seconds():g}s", seen, "Look: spillway status"
                )
            self.clock.sleep(_POLL)
