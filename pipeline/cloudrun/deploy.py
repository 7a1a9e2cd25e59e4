"""The Deployer port: have the Pulumi program applied. Whether the revision gets ready is seen by looking at it.

Just before, the service is read and what an apply would lose is refused. What the provider has no word for is left
alone: then the template is written by the Admin API, with a mask and the etag of that read. Just after, the service is
read again: what was there and nobody asked to change must still be there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from infra.compose import reserved, unreserved
from infra.deployment import Deployment
from infra.document import Doc, covers, leaves
from infra.guard import Loss, Ruling, is_waived, refusal, shown
from infra.live import Live
from infra.settings import Settings
from pipeline.driving.ports import Platform
from pipeline.errors import (
    FieldsLost,
    PlanRefused,
    PlatformError,
    PlatformUnavailable,
    RevisionNotFound,
    ServiceNotFound,
    StaleWrite,
)
from pipeline.model import DRAIN_ANNOTATION, RECORD_ANNOTATION, Revision, ServiceRef

_DEPLOYING = threading.Lock()  # Pulumi keeps what it runs, and loads, in globals of the process
_PATIENCE_S = 5.0
_OURS = {f"annotations[{name}]" for name in (RECORD_ANNOTATION, DRAIN_ANNOTATION)}


class Apply(Protocol):
    """One way to run the Pulumi program; see ``stack.py``."""

    @property
    def lasts(self) -> timedelta:
        """See ``ports.Deployer``."""

    @property
    def outlives(self) -> bool:
        """See ``ports.Deployer``."""

    def apply(self, settings: Settings) -> None:
        """Returns when what the program declares is accepted."""


class Templates(Protocol):
    """The Admin API, as far as a template is written by it; see ``cloudrun/service.py``."""

    def write_template(self, ref: ServiceRef, *, etag: str, template: Doc) -> None: ...


class ProgramDeployer(Struct, frozen=True):
    """``ports.Deployer``.

    Args:
        settings_of: the settings for an image, as configured now.
        read: the service as it is, for these settings; see ``infra/live.py``.
        templates: None where the provider is all there is.
    """

    program: Apply
    platform: Platform
    settings_of: Callable[[str], Settings]
    read: Callable[[Settings], Live | None]
    templates: Templates | None = None
    say: Callable[[str], None] = field(default=lambda _: None)

    @property
    def lasts(self) -> timedelta:
        return self.program.lasts

    @property
    def outlives(self) -> bool:
        return self.program.outlives

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        """Returns when what the program declares was accepted, or the revision is there already.

        Raises: PlanRefused when the configuration makes another revision now, FieldsLost when that would lose what is
            live, PlatformUnavailable while another thread makes one, and what applying raises.
        """
        if self._find(ref, revision) is not None:
            return
        # The record says for how long an apply may take; who waits longer than a part of that is too late to begin.
        if not _DEPLOYING.acquire(timeout=_PATIENCE_S):
            raise PlatformUnavailable(
                f"{revision} is not made yet: this process is making another service's revision",
                "Pulumi makes one at a time in a process.",
                "Nothing was written; the next step tries again.",
            )
        try:
            self._deploy(image, revision)
        finally:
            _DEPLOYING.release()

    def _deploy(self, image: str, revision: str) -> None:
        from infra.service import planned  # here, because Pulumi's types take long to load

        settings = self.settings_of(image)
        live = self.read(settings)
        made, ruling = planned(settings, live)
        if made.revision != revision:
            raise PlanRefused(
                f"{revision} cannot be made: image and settings now make {made.revision}",
                "The container section of spillway.yaml, or the revision it starts from, changed since this rollout began.",
                "Give up the old one: spillway rollout --image DIGEST --supersede",
            )
        ruling.refuse(settings.service)
        self._apply(settings, live, made, ruling)
        if live is not None:
            self._must_be_kept(settings, live, made)

    def _apply(self, settings: Settings, live: Live | None, made: Deployment, ruling: Ruling) -> None:
        """Whatever applying complains of: the revision is there, or it is not. Who made it does not matter."""
        try:
            if ruling.beyond and live is not None and self.templates is not None:
                self._write(self.templates, settings, live, made, ruling)
            else:
                ruling.refuse_all(settings.service)
                self.program.apply(settings)
        except StaleWrite:
            raise  # somebody else wrote the service meanwhile: what is there has to be looked at anew
        except PlatformError:
            if self._find(settings.ref, made.revision) is None:
                raise

    def _write(
        self, templates: Templates, settings: Settings, live: Live, made: Deployment, ruling: Ruling
    ) -> None:
        names = ", ".join(loss.path for loss in ruling.beyond)
        self.say(f"the provider cannot express {names}: writing the template alone, by the Admin API")
        if made.fields != unreserved(live.fields):
            self.say("what the file asks of the service itself is not written this way")
        templates.write_template(settings.ref, etag=live.etag, template=made.template)

    def _must_be_kept(self, settings: Settings, live: Live, made: Deployment) -> None:
        """What was live and is declared as it was is read back as it was. Raises FieldsLost."""
        after = self.read(settings)
        if after is None:
            return
        lost = list(_lost(live.fields, made.fields, after.fields))
        if live.base is not None and after.there is not None:
            of_template = _lost(live.base, made.template, after.there)
            lost += [replace(loss, path=f"template.{loss.path}") for loss in of_template]
        lost = [loss for loss in lost if loss.path not in _OURS and not is_waived(loss.path, settings.waive)]
        if lost:
            told = refusal(settings.service, lost)
            raise FieldsLost(
                f"{settings.service}: settings changed while {made.revision} was made", told.why, told.fix
            )

    def _find(self, ref: ServiceRef, revision: str) -> Revision | None:
        try:
            return self.platform.revision(ref, revision)
        except (RevisionNotFound, ServiceNotFound):
            return None


def _lost(before: Doc, declared: Doc, after: Doc) -> tuple[Loss, ...]:
    """What was live, was not to change, and is not as it was. What no request may carry must be there all the same."""
    asked, untold = leaves(declared), reserved(before)
    kept = {path: value for path, value in leaves(before).items() if asked.get(path, value) == value}
    there = leaves(after)
    return tuple(
        Loss(path, value, f"is now {shown(path, there[path])}" if path in there else "is gone")
        for path, value in kept.items()
        if there.get(path) != value
        and (path in asked or path in untold)
        # An empty object (``tcpSocket: {}``) becomes one with what Cloud Run fills in.
        and not (value == {} and any(covers(path, other) for other in there))
    )
