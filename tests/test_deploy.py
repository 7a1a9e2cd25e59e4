"""The Deployer port: made once, waited for, and told when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from infra.settings import Settings, Template
from pipeline.cloudrun.deploy import ProgramDeployer
from pipeline.errors import (
    PlanRefused,
    PlatformError,
    PlatformUnavailable,
    RequestRejected,
    RevisionFailed,
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
def deploy(program: FakeProgram, platform: FakePlatform, clock: FakeClock) -> Callable[[], None]:
    deployer = ProgramDeployer(program, platform, clock, settings_of)
    return lambda: deployer.deploy(REF, image=IMAGE, revision=NAME)


def test_a_revision_is_made_once(deploy: Callable[[], None], program: FakeProgram) -> None:
    deploy()
    deploy()
    assert program.applied == [NAME]


def test_it_waits_until_the_revision_is_ready(
    deploy: Callable[[], None], program: FakeProgram, platform: FakePlatform, clock: FakeClock
) -> None:
    program.readiness = Readiness.PENDING
    clock.at(
        20, lambda: platform.known.update({NAME: replace(platform.known[NAME], readiness=Readiness.READY)})
    )
    begun = clock.now()
    deploy()
    assert timedelta(seconds=20) <= clock.now() - begun < timedelta(seconds=21)


def test_a_failed_revision_is_told_with_its_message(deploy: Callable[[], None], program: FakeProgram) -> None:
    program.readiness, program.message = Readiness.FAILED, "Container called exit(3)."
    for _ in range(2):
        with pytest.raises(RevisionFailed) as caught:
            deploy()
        assert caught.value.why == "Container called exit(3)."
    assert program.applied == [NAME]


def test_a_revision_that_is_never_judged_is_given_up(
    deploy: Callable[[], None], program: FakeProgram, clock: FakeClock
) -> None:
    program.readiness = Readiness.PENDING
    begun = clock.now()
    with pytest.raises(PlatformUnavailable):
        deploy()
    assert clock.now() - begun >= timedelta(seconds=30), "its own startup time at least"


@pytest.mark.parametrize(
    "fault",
    [RequestRejected("the name is taken"), PlatformError("pulumi up failed"), PlatformUnavailable("lost")],
)
def test_a_complaint_does_not_matter_once_the_revision_is_there(
    deploy: Callable[[], None], program: FakeProgram, fault: Exception
) -> None:
    program.fault = fault
    deploy()


@pytest.mark.parametrize("fault", [RequestRejected("bad env"), StaleWrite("again and again")])
def test_a_complaint_is_told_when_the_revision_is_not_there(
    deploy: Callable[[], None], program: FakeProgram, fault: Exception
) -> None:
    program.fault, program.makes_it = fault, False
    with pytest.raises(type(fault)):
        deploy()


def test_a_changed_configuration_makes_no_other_revision_under_a_planned_name(
    program: FakeProgram, platform: FakePlatform, clock: FakeClock
) -> None:
    deployer = ProgramDeployer(program, platform, clock, settings_of)
    with pytest.raises(PlanRefused) as caught:
        deployer.deploy(REF, image=IMAGE, revision="agent-chat-planned")
    assert NAME in caught.value.what
    assert not program.applied


def test_a_planned_revision_that_is_there_needs_no_configuration(
    program: FakeProgram, platform: FakePlatform, clock: FakeClock
) -> None:
    platform.add("agent-chat-planned")
    ProgramDeployer(program, platform, clock, settings_of).deploy(
        REF, image=IMAGE, revision="agent-chat-planned"
    )
    assert not program.applied
