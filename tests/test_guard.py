"""What an apply would lose: named, masked, waived by name, and refused at each of its three places."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from msgspec.structs import replace

from infra import guard
from infra.compose import compose
from infra.guard import Loss
from infra.live import Live
from infra.settings import Settings, Template
from pipeline.app.drive import Drive
from pipeline.app.listeners import Listeners
from pipeline.app.orders import Orders
from pipeline.app.programs import EngineChoice, Program
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.wiring import Place
from pipeline.config import schema
from pipeline.driving.promote import promote
from pipeline.errors import FieldsLost
from pipeline.model import Outcome, ServiceRef, Split, Target
from pipeline.output.writer import Mode, Output
from tests.fakes import REF, FakeDeployer
from tests.pulumi_programs import refusal as refusal_of
from tests.rollouts import CANDIDATE, STABLE, Scene

SETTINGS = Settings("p", "l", "chat", Template("chat@sha256:2"))
LIVE = Live(
    "e", Split((Target("chat-1", 100),)), stable="chat-1", base={"containers": [{"image": "chat@sha256:1"}]}
)
NAMELESS = replace(LIVE, unknown_base=("containers[0].#77",))


def test_every_field_that_is_not_as_it_was_is_a_loss() -> None:
    live = {
        "a": 1,
        "b": {"c": "x", "d": "y"},
        "zero": 0,
        "containers": [{"name": "n", "env": [{"name": "A", "value": "v"}]}],
    }
    declared = {"a": 1, "b": {"c": "z"}, "containers": [{"name": "n"}], "more": 2}
    assert [str(loss) for loss in guard.losses(live, declared)] == [
        "b.c = x: becomes z", "b.d = y: would be cleared",
        "containers[n].env[A].name = A: would be cleared", "containers[n].env[A].value = v: would be cleared",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("containers[0].env[API_TOKEN].value", "hush", "[redacted]"),
        ("containers[0].env[CONN].value", "xK9vQ2mZ8pL4wR7tY1uB5n", "[redacted]"),
        ("containers[0].env[MODE].value", "production", "production"),
        ("timeout", "300s", "300s"),
        ("labels", {"a": 1}, '{"a": 1}'),
        ("args", ["x"] * 100, '["x", "x"'),
    ],
)
def test_values_are_shown_and_secrets_are_not(path: str, value: Any, told: str) -> None:
    assert guard.shown(path, value).startswith(told)
    assert len(guard.shown(path, value)) < 130
    assert "hush" not in str(Loss(path, value, "would be cleared"))


@pytest.mark.parametrize(
    ("waive", "is_waived"),
    [
        ("template.containers[a].volume_mounts[b].mount_path", True),
        ("template.containers[a].volumeMounts", True),
        ("template", True),
        ("template.containers[a].volumeMount", False),
        ("template.containers[b]", False),
        ("#7", False),
    ],
)
def test_a_name_waives_the_field_and_what_is_in_it(waive: str, *, is_waived: bool) -> None:
    assert guard.is_waived("template.containers[a].volumeMounts[b].mountPath", [waive]) == is_waived


def test_a_refusal_names_the_way_out_and_no_more_than_can_be_read() -> None:
    error = guard.refusal("chat", [Loss(f"#{n}", None, "nameless") for n in range(30)])
    assert "30 live settings" in error.what
    assert error.why.endswith("and 18 more")
    assert "waive: [#0, #1, #2, ...]" in error.fix


@pytest.mark.parametrize("live", [NAMELESS, replace(LIVE, unknown=("#41",))], ids=["template", "service"])
def test_a_bare_pulumi_up_is_refused_in_three_lines(live: Live) -> None:
    what, why, fix = refusal_of(SETTINGS, lambda _: live)
    assert what == "chat: this would lose 1 live setting that nobody asked to change"
    assert "#" in why
    assert "waive: [" in fix


@dataclass
class Blind:
    """A place whose service has a field that no version here knows."""

    ref: ServiceRef = REF
    live: Live = field(default_factory=lambda: NAMELESS)

    def look(self, _: Settings) -> Live:
        return self.live


CONFIG = """
service: agent-chat
environments: {local: {endpoint: local}}
scenarios: {agent-run: {path: /ws, send: {type: hello}, expect: [done]}}
"""


def drive(scene: Scene, folder: Path, place: Blind) -> Drive:
    session = Session(Output(Mode.JSON), folder / "spillway.yaml", folder, None, yes=False)
    request = Request.of(session, None, schema.parse(CONFIG)).with_image("chat@sha256:" + "2" * 64)
    program = Program(grpc.insecure_channel("127.0.0.1:1"), folder, EngineChoice.IN_PROCESS)
    return Drive(
        request, cast("Place", place), program, scene.engine(), scene.world, Listeners(), ExitStack(),
        Orders(session),
    )  # fmt: skip


def test_before_the_first_write_it_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    scene = Scene()
    scene.platform.live = replace(scene.live, ref=ServiceRef("local", "local", "agent-chat"))
    before = scene.live
    asked: list[str] = []

    def gate() -> Outcome | None:
        asked.append("the checks")
        return None

    with pytest.raises(FieldsLost) as caught:
        drive(scene, tmp_path, Blind()).begin(gate=gate)
    assert caught.value.exit_code == 2
    assert "template.containers[0].#77" in caught.value.why
    assert scene.live == before
    assert not asked
    assert drive(scene, tmp_path, Blind(live=LIVE)).begin(gate=gate) is None
    assert scene.live.record_text is not None


def test_the_candidates_name_and_what_it_costs_at_nothing_follow_from_what_is_live(tmp_path: Path) -> None:
    scene, base = Scene(), {**(LIVE.base or {}), "scaling": {"minInstanceCount": 3}}
    driven = drive(scene, tmp_path, Blind(live=replace(LIVE, base=base)))
    wish = driven.aimed(driven.request.wish, scene.live, None)
    assert wish.min_instances == 3
    assert wish.candidate == compose(driven.request.settings, "chat-1", base).revision
    new = driven.aimed(wish, None, None)
    assert (new.candidate, new.min_instances) == (driven.request.wish.candidate, 0)
    scene.start(replace(wish, ref=scene.live.ref))
    other_base = drive(scene, tmp_path, Blind(live=LIVE))
    agreed = other_base.aimed(replace(wish, ref=scene.live.ref), scene.live, scene.rollout)
    assert agreed.candidate == wish.candidate, "a rollout that is under way keeps the name it was begun with"


@dataclass
class Refusing:
    """A deployer that finds a loss right before it applies, until it is waived."""

    deployer: FakeDeployer
    is_waived: bool = False
    finds_it_afterwards: bool = False
    lasts: timedelta = timedelta(0)
    outlives: bool = True

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        if self.finds_it_afterwards:
            self.deployer.deploy(ref, image=image, revision=revision)
        if not self.is_waived:
            raise guard.refusal(ref.service, [Loss("#41", None, "this version has no name for it")])
        self.deployer.deploy(ref, image=image, revision=revision)


@pytest.mark.parametrize("finds_it_afterwards", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(minutes=2)], ids=["by etag", "without"])
def test_a_loss_around_the_apply_pauses_the_rollout_at_nothing_until_an_operator_lets_it_go_on(
    lasts: timedelta, *, finds_it_afterwards: bool
) -> None:
    scene = Scene()
    refusing = Refusing(scene.deployer, finds_it_afterwards=finds_it_afterwards, lasts=lasts)
    scene.deployer = cast("FakeDeployer", refusing)
    assert scene.roll(engine=scene.driver) is Outcome.PAUSED
    assert scene.live.wanted.serving == {STABLE: 100}
    assert "#41" in scene.rollout.reason
    refusing.is_waived = True
    promote(scene.driver, scene.clock, to_percent=None, reason="", by="ada")
    assert scene.driver.run() is Outcome.PROMOTED
    assert scene.live.wanted.serving == {CANDIDATE: 100}
