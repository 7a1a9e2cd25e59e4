"""The Pulumi program in process, on the local Cloud Run's own control plane."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.protobuf import struct_pb2
from msgspec.structs import replace
from pulumi.runtime.proto import provider_pb2

from infra import alerts
from infra.compose import compose
from infra.live import Live, read
from infra.settings import Settings, Template
from pipeline.cloudrun.alerts import policies_of
from pipeline.cloudrun.service import CloudRun
from pipeline.cloudrun.stack import InProcess, declared
from pipeline.errors import (
    AccessError,
    PlatformUnavailable,
    RequestRejected,
    StaleWrite,
)
from pipeline.local.provider.engine import PlainResource
from pipeline.local.provider.fields import Json
from pipeline.local.provider.plain import PlainProvider
from pipeline.local.provider.service import SERVICE, LocalProvider
from pipeline.model import NONCE_VARIABLE, RECORD_ANNOTATION, LiveService, ServiceRef, Split, Target
from tests.contract.cloud import Cloud, latest, shares
from tests.fakes import said_by


@pytest.fixture
def settings(cloud: Cloud) -> Settings:
    return Settings("local", "here", cloud.fresh_id(), Template("good"), deletion_protection=False)


@pytest.fixture
def program(cloud: Cloud) -> InProcess:
    return InProcess(LocalProvider(cloud.channel), partial(read, channel=cloud.channel))


def another(settings: Settings, **changes: object) -> Settings:
    return replace(settings, template=replace(settings.template, **{"env": {"V": "2"}, **changes}))  # type: ignore[arg-type]


def name_of(cloud: Cloud, settings: Settings) -> str:
    """Of the revision that these settings make of the service as it is."""
    live = read(settings, cloud.channel)
    return compose(settings, live.stable, live.base).revision if live else compose(settings).revision


def settled(cloud: Cloud, settings: Settings) -> run_v2.Service:
    while (service := cloud.services.get_service(name=settings.ref.name)).reconciling:
        pass
    return service


def observed(cloud: Cloud, settings: Settings) -> LiveService:
    settled(cloud, settings)
    return CloudRun.over(cloud.channel).read(settings.ref)


def move(cloud: Cloud, settings: Settings, split: Split, annotations: dict[str, str]) -> None:
    """As the engine does: traffic and annotations in one write."""
    platform = CloudRun.over(cloud.channel)
    platform.write(settings.ref, etag=platform.read(settings.ref).etag, annotations=annotations, split=split)
    settled(cloud, settings)


def test_the_first_deploy_gives_the_first_revision_everything(
    cloud: Cloud, settings: Settings, program: InProcess
) -> None:
    program.apply(settings)
    service = settled(cloud, settings)
    assert shares(service) == {name_of(cloud, settings): 100}
    assert [t.revision for t in service.traffic] == [name_of(cloud, settings)], "by name, never LATEST"
    template = service.template
    assert template.revision == name_of(cloud, settings)
    assert template.timeout.total_seconds() == 3600
    assert not template.session_affinity
    assert template.scaling.max_instance_count == 10
    probe = template.containers[0].startup_probe
    assert probe.failure_threshold * probe.period_seconds == 240


def test_a_second_revision_gets_nothing(cloud: Cloud, settings: Settings, program: InProcess) -> None:
    program.apply(settings)
    settled(cloud, settings)
    program.apply(another(settings))
    service = settled(cloud, settings)
    assert shares(service) == {name_of(cloud, settings): 100}
    assert service.latest_ready_revision.endswith(name_of(cloud, another(settings)))


@pytest.mark.parametrize("has_traffic", [False, True])
def test_a_tag_that_follows_latest_goes_on_to(
    cloud: Cloud, settings: Settings, program: InProcess, has_traffic: bool
) -> None:
    """Traffic is pinned by name all the same; and so it stays through a rollout's writes and a roll-back's."""
    program.apply(settings)
    settled(cloud, settings)
    stable = name_of(cloud, settings)
    there = Split(
        (Target(None, 100, "green"),) if has_traffic else (Target(stable, 100), Target(None, 0, "green"))
    )
    move(cloud, settings, there, {})
    if has_traffic:
        program.apply(another(settings))
        live = observed(cloud, settings)
        assert live.wanted.serving == {stable: 100}
    for percent in (5, 0):
        split = Split.between(stable, stable, percent, observed(cloud, settings).wanted.targets)
        move(cloud, settings, split, {})
        program.apply(another(settings, env={"V": str(percent)}))
        live = observed(cloud, settings)
        assert [t for t in live.wanted.targets if t.tag == "green"] == [Target(None, 0, "green")]
        assert live.wanted.serving == {stable: 100}
        assert live.latest_ready != stable
    assert [t.percent for t in live.wanted.targets if not t.revision] == [0]


def test_applying_again_writes_nothing(cloud: Cloud, settings: Settings, program: InProcess) -> None:
    program.apply(settings)
    before = settled(cloud, settings)
    for _ in range(3):
        program.apply(settings)
    after = settled(cloud, settings)
    assert (after.generation, after.etag) == (before.generation, before.etag)


def test_a_run_moves_no_traffic_after_a_manual_split(
    cloud: Cloud, settings: Settings, program: InProcess
) -> None:
    second, third = another(settings), another(settings, env={"V": "3"})
    program.apply(settings)
    settled(cloud, settings)
    program.apply(second)
    settled(cloud, settings)
    split = Split((
        Target(name_of(cloud, settings), 70, "stable"), Target(name_of(cloud, second), 30, "candidate"),
        Target(name_of(cloud, settings), 0, "theirs"),
    ))  # fmt: skip
    notes = {RECORD_ANNOTATION: '{"v":1}', "example.com/owner": "chat"}
    move(cloud, settings, split, notes)
    for bare in (second, settings, third):
        program.apply(bare)
        live = observed(cloud, settings)
        assert said_by(live.serving) == said_by(split)
        assert live.annotations == notes


def test_a_split_on_latest_is_pinned_to_what_it_means_now(
    cloud: Cloud, settings: Settings, program: InProcess
) -> None:
    program.apply(settings)
    service = settled(cloud, settings)
    cloud.split(service, latest())
    program.apply(another(settings))
    service = settled(cloud, settings)
    assert shares(service) == {name_of(cloud, settings): 100}
    assert service.latest_ready_revision.endswith(name_of(cloud, another(settings)))


def test_the_nonce_stays_with_its_revision(cloud: Cloud, settings: Settings, program: InProcess) -> None:
    def nonce(of: Settings) -> str:
        env = cloud.revisions.get_revision(name=of.ref.revision_name(name_of(cloud, of))).containers[0].env
        return next(v.value for v in env if v.name == NONCE_VARIABLE)

    program.apply(settings)
    first = nonce(settings)
    settled(cloud, settings)
    program.apply(another(settings))
    settled(cloud, settings)
    program.apply(settings)  # back to the first template: another nonce would be another revision, refused
    assert nonce(settings) == first
    assert nonce(another(settings)) != first


def test_a_failed_first_revision_is_followed_by_a_good_one(
    cloud: Cloud, settings: Settings, program: InProcess
) -> None:
    program.apply(another(settings, image="never-listens"))
    assert not shares(settled(cloud, settings))
    program.apply(settings)
    assert shares(settled(cloud, settings)) == {name_of(cloud, settings): 100}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (exceptions.PermissionDenied("no"), AccessError),
        (exceptions.ServiceUnavailable("later"), PlatformUnavailable),
        (exceptions.InternalServerError("oops"), PlatformUnavailable),
        (exceptions.RetryError("given up", None), PlatformUnavailable),
    ],
    ids=["forbidden", "unavailable", "internal", "given up"],
)
def test_a_read_that_fails_stops_the_program(
    cloud: Cloud, settings: Settings, program: InProcess, fault: Exception, told: type[Exception]
) -> None:
    program.apply(settings)
    before = settled(cloud, settings)

    def blind(_: Settings) -> Live | None:
        raise fault

    with pytest.raises(told):
        replace(program, read=blind).apply(another(settings))
    assert settled(cloud, settings).etag == before.etag


def test_a_change_between_read_and_write_is_read_again(
    cloud: Cloud, settings: Settings, program: InProcess
) -> None:
    """Somebody shifts traffic while the program runs: the shift stays."""
    second = another(settings)
    program.apply(settings)
    settled(cloud, settings)
    program.apply(second)
    settled(cloud, settings)
    split = Split((Target(name_of(cloud, settings), 50), Target(name_of(cloud, second), 50)))
    reads: list[Live | None] = []

    def overtaken(asked: Settings) -> Live | None:
        reads.append(program.read(asked))
        if len(reads) == 1:
            move(cloud, settings, split, {})
        return reads[-1]

    replace(program, read=overtaken).apply(another(settings, env={"V": "3"}))
    assert len(reads) == 3, "and once more to read it back"
    assert said_by(observed(cloud, settings).serving) == said_by(split)


class Overtaken(LocalProvider):
    """Somebody writes between the last look and the write, or right after it."""

    def __init__(
        self, cloud: Cloud, *, before: Callable[[], None] = int, after: Callable[[], None] = int
    ) -> None:
        super().__init__(cloud.channel)
        self._before, self._after = before, after

    def update(self, olds: Json, news: Json) -> str:
        self._before()
        operation = super().update(olds, news)
        self._after()
        return operation


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ({"split": {"first": 100}}, "traffic is"),
        ({"split": {"second": 50, "first": 50}, "tag": "theirs"}, "a tag was moved"),
        ({"notes": {RECORD_ANNOTATION: '{"v":2}'}}, RECORD_ANNOTATION),
    ],
    ids=["split", "tag", "record"],
)
def test_what_slips_between_the_last_look_and_the_write_is_told(
    cloud: Cloud, settings: Settings, program: InProcess, when: str, edit: dict[str, Any], told: str
) -> None:
    second = another(settings)
    program.apply(settings)
    settled(cloud, settings)
    names = {"first": name_of(cloud, settings), "second": name_of(cloud, second)}
    program.apply(second)
    settled(cloud, settings)
    move(cloud, settings, Split((Target(names["first"], 50), Target(names["second"], 50))), {})

    def hand() -> None:
        shares = edit.get("split", {"first": 50, "second": 50})
        lines = [Target(names[name], percent) for name, percent in shares.items()]
        lines[0] = replace(lines[0], tag=edit.get("tag", ""))
        move(cloud, settings, Split(tuple(lines)), edit.get("notes", {}))

    overtaken = replace(program, provider=Overtaken(cloud, **{when: hand}))
    with pytest.raises(StaleWrite) as caught:
        overtaken.apply(another(settings, env={"V": "3"}))
    assert "while the Pulumi program was applied" in caught.value.what
    assert (told if when == "after" else "somebody else wrote it once") in caught.value.what
    assert "spillway rollback projects/" in caught.value.fix


def test_a_service_that_never_rests_is_given_up(cloud: Cloud, settings: Settings, program: InProcess) -> None:
    program.apply(settings)
    settled(cloud, settings)

    def stale(asked: Settings) -> Live | None:
        live = program.read(asked)
        assert live is not None
        return replace(live, etag="of yesterday")

    with pytest.raises(StaleWrite):
        replace(program, read=stale).apply(another(settings))


def test_what_the_api_refuses_is_told(settings: Settings, program: InProcess) -> None:
    with pytest.raises(RequestRejected) as caught:
        program.apply(another(settings, env={"PORT": "80"}))
    assert "reserved env names" in caught.value.why


def test_the_declaration_is_a_list_without_secrets(settings: Settings, program: InProcess) -> None:
    wanted = replace(settings, template=replace(settings.template, env={"KEY": "hush"}))
    (resource,) = (r for r in declared(wanted, program.read).resources if r.type == SERVICE)
    assert resource.summary == {
        "type": SERVICE,
        "name": settings.service,
        "revision": resource.inputs["template"]["revision"],
        "image": "good",
        "traffic": [{"revision": resource.inputs["template"]["revision"], "percent": 100, "tag": "stable"}],
    }
    assert "hush" not in str(resource.summary)


def test_it_says_that_the_engine_was_not_used(settings: Settings, program: InProcess) -> None:
    said: list[str] = []
    replace(program, say=said.append).apply(settings)
    assert any("engine" in line and "not used" in line for line in said)


def test_evaluating_leaves_nothing_behind(settings: Settings) -> None:
    """No thread, no event loop (an unclosed one is a warning, and a warning an error), no run-time settings."""
    threads = threading.active_count()
    first = declared(settings, lambda _: None)
    second = declared(settings, lambda _: None)
    gc.collect()
    assert threading.active_count() == threads
    assert [r.summary for r in first.resources] == [r.summary for r in second.resources]
    from pulumi.runtime import get_root_resource

    assert get_root_resource() is None


async def test_it_can_be_evaluated_where_a_loop_runs(settings: Settings) -> None:
    assert [r.type for r in declared(settings, lambda _: None).resources].count(SERVICE) == 1
    assert asyncio.get_running_loop().is_running()


def test_the_lasting_alerts_are_made_once_and_put_right(
    cloud: Cloud, settings: Settings, program: InProcess
) -> None:
    program.apply(settings)
    titles = policies_of(settings.ref, cloud.channel)
    assert [title.partition(": ")[2] for title in titles] == [
        "log lines that JSON refused", "sockets closed with 1006", "sockets closed with 1011",
        "sockets without an outcome", "the watchdog is silent",
    ]  # fmt: skip
    provider = PlainProvider(cloud.channel)
    for declared_ in alerts.declared(settings.ref):
        name = provider.find(declared_.type, declared_.inputs)
        assert name
        changed = {"description": "by hand"} if declared_.type == alerts.METRIC else {"combiner": "AND"}
        provider.update(declared_.type, name, {**declared_.inputs, **changed})
    program.apply(another(settings))
    assert policies_of(settings.ref, cloud.channel) == titles
    for declared_ in alerts.declared(settings.ref):
        name = provider.find(declared_.type, declared_.inputs)
        found = provider.read(declared_.type, name or "")
        assert found
        assert not provider.differs(declared_.type, found, declared_.inputs)


def test_a_channel_that_left_the_program_is_a_difference(cloud: Cloud) -> None:
    provider = PlainProvider(cloud.channel)
    (kind, inputs), *_ = [
        (a.type, a.inputs)
        for a in alerts.declared(ServiceRef("p", "here", "chat"))
        if a.type == alerts.POLICY
    ]
    told = {**inputs, "notificationChannels": ["projects/p/notificationChannels/1"]}
    assert provider.differs(kind, told, inputs) == ("notificationChannels",)
    assert provider.differs(kind, inputs, told) == ("notificationChannels",)
    assert not provider.differs(kind, inputs, inputs)


def test_what_pulumis_engine_keeps_of_an_alert_is_no_difference(cloud: Cloud) -> None:
    """Through a message of the engine's every number is a double, and a state has what the server fills in."""
    provider = PlainProvider(cloud.channel)
    for declared_ in alerts.declared(ServiceRef("p", "there", "chat")):
        resource, inputs = PlainResource(provider, declared_.type), struct_pb2.Struct()
        inputs.update(declared_.inputs)
        made = resource.create(provider_pb2.CreateRequest(properties=inputs))
        assert resource.create(provider_pb2.CreateRequest(properties=inputs)).id == made.id
        found = resource.read(provider_pb2.ReadRequest(id=made.id, inputs=inputs))
        for olds in (made.properties, found.properties):
            assert (
                resource.diff(provider_pb2.DiffRequest(olds=olds, news=inputs)).changes
                == provider_pb2.DiffResponse.DIFF_NONE
            )
        resource.delete(provider_pb2.DeleteRequest(id=made.id))
        assert not resource.read(provider_pb2.ReadRequest(id=made.id)).id
