"""The one read that a program's declaration rests on: LATEST, tags, notes, nonces, and what serves nobody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.cloud import run_v2

from infra.deployment import deployment
from infra.live import Live, read
from infra.settings import Settings, Template
from pipeline.cloudrun.documents import template_message
from pipeline.errors import AccessError, PlatformUnavailable, RevisionNotFound, SpillwayError
from pipeline.model import RECORD_ANNOTATION, Split, Target
from tests.contract.cloud import OUR_PARENT, Cloud, latest, short, target
from tests.pulumi_programs import refusal as refusal_of


def settings_of(service_id: str, image: str = "good") -> Settings:
    _, project, _, location = OUR_PARENT.split("/")
    return Settings(project, location, service_id, Template(image))


def look(cloud: Cloud, service: run_v2.Service) -> Live:
    live = read(settings_of(short(service.name)), cloud.channel)
    assert live is not None
    return live


def test_no_service_is_none(cloud: Cloud) -> None:
    assert read(settings_of(cloud.fresh_id()), cloud.channel) is None


@pytest.mark.parametrize("is_said", [True, False])
def test_latest_is_what_was_ready_last_and_not_what_was_made_last(cloud: Cloud, *, is_said: bool) -> None:
    service = cloud.create(**({"traffic": [latest()]} if is_said else {}))
    ready = short(service.latest_ready_revision)
    cloud.add_revision(service, "bad", "never-listens")
    assert look(cloud, service).split == Split((Target(ready, 100),))


def test_shares_tags_and_notes_are_read_as_they_are(cloud: Cloud) -> None:
    service = cloud.create(revision="one", annotations={"note": "theirs"})
    one, two = f"{short(service.name)}-one", cloud.add_revision(service, "two")
    served = cloud.split(service, target(one, 95, "stable"), target(two, 5), target(two, 0, "green"))
    live = look(cloud, service)
    assert live.split == Split((Target(one, 95, "stable"), Target(two, 5), Target(two, 0, "green")))
    assert live.annotations == {"note": "theirs"}
    assert live.etag == served.etag
    assert not live.serves_nobody


def test_only_a_service_that_came_to_rest_without_a_revision_serves_nobody(cloud: Cloud) -> None:
    failed, slow = cloud.fresh_id(), cloud.fresh_id()
    cloud.failure(cloud.start(failed, "never-listens"))
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="slow")])
    service = run_v2.Service(template=template)
    cloud.services.create_service(parent=cloud.parent, service=service, service_id=slow)
    nobody, starting = (read(settings_of(name), cloud.channel) for name in (failed, slow))
    assert nobody is not None
    assert starting is not None
    assert nobody.serves_nobody
    assert not starting.serves_nobody


def test_the_base_is_the_stable_revisions_template_and_not_the_services_own(cloud: Cloud) -> None:
    service = cloud.create(revision="one", labels={"team": "chat"})
    failed = cloud.add_revision(service, "two", "never-listens")
    live = look(cloud, service)
    assert live.stable == f"{short(service.name)}-one" != failed
    assert live.base is not None
    assert live.base["containers"][0]["image"] == cloud.containers["good"].image
    assert live.fields["labels"] == {"team": "chat"}
    assert not set(live.fields) & {"template", "traffic", "etag", "uid", "client"}


def test_a_stable_revision_that_is_gone_is_no_empty_base(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    record = '{"phase":"rolling","plan":{"stable":"chat-gone"}}'
    cloud.update(run_v2.Service(name=service.name, annotations={RECORD_ANNOTATION: record}), "annotations")
    with pytest.raises(RevisionNotFound) as caught:
        look(cloud, service)
    assert "--to REVISION" in caught.value.fix


def test_what_a_revision_does_not_show_is_read_of_the_service(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    cloud.add_revision(service, "two", health_check_disabled=True)
    name = f"{short(service.name)}-two"
    cloud.split(service, target(name, 100))
    live = look(cloud, service)
    assert live.base is not None
    assert live.base["healthCheckDisabled"]


def test_a_revision_that_is_there_already_is_declared_with_its_own_secret(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    wanted = settings_of(short(service.name))
    live = look(cloud, service)
    assert live.there is None
    made = deployment(wanted, live, "abc")
    cloud.update(run_v2.Service(name=service.name, template=template_message(made.template)), "template")
    again = deployment(wanted, look(cloud, service), "another")
    assert again.revision == made.revision
    assert again.template == made.template


class Refusing(grpc.GenericRpcHandler):
    """A Cloud Run that answers every call with one code."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.PERMISSION_DENIED

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda _request, context: context.abort(self.code, "Permission 'run.services.get' denied")
        )


@pytest.fixture
def refusing() -> Iterator[tuple[Refusing, grpc.Channel]]:
    handler = Refusing()
    server = grpc.server(ThreadPoolExecutor(max_workers=1), handlers=(handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield handler, channel
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, AccessError),
        (grpc.StatusCode.UNAUTHENTICATED, AccessError),
        (grpc.StatusCode.INTERNAL, PlatformUnavailable),
    ],
)
def test_a_read_that_is_refused_is_our_error_and_not_an_absent_service(
    refusing: tuple[Refusing, grpc.Channel], code: grpc.StatusCode, kind: type[SpillwayError]
) -> None:
    handler, channel = refusing
    handler.code = code
    with pytest.raises(kind):
        read(settings_of("chat"), channel)


def test_a_forbidden_pulumi_up_is_told_in_three_lines(refusing: tuple[Refusing, grpc.Channel]) -> None:
    what, why, fix = refusal_of(settings_of("chat"), lambda settings: read(settings, refusing[1]))
    assert what == "read chat: not allowed"
    assert "run.services.get" in why
    assert (
        fix
        == "Give the account the role roles/run.developer; as another account: gcloud auth application-default login"
    )
