"""Traffic: what is asked for, what is served, and what of it changes when (the contract of ``Service.reconciling``)."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.contract.cloud import (
    BY_NAME,
    LATEST,
    Cloud,
    latest,
    ready_condition,
    shares,
    short,
    target,
)

FAILED = run_v2.Condition.State.CONDITION_FAILED
SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED


def pinned(cloud: Cloud) -> tuple[run_v2.Service, str]:
    """A service whose traffic names its one revision; the revision."""
    service = cloud.create(revision="one")
    name = f"{short(service.name)}-one"
    return cloud.split(service, target(name, 100)), name


def test_success_means_that_what_was_asked_for_is_served(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    two = cloud.add_revision(service, "two")
    served = cloud.split(service, target(one, 95), target(two, 5, "candidate"))
    asked = [(t.type_, t.revision, t.percent, t.tag) for t in served.traffic]
    assert [(t.type_, t.revision, t.percent, t.tag) for t in served.traffic_statuses] == asked
    assert not served.reconciling
    assert served.observed_generation == served.generation
    assert served.latest_ready_revision == served.latest_created_revision
    assert served.terminal_condition.state == SUCCEEDED


def test_a_new_revision_gets_no_traffic_when_traffic_is_pinned(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    two = cloud.add_revision(service, "two")
    got = cloud.get(service)
    assert shares(got) == {one: 100}
    assert short(got.latest_ready_revision) == two


def test_latest_follows_to_a_new_revision_that_is_ready(cloud: Cloud) -> None:
    service = cloud.create()
    two = cloud.add_revision(service, "two")
    got = cloud.get(service)
    assert [(t.type_, t.percent) for t in got.traffic_statuses] == [(LATEST, 100)]
    assert short(got.latest_ready_revision) == two


def test_latest_stays_with_the_last_ready_revision_when_a_new_one_fails(cloud: Cloud) -> None:
    service = cloud.create()
    bad = cloud.add_revision(service, "bad", "never-listens")
    got = cloud.get(service)
    assert got.latest_ready_revision == service.latest_ready_revision
    assert short(got.latest_created_revision) == bad
    assert [(t.type_, t.percent) for t in got.traffic_statuses] == [(LATEST, 100)]


def test_a_failed_update_keeps_the_last_serving_state(cloud: Cloud) -> None:
    service = cloud.create()
    name = f"{short(service.name)}-bad"
    change = run_v2.Service(name=service.name, template=cloud.template("never-listens", revision=name))
    failure = cloud.failure(cloud.put(change, "template"))
    got = cloud.get(service)
    assert name in str(failure)
    assert got.terminal_condition.state == FAILED
    assert name in got.terminal_condition.message
    assert not got.reconciling
    assert got.observed_generation == service.observed_generation < got.generation
    assert got.traffic_statuses == service.traffic_statuses
    assert got.uri == service.uri


def test_a_service_whose_first_revision_fails_serves_nothing(cloud: Cloud) -> None:
    service_id = cloud.fresh_id()
    cloud.failure(cloud.start(service_id, "never-listens"))
    got = cloud.services.get_service(name=f"{cloud.parent}/services/{service_id}")
    assert (got.latest_ready_revision, list(got.traffic_statuses), got.observed_generation) == ("", [], 0)
    assert got.terminal_condition.state == FAILED
    assert got.latest_created_revision


def test_a_failed_revision_leaves_pinned_traffic_alone_and_the_service_failed(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    bad = cloud.add_revision(service, "bad", "never-listens")
    got = cloud.get(service)
    assert shares(got) == {one: 100}
    assert got.terminal_condition.state == FAILED
    assert ready_condition(cloud.revision(service, bad)).state == FAILED
    assert ready_condition(cloud.revision(service, one)).state == SUCCEEDED


def test_traffic_does_not_move_to_a_revision_that_is_not_ready(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    bad = cloud.add_revision(service, "bad", "never-listens")
    change = run_v2.Service(name=service.name, traffic=[target(one, 95), target(bad, 5)])
    cloud.failure(cloud.put(change, "traffic"))
    got = cloud.get(service)
    assert shares(got) == {one: 100}
    assert [(t.revision, t.percent) for t in got.traffic] == [(one, 95), (bad, 5)]


def test_traffic_moves_while_the_latest_revision_is_failed(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    two = cloud.add_revision(service, "two")
    cloud.split(service, target(one, 50), target(two, 50))
    cloud.add_revision(service, "bad", "never-listens")
    got = cloud.split(service, target(one, 100))
    assert shares(got) == {one: 100}
    assert got.terminal_condition.state == FAILED


def test_a_good_revision_after_a_failed_one_makes_the_service_ready_again(cloud: Cloud) -> None:
    service = cloud.create()
    cloud.add_revision(service, "bad", "never-listens")
    good = cloud.add_revision(service, "good")
    got = cloud.get(service)
    assert got.terminal_condition.state == SUCCEEDED
    assert got.observed_generation == got.generation
    assert short(got.latest_ready_revision) == good


def test_a_tag_has_an_address_of_its_own(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    two = cloud.add_revision(service, "two")
    got = cloud.split(service, target(one, 100, "stable"), target(two, 0, "candidate"))
    uris = {t.tag: t.uri for t in got.traffic_statuses}
    assert len({got.uri, *uris.values()}) == 3
    assert all(uri.startswith("http") for uri in uris.values())


def test_a_tag_keeps_its_address_when_it_moves(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    two = cloud.add_revision(service, "two")
    before = cloud.split(service, target(one, 100), target(one, 0, "moving"))
    after = cloud.split(service, target(one, 100), target(two, 0, "moving"))
    assert before.traffic_statuses[1].uri == after.traffic_statuses[1].uri
    assert after.traffic_statuses[1].revision == two


def test_a_tag_that_is_no_longer_asked_for_is_gone(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    cloud.split(service, target(one, 100, "gone"))
    got = cloud.split(service, target(one, 100))
    assert [t.tag for t in got.traffic_statuses] == [""]


def test_one_revision_may_stand_in_several_lines(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    got = cloud.split(service, target(one, 60, "a"), target(one, 40, "b"), target(one, 0, "c"))
    assert shares(got) == {one: 100}
    assert [t.tag for t in got.traffic_statuses] == ["a", "b", "c"]


def test_traffic_and_record_change_in_one_write(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    two = cloud.add_revision(service, "two")
    change = run_v2.Service(
        name=service.name,
        traffic=[target(one, 95), target(two, 5)],
        annotations={"example.com/record": "stage 1"},
        etag=cloud.get(service).etag,
    )
    got = cloud.update(change, "traffic", "annotations")
    assert shares(got) == {one: 95, two: 5}
    assert got.annotations["example.com/record"] == "stage 1"
    assert cloud.get(service).etag == got.etag


def test_the_template_plays_no_part_in_a_masked_traffic_write(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    change = run_v2.Service(
        name=service.name, traffic=[target(one, 100, "t")], template=cloud.template("missing", revision=one)
    )
    got = cloud.update(change, "traffic")
    assert [t.tag for t in got.traffic_statuses] == ["t"]
    assert got.latest_created_revision == service.latest_created_revision


def test_traffic_that_is_cleared_is_all_to_latest(cloud: Cloud) -> None:
    service, _ = pinned(cloud)
    got = cloud.update(run_v2.Service(name=service.name), "traffic")
    assert [(t.type_, t.revision, t.percent) for t in got.traffic] == [(LATEST, "", 100)]


def test_traffic_to_a_revision_that_does_not_exist_is_refused(cloud: Cloud) -> None:
    service, one = pinned(cloud)
    nobody = f"{short(service.name)}-nobody"
    with pytest.raises(exceptions.BadRequest, match=nobody):
        cloud.put(run_v2.Service(name=service.name, traffic=[target(one, 95), target(nobody, 5)]), "traffic")
    assert shares(cloud.get(service)) == {one: 100}


@pytest.mark.parametrize(
    ("traffic", "complaint"),
    [
        pytest.param([latest(99)], "99", id="too-little"),
        pytest.param([latest(60), latest(60, "t")], "120", id="too-much"),
        pytest.param([latest(101), latest(-1, "t")], "percent", id="out-of-range"),
        pytest.param([latest(50, "twice"), latest(50, "twice")], "twice", id="tag-twice"),
        pytest.param([latest(100, "Upper")], "Upper", id="tag-upper-case"),
        pytest.param([latest(100, "1st")], "1st", id="tag-with-a-digit-first"),
        pytest.param([latest(100, "t" * 47)], "t" * 47, id="tag-too-long"),
        pytest.param([run_v2.TrafficTarget(percent=100)], "type", id="no-type"),
        pytest.param([run_v2.TrafficTarget(type_=BY_NAME, percent=100)], "revision", id="no-revision"),
        pytest.param(
            [run_v2.TrafficTarget(type_=LATEST, revision="some", percent=100)],
            "revision",
            id="latest-by-name",
        ),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(
    cloud: Cloud, traffic: list[run_v2.TrafficTarget], complaint: str
) -> None:
    service = cloud.create()
    with pytest.raises(exceptions.BadRequest, match=complaint):
        cloud.put(run_v2.Service(name=service.name, traffic=traffic), "traffic")
    assert cloud.get(service).etag == service.etag
