"""Cloud Scheduler, as rows of both faces, and what its jobs may start: a run of a job of this local Cloud Run."""

from __future__ import annotations

import base64
import re
from typing import Any
from uuid import uuid4

from google.cloud import run_v2
from google.protobuf import empty_pb2, json_format
from google.protobuf.message import Message

from pipeline.local.api.methods import Call, Caller, Method, at_once, location, paged
from pipeline.local.control import codec
from pipeline.local.control.job_controller import JobController
from pipeline.local.control.state import Json, Refused, invalid
from pipeline.local.scheduler.scheduler import Scheduler
from pipeline.rpc.scheduler import PACKAGE, kind

SERVICE = f"{PACKAGE}.CloudScheduler"
_JOB = kind("Job")
_RUN = re.compile(r"https://run\.googleapis\.com/v2/(projects/[^/]+/locations/[^/]+/jobs/[^/:]+):run")


def offered(scheduler: Scheduler) -> tuple[Method, ...]:
    """Every row."""
    jobs = scheduler.jobs

    def create(request: Any) -> Any:
        parent = location(request.parent)
        name = request.job.name or f"{parent}/jobs/{uuid4().int % 10**19}"
        if not re.fullmatch(rf"{re.escape(parent)}/jobs/[-\w]{{1,500}}", name):
            raise invalid(f"Job name '{name}' is not {parent}/jobs/JOB.")
        return jobs.create(name, request.job)

    def delete(request: Any) -> Message:
        jobs.delete(request.name)
        return empty_pb2.Empty()

    async def run(request: Any, _: Caller) -> Any:
        return await scheduler.run(request.name)

    answer = kind("ListJobsResponse")
    pages = paged(answer, lambda r: jobs.under(f"{location(r.parent)}/jobs"), str, jobs.show)
    return (
        _row("CreateJob", at_once(create)),
        _row("GetJob", at_once(lambda r: jobs.show(r.name))),
        _row("ListJobs", pages, answer),
        _row("UpdateJob", at_once(lambda r: jobs.update(r.job.name, r.job, r.update_mask))),
        _row("DeleteJob", at_once(delete), empty_pb2.Empty),
        _row("PauseJob", at_once(lambda r: scheduler.pause(r.name, paused=True))),
        _row("ResumeJob", at_once(lambda r: scheduler.pause(r.name, paused=False))),
        _row("RunJob", run),
    )


def _row(name: str, call: Call, answer: Any = _JOB) -> Method:
    return Method(f"{SERVICE}/{name}", kind(f"{name}Request"), answer, call)


async def start(jobs: JobController, target: Json) -> None:
    """What a scheduled job's HTTP target means here. Raises Refused for what is no run of a job of ours."""
    found = _RUN.fullmatch(target.get("uri", ""))
    if found is None or target.get("httpMethod", "POST") != "POST":
        raise Refused("UNIMPLEMENTED", f"'{target.get('uri', '')}' is no run of a Cloud Run job: nothing else is called.")  # fmt: skip
    try:
        body = base64.b64decode(target.get("body", "")).decode() or "{}"
        request = json_format.Parse(body, run_v2.RunJobRequest.pb()())
    except (ValueError, json_format.ParseError) as error:
        raise invalid(f"body: {error}") from error
    overrides = codec.as_json(request.overrides)
    jobs.run(found[1], overrides, etag=request.etag, actor="cloud-scheduler", validate_only=False)
