"""``doctor``: every question has its answer and its fix, in bounded time, whatever the other questions come to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.app.doctor import Doctor
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.wiring import Place
from pipeline.cli.doctor import exit_code, lines
from pipeline.cloudrun.project import Identity, Project, open_project
from pipeline.config import schema
from pipeline.doctor import machine, service
from pipeline.doctor.answer import Answer, Verdict, note, ok, wrong
from pipeline.doctor.examine import examine
from pipeline.doctor.project import ACT_AS, APIS, PERMISSIONS, TO_DELETE, ProjectQuestions, compared
from pipeline.errors import AccessError, PlatformUnavailable, RequestRejected
from pipeline.local import daemon, endpoint
from pipeline.local.images.catalogue import Image
from pipeline.model import LiveService, LogLine, ServiceRef, Split, Target
from pipeline.output.writer import Output
from pipeline.telemetry.lines import VERSION
from tests.e2e.project import Project as Folder
from tests.e2e.project import image
from tests.google_rest import Google, serving

REF = ServiceRef("acme-prd", "us-central1", "chat")
ME = Identity("service_account", "ci@acme-prd.iam.gserviceaccount.com")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def of(answers: Sequence[Answer], name: str) -> Answer:
    (found,) = [answer for answer in answers if answer.name == name]
    return found


def whole() -> Google:
    return Google(enabled=set(APIS), granted={"": set(PERMISSIONS)})


# --- asking ---------------------------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_questions_and_faults_are_answers() -> None:
    def refused() -> Sequence[Answer]:
        raise AccessError("not allowed", "a reason\nand more", "do this")

    def broken() -> Sequence[Answer]:
        raise KeyError("x")

    made = examine({"a": lambda: [ok("a", "1"), ok("a", "2")], "b": refused, "c": broken}, within_s=60)
    assert [answer.name for answer in made] == ["a", "a", "b", "c"]
    assert made[2] == wrong("b", "not allowed: a reason", "do this", is_access=True)
    assert made[3].verdict is Verdict.WRONG


def test_a_question_that_does_not_come_back_hides_no_other_and_is_told_while_it_lasts() -> None:
    released = threading.Event()
    clock = iter(range(1000))
    open_ones: list[Sequence[str]] = []

    def hangs() -> Sequence[Answer]:
        released.wait()
        return [ok("hangs", "late")]

    try:
        made = examine(
            {"hangs": hangs, "quick": lambda: [ok("quick", "")]}, within_s=8, waiting=open_ones.append,
            monotonic=lambda: float(next(clock)),
        )  # fmt: skip
    finally:
        released.set()
    assert (made[0].verdict, made[1]) == (Verdict.WRONG, ok("quick", ""))
    assert "no answer within 8 s" in made[0].said
    assert made[0].fix
    assert open_ones
    assert all("hangs" in names for names in open_ones)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([ok("a", ""), note("b", "", "do")], 0),
        ([wrong("a", "", "do")], 2),
        ([wrong("a", "", "do"), wrong("b", "", "do", is_access=True)], 3),
    ],
)
def test_the_exit_code_says_what_kind_of_thing_is_wrong(answers: list[Answer], code: int) -> None:
    assert exit_code(answers) == code


# --- the project ----------------------------------------------------------------------------------------------------


@contextmanager
def questions(google: Google, account: str = "") -> Iterator[ProjectQuestions]:
    with serving(google) as project:
        yield ProjectQuestions(project, ME, REF, account)


def test_all_is_well_in_a_project_that_grants_all() -> None:
    with questions(whole()) as asked:
        made = [*asked.apis(), *asked.permissions(), *asked.quota(), *asked.clock(lambda: datetime.now(UTC))]
    assert {answer.verdict for answer in made} == {Verdict.OK}
    assert len(made) == len(APIS) + len(PERMISSIONS) + 2


@pytest.mark.parametrize("name", PERMISSIONS)
def test_each_missing_permission_is_named_with_the_role_that_has_it(name: str) -> None:
    google = whole()
    google.granted[""].discard(name)
    with questions(google) as asked:
        made = asked.permissions()
    assert [answer.name for answer in made if answer.verdict is Verdict.WRONG] == [f"permission {name}"]
    found = of(made, f"permission {name}")
    assert f"--member {ME.member} --role {PERMISSIONS[name][1]}" in found.fix
    assert found.is_access


def test_who_has_bad_revisions_deleted_must_be_allowed_to() -> None:
    with serving(whole()) as project:
        made = ProjectQuestions(project, ME, REF, needed={**PERMISSIONS, **TO_DELETE}).permissions()
    assert [answer.name for answer in made if answer.verdict is Verdict.WRONG] == [
        "permission run.revisions.delete"
    ]


@pytest.mark.parametrize("name", APIS)
def test_each_api_that_is_off_is_named_with_the_command_that_enables_it(name: str) -> None:
    google = whole()
    google.enabled.discard(name)
    with questions(google) as asked:
        found = of(asked.apis(), f"api {name}")
    assert found.verdict is Verdict.WRONG
    assert found.fix == f"gcloud services enable {name}.googleapis.com --project acme-prd"


def test_what_the_service_or_the_account_grants_need_not_be_granted_on_the_project() -> None:
    account = "chat@acme-prd.iam.gserviceaccount.com"
    google = Google(granted={
        "": {"logging.logEntries.list"},
        REF.name: {"run.services.get", "run.services.update"},
        f"projects/-/serviceAccounts/{account}": {ACT_AS},
    })  # fmt: skip
    with questions(google, account) as asked:
        made = asked.permissions()
    granted = {answer.name.removeprefix("permission ") for answer in made if answer.verdict is Verdict.OK}
    assert granted == {"logging.logEntries.list", "run.services.get", "run.services.update", ACT_AS}


def test_a_clock_that_is_off_and_a_small_quota_are_told_in_figures() -> None:
    google = whole()
    google.off, google.log_reads = timedelta(minutes=2), 10
    with questions(google) as asked:
        (clock,) = asked.clock(lambda: datetime.now(UTC))
        (quota,) = asked.quota()
    assert clock.verdict is Verdict.WRONG
    assert "evidence.lateness is 10s" in clock.said
    assert quota.verdict is Verdict.NOTE
    assert quota.said.startswith("10 log reads a minute")
    google.log_reads = None
    with questions(google) as asked:
        assert asked.quota()[0].verdict is Verdict.UNASKED


@pytest.mark.parametrize("seconds", [-10, 0, 10])
def test_a_clock_within_the_lateness_is_well(seconds: int) -> None:
    assert compared(NOW, NOW + timedelta(seconds=seconds), timedelta(seconds=10)).verdict is Verdict.OK


def test_a_repository_that_may_not_be_read() -> None:
    place = "projects/images/locations/us/repositories/apps"
    name = "us-docker.example.test/images/apps/chat@sha256:0"
    google = Google(granted={place: {"artifactregistry.repositories.downloadArtifacts"}})
    with questions(google) as asked:
        assert asked.registry(name)[0].verdict is Verdict.OK
        google.granted[place] = set()
        (found,) = asked.registry(name)
        assert asked.registry("")[0].verdict is Verdict.UNASKED
    assert found.verdict is Verdict.WRONG
    assert "apps --project images --location us" in found.fix


@pytest.mark.parametrize(
    ("code", "message", "kind", "fix"),
    [
        (
            403,
            "API has not been used in project 1 before or it is disabled",
            AccessError,
            "gcloud services enable",
        ),
        (401, "invalid credentials", AccessError, "gcloud auth"),
        (429, "quota", PlatformUnavailable, ""),
        (503, "later", PlatformUnavailable, ""),
        (400, "no such permission", RequestRejected, ""),
    ],
)
def test_what_google_refuses_is_one_of_our_errors(
    code: int, message: str, kind: type[Exception], fix: str
) -> None:
    google = whole()
    google.refuses["cloudresourcemanager"] = (code, message)
    with serving(google) as project, pytest.raises(kind) as caught:
        project.granted(PERMISSIONS)
    assert message in str(caught.value)
    assert fix in str(caught.value)


def test_nobody_answers() -> None:
    with serving(whole()) as project:
        pass
    with pytest.raises(PlatformUnavailable):
        project.enabled(APIS)


# --- the machine and the service ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "verdict"),
    [
        ({}, Verdict.WRONG),
        ({"PULUMI_BACKEND_URL": "gs://state"}, Verdict.NOTE),
        ({"PULUMI_BACKEND_URL": "gs://state", "PULUMI_CONFIG_PASSPHRASE": "x"}, Verdict.OK),
        ({"PULUMI_ACCESS_TOKEN": "x"}, Verdict.OK),
    ],
)
def test_where_pulumis_state_lies(environ: dict[str, str], verdict: Verdict, tmp_path: Path) -> None:
    (found,) = machine.backend({"HOME": str(tmp_path), **environ})
    assert found.verdict is verdict
    assert (not found.fix) == (verdict is Verdict.OK)


def test_the_plugin_is_looked_for_where_pulumi_keeps_it(tmp_path: Path) -> None:
    (missing,) = machine.plugin({"PULUMI_HOME": str(tmp_path)})
    assert missing.fix.startswith("pulumi plugin install resource gcp ")
    (tmp_path / "plugins" / f"resource-gcp-v{missing.fix.split()[-1]}").mkdir(parents=True)
    assert machine.plugin({"PULUMI_HOME": str(tmp_path)})[0].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Image(("no-such-command-here",), None, {}), "no command"),
        (Image(("true",), "/no/such/folder", {}), "no folder"),
        (Image(("sh", "-c", 'exec "/no/such/bin/python" -m x'), None, {}), "no file /no/such/bin/python"),
        (Image(("true",), None, {}), "app: true"),
    ],
)
def test_an_image_that_cannot_be_started(made: Image, said: str) -> None:
    (found,) = machine.commands({"app": made})
    assert said in found.said
    assert (found.verdict is Verdict.OK) == (not found.fix)


def test_a_port_that_nobody_answers_at() -> None:
    assert machine.listening({"it": "127.0.0.1:1"})[0].verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("changes", "name", "verdict"),
    [
        ({}, "ingress", Verdict.OK),
        ({"ingress_all": False}, "ingress", Verdict.WRONG),
        ({"default_uri_disabled": True}, "address", Verdict.WRONG),
        ({"session_affinity": True}, "affinity", Verdict.NOTE),
        ({"http2": True}, "http2", Verdict.WRONG),
        ({"failure": "quota\nmore"}, "condition", Verdict.NOTE),
    ],
)
def test_what_of_a_service_stops_a_rollout(changes: dict[str, object], name: str, verdict: Verdict) -> None:
    made = service.settings(live(**changes))
    assert of(made, name).verdict is verdict
    assert all(answer.fix for answer in made if answer.verdict is Verdict.WRONG)


def live(**changes: object) -> LiveService:
    split = Split((Target("chat-1", 100),))
    return LiveService(REF, "uid", "etag", 1, split, split, {}, "https://chat", **changes)  # type: ignore[arg-type]


class Lines:
    """``ports.LogSource`` that holds these."""

    def __init__(self, *payloads: dict[str, object]) -> None:
        self._lines = [
            LogLine(str(n), NOW, "chat-1", payload={"spillway": VERSION, "at": NOW.timestamp(), **p})
            for n, p in enumerate(payloads)
        ]

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: object) -> Sequence[LogLine]:
        return self._lines

    def pages(self, *_: object, **__: object) -> Iterator[Sequence[LogLine]]:
        yield self._lines


ACCEPT: dict[str, object] = {"event": "ws_accept"}
RUN: dict[str, object] = {"event": "agent_run", "outcome": "ok", "started": NOW.timestamp(), "run": 1}
UNASKED: dict[str, object] = {"event": "ws_unasked", "sockets": 1, "starts": ["begin", "ask"]}
IDLE: dict[str, object] = {"event": "agent_run", "outcome": "idle", "run": 0}


@pytest.mark.parametrize(
    ("evidence", "payloads", "verdict", "said"),
    [
        ("users", [], Verdict.WRONG, "no telemetry line of chat-1"),
        ("probes", [], Verdict.OK, "evidence: probes needs none"),
        ("users", [ACCEPT, ACCEPT, IDLE], Verdict.WRONG, "2 sockets, none asked for execute_agent"),
        ("users", [ACCEPT, UNASKED], Verdict.WRONG, "1 sockets, none asked for begin, ask"),
        ("users", [ACCEPT, RUN], Verdict.OK, "1 sockets of users, 1 runs"),
        ("users", [{**ACCEPT, "probe": True}, {**RUN, "probe": True}], Verdict.WRONG, "no telemetry line"),
    ],
)
def test_whether_users_are_seen(
    evidence: str, payloads: list[dict[str, object]], verdict: Verdict, said: str
) -> None:
    config = schema.parse(CONFIG.replace("region: us-central1", f"region: us-central1, evidence: {evidence}"))
    (found,) = service.telemetry(live(), Lines(*payloads), config, config.environments["production"], NOW)
    assert found.verdict is verdict
    assert said in found.said
    assert (not found.fix) == (verdict is Verdict.OK)


CONFIG = """\
service: chat
environments: {production: {project: acme-prd, region: us-central1}}
scenarios: {run: {path: /ws, send: {type: execute_agent}, expect: [done]}}
"""


# --- the whole ------------------------------------------------------------------------------------------------------


def session(folder: Path) -> Session:
    (folder / "spillway.yaml").write_text(CONFIG, encoding="utf-8")
    return Session(
        Output(), folder / "spillway.yaml", folder / ".spillway", folder / ".spillway" / "local", yes=True
    )


def test_without_credentials_the_cloud_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    opened = session(tmp_path)
    made = Doctor(opened, Request.of(opened, None), opened.output.say, open_project).answers()
    found = of(made, "credentials")
    assert (found.verdict, exit_code(made)) == (Verdict.WRONG, 3)
    assert "gcloud auth application-default login" in found.fix
    assert of(made, "permission").verdict is Verdict.UNASKED
    assert of(made, "pulumi plugin").verdict is not Verdict.UNASKED


def test_the_cloud_is_asked_through_the_same_client(tmp_path: Path) -> None:
    """Google's REST stands in for the project; the service is one of a Cloud Run that speaks the real messages."""
    opened, google = session(tmp_path), whole()
    google.granted[""].discard("run.services.update")

    @contextmanager
    def place(_session: Session, ref: ServiceRef) -> Iterator[Place]:
        with endpoint.read(tmp_path / "run").channel() as channel:
            yield Place(ref, channel)

    daemon.up(tmp_path / "run", {})
    try:
        with serving(google) as project:

            def open_it(_name: str) -> tuple[Project, Identity]:
                return project, ME

            made = Doctor(opened, Request.of(opened, None), opened.output.say, open_it, place).answers()
    finally:
        daemon.down(tmp_path / "run")
    assert [a.name for a in made if a.is_access and a.verdict is Verdict.WRONG] == [
        "permission run.services.update"
    ]
    assert of(made, "credentials").said == ME.email
    assert "is not there yet" in of(made, "service").said
    assert of(made, "registry").verdict is Verdict.UNASKED
    assert of(made, "clock").verdict is Verdict.OK
    assert exit_code(made) == 3


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path, tmp_path / ".spillway" / "local")
    made.configure({"good": image()})
    yield made
    made.down()


def test_the_local_cloud_run_from_down_to_a_rollout(folder: Folder) -> None:
    down = folder.run_here("doctor", "-o", "json")
    assert (down.code, down.document["outcome"]) == (2, "unhealthy")
    first = next(each for each in down.document["answers"] if each["verdict"] == "wrong")
    assert (first["name"], "spillway local up" in first["fix"]) == ("local Cloud Run", True)
    daemon.up(folder.local, {}, strict_masks=True)
    empty = folder.run_here("doctor", "-o", "json")
    assert empty.code == 0, empty.stdout
    assert {"port", "clock", "image", "service"} <= {each["name"] for each in empty.document["answers"]}
    assert folder.run_here("rollout", "--image", "good").code == 0
    done = folder.run_here("doctor", "-o", "json")
    by_name = {each["name"]: each for each in done.document["answers"]}
    assert done.code == 0, done.stdout
    assert by_name["tag stable"]["verdict"] == "ok"
    assert by_name["telemetry"]["verdict"] == "ok"
    text = folder.run_here("doctor").stdout
    assert text.count("fix: ") == sum(bool(each["fix"]) for each in done.document["answers"])


def test_a_line_is_followed_by_its_fix() -> None:
    assert [line.strip() for line in lines(wrong("a", "b", "c"))] == [
        "wrong     a                   b",
        "fix: c",
    ]
    assert len(lines(ok("a", "b"))) == 1
    assert json.dumps(ok("a", "b").to_json())
