"""Which questions ``doctor`` asks of an environment, and how it opens what they are asked of."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial

from msgspec import Struct

from pipeline.app.images import images_of
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.wiring import Place, open_place
from pipeline.cloudrun.project import Identity, Project, open_project
from pipeline.doctor import machine, service
from pipeline.doctor.answer import Answer, Check, note, ok, unasked, wrong
from pipeline.doctor.examine import examine
from pipeline.doctor.project import OF_A_JOB, PERMISSIONS, TO_DELETE, ProjectQuestions, compared
from pipeline.errors import ServiceNotFound, SpillwayError
from pipeline.model import LiveService, ServiceRef

WITHIN_S = 20.0
_CREDENTIALS_WITHIN_S = 10.0
_TIMEOUT_S = 2.0

#: with the credentials of this machine; a test opens others
OpenProject = Callable[[str], tuple[Project, Identity]]
OpenPlace = Callable[[Session, ServiceRef], AbstractContextManager[Place]]


class Doctor(Struct, frozen=True, dict=True):
    """Args: say: told which questions are still open, every two seconds."""

    session: Session
    request: Request
    say: Callable[[str], None]
    open_project: OpenProject = open_project
    open_place: OpenPlace = open_place

    def answers(self) -> list[Answer]:
        """Every answer, in a fixed order; in bounded time."""
        said = f"{self.session.config_file.name}, environment {self.request.name}"
        more = self._local() if self.request.ref.is_local else self._cloud()
        return [ok("configuration", said), *more]

    def _examine(self, checks: Mapping[str, Check], within_s: float = WITHIN_S) -> list[Answer]:
        def waiting(names: Sequence[str]) -> None:
            self.say(f"still asking: {', '.join(names)}")

        return examine(checks, within_s=within_s, waiting=waiting, stopped=self.session.stopped.is_set)

    def _local(self) -> list[Answer]:
        images = images_of(self.request.config, self.session.config_file.parent)
        here: dict[str, Check] = {
            "pulumi": partial(machine.pulumi, is_local=True),
            "ports": machine.can_listen,
            "image": partial(machine.commands, images),
        }
        try:
            with self.open_place(self.session, self.request.ref) as place:
                return self._examine({"local Cloud Run": self._endpoint, **here, **self._service(place)})
        except SpillwayError as error:
            down = wrong("local Cloud Run", f"{error.what}: {error.why}", error.fix)
            return [down, *self._examine(here)]

    def _endpoint(self) -> Sequence[Answer]:
        """The process, its ports, and its clock, by what it answers over HTTP."""
        from pipeline.local import endpoint

        found = endpoint.read(self.session.local_folder)
        places = {"the Admin API (gRPC)": found.address}
        places |= {"the Admin API (HTTP)": found.rest_address} if found.rest_address else {}
        answers = [ok("local Cloud Run", f"process {found.pid}"), *machine.listening(places)]
        if (told := _date_of(found.rest_address)) is not None:
            answers.append(compared(told, datetime.now(UTC), self.request.config.evidence.lateness))
        return answers

    def _cloud(self) -> list[Answer]:
        here: dict[str, Check] = {
            "pulumi": partial(machine.pulumi, is_local=False),
            "pulumi plugin": partial(machine.plugin, os.environ),
            "pulumi state": partial(machine.backend, os.environ),
        }
        opened: list[tuple[Project, Identity]] = []

        def credentials() -> Sequence[Answer]:
            opened.append(self.open_project(self.request.ref.project))
            who = opened[0][1]
            return [ok("credentials", f"{who.email or who.kind}", is_access=True)]

        first = self._examine({"credentials": credentials}, _CREDENTIALS_WITHIN_S)
        if not opened:
            names = ("api", "permission", "quota", "clock", "registry", "service", "tags", "telemetry")
            why = "there are no credentials"
            return [*first, *self._examine(here), *(unasked(name, why) for name in names)]
        with self.open_place(self.session, self.request.ref) as place:
            return [
                *first,
                *self._examine({**here, **self._project(place, *opened[0]), **self._service(place)}),
            ]

    def _project(self, place: Place, project: Project, who: Identity) -> dict[str, Check]:
        config = self.request.config
        asked = ProjectQuestions(
            project, who, self.request.ref, config.container.service_account or "", config.evidence.lateness,
            needed={
                **PERMISSIONS, **(OF_A_JOB if config.is_inside else {}),
                **(TO_DELETE if config.drain.how == "delete" else {}),
            },
        )  # fmt: skip
        return {
            "api": asked.apis,
            "permission": asked.permissions,
            "quota": asked.quota,
            "clock": partial(asked.clock, lambda: datetime.now(UTC)),
            "registry": lambda: asked.registry(_image(place)),
        }

    def _service(self, place: Place) -> dict[str, Check]:
        """Questions to the service; they share one read of it."""
        ref, environment = self.request.ref, self.request.environment
        ways = self.request.config.ways(environment)

        @cache
        def found() -> LiveService | None:
            try:
                return place.platform.read(ref)
            except ServiceNotFound:
                return None

        reading = threading.Lock()

        def about(ask: Callable[[LiveService], Sequence[Answer]], name: str) -> Sequence[Answer]:
            with reading:  # the first one reads, the others wait for it
                live = found()
            if live is not None:
                return ask(live)
            fix = "Its first deployment is: spillway rollout --image IMAGE"
            return [
                note(name, f"{ref.name} is not there yet", fix)
                if name == "service"
                else unasked(name, "no service yet")
            ]

        def telemetry(live: LiveService) -> Sequence[Answer]:
            return service.telemetry(live, place.logs, self.request.config, environment, datetime.now(UTC))

        is_inside = self.request.config.is_inside
        settings = partial(service.settings, ways=ways, is_inside=is_inside)
        asked: dict[str, Check] = {
            "service": partial(about, settings, "service"),
            "tags": partial(about, partial(service.tags, ways=ways, is_inside=is_inside), "tags"),
            "telemetry": partial(about, telemetry, "telemetry"),
        }
        if is_inside:
            asked["probe job"] = lambda: service.probe_job(place.probe_job().image)
        return asked


def _image(place: Place) -> str:
    """Of the revision that serves most; empty where there is none."""
    try:
        serving = place.platform.read(place.ref).serving.serving
        return (
            place.platform.revision(place.ref, max(serving, key=lambda name: serving[name])).image
            if serving
            else ""
        )
    except ServiceNotFound:
        return ""


def _date_of(address: str) -> datetime | None:
    """The clock of an HTTP server, whole seconds; None where it does not tell."""
    host, _, port = address.rpartition(":")
    try:
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_TIMEOUT_S)
        connection.request("HEAD", "/")
        date = connection.getresponse().headers.get("Date")
        connection.close()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return parsedate_to_datetime(date) if date else None
