"""Cloud Scheduler, as rows of both faces, and what its jobs may start: a run of a job of this local Cloud Run."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from google.cloud import run_v2
from google.protobuf import empty_pb2, json_format
from google.protobuf.message import Message

from pipeline.local.api.methods import Caller, Method, location
from pipeline.local.api.paging import page
from pipeline.local.control import codec
from pipeline.local.control.job_controller import JobController
from pipeline.local.control.state import Json, Refused
from pipeline.local.scheduler.scheduler import Scheduler
from pipeline.rpc.scheduler import PACKAGE, kind

SERVICE = f"{PACKAGE}.CloudScheduler"
_RUN = re.compile(r"https://run\.googleapis\.com/v2/(projects/[^/]+/locations/[^/]+/jobs/[^/:]+):run")


def offered(scheduler: Scheduler) -> Iterator[Method]:
    """Every row."""
    yield from _kept(scheduler)
    yield from _acts(scheduler)


def _kept(scheduler: Scheduler) -> Iterator[Method]:
    async def create(request: Any, _: Caller) -> Any:
        parent = location(request.parent)
        name = request.job.name or f"{parent}/jobs/{uuid4().int % 10**19}"
        if not re.fullmatch(rf"{re.escape(parent)}/jobs/[-\w]{{1,500}}", name):
            raise Refused("INVALID_ARGUMENT", f"Job name '{name}' is not {parent}/jobs/JOB.")
        return scheduler.jobs.create(name, request.job)

    async def get(request: Any, _: Caller) -> Any:
        return scheduler.jobs.show(request.name)

    async def list_(request: Any, _: Caller) -> Any:
        names = scheduler.jobs.under(f"{location(request.parent)}/jobs")
        some, token = page(names, str, size=request.page_size, token=request.page_token)
        return kind("ListJobsResponse")(jobs=map(scheduler.jobs.show, some), next_page_token=token)

    async def update(request: Any, _: Caller) -> Any:
        return scheduler.jobs.update(request.job.name, request.job, request.update_mask)

    async def delete(request: Any, _: Caller) -> Message:
        scheduler.jobs.delete(request.name)
        return empty_pb2.Empty()

    yield _row("CreateJob", create)
    yield _row("GetJob", get)
    yield Method(f"{SERVICE}/ListJobs", kind("ListJobsRequest"), kind("ListJobsResponse"), list_)
    yield _row("UpdateJob", update)
    yield Method(f"{SERVICE}/DeleteJob", kind("DeleteJobRequest"), empty_pb2.Empty, delete)


def _acts(scheduler: Scheduler) -> Iterator[Method]:
    async def pause(request: Any, _: Caller) -> Any:
        return scheduler.pause(request.name, paused=True)

    async def resume(request: Any, _: Caller) -> Any:
        return scheduler.pause(request.name, paused=False)

    async def run(request: Any, _: Caller) -> Any:
        return await scheduler.run(request.name)

    yield _row("PauseJob", pause)
    yield _row("ResumeJob", resume)
    yield _row("RunJob", run)


def _row(name: str, call: Any) -> Method:
    """Of a method that answers with the job."""
    return Method(f"{SERVICE}/{name}", kind(f"{name}Request"), kind("Job"), call)


async def start(jobs: JobController, target: Json) -> None:
    """What a scheduled job's HTTP target means here. Raises Refused for what is no run of a job of ours."""
    found = _RUN.fullmatch(target.get("uri", ""))
    if found is None or target.get("httpMethod", "POST") != "POST":
        raise Refused("UNIMPLEMENTED", f"'{target.get('uri', '')}' is no run of a Cloud Run job: nothing else is called.")  # fmt: skip
    try:
        body = base64.b64decode(target.get("body", "")).decode() or "{}"
        request = json_format.Parse(body, run_v2.RunJobRequest.pb()())
    except (ValueError, json_format.ParseError) as error:
        raise Refused("INVALID_ARGUMENT", f"body: {error}") from error
    overrides = codec.as_json(request.overrides)
    jobs.run(found[1], overrides, etag=request.etag, actor="cloud-scheduler", validate_only=False)
