"""Jobs of the local Cloud Run: real processes, run by unmodified clients over both faces."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.api_core.future import polling
from google.cloud import run_v2
from google.cloud.run_v2.services.executions.transports import (
    ExecutionsGrpcTransport,
    ExecutionsRestTransport,
)
from google.cloud.run_v2.services.jobs.transports import JobsGrpcTransport, JobsRestTransport
from google.cloud.run_v2.services.tasks.transports import TasksGrpcTransport, TasksRestTransport
from google.oauth2.credentials import Credentials

from pipeline.local import state_secrets
from pipeline.local.assembly import LocalCloudRun, Settings
from pipeline.local.endpoint import Endpoint
from pipeline.local.images import builds, catalogue
from pipeline.local.images.catalogue import Image
from pipeline.local.run import strays
from pipeline.rpc.logs import Logs, logging_v2
from tests.contract.cloud import LoopThread
from tests.fakes import START

OFTEN = polling.DEFAULT_POLLING.with_delay(initial=0.02, maximum=0.2, multiplier=1.5).with_timeout(100)
PARENT = "projects/local/locations/local"
TOKEN = "of-the-tests"
#: Says what it was given, then does what its first argument says, unless this attempt is not the first.
WORKER = """
import json, os, subprocess, sys, time
mine = {k: v for k, v in os.environ.items() if k.startswith(("CLOUD_RUN", "GIVEN"))}
print(json.dumps({"event": "ran", "args": sys.argv[1:], **mine}), flush=True)
what = sys.argv[1] if len(sys.argv) > 1 else "succeed"
if what == "fail-once" and os.environ["CLOUD_RUN_TASK_ATTEMPT"] == "0": what = "fail"
if what == "fail": sys.exit(3)
if what == "secret": sys.exit(0 if os.environ.get("SECRET") == "s3cret-value" else 4)
if what == "hang":
    subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(1000)"], start_new_session=True)
    time.sleep(1000)
"""


class Machine:
    """A local Cloud Run in a folder, with clients of one face."""

    def __init__(self, folder: Path, face: str) -> None:
        self.folder, self.face = folder, face
        catalogue.write(folder, {"worker": Image((sys.executable, "-I", "-S", "-c", WORKER))})
        self.loop = LoopThread()
        self.up()

    def up(self) -> None:
        async def start() -> tuple[LocalCloudRun, str]:
            run = LocalCloudRun(Settings(self.folder, grace_s=0.5), TOKEN)
            return run, await run.start()

        self.run, address = self.loop.run(start())
        self.channel = Endpoint(0, address, TOKEN, START).channel()
        if self.face == "grpc":
            made: tuple[Any, ...] = JobsGrpcTransport, ExecutionsGrpcTransport, TasksGrpcTransport
            transports = [kind(channel=self.channel) for kind in made]
        else:
            made = JobsRestTransport, ExecutionsRestTransport, TasksRestTransport
            host, token = f"http://{self.run.rest_address}", Credentials(TOKEN)
            transports = [kind(host=host, credentials=token) for kind in made]
        self.jobs = run_v2.JobsClient(transport=transports[0])
        self.executions = run_v2.ExecutionsClient(transport=transports[1])
        self.tasks = run_v2.TasksClient(transport=transports[2])

    def down(self) -> None:
        self.loop.run(self.run.close())
        self.channel.close()

    def make(
        self, job_id: str = "worker", *args: str, count: int = 1, retries: int = 0, **task: Any
    ) -> run_v2.Job:
        container = run_v2.Container(
            image="worker", args=list(args), env=[run_v2.EnvVar(name="GIVEN", value="a")]
        )
        template = run_v2.TaskTemplate(containers=[container], max_retries=retries, **task)
        job = run_v2.Job(template=run_v2.ExecutionTemplate(template=template, task_count=count))
        return self.jobs.create_job(parent=PARENT, job=job, job_id=job_id).result(polling=OFTEN)

    def went(self, job: str, **overrides: Any) -> run_v2.Execution:
        request = run_v2.RunJobRequest(name=job, overrides=run_v2.RunJobRequest.Overrides(**overrides))
        return self.jobs.run_job(request).result(polling=OFTEN)

    def said(self, more: str) -> list[Mapping[str, Any]]:
        request = logging_v2.ListLogEntriesRequest(
            resource_names=["projects/local"],
            filter=f'resource.type="cloud_run_job" AND {more}',
            page_size=100,
        )
        return [
            type(entry).to_dict(entry) for entry in Logs(self.channel).list_log_entries(request, timeout=30.0)
        ]

    def processes(self) -> list[int]:
        return list(strays.pids(strays.folder_token(self.folder)))


@pytest.fixture(scope="module", params=["grpc", "rest"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("jobs"), request.param)
    yield made
    made.down()
    assert made.processes() == []
    made.loop.close()


def states(machine: Machine, execution: run_v2.Execution) -> list[tuple[int, int, str]]:
    """Index, attempt and state of each task."""
    return [
        (task.index, task.retried, task.conditions[0].state.name.removeprefix("CONDITION_"))
        for task in machine.tasks.list_tasks(parent=execution.name)
    ]


def until(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_each_task_knows_its_place_and_what_it_says_is_in_the_log(machine: Machine) -> None:
    job = machine.make("place", count=3)
    assert job.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert (job.template.template.timeout.total_seconds(), job.template.task_count) == (600, 3)
    done = machine.went(job.name)
    assert (done.task_count, done.succeeded_count, done.failed_count, done.running_count) == (3, 3, 0, 0)
    assert done.completion_time > done.start_time
    assert states(machine, done) == [(n, 0, "SUCCEEDED") for n in range(3)]
    short = done.name.rpartition("/")[2]
    lines = machine.said(f'labels."run.googleapis.com/execution_name"="{short}"')
    assert {line["resource"]["type"] for line in lines} == {"cloud_run_job"}
    assert lines[0]["resource"]["labels"] == {"project_id": "local", "location": "local", "job_name": "place"}
    given = sorted(
        (line["json_payload"] for line in lines), key=lambda each: str(each["CLOUD_RUN_TASK_INDEX"])
    )
    expected = {
        "CLOUD_RUN_JOB": "place", "CLOUD_RUN_EXECUTION": short, "CLOUD_RUN_TASK_ATTEMPT": "0", "CLOUD_RUN_TASK_COUNT": "3",
        "GIVEN": "a", "event": "ran", "args": [],
    }  # fmt: skip
    assert given == [{**expected, "CLOUD_RUN_TASK_INDEX": str(n)} for n in range(3)]
    found = machine.jobs.get_job(name=job.name)
    assert (found.execution_count, found.latest_created_execution.name) == (1, short)
    assert found.latest_created_execution.completion_status.name == "EXECUTION_SUCCEEDED"


def test_a_run_overrides_what_it_names_and_the_job_stays(machine: Machine) -> None:
    job = machine.make("overridden", "first", count=1)
    override = run_v2.RunJobRequest.Overrides.ContainerOverride(
        args=["second", "third"], env=[run_v2.EnvVar(name="GIVEN_TOO", value="b")]
    )
    done = machine.went(job.name, container_overrides=[override], task_count=2, timeout=timedelta(seconds=77))
    assert (done.task_count, done.template.timeout.total_seconds()) == (2, 77)
    short = done.name.rpartition("/")[2]
    (first, _) = machine.said(f'labels."run.googleapis.com/execution_name"="{short}"')
    said = first["json_payload"]
    assert (said["args"], said["GIVEN"], said["GIVEN_TOO"]) == (["second", "third"], "a", "b")
    kept = machine.jobs.get_job(name=job.name).template
    assert (kept.task_count, list(kept.template.containers[0].args)) == (1, ["first"])


def test_a_task_that_fails_is_tried_again_as_often_as_it_may(machine: Machine) -> None:
    assert states(machine, machine.went(machine.make("once", "fail-once", retries=2).name)) == [
        (0, 1, "SUCCEEDED")
    ]
    failed = machine.went(machine.make("always", "fail", count=2, retries=1).name)
    assert (failed.failed_count, failed.retried_count) == (2, 2)
    completed = failed.conditions[0]
    assert completed.state == run_v2.Condition.State.CONDITION_FAILED
    assert completed.execution_reason.name == "NON_ZERO_EXIT_CODE"
    assert "exit(3)" in completed.message
    task = machine.tasks.get_task(name=f"{failed.name}/tasks/{failed.name.rpartition('/')[2]}-task1")
    assert (task.last_attempt_result.exit_code, task.index) == (3, 1)


def test_a_task_that_takes_too_long_is_ended_with_all_that_it_started(machine: Machine) -> None:
    job = machine.make("slow", "hang", timeout=timedelta(seconds=1))
    done = machine.went(job.name)
    assert done.failed_count == 1
    assert "time-out" in done.conditions[0].message
    assert machine.processes() == []


def test_an_image_is_compared_with_its_digest_once_and_not_for_each_attempt(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, find = [], builds.find

    def watched(folder: Path, reference: str, *, verify: bool = True) -> builds.Build:
        compared.append(verify)
        return find(folder, reference, verify=verify)

    job = machine.make("compared", "fail", retries=1)
    machine.went(job.name)
    monkeypatch.setattr(builds, "find", watched)
    machine.went(job.name)
    assert compared == [False, False]


def test_a_run_is_cancelled(machine: Machine) -> None:
    job = machine.make("cancelled", "hang", count=3)
    job_run = machine.jobs.run_job(name=job.name)
    name = job_run.metadata.name
    until(lambda: machine.executions.get_execution(name=name).running_count == 3)
    until(lambda: len(machine.processes()) >= 3)
    machine.executions.cancel_execution(name=name).result(polling=OFTEN)
    done = job_run.result(polling=OFTEN)
    assert (done.cancelled_count, done.conditions[0].execution_reason.name) == (3, "CANCELLED")
    assert machine.processes() == []


def test_no_more_tasks_at_once_than_are_allowed(machine: Machine) -> None:
    container = run_v2.Container(image="worker", args=["hang"])
    template = run_v2.ExecutionTemplate(
        template=run_v2.TaskTemplate(containers=[container], max_retries=0), task_count=4, parallelism=2
    )
    job = machine.jobs.create_job(parent=PARENT, job=run_v2.Job(template=template), job_id="two").result(
        polling=OFTEN
    )
    name = machine.jobs.run_job(name=job.name).metadata.name
    until(lambda: machine.executions.get_execution(name=name).running_count == 2)
    assert [state for *_, state in states(machine, machine.executions.get_execution(name=name))].count(
        "PENDING"
    ) == 2
    machine.executions.delete_execution(name=name).result(polling=OFTEN)
    with pytest.raises(exceptions.NotFound):
        machine.executions.get_execution(name=name)
    assert machine.processes() == []


def test_what_cannot_be_is_refused(machine: Machine) -> None:
    job = machine.make("refused")
    with pytest.raises(exceptions.Conflict):
        machine.make("refused")
    with pytest.raises(exceptions.BadRequest, match="job_id"):
        machine.make("No")
    with pytest.raises(exceptions.BadRequest, match="max_retries"):
        machine.make("many", retries=11)
    kind = run_v2.RunJobRequest.Overrides.ContainerOverride
    for wrong, words in (
        (kind(env=[run_v2.EnvVar(name="CLOUD_RUN_JOB", value="x")]), "CLOUD_RUN_JOB"),
        (kind(env=[run_v2.EnvVar(value="x")]), "a variable without a name"),
        (kind(name="other"), "no container 'other'"),
    ):
        with pytest.raises(exceptions.BadRequest, match=words):
            machine.went(job.name, container_overrides=[wrong])
    job.template.template.containers.append(run_v2.Container(image="worker"))
    machine.jobs.update_job(job=job).result(polling=OFTEN)
    with pytest.raises(exceptions.BadRequest, match="more than one container ''"):
        machine.went(job.name, container_overrides=[kind(args=["x"])])
    with pytest.raises(exceptions.Conflict):
        machine.jobs.delete_job(request=run_v2.DeleteJobRequest(name=job.name, etag='"old"'))
    with pytest.raises(exceptions.NotFound):
        machine.jobs.run_job(name=f"{PARENT}/jobs/nobody")


def test_a_job_whose_image_is_nowhere_does_not_run(machine: Machine) -> None:
    template = run_v2.TaskTemplate(containers=[run_v2.Container(image="nowhere")])
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=template))
    with pytest.raises(exceptions.GoogleAPICallError, match="nowhere"):
        machine.jobs.create_job(parent=PARENT, job=job, job_id="nowhere").result(polling=OFTEN)
    with pytest.raises(exceptions.BadRequest, match="not ready"):
        machine.jobs.run_job(name=f"{PARENT}/jobs/nowhere")
    job.name = f"{PARENT}/jobs/nowhere"
    job.template.template.containers[0].image = "worker"
    machine.jobs.update_job(job=job).result(polling=OFTEN)
    assert machine.went(job.name).succeeded_count == 1


def test_a_secret_is_a_variable_and_one_that_is_not_there_is_told(machine: Machine) -> None:
    file = state_secrets.place(machine.folder, "token", "1")
    file.parent.mkdir(parents=True)
    file.write_text("s3cret-value")
    for secret, code in (("token", 0), ("nowhere", 1)):
        job = machine.make(f"secret-{secret}", "secret")
        key = run_v2.SecretKeySelector(secret=secret, version="latest")
        source = run_v2.EnvVarSource(secret_key_ref=key)
        job.template.template.containers[0].env.append(run_v2.EnvVar(name="SECRET", value_source=source))
        machine.jobs.update_job(job=job).result(polling=OFTEN)
        done = machine.went(job.name)
        assert done.failed_count == code
    assert "secrets/nowhere" in done.conditions[0].message


def test_a_job_is_listed_changed_and_deleted_with_its_runs(machine: Machine) -> None:
    job = machine.make("changed", "one")
    first, second = machine.went(job.name), machine.went(job.name)
    listed = [each.name for each in machine.executions.list_executions(parent=job.name)]
    assert listed == [second.name, first.name]
    assert job.name in [each.name for each in machine.jobs.list_jobs(parent=PARENT)]
    job.template.template.containers[0].args = ["two"]
    after = machine.jobs.update_job(job=job).result(polling=OFTEN)
    assert (after.generation, list(after.template.template.containers[0].args)) == (2, ["two"])
    with pytest.raises(exceptions.Conflict):
        machine.jobs.update_job(job=job)
    machine.jobs.delete_job(name=job.name).result(polling=OFTEN)
    for gone in (first.name, second.name):
        with pytest.raises(exceptions.NotFound):
            machine.executions.get_execution(name=gone)


def test_a_restart_keeps_jobs_and_goes_on_with_what_ran(machine: Machine) -> None:
    job = machine.make("kept", "hang", retries=1, timeout=timedelta(seconds=5))
    name = machine.jobs.run_job(name=job.name).metadata.name
    ran = (
        f'labels."run.googleapis.com/execution_name"="{name.rpartition("/")[2]}" AND jsonPayload.event="ran"'
    )
    until(lambda: len(machine.said(ran)) == 1)
    machine.down()
    assert machine.processes() == [], "nothing outlives the server"
    machine.up()
    until(lambda: machine.executions.get_execution(name=name).failed_count == 1)
    done = machine.executions.get_execution(name=name)
    assert states(machine, done) == [(0, 1, "FAILED")], "the attempt that was cut off counts"
    assert len(machine.said(ran)) == 2
    assert machine.jobs.get_job(name=job.name).execution_count == 1
