"""A schedule of the local Cloud Run, on virtual time; and the real one's conversation, replayed in values of our own."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from pipeline.local.api import admin, schedule
from pipeline.local.api.rest import RestFace
from pipeline.local.bearer import Access
from pipeline.local.control.state import Json, Refused
from pipeline.local.front.addresses import listen
from pipeline.local.scheduler import cron
from pipeline.local.scheduler.scheduler import Scheduler
from pipeline.rpc.scheduler import PACKAGE, kind
from tests.contract.cloud import LoopThread

RECORDING = Path(__file__).parents[2] / "shared/recordings/cloud_scheduler_job.json"
TOKEN = "of-the-tests"
PARENT = "projects/local/locations/here"
RUN = "https://run.googleapis.com/v2/projects/local/locations/here/jobs/watchdog:run"
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "after", "next_"),
    [
        ("* * * * *", "UTC", "2026-01-01T00:00:00", "2026-01-01T00:01:00"),
        ("* * * * *", "", "2026-01-01T00:00:59.9", "2026-01-01T00:01:00"),
        ("*/5 * * * *", "UTC", "2026-01-01T00:05:00", "2026-01-01T00:10:00"),
        ("*/5 * * * *", "UTC", "2026-01-01T23:57:00", "2026-01-02T00:00:00"),
        ("3,33 * * * *", "UTC", "2026-01-01T00:03:00", "2026-01-01T00:33:00"),
        ("10-20/4 8 * * *", "UTC", "2026-01-01T08:14:30", "2026-01-01T08:18:00"),
        ("50/4 * * * *", "UTC", "2026-01-01T08:51:00", "2026-01-01T08:54:00"),
        ("0 9 * * mon-fri", "UTC", "2026-01-02T09:00:00", "2026-01-05T09:00:00"),
        ("0 0 * * 7", "UTC", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("0 0 13 * fri", "UTC", "2026-01-03T00:00:00", "2026-01-09T00:00:00"),  # either day is enough
        ("0 0 13 feb *", "UTC", "2026-01-03T00:00:00", "2026-02-13T00:00:00"),
        ("0 0 29 2 *", "UTC", "2026-01-03T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 31 */3 *", "UTC", "2026-02-01T00:00:00", "2026-07-31T00:00:00"),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00",
            "2026-03-30T00:30:00",
        ),  # there is no 02:30 that night
        ("0 9 * * *", "Europe/Berlin", "2026-07-01T12:00:00", "2026-07-02T07:00:00"),
        ("0 9 * * *", "America/New_York", "2026-01-01T12:00:00", "2026-01-01T14:00:00"),
    ],
)
def test_when_a_schedule_comes_next(text: str, zone: str, after: str, next_: str) -> None:
    assert cron.parsed(text, zone).after(at(after)) == at(next_)


def test_a_day_that_no_calendar_has_never_comes() -> None:
    assert cron.parsed("0 0 31 2 *", "UTC").after(at("2026-01-01T00:00:00")) is None


@pytest.mark.parametrize(
    ("text", "zone"),
    [("", "UTC"), ("* * * *", "UTC"), ("60 * * * *", "UTC"), ("*/0 * * * *", "UTC"), ("5-1 * * * *", "UTC"),
     ("a * * * *", "UTC"), ("* * 0 * *", "UTC"), ("* * * 13 *", "UTC"), ("* * * * 8", "UTC"), ("*/x * * * *", "UTC"),
     ("1,,2 * * * *", "UTC"), ("٣ * * * *", "UTC"), ("* * * * *", "Nowhere/Else"), ("* * * * *", "../etc/passwd")],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str, zone: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words differ
        cron.parsed(text, zone)


class World:
    """A scheduler of its own time, which writes down what it starts."""

    def __init__(self, folder: Path) -> None:
        self.now = at("2026-01-01T12:00:30")
        self.started: list[tuple[datetime, str]] = []
        self.refuses = False
        self.folder = folder
        self.scheduler = Scheduler(folder, self._start, lambda: self.now)

    async def _start(self, target: Json) -> None:
        if self.refuses:
            raise Refused("NOT_FOUND", "no such job")
        self.started.append((self.now, target["uri"]))

    def make(self, name: str = "one", schedule: str = "*/2 * * * *", **more: Any) -> str:
        full = f"{PARENT}/jobs/{name}"
        target = kind("HttpTarget")(uri=RUN, http_method="POST")
        self.scheduler.jobs.create(
            full, kind("Job")(name=full, schedule=schedule, http_target=target, **more)
        )
        return full

    async def wait(self, length: timedelta, step: timedelta = timedelta(seconds=20)) -> None:
        until = self.now + length
        while self.now < until:
            await self.scheduler.look()
            self.now += step

    @property
    def minutes(self) -> list[int]:
        return [when.minute for when, _ in self.started]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_what_is_due_is_started_once_each_time(world: World) -> None:
    world.make()
    await world.wait(10 * MINUTE)
    assert world.minutes == [2, 4, 6, 8, 10]


async def test_what_is_paused_is_not_started_and_goes_on_when_resumed(world: World) -> None:
    name = world.make()
    await world.wait(3 * MINUTE)
    assert "schedule_time" not in str(world.scheduler.pause(name, paused=True))
    await world.wait(10 * MINUTE)
    assert world.minutes == [2]
    world.scheduler.pause(name, paused=False)
    await world.wait(3 * MINUTE)
    assert world.minutes == [2, 14, 16]


async def test_a_time_that_was_missed_is_made_up_for_once_by_the_next_server(world: World) -> None:
    world.make()
    await world.scheduler.look()
    later = World(world.folder)
    later.now = world.now + 61 * MINUTE
    await later.wait(2 * MINUTE)
    assert later.minutes == [1, 2]


async def test_by_hand_it_is_started_at_once_and_a_failure_is_told(world: World) -> None:
    name = world.make(schedule="0 0 1 1 *")
    assert world.started == []
    await world.scheduler.run(name)
    assert len(world.started) == 1
    world.refuses = True
    failed = await world.scheduler.run(name)
    assert (failed.status.code, failed.status.message) == (5, "no such job")
    world.refuses = False
    assert not (await world.scheduler.run(name)).status.code


async def test_a_schedule_that_never_comes_harms_no_other(world: World) -> None:
    world.make("never", "0 0 31 2 *")
    world.make("two")
    await world.wait(4 * MINUTE)
    assert world.minutes == [2, 4]


async def test_a_job_that_cannot_be_looked_at_stops_no_other(world: World) -> None:
    """As one of a time zone that this machine knows no more."""
    name = world.make("lost")
    world.scheduler.jobs.keep(name, {**dict(world.scheduler.jobs)[name], "timeZone": "Nowhere/Else"})
    world.make("two")
    await world.wait(4 * MINUTE)
    assert world.minutes == [2, 4]


# -- over the wire -----------------------------------------------------------------------------------------------------


class Face:
    """Both faces of a scheduler, in values of HTTP."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.loop = LoopThread()
        self.loop.run(self._begin())

    async def _begin(self) -> None:
        rows = tuple(schedule.offered(self.world.scheduler))
        self.face, listener = RestFace(rows, Access(TOKEN)), listen("127.0.0.1", 0)
        await self.face.start(listener)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers(admin.handlers(rows))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        await self.server.start()

    def close(self) -> None:
        async def end() -> None:
            await self.face.close()
            await self.server.stop(None)

        self.loop.run(end())
        self.loop.close()

    def look(self) -> None:
        self.loop.run(self.world.scheduler.look())

    def call(self, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
        import requests

        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.request(verb, f"{self.url}{path}", json=body, headers=headers, timeout=30)
        return answer.status_code, answer.json()


@pytest.fixture
def face(tmp_path: Path) -> Any:
    made = Face(tmp_path)
    yield made
    made.close()


def test_the_life_of_a_job_as_it_was_recorded(face: Face) -> None:
    path = f"/v1/{PARENT}/jobs/every-so-often?alt=json"
    pubsub = {"data": "aGVsbG8=", "topicName": "projects/local/topics/none"}
    asked = {
        "name": f"{PARENT}/jobs/every-so-often", "description": "a test", "pubsubTarget": pubsub,
        "schedule": "*/2 * * * *", "timeZone": "EST",
    }  # fmt: skip
    assert face.call("GET", path)[0] == 404
    status, made = face.call("POST", f"/v1/{PARENT}/jobs?alt=json", asked)
    assert (status, made) == (200, {**asked, "state": "ENABLED", "userUpdateTime": "2026-01-01T12:00:30Z"})
    assert face.call("GET", path) == (200, made)
    face.world.now += MINUTE
    status, changed = face.call("PATCH", path, {**asked, "schedule": "*/5 * * * *"})
    assert (status, changed) == (
        200, {**made, "schedule": "*/5 * * * *", "userUpdateTime": "2026-01-01T12:01:30Z"},
    )  # fmt: skip
    face.look()
    assert face.call("GET", path) == (200, {**changed, "scheduleTime": "2026-01-01T12:05:00Z"})
    assert face.call("DELETE", path) == (200, {})
    assert face.call("GET", path)[0] == 404


@pytest.mark.skipif(not RECORDING.exists(), reason="the recording is not on this machine")
def test_the_recording_itself_is_answered_with_the_same_fields(face: Face) -> None:
    for entry in json.loads(RECORDING.read_text()):
        path = entry["url"].partition("googleapis.com")[2]
        status, answer = face.call(entry["method"], path, entry["request"])
        assert status == entry["status"], path
        if status != 200:
            continue
        times = {"userUpdateTime", "scheduleTime"}
        assert {k: v for k, v in answer.items() if k not in times} == {
            k: v for k, v in entry["response"].items() if k not in times
        }
        if entry["response"].get("scheduleTime"):
            face.look()
            assert "scheduleTime" in face.call("GET", path)[1]
        else:
            assert set(answer) == set(entry["response"])


@pytest.mark.parametrize(
    ("change", "words"),
    [({"schedule": "often"}, "Schedule"), ({"timeZone": "Nowhere"}, "time zone"), ({"httpTarget": None}, "one target"),
     ({"httpTarget": {"url": "x"}}, "url"), ({"name": "elsewhere"}, "elsewhere")],
)  # fmt: skip
def test_what_is_no_job_is_refused(face: Face, change: dict[str, Any], words: str) -> None:
    asked = {"name": f"{PARENT}/jobs/one", "schedule": "* * * * *", "httpTarget": {"uri": RUN}, **change}
    status, answer = face.call(
        "POST", f"/v1/{PARENT}/jobs", {k: v for k, v in asked.items() if v is not None}
    )
    assert status == 400
    assert words in answer["error"]["message"]


def test_the_same_over_grpc(face: Face) -> None:
    name = f"{PARENT}/jobs/one"
    with grpc.insecure_channel(face.address) as channel:

        def call(method: str, request: Any) -> Any:
            return channel.unary_unary(
                f"/{PACKAGE}.CloudScheduler/{method}",
                request_serializer=type(request).SerializeToString, response_deserializer=kind("Job").FromString,
            )(request)  # fmt: skip

        job = kind("Job")(name=name, schedule="* * * * *", http_target=kind("HttpTarget")(uri=RUN))
        made = call("CreateJob", kind("CreateJobRequest")(parent=PARENT, job=job))
        assert (made.name, made.state) == (name, 1)
        assert call("PauseJob", kind("PauseJobRequest")(name=name)).state == 2
        assert call("ResumeJob", kind("ResumeJobRequest")(name=name)).state == 1
        assert call("RunJob", kind("RunJobRequest")(name=name)).HasField("last_attempt_time")
    assert len(face.world.started) == 1
    assert [each["name"] for each in face.call("GET", f"/v1/{PARENT}/jobs")[1]["jobs"]] == [name]


class Jobs:
    """What a schedule may start, written down."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, Json]] = []

    def run(self, name: str, overrides: Json, **_: object) -> None:
        self.runs.append((name, overrides))


async def test_a_target_is_a_run_of_a_job_of_ours_and_nothing_else() -> None:
    jobs = Jobs()
    body = base64.b64encode(b'{"overrides": {"taskCount": 3}}').decode()
    await schedule.start(jobs, {"uri": RUN, "body": body})  # type: ignore[arg-type]
    assert jobs.runs == [("projects/local/locations/here/jobs/watchdog", {"task_count": 3})]
    for target in (
        {}, {"uri": "https://example.com/"}, {"uri": RUN, "httpMethod": "GET"}, {"uri": f"{RUN}x"},
        {"uri": RUN.replace("https", "http")}, {"uri": RUN, "body": "bm8="}, {"uri": RUN, "body": "eyJhIjogMX0="},
    ):  # fmt: skip
        with pytest.raises(Refused):
            await schedule.start(jobs, target)  # type: ignore[arg-type]
    assert len(jobs.runs) == 1
