"""``container:`` and ``images:`` of ``spillway.yaml``: what a revision runs, and with what."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct, field

from pipeline.config.fields import (
    NOT_A_KEY,
    Duration,
    between,
    not_empty,
    not_our_variables,
    text_like,
    variables,
    whole,
)

_CPU = text_like(r"[0-9]{1,3}(?:\.[0-9]{1,3})?|[0-9]{1,6}m", 'a number of CPUs, such as "1" or 500m')
_MEMORY = text_like(
    r"[0-9]{1,9}(?:\.[0-9]{1,3})?(?:k|[KMGT]i?)", "a size with its unit, such as 512Mi or 2Gi"
)


class Image(Struct, frozen=True, kw_only=True):
    """A named command, and the folder that it needs: what an image is to the local Cloud Run.

    Args:
        command: the words of the command; `{project}` stands for this file's folder, `{python}` for Spillway's interpreter.
        directory: the folder that is copied and that the command runs in.
        env: environment variables, beside those of `container`.
    """

    command: Annotated[list[str], not_empty]
    directory: Annotated[str, not_empty] | None = None
    env: Annotated[dict[str, str], variables] = field(default_factory=dict)


class Container(Struct, frozen=True, kw_only=True):
    """What is asked of each revision's template, and of the service. What is not named stays as it is live.

    Args:
        port: the port that the container listens on.
        env: environment variables.
        min_instances: instances that are kept on each revision; a candidate at 0% has them too.
        max_instances: instances at most.
        concurrency: requests, and so sockets, that one instance takes at once.
        cpu: such as `"1"` or `500m`.
        memory: such as `512Mi`.
        timeout: of a request; Cloud Run cuts a WebSocket after it.
        service_account: the service account that instances run as.
        startup: how long an instance may take to listen.
        deletion_protection: Pulumi refuses to delete the service.
        template: the rest of Cloud Run's RevisionTemplate, in the API's own words.
        service: fields of Cloud Run's Service, in the API's own words.
        waive: live fields that may be lost, by the names that a refusal gives.
    """

    port: Annotated[int, whole(1, 65_535)] | None = None
    env: Annotated[dict[str, str], variables, not_our_variables] = field(default_factory=dict)
    min_instances: Annotated[int, whole(0, 1000)] | None = None
    max_instances: Annotated[int, whole(1, 1000)] | None = None
    concurrency: Annotated[int, whole(1, 1000)] | None = None
    cpu: Annotated[str, _CPU] | None = None
    memory: Annotated[str, _MEMORY] | None = None
    timeout: Annotated[Duration, between("1s", "1h")] | None = None  # Cloud Run's own limits, as for startup
    service_account: str | None = None
    startup: Annotated[Duration, between("1s", "4m")] | None = None
    deletion_protection: bool = True
    template: dict[str, Any] = field(default_factory=dict)  # template_section.py
    service: dict[str, Any] = field(default_factory=dict)
    waive: list[Annotated[str, not_empty]] = field(default_factory=list)
    cleared: Annotated[tuple[str, ...], NOT_A_KEY] = ()  # short keys that are null
