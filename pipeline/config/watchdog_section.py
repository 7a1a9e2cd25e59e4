"""``watchdog:`` of ``spillway.yaml``: who drives a rollout when no command does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from msgspec import Struct, field

from pipeline.budget import MOST_TASKS
from pipeline.config.fields import Duration, Misplaced, between, not_empty, text_like, whole

_LOOKS = 3  # of a watchdog that is to be called silent


class FleetConfig(Struct, frozen=True, kw_only=True):
    """Which services besides: the job's tasks take a step of each (`spillway tick --all`), every task of its part.

    Args:
        files: patterns of the services' configurations, as the image holds them: `services/*/spillway.yaml`.
        labels: services of the environment's project and region that bear all of these labels: `spillway=watched`.
        tasks: how many share the services, and the project's quota.
    """

    files: list[Annotated[str, not_empty]] = field(default_factory=list)
    labels: list[Annotated[str, text_like(r"[^=\s]+(=[^\s]*)?", "a label, key=value")]] = field(
        default_factory=list
    )
    tasks: Annotated[int, whole(1, MOST_TASKS)] = 1

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "anyOf": [{"required": [key], "properties": {key: {"minItems": 1}}} for key in ("files", "labels")]
    }

    def __post_init__(self) -> None:
        if not (self.files or self.labels):
            raise ValueError("needs files or labels: they say which services")


class WatchdogConfig(Struct, frozen=True, kw_only=True):
    """A Cloud Run job that takes a step (`spillway tick`) on a schedule, whether or not a command drives.

    Args:
        every: how often a step is taken; of the time between two steps twice as much counts at most for a soak.
        silent: a rollout that nobody drove for so long goes back with the next step, if it is below 100%; the lasting
            alert fires when no step was seen for so long.
        image: of a container that runs `spillway`; with it the Pulumi program declares the job and its schedule.
        service_account: that the job runs as and that the schedule starts it as; an image needs one.
        secrets: variables of the job by name, each a secret of Secret Manager.
        fleet: the job sees to these services, and to this one only if it is one of them.
    """

    every: Annotated[Duration, between("1m", "30m")] = timedelta(minutes=1)
    silent: Annotated[Duration, between("10m", "24h")] = timedelta(minutes=15)
    image: Annotated[str, not_empty] | None = None
    service_account: Annotated[str, not_empty] | None = None
    secrets: dict[str, Annotated[str, not_empty]] = field(default_factory=dict)
    fleet: FleetConfig | None = None

    def __post_init__(self) -> None:
        if self.every % timedelta(minutes=1):
            raise Misplaced(("every",), "a schedule counts in whole minutes")
        if self.image and not self.service_account:
            raise Misplaced(
                ("image",), "needs a service-account beside it: the schedule starts the job as that"
            )
        if self.fleet and not self.image:
            raise Misplaced(("fleet",), "needs an image beside it: it is what the job's tasks run")
        if self.silent < _LOOKS * self.every:
            raise Misplaced(("silent",), f"is shorter than {_LOOKS} steps: every step could find it silent")
