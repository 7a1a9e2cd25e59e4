"""Revisions: made by changes of the template alone, immutable, named by rule, and deletable only when unneeded."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.contract.cloud import Cloud, ready_condition, shares, short, target

FAILED = run_v2.Condition.State.CONDITION_FAILED
SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED


def names(cloud: Cloud, service: run_v2.Service) -> list[str]:
    return [short(r.name) for r in cloud.revisions.list_revisions(parent=service.name)]


def two_revisions(cloud: Cloud) -> tuple[run_v2.Service, str, str]:
    """A service with all traffic on the first of two revisions."""
    service = cloud.create(revision="one")
    one = f"{short(service.name)}-one"
    cloud.split(service, target(one, 100))
    return service, one, cloud.add_revision(service, "two")


def delete(cloud: Cloud, service: run_v2.Service, name: str, **fields: object) -> object:
    request = run_v2.DeleteRevisionRequest(name=f"{service.name}/revisions/{name}", **fields)
    return cloud.revisions.delete_revision(request=request)


def test_a_revision_carries_the_template_it_was_made_of(cloud: Cloud) -> None:
    template = cloud.template(max_instance_request_concurrency=9, labels={"tier": "front"})
    template.containers[0].env = [run_v2.EnvVar(name="MODE", value="x")]
    service_id = cloud.fresh_id()
    service = cloud.result(
        cloud.services.create_service(
            parent=cloud.parent, service=run_v2.Service(template=template), service_id=service_id
        )
    )
    made = cloud.revisions.get_revision(name=service.latest_ready_revision)
    assert (short(made.service), made.max_instance_request_concurrency) == (service_id, 9)
    assert made.labels["tier"] == "front"
    assert made.containers[0].image == template.containers[0].image
    assert made.containers[0].env[0].value == "x"
    assert made.uid != service.uid
    assert ready_condition(made).state == SUCCEEDED
    assert not made.reconciling


def test_a_revision_without_a_name_gets_one_with_the_services_prefix(cloud: Cloud) -> None:
    service = cloud.create()
    name = short(service.latest_created_revision)
    assert name.startswith(f"{short(service.name)}-00001-")


def test_a_revision_keeps_the_name_it_was_given(cloud: Cloud) -> None:
    service = cloud.create(revision="abc")
    assert short(service.latest_created_revision) == f"{short(service.name)}-abc"


@pytest.mark.parametrize("suffix", ["other-one", "", "-"])
def test_a_name_without_the_services_prefix_is_refused(cloud: Cloud, suffix: str) -> None:
    service = cloud.create()
    name = suffix if suffix == "other-one" else f"{short(service.name)}{suffix}"
    change = run_v2.Service(name=service.name, template=cloud.template(revision=name))
    with pytest.raises(
        exceptions.BadRequest, match="must be prefixed by the name of the enclosing Service with a trailing -"
    ):
        cloud.put(change, "template")


def test_a_name_with_another_template_is_a_conflict(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    name = f"{short(service.name)}-one"
    change = run_v2.Service(
        name=service.name, template=cloud.template(revision=name, max_instance_request_concurrency=3)
    )
    with pytest.raises(
        exceptions.Conflict, match=f"Revision named '{name}' with different configuration already exists"
    ):
        cloud.put(change, "template")
    assert names(cloud, service) == [name]


def test_a_round_trip_that_changes_the_template_and_not_the_name_is_a_conflict(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    service.template.containers[0].env = [run_v2.EnvVar(name="NEW", value="1")]
    with pytest.raises(exceptions.Conflict):
        cloud.put(service)


def test_a_name_with_the_same_template_makes_nothing_new(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    change = run_v2.Service(name=service.name, template=service.template, description="new")
    updated = cloud.update(change, "template", "description")
    assert updated.description == "new"
    assert names(cloud, service) == [f"{short(service.name)}-one"]


def test_only_the_template_makes_revisions(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(
        name=service.name,
        annotations={"a": "1"},
        labels={"l": "1"},
        description="d",
        scaling=run_v2.ServiceScaling(max_instance_count=2),
    )
    cloud.update(change, "annotations", "labels", "description", "scaling")
    assert names(cloud, service) == [short(service.latest_created_revision)]


def test_a_changed_template_without_a_name_makes_a_revision(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, template=cloud.template(max_instance_request_concurrency=3))
    updated = cloud.update(change, "template")
    assert updated.latest_created_revision != service.latest_created_revision
    assert len(names(cloud, service)) == 2


def test_revisions_are_listed_newest_first(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    three = cloud.add_revision(service, "three")
    assert names(cloud, service) == [three, two, one]


def test_revisions_are_listed_page_by_page(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    three = cloud.add_revision(service, "three")
    request = run_v2.ListRevisionsRequest(parent=service.name, page_size=2)
    pages = [list(p.revisions) for p in cloud.revisions.list_revisions(request=request).pages]
    assert [len(page) for page in pages] == [2, 1]
    assert [short(r.name) for page in pages for r in page] == [three, two, one]


def test_revisions_of_all_services_are_listed_with_a_dash(cloud: Cloud) -> None:
    made = {cloud.create().latest_created_revision for _ in range(2)}
    found = {r.name for r in cloud.revisions.list_revisions(parent=f"{cloud.parent}/services/-")}
    assert made <= found


def test_revisions_of_a_service_that_is_not_there_are_not_found(cloud: Cloud) -> None:
    with pytest.raises(exceptions.NotFound):
        list(cloud.revisions.list_revisions(parent=f"{cloud.parent}/services/{cloud.fresh_id()}"))


def test_a_revision_that_is_not_there_is_not_found(cloud: Cloud) -> None:
    service = cloud.create()
    nobody = f"{short(service.name)}-nobody"
    with pytest.raises(exceptions.NotFound):
        cloud.revision(service, nobody)
    with pytest.raises(exceptions.NotFound):
        delete(cloud, service, nobody)


def test_an_old_revision_without_traffic_can_be_deleted(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    cloud.split(service, target(two, 100))
    gone = cloud.result(delete(cloud, service, one))
    assert short(gone.name) == one
    assert names(cloud, service) == [two]
    assert shares(cloud.get(service)) == {two: 100}


def test_the_only_revision_cannot_be_deleted(cloud: Cloud) -> None:
    service = cloud.create()
    with cloud.refused("FAILED_PRECONDITION"):
        delete(cloud, service, short(service.latest_created_revision))


def test_the_latest_revision_cannot_be_deleted(cloud: Cloud) -> None:
    service, _, two = two_revisions(cloud)
    with cloud.refused("FAILED_PRECONDITION", match="latest"):
        delete(cloud, service, two)


def test_a_serving_revision_cannot_be_deleted(cloud: Cloud) -> None:
    service, one, _ = two_revisions(cloud)
    with cloud.refused("FAILED_PRECONDITION", match="serving traffic"):
        delete(cloud, service, one)
    assert shares(cloud.get(service)) == {one: 100}


def test_a_failed_latest_revision_goes_once_another_template_stands_after_it(cloud: Cloud) -> None:
    service, one, _ = two_revisions(cloud)
    bad = cloud.add_revision(service, "bad", "never-listens")
    with cloud.refused("FAILED_PRECONDITION"):
        delete(cloud, service, bad)
    cloud.add_revision(service, "again")
    cloud.result(delete(cloud, service, bad))
    assert bad not in names(cloud, service)
    assert shares(cloud.get(service)) == {one: 100}


def test_a_tag_goes_with_its_revision(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    cloud.split(service, target(two, 100), target(one, 0, "old"))
    cloud.result(delete(cloud, service, one))
    assert [t.tag for t in cloud.get(service).traffic_statuses] == [""]


def test_traffic_to_a_deleted_revision_is_refused(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    cloud.split(service, target(two, 100))
    cloud.result(delete(cloud, service, one))
    with pytest.raises(exceptions.BadRequest, match=f"{one} does not exist or is deleted"):
        cloud.put(run_v2.Service(name=service.name, traffic=[target(one, 100)]), "traffic")


def test_deleting_a_revision_with_a_stale_etag_is_a_conflict(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    cloud.split(service, target(two, 100))
    with pytest.raises(exceptions.Conflict):
        delete(cloud, service, one, etag='"stale"')
    assert one in names(cloud, service)


def test_validating_the_deletion_of_a_revision_deletes_nothing(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    cloud.split(service, target(two, 100))
    cloud.result(delete(cloud, service, one, validate_only=True))
    assert one in names(cloud, service)


def test_a_revision_that_never_listens_fails_its_health_check(cloud: Cloud) -> None:
    service = cloud.create()
    ready = ready_condition(cloud.revision(service, cloud.add_revision(service, "bad", "never-listens")))
    assert ready.state == FAILED
    assert ready.revision_reason == run_v2.Condition.RevisionReason.HEALTH_CHECK_CONTAINER_ERROR
    assert "failed to start and listen on the port" in ready.message
    assert ready.severity == run_v2.Condition.Severity.ERROR


def test_a_revision_whose_image_is_missing_says_so(cloud: Cloud) -> None:
    service = cloud.create()
    made = cloud.revision(service, cloud.add_revision(service, "bad", "missing"))
    ready = ready_condition(made)
    assert ready.state == FAILED
    assert ready.reason == run_v2.Condition.CommonReason.CONTAINER_MISSING
    assert "not found" in ready.message


def test_a_revision_that_nothing_leads_to_is_retired(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    cloud.split(service, target(two, 100))
    retired = next(c for c in cloud.revision(service, one).conditions if c.type_ == "Active")
    serving = next(c for c in cloud.revision(service, two).conditions if c.type_ == "Active")
    assert (retired.state, retired.revision_reason) == (FAILED, run_v2.Condition.RevisionReason.RETIRED)
    assert serving.state == SUCCEEDED


def test_a_revision_never_changes_once_it_settled(cloud: Cloud) -> None:
    service, one, two = two_revisions(cloud)
    before = cloud.revision(service, one)
    cloud.split(service, target(one, 50), target(two, 50))
    after = cloud.revision(service, one)
    assert (after.uid, after.etag, after.generation, after.create_time) == (
        before.uid, before.etag, before.generation, before.create_time,
    )  # fmt: skip
    assert after.containers == before.containers
