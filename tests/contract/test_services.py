"""Services: what a client wrote comes back, and writes follow the rules of masks, etags and names."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.contract.cloud import LATEST, Cloud, latest, short, target


def test_a_created_service_comes_back_as_it_was_sent(cloud: Cloud) -> None:
    sent = run_v2.Service(
        description="talks",
        labels={"team": "chat"},
        annotations={"example.com/owner": "A person <a@b>", "plain": "ü"},
        template=cloud.template(
            timeout=timedelta(minutes=30),
            max_instance_request_concurrency=7,
            session_affinity=True,
            labels={"tier": "front"},
            annotations={"example.com/build": "77"},
            scaling=run_v2.RevisionScaling(max_instance_count=3),
        ),
        ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY,
        custom_audiences=["https://chat.example.com"],
    )
    sent.template.containers[0].env = [run_v2.EnvVar(name="MODE", value="a=b c"), run_v2.EnvVar(name="EMPTY")]
    sent.template.containers[0].resources = run_v2.ResourceRequirements(
        limits={"cpu": "1", "memory": "512Mi"}
    )
    service_id = cloud.fresh_id()
    operation = cloud.services.create_service(parent=cloud.parent, service=sent, service_id=service_id)
    cloud.result(operation)

    got = cloud.services.get_service(name=f"{cloud.parent}/services/{service_id}")

    assert (got.description, got.ingress) == (sent.description, sent.ingress)
    assert dict(got.labels).items() >= dict(sent.labels).items()
    assert dict(got.annotations).items() >= dict(sent.annotations).items()
    assert list(got.custom_audiences) == list(sent.custom_audiences)
    assert got.template.timeout == timedelta(minutes=30)
    assert got.template.max_instance_request_concurrency == 7
    assert got.template.session_affinity
    assert got.template.scaling.max_instance_count == 3
    assert dict(got.template.annotations).items() >= dict(sent.template.annotations).items()
    assert {e.name: e.value for e in got.template.containers[0].env} == {"MODE": "a=b c", "EMPTY": ""}
    assert got.template.containers[0].resources.limits["memory"] == "512Mi"


def test_a_new_service_is_settled_when_its_operation_is(cloud: Cloud) -> None:
    service = cloud.create()
    assert not service.reconciling
    assert service.generation == service.observed_generation == 1
    assert service.terminal_condition.type_ == "Ready"
    assert service.terminal_condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    assert service.latest_ready_revision == service.latest_created_revision
    assert service.uri.startswith("http")
    assert service.uri in service.urls
    assert service.uid
    assert service.create_time <= service.update_time


def test_defaults_are_filled_in(cloud: Cloud) -> None:
    service = cloud.create()
    assert service.template.timeout == timedelta(minutes=5)
    assert service.template.max_instance_request_concurrency == 80
    assert [(t.type_, t.percent) for t in service.traffic] == [(LATEST, 100)]
    assert service.ingress == run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL


def test_the_operation_of_a_create_says_what_it_makes(cloud: Cloud) -> None:
    service_id = cloud.fresh_id()
    operation = cloud.services.create_service(
        parent=cloud.parent, service=run_v2.Service(template=cloud.template()), service_id=service_id
    )
    assert operation.operation.name.startswith(f"{cloud.parent}/operations/")
    assert short(operation.metadata.name) == service_id
    cloud.result(operation)


def test_creating_a_name_twice_is_refused(cloud: Cloud) -> None:
    service = cloud.create()
    with cloud.refused("ALREADY_EXISTS"):
        cloud.services.create_service(
            parent=cloud.parent,
            service=run_v2.Service(template=cloud.template()),
            service_id=short(service.name),
        )


def test_a_service_that_is_not_there_is_not_found(cloud: Cloud) -> None:
    name = f"{cloud.parent}/services/{cloud.fresh_id()}"
    with pytest.raises(exceptions.NotFound):
        cloud.services.get_service(name=name)
    with pytest.raises(exceptions.NotFound):
        cloud.services.delete_service(name=name)
    with pytest.raises(exceptions.NotFound):
        cloud.put(run_v2.Service(name=name, template=cloud.template()))


def test_list_shows_services_page_by_page(cloud: Cloud) -> None:
    made = {cloud.create().name for _ in range(3)}
    pages = list(
        cloud.services.list_services(
            request=run_v2.ListServicesRequest(parent=cloud.parent, page_size=2)
        ).pages
    )
    assert len(pages) >= 2
    assert all(len(page.services) <= 2 for page in pages)
    found = [service.name for page in pages for service in page.services]
    assert made <= set(found)
    assert len(found) == len(set(found))


def test_list_takes_no_wildcard_location(cloud: Cloud) -> None:
    project = cloud.parent.split("/locations/")[0]
    with cloud.refused("INVALID_ARGUMENT"):
        list(cloud.services.list_services(parent=f"{project}/locations/-"))


def test_a_page_token_that_was_not_given_out_is_refused(cloud: Cloud) -> None:
    request = run_v2.ListServicesRequest(parent=cloud.parent, page_token="###")
    with cloud.refused("INVALID_ARGUMENT"):
        list(cloud.services.list_services(request=request))


def test_an_update_without_a_mask_replaces_everything(cloud: Cloud) -> None:
    service = cloud.create(revision="one", annotations={"a": "1"}, labels={"l": "1"}, description="old")
    cloud.split(service, target(f"{short(service.name)}-one", 100, "kept"))
    updated = cloud.update(run_v2.Service(name=service.name, template=cloud.template()))
    assert "a" not in updated.annotations
    assert "l" not in updated.labels
    assert updated.description == ""
    assert [(t.type_, t.percent, t.tag) for t in updated.traffic] == [(LATEST, 100, "")]


def test_a_mask_changes_what_it_names_and_nothing_else(cloud: Cloud) -> None:
    service = cloud.create(annotations={"a": "1"}, description="old")
    change = run_v2.Service(name=service.name, annotations={"b": "2"}, description="new")
    updated = cloud.update(change, "annotations")
    assert dict(updated.annotations) == {"b": "2"}
    assert updated.description == "old"
    assert updated.template == service.template
    assert updated.latest_created_revision == service.latest_created_revision


def test_a_mask_reaches_into_a_message(cloud: Cloud) -> None:
    service = cloud.create(scaling=run_v2.ServiceScaling(max_instance_count=5))
    change = run_v2.Service(name=service.name, scaling=run_v2.ServiceScaling(min_instance_count=1))
    updated = cloud.update(change, "scaling.min_instance_count")
    assert (updated.scaling.min_instance_count, updated.scaling.max_instance_count) == (1, 5)


def test_a_masked_field_that_is_absent_is_cleared(cloud: Cloud) -> None:
    service = cloud.create(description="old", annotations={"a": "1"})
    updated = cloud.update(run_v2.Service(name=service.name), "description", "annotations")
    assert updated.description == ""
    assert not updated.annotations


def test_every_accepted_write_changes_the_etag_and_the_generation(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, annotations={"beat": "1"})
    updated = cloud.update(change, "annotations")
    assert updated.etag != service.etag
    assert updated.generation > service.generation
    assert updated.observed_generation == updated.generation
    assert (updated.uid, updated.create_time) == (service.uid, service.create_time)
    assert updated.update_time > service.update_time


def test_a_write_with_the_current_etag_is_accepted(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, annotations={"a": "1"}, etag=cloud.get(service).etag)
    assert cloud.update(change, "annotations").annotations["a"] == "1"


def test_a_write_with_a_stale_etag_is_a_conflict_and_changes_nothing(cloud: Cloud) -> None:
    service = cloud.create()
    cloud.update(run_v2.Service(name=service.name, annotations={"a": "first"}), "annotations")
    late = run_v2.Service(name=service.name, annotations={"a": "second"}, etag=service.etag)
    with pytest.raises(exceptions.Conflict):
        cloud.put(late, "annotations")
    assert cloud.get(service).annotations["a"] == "first"


def test_a_stale_write_is_aborted_and_says_both_versions(cloud: Cloud) -> None:
    service = cloud.create()
    cloud.update(run_v2.Service(name=service.name, annotations={"a": "b"}), "annotations")
    late = run_v2.Service(name=service.name, etag=service.etag)
    with cloud.refused("ABORTED", match=r"version '\d{16}' was specified but current version is '\d{16}'"):
        cloud.put(late, "annotations")
    strange = run_v2.Service(name=service.name, etag='"stale"')
    with cloud.refused("ABORTED", match="Conflict for resource"):
        cloud.put(strange, "annotations")


def test_without_an_etag_the_last_writer_wins(cloud: Cloud) -> None:
    service = cloud.create()
    for value in ("first", "second"):
        cloud.update(run_v2.Service(name=service.name, annotations={"a": value}), "annotations")
    assert cloud.get(service).annotations["a"] == "second"


def test_one_of_two_writers_with_the_same_etag_loses(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, annotations={"a": "1"}, etag=service.etag)
    cloud.update(change, "annotations")
    with pytest.raises(exceptions.Conflict):
        cloud.put(change, "annotations")


def test_validate_only_create_makes_nothing(cloud: Cloud) -> None:
    service_id = cloud.fresh_id()
    operation = cloud.services.create_service(
        request=run_v2.CreateServiceRequest(
            parent=cloud.parent,
            service=run_v2.Service(template=cloud.template()),
            service_id=service_id,
            validate_only=True,
        )
    )
    shown = cloud.result(operation)
    assert shown.template.max_instance_request_concurrency == 80
    with pytest.raises(exceptions.NotFound):
        cloud.services.get_service(name=f"{cloud.parent}/services/{service_id}")


def test_validate_only_update_changes_nothing(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, description="would be")
    assert cloud.update(change, "description", validate_only=True).description == "would be"
    got = cloud.get(service)
    assert (got.description, got.etag, got.generation) == ("", service.etag, service.generation)


def test_validate_only_delete_deletes_nothing(cloud: Cloud) -> None:
    service = cloud.create()
    cloud.result(
        cloud.services.delete_service(
            request=run_v2.DeleteServiceRequest(name=service.name, validate_only=True)
        )
    )
    assert cloud.get(service).uid == service.uid


def test_validate_only_refuses_what_a_write_would(cloud: Cloud) -> None:
    service = cloud.create()
    with pytest.raises(exceptions.BadRequest):
        cloud.put(run_v2.Service(name=service.name, traffic=[latest(40)]), "traffic", validate_only=True)


def test_allow_missing_creates(cloud: Cloud) -> None:
    name = f"{cloud.parent}/services/{cloud.fresh_id()}"
    made = cloud.update(run_v2.Service(name=name, template=cloud.template()), allow_missing=True)
    assert (made.name, made.generation) == (name, 1)


def test_allow_missing_updates_what_is_there(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, template=cloud.template(), description="again")
    updated = cloud.update(change, allow_missing=True)
    assert (updated.uid, updated.description) == (service.uid, "again")


def test_a_deleted_service_is_gone_and_its_name_is_free(cloud: Cloud) -> None:
    service = cloud.create()
    deleted = cloud.result(cloud.services.delete_service(name=service.name))
    assert deleted.uid == service.uid
    with pytest.raises(exceptions.NotFound):
        cloud.get(service)
    operation = cloud.services.create_service(
        parent=cloud.parent,
        service=run_v2.Service(template=cloud.template()),
        service_id=short(service.name),
    )
    assert cloud.result(operation).uid != service.uid


def test_deleting_with_a_stale_etag_is_a_conflict(cloud: Cloud) -> None:
    service = cloud.create()
    with pytest.raises(exceptions.Conflict):
        cloud.services.delete_service(request=run_v2.DeleteServiceRequest(name=service.name, etag='"stale"'))
    assert cloud.get(service).uid == service.uid


def test_output_only_fields_in_a_request_are_ignored(cloud: Cloud) -> None:
    service = cloud.create()
    service.uid, service.generation, service.uri = "mine", 99, "http://elsewhere"
    service.description = "round trip"
    updated = cloud.update(service)
    assert updated.description == "round trip"
    assert updated.uid != "mine"
    assert updated.generation == 2
    assert updated.uri != "http://elsewhere"
