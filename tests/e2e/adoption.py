"""What must hold of a service that somebody else made, whoever applies the program; see ``test_adoption.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

from infra.deployment import OWN_ANNOTATIONS
from pipeline.local import endpoint
from pipeline.model import OWN_VARIABLES, RECORD_ANNOTATION
from tests import adopting
from tests.e2e.project import Project, image

MADE = "spillway.revision/made"


@contextmanager
def by_hand(project: Project) -> Iterator[tuple[run_v2.ServicesClient, run_v2.RevisionsClient]]:
    with endpoint.read(project.local).channel() as channel:
        services = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
        yield services, run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel))


def adopt(project: Project) -> Project:
    """Of the project's service only its image is left: the service is made anew, by somebody else."""
    stable = next(iter(project.revisions())).image
    project.service = f"{project.service}-adopted"
    project.configure(
        {"good": image(), "next": image("good", "2"), "third": image("good", "3"), "bad": image("close-1011")}
    )
    adopting.prepare(project.local)
    with by_hand(project) as (services, _):
        adopting.create(services, project.ref.parent, project.service, adopting.service(stable))
    return project


def contents(project: Project) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The service's fields but for its traffic, and each revision's template, as documents; our record left out."""
    with by_hand(project) as (services, revisions):
        found = services.get_service(name=project.ref.name)
        made = list(revisions.list_revisions(parent=project.ref.name))
    service = adopting.client_fields(found, "traffic", "template")
    service["annotations"].pop(RECORD_ANNOTATION, None)
    return service, {
        r.name.rpartition("/")[2]: adopting.client_fields(r, "service", "launchStage") for r in made
    }


def asked(template: dict[str, Any]) -> dict[str, Any]:
    """Without what a rollout of another image is to change: the image, and what is Spillway's own."""
    main, *others = template["containers"]
    env = [each for each in main["env"] if each["name"] not in OWN_VARIABLES]
    notes = {key: value for key, value in template["annotations"].items() if key != MADE}
    return {**template, "annotations": notes, "containers": [{**main, "env": env, "image": ""}, *others]}


def every_field_outside_the_asked_change_is_equal_after_a_rollout_and_back(adopted: Project) -> None:
    service, ((old, template),) = contents(adopted)[0], contents(adopted)[1].items()
    assert {"containers", "volumes", "vpcAccess", "serviceAccount", "timeout"} < set(template)
    adopted.configure(
        {"good": image(), "next": image("good", "2")}, **{"container: {startup: 30s, ": "container: {"}
    )
    done = adopted.run("rollout", "--image", "next", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr
    after, revisions = contents(adopted)
    assert after == service
    assert asked(revisions[done.document["candidate"]]) == asked(template)
    assert revisions[old] == template
    assert adopted.run("rollback", "--reason", "by hand", "-o", "json").code == 0
    assert contents(adopted)[0] == service
    assert adopting.SECRET not in done.stdout + done.stderr
    files = [file for file in adopted.local.rglob("*") if file.is_file() and "secrets" not in file.parts]
    assert not [file for file in files if adopting.SECRET.encode() in file.read_bytes()]


def what_is_named_comes_and_goes_with_the_file_and_what_is_not_stays(adopted: Project) -> None:
    images = {"next": image("good", "2"), "third": image("good", "3"), "bad": image("close-1011")}

    def roll(name: str, code: int, container: str) -> dict[str, Any]:
        adopted.configure(images, **{"startup: 30s, ": container})
        done = adopted.run("rollout", "--image", name, "-o", "json")
        assert done.code == code, done.stderr
        return contents(adopted)[1][done.document["candidate"]]

    def variables(template: dict[str, Any]) -> set[str]:
        return {each["name"] for each in template["containers"][0]["env"]} - {*OWN_VARIABLES}

    def named(service: dict[str, Any]) -> set[tuple[str, str]]:
        kinds = ("labels", "annotations")
        return {(kind, key) for kind in kinds for key in service[kind] if key not in OWN_ANNOTATIONS}

    before = contents(adopted)[0]
    theirs = {"MODE", "API_TOKEN"}
    failed = roll("bad", 11, "env: {EXTRA: '1'}, ")
    assert variables(failed) == {*theirs, "EXTRA"}
    service = "service: {labels: {ours: '1'}, annotations: {ours.example/a: '1'}}, "
    first = roll("next", 0, f"env: {{OURS: '1'}}, template: {{timeout: 60s}}, {service}")
    assert named(contents(adopted)[0]) == named(before) | {
        ("labels", "ours"),
        ("annotations", "ours.example/a"),
    }
    assert variables(first) == {*theirs, "OURS"}, "a candidate that was rolled back leaves nothing"
    assert first["timeout"] == "60s"
    second = roll("third", 0, "")
    assert variables(second) == theirs, "what left the file is gone, and what never was in it stays"
    assert second["serviceAccount"] == "chat@p.iam.gserviceaccount.com"
    assert named(contents(adopted)[0]) == named(before)
