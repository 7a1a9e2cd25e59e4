"""The Deployer port: a revision is made once, and a complaint is told when it was not made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from infra.compose import compose
from infra.document import Doc, without
from infra.live import Live
from infra.settings import Settings, Template
from pipeline.cloudrun.deploy import ProgramDeployer
from pipeline.errors import (
    FieldsLost,
    PlanRefused,
    PlatformError,
    PlatformUnavailable,
    RequestRejected,
    StaleWrite,
)
from pipeline.model import Readiness, ServiceRef, Split, Target
from tests.fakes import REF, FakeClock, FakePlatform

IMAGE = "chat@sha256:1"


def settings_of(image: str) -> Settings:
    return Settings(REF.project, REF.location, REF.service, Template(image, startup_s=30))


BASE = {
    "containers": [{"image": "chat@sha256:0", "env": [{"name": "THEIRS", "value": "1"}]}],
    "timeout": "60s",
}
STABLE = "agent-chat-stable"
LIVE = Live(
    "etag",
    Split((Target(STABLE, 100),)),
    fields={"labels": {"a": "b"}, "annotations": {"run.googleapis.com/theirs": "1"}},
    stable=STABLE,
    base=BASE,
)
NAME = compose(settings_of(IMAGE), STABLE, BASE).revision


@dataclass
class FakeProgram:
    """Makes the revision, in whatever state; or fails, before or after it did."""

    platform: FakePlatform
    readiness: Readiness = Readiness.READY
    message: str = ""
    fault: Exception | None = None
    makes_it: bool = True
    applied: list[str] = field(default_factory=list)
    written: list[tuple[str, Doc]] = field(default_factory=list)
    live: Live = LIVE
    loses: str = ""
    said: list[str] = field(default_factory=list)

    def read(self, _: Settings) -> Live:
        """Once the revision is made, it is as it was declared, but for what was lost."""
        if not self.applied:
            return self.live
        fields = without(self.live.fields, [self.loses])
        there = without(self.live.base or {}, [self.loses, "containers[0].image"])
        return replace(self.live, fields=fields, there=there)

    def apply(self, settings: Settings) -> None:
        name = compose(settings, STABLE, self.live.base).revision
        self.applied.append(name)
        if self.makes_it:
            self.platform.add(name, self.readiness, self.message)
        if self.fault:
            raise self.fault

    def write_template(self, ref: ServiceRef, *, etag: str, template: Doc) -> None:
        self.written.append((etag, template))
        self.platform.add(template["revision"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def platform(clock: FakeClock) -> FakePlatform:
    return FakePlatform(clock).with_stable()


@pytest.fixture
def program(platform: FakePlatform) -> FakeProgram:
    return FakeProgram(platform)


@pytest.fixture
def deploy(program: FakeProgram, platform: FakePlatform) -> Callable[[], None]:
    deployer = deployer_of(program, platform)
    return lambda: deployer.deploy(REF, image=IMAGE, revision=NAME)


def deployer_of(program: FakeProgram, platform: FakePlatform, **settings: Any) -> ProgramDeployer:
    return ProgramDeployer(
        program,
        platform,
        lambda image: replace(settings_of(image), **settings),
        program.read,
        program,
        program.said.append,
    )


def test_a_revision_is_made_once(deploy: Callable[[], None], program: FakeProgram) -> None:
    deploy()
    deploy()
    assert program.applied == [NAME]


def test_it_returns_while_the_revision_starts(deploy: Callable[[], None], program: FakeProgram) -> None:
    program.readiness = Readiness.PENDING
    deploy()
    deploy()
    assert program.applied == [NAME]


@pytest.mark.parametrize(
    "fault",
    [RequestRejected("the name is taken"), PlatformError("pulumi up failed"), PlatformUnavailable("lost")],
)
def test_a_complaint_does_not_matter_once_the_revision_is_there(
    deploy: Callable[[], None], program: FakeProgram, fault: Exception
) -> None:
    program.fault = fault
    deploy()


def test_that_somebody_else_wrote_meanwhile_is_told_although_the_revision_is_there(
    deploy: Callable[[], None], program: FakeProgram
) -> None:
    program.fault = StaleWrite("chat was changed while the Pulumi program was applied")
    with pytest.raises(StaleWrite):
        deploy()


@pytest.mark.parametrize("fault", [RequestRejected("bad env"), StaleWrite("again and again")])
def test_a_complaint_is_told_when_the_revision_is_not_there(
    deploy: Callable[[], None], program: FakeProgram, fault: Exception
) -> None:
    program.fault, program.makes_it = fault, False
    with pytest.raises(type(fault)):
        deploy()


def test_a_changed_configuration_makes_no_other_revision_under_a_planned_name(
    program: FakeProgram, platform: FakePlatform
) -> None:
    with pytest.raises(PlanRefused) as caught:
        deployer_of(program, platform).deploy(REF, image=IMAGE, revision="agent-chat-planned")
    assert NAME in caught.value.what
    assert not program.applied


def test_a_planned_revision_that_is_there_needs_no_configuration(
    program: FakeProgram, platform: FakePlatform
) -> None:
    platform.add("agent-chat-planned")
    deployer_of(program, platform).deploy(REF, image=IMAGE, revision="agent-chat-planned")
    assert not program.applied


def test_a_field_of_the_template_without_a_name_is_refused_before_anything_is_applied(
    program: FakeProgram, platform: FakePlatform
) -> None:
    program.live = replace(program.live, unknown=("#41",), unknown_base=("containers[0].#77",))
    with pytest.raises(FieldsLost) as caught:
        deployer_of(program, platform).deploy(REF, image=IMAGE, revision=NAME)
    assert "template.containers[0].#77" in caught.value.why
    assert "waive: [template.containers[0].#77]" in caught.value.fix
    assert not program.applied
    assert not program.written


def test_what_is_waived_by_name_is_let_go(program: FakeProgram, platform: FakePlatform) -> None:
    program.live = replace(program.live, unknown=("#41",), unknown_base=("#24",))
    deployer = deployer_of(program, platform, waive=("#41", "template.#24"))
    deployer.deploy(REF, image=IMAGE, revision=NAME)
    assert program.applied == [NAME]


@pytest.mark.parametrize(
    ("live", "base"),
    [
        ({"unknown": ("#41",)}, {}),
        ({"fields": {"scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 0}}}, {}),
        ({}, {"encryptionKeyRevocationAction": "SHUTDOWN"}),
        ({}, {"containers": [{"image": "x", "readinessProbe": {"tcpSocket": {"port": 8080}}}]}),
    ],
    ids=["nameless of the service", "a zero that counts", "of the template", "a probe"],
)
def test_what_the_provider_has_no_word_for_is_kept_by_a_write_of_the_template_alone(
    program: FakeProgram, platform: FakePlatform, live: dict[str, Any], base: dict[str, Any]
) -> None:
    whole = {**BASE, **base}
    program.live = replace(program.live, **{"base": whole, **live})
    name = compose(settings_of(IMAGE), STABLE, whole).revision
    deployer_of(program, platform).deploy(REF, image=IMAGE, revision=name)
    ((etag, template),) = program.written
    assert etag == "etag"
    assert (template["revision"], program.applied) == (name, [])
    assert all(template[key] == value for key, value in base.items() if key != "containers")
    assert "readinessProbe" not in base or template["containers"][0]["readinessProbe"]
    assert "Admin API" in program.said[-1]


@pytest.mark.parametrize(
    "gone", ["labels.a", "timeout", "containers[0].env[THEIRS]", "annotations[run.googleapis.com/theirs]"]
)
def test_what_is_gone_afterwards_is_told(program: FakeProgram, platform: FakePlatform, gone: str) -> None:
    program.loses = gone
    with pytest.raises(FieldsLost) as caught:
        deployer_of(program, platform).deploy(REF, image=IMAGE, revision=NAME)
    assert program.applied == [NAME]
    assert gone in caught.value.why


def test_what_is_gone_and_waived_is_not_told(program: FakeProgram, platform: FakePlatform) -> None:
    program.loses = "timeout"
    deployer = deployer_of(program, platform, waive=("template.timeout",))
    deployer.deploy(REF, image=IMAGE, revision=NAME)
    assert program.applied == [NAME]


def test_an_empty_object_that_cloud_run_fills_in_is_not_lost(
    program: FakeProgram, platform: FakePlatform
) -> None:
    def probed(template: Doc | None, socket: dict[str, int]) -> Doc:
        (container,) = (template or {})["containers"]
        return {**(template or {}), "containers": [{**container, "startupProbe": {"tcpSocket": socket}}]}

    class Filling(FakeProgram):
        def read(self, asked: Settings) -> Live:
            live = super().read(asked)
            return replace(live, there=probed(live.there, {"port": 8080})) if self.applied else live

    live = replace(program.live, base=probed(program.live.base, {}))
    filling = Filling(platform, live=live)
    name = compose(settings_of(IMAGE), STABLE, live.base).revision
    deployer_of(filling, platform).deploy(REF, image=IMAGE, revision=name)
    assert filling.applied == [name]
