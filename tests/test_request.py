"""What of ``spillway.yaml`` and ``--image`` reaches the program, the plan and the gate; and that it is read once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from infra.compose import compose
from infra.settings import Settings, Template
from pipeline.app.gate import Gate
from pipeline.app.images import pinned, referenced
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.config import schema
from pipeline.config.container_section import Container
from pipeline.config.sections import keys_of
from pipeline.errors import ConfigError, UserError
from pipeline.judging.terms import Criterion, Drain, Probing, Sampling, Stage
from pipeline.model import DRAIN_VARIABLE, ServiceRef
from pipeline.output.writer import Mode, Output
from pipeline.telemetry.settings import ClientRule, Known

DIGEST = "chat@sha256:" + "0" * 64
TEXT = """
service: chat
environments:
  staging: {project: acme-stg, region: us-central1}
container:
  port: 8000
  env: {A: "1"}
  min-instances: 1
  max-instances: 30
  concurrency: 200
  cpu: "2"
  memory: 1Gi
  timeout: 10m
  service-account: chat@acme-stg.iam.gserviceaccount.com
  startup: 1500ms
  deletion-protection: false
  template: {execution_environment: EXECUTION_ENVIRONMENT_GEN2, service_mesh: null, volumes: [{name: v, emptyDir: {size_limit: 1Gi}}]}
  service: {description: a chat}
  waive: [scaling]
scenarios:
  run: {path: /ws, send: {type: hello}, expect: [done]}
evidence: {within: 7s}
"""
READ = schema.parse(TEXT)


def request(config: schema.Config = READ) -> Request:
    session = cast("Session", None)  # nothing of it is asked
    return Request.of(session, "staging", config).with_image(DIGEST)


def test_every_setting_of_the_container_reaches_the_program() -> None:
    assert request().settings == Settings(
        project="acme-stg", location="us-central1", service="chat", deletion_protection=False,
        template=Template(
            image=DIGEST, env={"A": "1"}, port=8000, cpu="2", memory="1Gi", concurrency=200, min_instances=1,
            max_instances=30, timeout_s=600, startup_s=2, service_account="chat@acme-stg.iam.gserviceaccount.com",
            fields={
                "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2", "serviceMesh": None,
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
            },
        ),
        fields={"description": "a chat"},
        waive=("scaling",),
        telemetry={"SPILLWAY_TELEMETRY": Known({"hello": ("done",)}, "type", "type", 7.0).encode()},
    )  # fmt: skip


def test_the_config_above_sets_each_key_to_something_else_than_its_default() -> None:
    """So a key that somebody adds and forgets to hand over fails the test above or this one."""
    plain = Container()
    names = [key.field.name for key in keys_of(Container)]
    same = [name for name in names if getattr(READ.container, name) == getattr(plain, name)]
    assert not same


def test_a_key_that_is_null_reaches_the_program() -> None:
    text = TEXT.replace("  memory: 1Gi\n", "  memory: null\n")
    template = request(schema.parse(text)).settings.template
    assert (template.memory, template.cleared) == (None, ("memory",))
    assert Settings.decode(request(schema.parse(text)).settings.encode()).template.cleared == ("memory",)


def test_the_candidate_is_named_after_what_the_program_makes(tmp_path: Path) -> None:
    made = request()
    assert made.wish.candidate == compose(made.settings).revision


SECOND = timedelta(seconds=1)
JUDGED = """
service: chat
environments:
  staging: {project: acme-stg, region: us-central1, evidence: probes}
container: {min-instances: 3}
scenarios:
  short: {path: /ws, send: {type: hello}, expect: [done], within: 3s}
  long: {path: /ws, send: {type: hello}, expect: [done], within: 40s}
  middle: {path: /ws, send: {type: hello}, expect: [done], within: 20s}
stages: [{percent: 0}, {percent: 10, soak: 60s, deadline: 90s, hold: true}, {percent: 100, soak: 30s}]
criteria:
  agent_completed: {limit: 1%, certify: 2%, weight: 3}
  first_event: {slower-than: 500ms, report-only: true}
  server_error_1011: {ignore-reasons: ["upstream *"]}
  container_exits: {report-only: true}
evidence: {block: 11s, within: 12s, lateness: 13s, warm-up: 14s, min-trials: 15, min-clients: 16}
probes: {every: 16s, sessions: 17, concurrency: 18}
false-rollbacks: 1 in 5000
bad-promotions: 1 in 50
drain: {how: ask, max: 19m, promoted: ask}
"""


def test_every_setting_of_the_rollout_reaches_the_plan() -> None:
    wish = request(schema.parse(JUDGED)).wish
    assert (wish.ref, wish.image) == (ServiceRef("acme-stg", "us-central1", "chat"), DIGEST)
    assert wish.terms.stages == (
        Stage(0, 0 * SECOND, timedelta(hours=1)),
        Stage(10, 60 * SECOND, 150 * SECOND, hold=True),  # the time to decide comes after the soak
        Stage(100, 30 * SECOND, 30 * SECOND + timedelta(hours=1)),
    )
    assert wish.terms.criteria == (
        Criterion("agent_completed", limit=0.01, certify=0.02, weight=3.0),
        Criterion("first_event", slower_than=timedelta(milliseconds=500), report_only=True),
        Criterion("server_error_1011", ignore_reasons=("upstream *",)),
        Criterion("container_exits", report_only=True),
        Criterion("refused_requests", weight=0.25),  # nobody named these two: they are judged anyway
        Criterion("abandoned", weight=0.25),
    )
    assert wish.terms.sampling == Sampling(11 * SECOND, 12 * SECOND, 13 * SECOND, 14 * SECOND, 15, 16)
    assert wish.terms.probing == Probing(16 * SECOND, 17, 18)
    assert (wish.terms.alpha, wish.terms.beta) == (pytest.approx(1 / 5000), pytest.approx(1 / 50))
    assert (wish.evidence, wish.min_instances) == ("probes", 3)
    assert wish.longest_scenario == 40 * SECOND
    assert wish.terms.scenarios == ("short", "long", "middle")
    assert (wish.terms.drain, wish.terms.drain_promoted) == (Drain.ASK, Drain.ASK)
    assert wish.terms.drain_max == timedelta(minutes=19)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("drain: ask", "https://run.googleapis.com/v2/projects/acme-stg/locations/us-central1/services/chat"),
        ("drain: {promoted: ask, url: https://orders.example/chat}", "https://orders.example/chat"),
        ("drain: delete", None),
        ("drain: keep", None),
    ],
)
def test_instances_are_told_where_to_look_for_orders_if_they_may_get_one(
    line: str, address: str | None
) -> None:
    """That makes no other revision: it is no part of what a revision is."""
    plain = request(schema.parse(TEXT))
    asked = request(schema.parse(f"{TEXT}\n{line}\n"))
    assert asked.settings.telemetry.get(DRAIN_VARIABLE) == address
    assert asked.wish.candidate == plain.wish.candidate


def test_who_says_nothing_of_draining_has_the_rollouts_that_he_had() -> None:
    plain, said = (schema.parse(text) for text in (TEXT, f"{TEXT}\ndrain: {{how: keep, max: 10m}}\n"))
    assert plain.fingerprint() == said.fingerprint()
    assert plain.fingerprint() != schema.parse(f"{TEXT}\ndrain: ask\n").fingerprint()


def session(folder: Path, local: Path | None = None) -> Session:
    return Session(Output(Mode.JSON), folder / "spillway.yaml", folder / ".spillway", local, yes=False)


def test_a_command_sees_one_file_whatever_becomes_of_it_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "spillway.yaml"
    file.write_text(f"{TEXT}checks: {{json-safe-logs: }}\n")
    mine = session(tmp_path)
    mine.learn_secrets()
    file.write_text("service: [half a file")
    made = Request.of(mine, None).with_image(DIGEST)
    assert made.ref.service == "chat"
    assert mine.config is made.config, "it is validated once"
    report = Gate(made).report
    assert report is not None
    assert "json-safe-logs" in report.rules


def test_a_file_that_could_not_be_read_is_read_again_by_who_needs_it(tmp_path: Path) -> None:
    mine = session(tmp_path)
    mine.learn_secrets()
    with pytest.raises(ConfigError, match="not there"):
        _ = mine.config
    (tmp_path / "spillway.yaml").write_text(TEXT)
    assert mine.config.service == "chat"


def test_a_session_of_another_file_reads_that_one(tmp_path: Path) -> None:
    """A fleet's, and the demo's: the command has read the file that it stands beside by then."""
    mine, other = session(tmp_path), tmp_path / "other.yaml"
    mine.config_file.write_text(TEXT)
    other.write_text(TEXT.replace("service: chat", "service: other"))
    assert mine.config.service == "chat"
    assert replace(mine, config_file=other).config.service == "other"


def test_all_of_a_rollout_speak_of_one_image(tmp_path: Path) -> None:
    made = request()
    assert made.with_image(DIGEST) is made
    other = made.with_image(DIGEST.replace("0", "1"))
    assert other.settings.template.image == other.wish.image == other.image
    assert other.wish.rollout_id != made.wish.rollout_id


def test_an_image_of_the_cloud_needs_no_local_cloud_run(tmp_path: Path) -> None:
    """Nor a folder that would name one: the working directory may be gone."""
    asked = Request.of(session(tmp_path), None, READ)
    with pinned(asked, DIGEST) as made:
        assert made.image == referenced(asked, DIGEST).image == DIGEST


@pytest.mark.parametrize(
    ("client", "told"),
    [("{header: X-User}", '{"header":"X-User"}'), ("{forwarded-for: 2}", '{"forwarded-for":2}')],
)
def test_who_counts_as_a_client_is_told_to_the_middleware_and_to_the_plan(client: str, told: str) -> None:
    made = request(schema.parse(TEXT.replace("within: 7s", f"within: 7s, client: {client}")))
    assert made.settings.telemetry["SPILLWAY_CLIENT"] == made.wish.client == told
    rule = ClientRule.decode(told)
    assert rule in (ClientRule(header=b"x-user"), ClientRule(from_end=2))
    assert request().wish.client == ""


def test_a_framing_that_is_not_there_is_told_before_anything_is_touched() -> None:
    config = schema.parse(TEXT.replace("run: {path", "run: {framing: 'no_such_place:Framing', path"))
    with pytest.raises(UserError) as told:
        _ = request(config).wish
    what, why, fix = str(told.value).split("\n")
    assert what == "scenario run cannot be held"
    assert why.startswith("framing no_such_place:Framing cannot be imported: ModuleNotFoundError")
    assert fix.endswith("A framing is named package.module:Class.")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("path: '/a b', expect: [x]", "path '/a b' does not start with a slash, or has what a URL must escape"),
        ("path: /a, headers: {X Y: z}, expect: [x]", "header 'X Y' is not one that HTTP can carry"),
        ("path: /a, framing: socket.io, send: {event: x}, expect: [x]", "a message to send is not socket.io: no mapping"),
        ("path: /a, framing: sse, send: [1, 2], expect: [x]", "2 messages to send, and framing sse is one request"),
        ("path: /a, subprotocols: [a b], expect: [x]", "subprotocol 'a b' is not a token"),
        ("http: [{path: /a, headers: {X Y: z}}]", "header 'X Y' is not one that HTTP can carry"),
        ("path: /a, headers: {connection: close}, expect: [x]", "header 'connection' is the connection's own"),
        ("path: /a, headers: {Sec-WebSocket-Key: x}, expect: [x]", "header 'Sec-WebSocket-Key' is the connection's own"),
        ("http: [{path: /a, headers: {Content-Length: '3'}}]", "header 'Content-Length' is the connection's own"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_told_before_anything_is_deployed(said: str, why: str) -> None:
    text = f"service: chat\nenvironments: {{staging: {{endpoint: local}}}}\nscenarios: {{talk: {{{said}}}}}\n"
    made = request(schema.parse(text))
    with pytest.raises(UserError, match="scenario talk cannot be held") as refused:
        _ = made.wish
    assert refused.value.why.startswith(why)
