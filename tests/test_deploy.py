"""The Deployer port: a revision is made once, and a complaint is told when it was not made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from infra.settings import Settings, Template
from pipeline.cloudrun.deploy import ProgramDeployer
from pipeline.errors import (
    PlanRefused,
    PlatformError,
    PlatformUnavailable,
    RequestRejected,
    StaleWrite,
)
from pipeline.model import Readiness
from tests.fakes import REF, FakeClock, FakePlatform

IMAGE = "chat@sha256:1"


def settings_of(image: str) -> Settings:
    return Settings(REF.project, REF.location, REF.service, Template(image, startup_s=30))


NAME = settings_of(IMAGE).revision


@dataclass
class FakeProgram:
    """Makes the revision, in whatever state; or fails, before or after it did."""

    platform: FakePlatform
    readiness: Readiness = Readiness.READY
    message: str = ""
    fault: Exception | None = None
    makes_it: bool = True
    applied: list[str] = field(default_factory=list)

    def apply(self, settings: Settings) -> None:
        self.applied.append(settings.revision)
        if self.makes_it:
            self.platform.add(settings.revision, self.readiness, self.message)
        if self.fault:
            raise self.fault


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
    deployer = ProgramDeployer(program, platform, settings_of)
    return lambda: deployer.deploy(REF, image=IMAGE, revision=NAME)


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
    deployer = ProgramDeployer(program, platform, settings_of)
    with pytest.raises(PlanRefused) as caught:
        deployer.deploy(REF, image=IMAGE, revision="agent-chat-planned")
    assert NAME in caught.value.what
    assert not program.applied


def test_a_planned_revision_that_is_there_needs_no_configuration(
    program: FakeProgram, platform: FakePlatform
) -> None:
    platform.add("agent-chat-planned")
    ProgramDeployer(program, platform, settings_of).deploy(REF, image=IMAGE, revision="agent-chat-planned")
    assert not program.applied
