"""What a client's write makes of a job, and a run of it, or why it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from pipeline.local.control.etags import TICK
from pipeline.local.control.jobs import DEFAULT_RETRIES, DEFAULT_TASK_TIMEOUT, Execution, Job, Task
from pipeline.local.control.state import Json, Refused, Stamp, said, seconds
from pipeline.local.control.validate import check_container, check_count, refuse
from pipeline.local.control.writes import default_account, resources_with_defaults

_MOST_TASKS, _MOST_RETRIES, _LONGEST_S = 10_000, 10, 168 * 3600
_RESERVED = frozenset(
    f"CLOUD_RUN_{name}" for name in ("JOB", "EXECUTION", "TASK_INDEX", "TASK_ATTEMPT", "TASK_COUNT")
)
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz24567"


def with_defaults(project: str, spec: Json) -> Json:
    """``spec`` with what Cloud Run fills in. Raises Refused for what it does not take."""
    execution = spec.get("template", {})
    task: dict[str, Any] = {
        "max_retries": DEFAULT_RETRIES,
        "timeout": DEFAULT_TASK_TIMEOUT,
        "service_account": default_account(project),
        **execution.get("template", {}),
    }
    containers = task.get("containers", ())
    task["containers"] = [{**c, "resources": resources_with_defaults(c.get("resources"))} for c in containers]
    template = {"task_count": 1, **execution, "template": task}
    refuse(_problems(template))
    return {"launch_stage": "GA", **spec, "template": template}


def _problems(template: Json) -> Iterator[str]:
    task = template["template"]
    yield from check_count("template.template.containers", task["containers"])
    for number, container in enumerate(task["containers"]):
        yield from check_container(f"template.template.containers[{number}]", container, _RESERVED)
    count, parallelism = template["task_count"], template.get("parallelism", 0)
    retries, timeout = task["max_retries"], task["timeout"]
    yield from said(
        (not 1 <= count <= _MOST_TASKS, f"template.task_count: {count} is not between 1 and {_MOST_TASKS}."),
        (
            not 0 <= parallelism <= _MOST_TASKS,
            f"template.parallelism: {parallelism} is not between 0 and {_MOST_TASKS}.",
        ),
        (
            not 0 <= retries <= _MOST_RETRIES,
            f"template.template.max_retries: {retries} is not between 0 and {_MOST_RETRIES}.",
        ),
        (
            not 0 < seconds(timeout) <= _LONGEST_S,
            f"template.template.timeout: {timeout} is not between 1s and {_LONGEST_S}s.",
        ),
    )


def create(name: str, spec: Json, stamp: Stamp) -> Job:
    return Job(name, stamp.new_id(), stamp.etag(name), stamp.at, stamp.actor, 1, stamp.at, stamp.actor, spec)


def update(job: Job, spec: Json, stamp: Stamp) -> Job:
    """The job with another spec, its images to be found anew."""
    stamp = replace(stamp, at=max(stamp.at, job.update_time + TICK))
    return replace(
        job, spec=spec, etag=stamp.etag(job.name), generation=job.generation + 1, update_time=stamp.at,
        last_modifier=stamp.actor, images={}, failure=None, reconciling=True,
    )  # fmt: skip


def run(job: Job, overrides: Json, stamp: Stamp) -> Execution:
    """A run of the job as it is, with what this run overrides. Raises Refused."""
    if job.failure or job.reconciling:
        why = job.failure.message if job.failure else "it is still being written"
        raise Refused("FAILED_PRECONDITION", f"Job '{job.short}' is not ready to run: {why}")
    template = _overridden(job.spec["template"], overrides)
    refuse(_problems(template))
    number = int(stamp.new_id().replace("-", "")[-10:], 16)
    suffix = "".join(_SUFFIX_LETTERS[number // 25**place % 25] for place in range(5))
    name = f"{job.name}/executions/{job.short}-{suffix}"
    return Execution(
        name, stamp.new_id(), stamp.etag(name), stamp.at, stamp.actor, template, job.images,
        tuple(map(Task, range(template["task_count"]))),
    )  # fmt: skip


def _overridden(template: Json, overrides: Json) -> Json:
    task = {
        **template["template"],
        "containers": _containers(
            template["template"]["containers"], overrides.get("container_overrides", ())
        ),
        **({"timeout": overrides["timeout"]} if "timeout" in overrides else {}),
    }
    return {**template, "task_count": overrides.get("task_count") or template["task_count"], "template": task}


def _containers(containers: Sequence[Json], overrides: Sequence[Json]) -> Sequence[Json]:
    made = [dict(container) for container in containers]
    for override in overrides:
        wanted = override.get("name", "")
        found = [c for c in made if c.get("name", "") == wanted or (not wanted and len(made) == 1)]
        if len(found) != 1:
            raise Refused(
                "INVALID_ARGUMENT",
                f"overrides.container_overrides: there is {'more than one' if found else 'no'} container '{wanted}'.",
            )
        (container,) = found
        if override.get("args") or override.get("clear_args"):
            container["args"] = list(override.get("args", ()))
        env = {each.get("name", ""): each for each in (*container.get("env", ()), *override.get("env", ()))}
        container["env"] = list(env.values())
    return made
