"""Cloud Run as the port that the engine drives: what a read shows, and what a write changes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

import pytest
from google.cloud import run_v2

from pipeline.cloudrun import service as service_module
from pipeline.cloudrun.service import CloudRun, _live, _revision
from pipeline.errors import RequestRejected, RevisionNotFound, ServiceNotFound, StaleWrite
from pipeline.model import NONCE_VARIABLE, LiveService, Readiness, ServiceRef, Split, Target
from tests.contract.cloud import LATEST, Cloud, short
from tests.fakes import said_by


@dataclass
class Here:
    """A service with two revisions and all traffic on the first, by name; and the port that is tried."""

    cloud: Cloud
    service: run_v2.Service
    port: CloudRun
    ref: ServiceRef
    one: str
    two: str


@pytest.fixture
def here(cloud: Cloud) -> Here:
    service = cloud.create(revision="one", annotations={"theirs": "kept"})
    ref = ServiceRef.parse(service.name)
    assert ref is not None
    one, two = f"{ref.service}-one", cloud.add_revision(service, "two")
    port = CloudRun.over(cloud.channel)
    live = port.read(ref)
    port.write(ref, etag=live.etag, annotations=live.annotations, split=Split((Target(one, 100, "stable"),)))
    return Here(cloud, service, port, ref, one, two)


def settled(here: Here) -> LiveService:
    """The service once its last write was taken up, with whatever end."""
    while (live := here.port.read(here.ref)).reconciling or not live.is_settled:
        time.sleep(0.01)
    return live


def test_traffic_and_annotations_are_one_write(here: Here) -> None:
    live = here.port.read(here.ref)
    split = Split.between(here.one, here.two, 5, (Target(here.one, 0, "green"),))
    here.port.write(here.ref, etag=live.etag, annotations={**live.annotations, "ours": "x"}, split=split)
    after = settled(here)
    assert said_by(after.wanted) == said_by(split)
    assert said_by(after.serving) == said_by(split)
    assert after.annotations == {"theirs": "kept", "ours": "x"}
    assert after.generation == live.generation + 1


def test_a_list_tells_of_each_service_what_a_read_tells(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "_PAGE", 2)
    others = [ServiceRef.parse(here.cloud.create().name) for _ in range(4)]
    settled(here)
    found = here.port.services(here.ref.project, here.ref.location)
    assert {here.ref, *others} <= found.keys()
    assert found[here.ref] == here.port.read(here.ref)
    assert here.port.services(here.ref.project, "nowhere-else1") == {}


def test_annotations_alone_leave_traffic_and_template_alone(here: Here) -> None:
    live = settled(here)
    here.port.write(here.ref, etag=live.etag, annotations={"ours": "x"})
    after = here.port.read(here.ref)
    assert after.wanted == live.wanted
    assert after.latest_created == live.latest_created == here.two


def test_a_write_on_an_older_read_is_refused(here: Here) -> None:
    old = here.port.read(here.ref)
    here.port.write(here.ref, etag=old.etag, annotations={"first": "x"})
    with pytest.raises(StaleWrite):
        here.port.write(here.ref, etag=old.etag, annotations={"second": "x"})
    assert here.port.read(here.ref).annotations == {"first": "x"}


def test_what_is_asked_for_is_told_from_what_is_served(here: Here) -> None:
    settled(here)
    bad = here.cloud.add_revision(here.service, "bad", "never-listens")
    live = here.port.read(here.ref)
    split = Split.between(here.one, bad, 5)
    here.port.write(here.ref, etag=live.etag, annotations=live.annotations, split=split)
    after = settled(here)
    assert after.wanted.serving == {here.one: 95, bad: 5}
    assert after.serving.serving == {here.one: 100}
    assert bad in after.failure
    assert (after.latest_created, after.latest_ready) == (bad, here.two)


def test_latest_is_told_as_latest(cloud: Cloud) -> None:
    by_default = cloud.create()
    asked = cloud.create(traffic=[run_v2.TrafficTarget(type_=LATEST, percent=100)])
    for service in (by_default, asked):
        ref = ServiceRef.parse(service.name)
        assert ref is not None
        live = CloudRun.over(cloud.channel).read(ref)
        assert live.wanted.serving == live.serving.serving == {"": 100}
        assert live.latest_ready == short(service.latest_ready_revision)


def test_revisions_are_newest_first_with_what_their_own_condition_says(here: Here) -> None:
    bad = here.cloud.add_revision(here.service, "bad", "never-listens")
    found = here.port.revisions(here.ref)
    assert [r.name for r in found] == [bad, here.two, here.one]
    assert [r.readiness for r in found] == [Readiness.FAILED, Readiness.READY, Readiness.READY]
    assert found[0].message
    assert here.port.revision(here.ref, here.two) == found[1]
    assert len({r.uid for r in found}) == 3


def test_a_revision_that_nobody_has_judged_is_pending() -> None:
    waiting = run_v2.Condition(
        type_="Ready", state=run_v2.Condition.State.CONDITION_RECONCILING, message="why"
    )
    for conditions in ([], [waiting]):
        assert _revision(run_v2.Revision(name="a/b", conditions=conditions)).readiness is Readiness.PENDING


def test_the_nonce_is_read_back(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    container = run_v2.Container(cloud.containers["good"])
    container.env = [run_v2.EnvVar(name="OTHER", value="x"), run_v2.EnvVar(name=NONCE_VARIABLE, value="abc")]
    name = f"{short(service.name)}-told"
    template = run_v2.RevisionTemplate(revision=name, containers=[container], timeout=timedelta(seconds=77))
    cloud.update(run_v2.Service(name=service.name, template=template), "template")
    ref = ServiceRef.parse(service.name)
    assert ref is not None
    port = CloudRun.over(cloud.channel)
    assert [r.nonce for r in port.revisions(ref)] == ["abc", ""]
    assert port.read(ref).request_timeout == timedelta(seconds=77)


def test_what_is_not_there_is_told_apart(here: Here) -> None:
    for service in ("nobody", "revision-of-nobody"):
        with pytest.raises(ServiceNotFound):
            here.port.read(ServiceRef(here.ref.project, here.ref.location, service))
    with pytest.raises(RevisionNotFound):
        here.port.revision(here.ref, "nobody")
    live = here.port.read(here.ref)
    with pytest.raises(RequestRejected):
        here.port.write(here.ref, etag=live.etag, annotations={}, split=Split((Target(here.one, 50),)))


def test_what_cloud_run_says_of_a_share_on_latest() -> None:
    """Its status names the revision that LATEST means now; a spec without traffic means LATEST."""
    ref = ServiceRef("p", "l", "s")
    served = run_v2.TrafficTargetStatus(type_=LATEST, revision="s-1", percent=100)
    live = _live(ref, run_v2.Service(traffic_statuses=[served]))
    assert live.wanted.serving == live.serving.serving == {"": 100}
