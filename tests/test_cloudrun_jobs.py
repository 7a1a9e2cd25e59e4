"""The probes' job by Cloud Run's own API, on the local one: real processes, run, looked at, read from and cancelled."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import run_v2

from infra.jobs import probes
from infra.settings import ProbeJob, Settings, Template
from pipeline.cloudrun.jobs import CloudRunJobs, as_asked, lines_filter
from pipeline.cloudrun.log_filter import errors_filter
from pipeline.doctor import service
from pipeline.doctor.answer import Verdict
from pipeline.errors import JobNotFound, RequestRejected
from pipeline.local.entries.filter import compile_filter
from pipeline.local.entries.index import EVERYTHING
from pipeline.local.entries.store import LogStore
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from pipeline.local.provider.plain import PlainProvider
from pipeline.model import ServiceRef
from pipeline.probe.job_round import RunState
from tests.test_jobs import OFTEN, PARENT, Machine

REF = ServiceRef("local", "local", "chat")
#: Writes what it was told, then hangs if it was told to.
TELLER = """
import json, os, time
told = os.environ["SPILLWAY_ROUND"]
print(json.dumps({"spillway_round": 1, "round": "r1", "told": told}), flush=True)
print(json.dumps({"spillway_round": 1, "round": "r2", "told": "of another round"}), flush=True)
print(json.dumps({"event": "something else"}), flush=True)
if told == "hang": time.sleep(1000)
raise SystemExit(3 if told == "fail" else 0)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("probe-job"), "grpc")
    catalogue.write(made.folder, {"teller": Image((sys.executable, "-I", "-S", "-c", TELLER))})
    task = run_v2.TaskTemplate(containers=[run_v2.Container(image="teller")], max_retries=0)
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=task))
    made.jobs.create_job(parent=PARENT, job=job, job_id="chat-probe").result(polling=OFTEN)
    yield made
    made.down()
    assert made.processes() == []
    made.loop.close()


@pytest.fixture
def jobs(machine: Machine) -> CloudRunJobs:
    return of(machine, REF)


def of(machine: Machine, ref: ServiceRef) -> CloudRunJobs:
    return CloudRunJobs.over(machine.channel, ref)


def ended(jobs: CloudRunJobs, run: str) -> RunState:
    give_up = time.monotonic() + 100
    while not (state := jobs.state(run)).is_over:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return state


def test_a_run_gets_its_order_and_is_read_alone(jobs: CloudRunJobs) -> None:
    since, minute = datetime.now(UTC), timedelta(minutes=1)
    one, other = jobs.run('{"a": 1}', minute), jobs.run("fail", minute)
    assert ended(jobs, one) == RunState(is_over=True, is_good=True)
    failed = ended(jobs, other)
    assert not failed.is_good
    assert "exit(3)" in failed.words
    assert [line["told"] for line in jobs.said(one, "r1", since)] == ['{"a": 1}']
    assert [line["told"] for line in jobs.said(other, "r1", since)] == ["fail"]


def test_a_run_whose_driver_was_killed_ends_by_itself(jobs: CloudRunJobs, machine: Machine) -> None:
    state = ended(jobs, jobs.run("hang", timedelta(seconds=1)))
    assert not state.is_good
    assert "time-out" in state.words
    assert machine.processes() == []


def test_a_run_that_nobody_waits_for_is_cancelled(jobs: CloudRunJobs, machine: Machine) -> None:
    run = jobs.run("hang", timedelta(minutes=5))
    jobs.cancel(run)
    assert not ended(jobs, run).is_good
    assert machine.processes() == []
    with pytest.raises(RequestRejected, match="refused"):
        jobs.cancel(run)


def test_a_job_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(JobNotFound, match="run projects/local/locations/local/jobs/other-probe: not found"):
        of(machine, ServiceRef("local", "local", "other")).run("{}", timedelta(minutes=1))


def test_a_job_that_is_not_as_asked_is_put_right_before_it_is_run(machine: Machine) -> None:
    ref = ServiceRef("local", "local", "stale")
    task = run_v2.TaskTemplate(containers=[run_v2.Container(image="worker", name="own")], max_retries=3)
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=task, task_count=2), labels={"team": "chat"})
    machine.jobs.create_job(parent=PARENT, job=job, job_id="stale-probe").result(polling=OFTEN)
    asked = ProbeJob("teller", 120, secrets={}, network="default")
    jobs = CloudRunJobs.over(machine.channel, ref, asked)
    run = jobs.run("{}", timedelta(minutes=1))
    assert ended(jobs, run).is_good
    assert [line["told"] for line in jobs.said(run, "r1", datetime.now(UTC))] == ["{}"]
    made = machine.jobs.get_job(name=ref.probe_job)
    template = made.template.template
    assert (made.template.task_count, template.max_retries, template.timeout) == (
        1,
        0,
        timedelta(seconds=120),
    )
    assert template.vpc_access.network_interfaces[0].network == "default"
    assert (made.labels["team"], template.containers[0].name) == ("chat", "own"), "the rest is as it was"
    before = made.generation
    again = CloudRunJobs.over(machine.channel, ref, asked)
    assert ended(again, again.run("{}", timedelta(minutes=1))).is_good
    assert machine.jobs.get_job(name=ref.probe_job).generation == before, (
        "nothing differs, nothing is written"
    )


@pytest.mark.parametrize(
    "asked",
    [
        ProbeJob("teller", 300, "p@x.iam.gserviceaccount.com", {"WS_TOKEN": "ws-token"}, "default", "inner"),
        ProbeJob("teller", 300, "", {}, "", "inner"),
        ProbeJob("teller", 300, "", {}, "", ""),
    ],
    ids=["all of it", "a subnetwork alone", "in no network"],
)
def test_what_the_program_declares_is_what_the_driver_asks_for(machine: Machine, asked: ProbeJob) -> None:
    settings = Settings(
        "local",
        "local",
        f"same-{len(asked.secrets)}-{asked.subnetwork}x",
        Template("teller"),
        probe_job=asked,
    )
    (made,) = probes(settings)
    PlainProvider(machine.channel).bring_about(made.type, made.inputs)
    found = machine.jobs.get_job(name=settings.ref.probe_job)
    assert as_asked(found, asked) == found


def test_what_is_asked_no_more_leaves_the_job() -> None:
    before = ProbeJob("old", 60, "", {"WS_TOKEN": "ws-token"}, "default", "inner")
    bare = run_v2.Job(template={"template": {"containers": [{"name": "own", "working_dir": "/w"}]}})
    after = as_asked(as_asked(bare, before), ProbeJob("new", 120, "", {}, "", ""))
    (container,) = after.template.template.containers
    assert (container.name, container.working_dir, container.image, list(container.env)) == (
        "own",
        "/w",
        "new",
        [],
    )
    assert "vpc_access" not in after.template.template


def test_doctor_says_whether_the_job_is_there(machine: Machine, jobs: CloudRunJobs) -> None:
    (there,) = service.probe_job(jobs.image)
    assert (there.verdict, there.said) == (Verdict.OK, "there, of teller")
    (missing,) = service.probe_job(of(machine, ServiceRef("local", "local", "other")).image)
    assert missing.verdict is Verdict.NOTE
    task = run_v2.TaskTemplate(containers=[run_v2.Container(image="nobody's")])
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=task))
    with pytest.raises(GoogleAPICallError):
        machine.jobs.create_job(parent=PARENT, job=job, job_id="broken-probe").result(polling=OFTEN)
    (broken,) = service.probe_job(of(machine, ServiceRef("local", "local", "broken")).image)
    assert broken.verdict is Verdict.WRONG
    assert "nobody's" in broken.said


def test_lines_of_services_and_of_other_jobs_are_not_the_jobs(tmp_path: Path) -> None:
    store, line = LogStore(tmp_path), json.dumps({"spillway_round": 1, "round": "r1"})
    label = "run.googleapis.com/execution_name"
    forged = json.dumps(
        {"spillway_round": 1, "round": "r1", "logging.googleapis.com/labels": {label: "run-1"}}
    )
    store.line(REF.name, "chat-a", "stdout", forged)
    store.line(f"{REF.parent}/jobs/other-probe", "", "stdout", line, labels={label: "run-1"})
    store.line(REF.probe_job, "", "stdout", line, labels={label: "run-2"})
    store.line(REF.probe_job, "", "stdout", "text", labels={label: "run-1"})
    run = f"{REF.probe_job}/executions/run-1"
    wanted = compile_filter(lines_filter(REF, run, "r1", datetime(2020, 1, 1, tzinfo=UTC)))
    assert [wanted.matches(entry) for entry in store.index.within(EVERYTHING)] == [False] * 4
    store.line(REF.probe_job, "", "stdout", line, labels={label: "run-1"})
    assert [wanted.matches(entry) for entry in store.index.within(EVERYTHING)].count(True) == 1
    store.close()


def test_errors_of_a_round_are_those_that_the_platform_logged_of_the_revision(tmp_path: Path) -> None:
    store, agent = LogStore(tmp_path), "spillway-probe/r1"
    met = {"status": 503, "userAgent": agent, "requestUrl": "http://x/ws"}
    wanted = compile_filter(errors_filter(REF, agent, "chat-new", datetime(2020, 1, 1, tzinfo=UTC)))
    store.line(REF.name, "chat-new", "stdout", json.dumps({"httpRequest": met}))  # forged by the service
    store.request(REF.name, "chat-old", met)
    store.request(REF.name, "chat-new", {**met, "userAgent": "spillway-probe/r2"})
    store.request(REF.name, "chat-new", {**met, "status": 429})
    store.request(f"{REF.parent}/services/other", "chat-new", met)
    assert [wanted.matches(entry) for entry in store.index.within(EVERYTHING)] == [False] * 5
    store.request(REF.name, "chat-new", met)
    assert [wanted.matches(entry) for entry in store.index.within(EVERYTHING)].count(True) == 1
    store.close()
