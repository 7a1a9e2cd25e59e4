"""Every field that Cloud Run's API or Pulumi's provider knows: carried by the program, or told by the guard; none lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi_gcp.cloudrunv2 as provider
import pytest
from google.cloud import run_v2
from google.protobuf import json_format
from pulumi import _types as pulumi_types

from infra.deployment import deployment
from infra.document import MAPS, NAMED, ONE_OF, ZERO_COUNTS, leaves
from infra.live import Live
from infra.service import planned
from infra.settings import Settings, Template
from pipeline.cloudrun import documents
from pipeline.cloudrun.stack import declared
from pipeline.local.provider import fields as provider_fields
from pipeline.local.provider.service import to_message
from pipeline.model import OUTPUT_ONLY, Split, Target

SETTINGS = Settings("p", "l", "chat", Template("chat@sha256:2"))
SERVICE = run_v2.Service.pb(run_v2.Service()).DESCRIPTOR
#: Nobody depends on these, and each tool writes its own.
EXEMPT = {"client", "clientVersion", "traffic", "template"} | OUTPUT_ONLY
#: Output only, inside of what a client owns.
OF_THE_BUILD = ("buildConfig.name", "template.containers[0].buildInfo")
BEYOND = {
    "template.encryptionKeyRevocationAction", "template.encryptionKeyShutdownDuration",
    "template.containers[0].readinessProbe.initialDelaySeconds",
    "template.containers[0].readinessProbe.httpGet.httpHeaders",
    "template.containers[0].readinessProbe.tcpSocket",
}  # fmt: skip


def sample(field: Any) -> Any:
    """A value of a field that is no message."""
    if field.enum_type is not None:
        return field.enum_type.values[1].name
    kinds = {
        field.CPPTYPE_STRING: "x",
        field.CPPTYPE_BOOL: True,
        field.CPPTYPE_INT32: 7,
        field.CPPTYPE_INT64: 7,
    }
    return kinds[field.cpp_type]


def fields(descriptor: Any) -> Iterator[dict[str, Any]]:
    """Documents with one field of this message each, down to the last."""
    for field in descriptor.fields:
        kind = field.message_type
        if kind is None:
            value = str(sample(field)) if field.cpp_type == field.CPPTYPE_INT64 else sample(field)
            yield {field.json_name: [value] if field.is_repeated else value}
        elif kind.GetOptions().map_entry:
            yield {field.json_name: {"k": "v"}}
        elif kind.full_name == "google.protobuf.Duration":
            yield {field.json_name: "9s"}
        elif kind.full_name == "google.protobuf.Timestamp":
            yield {field.json_name: "2026-01-02T03:04:05Z"}
        else:
            for inner in fields(kind):
                yield {field.json_name: [inner] if field.is_repeated else inner}


EVERY = [found for found in fields(SERVICE) if not set(found) & (EXEMPT - {"template"})]


def path_of(document: dict[str, Any]) -> str:
    return next(path for path in leaves(document))


def seen(document: dict[str, Any]) -> Live:
    """The service with this field, as it is read: over the wire, the template from its revision."""
    service = run_v2.Service()
    json_format.ParseDict(document, run_v2.Service.pb(service))
    template = run_v2.Service.pb(service).template
    if not template.containers:
        template.containers.add()
    if not template.containers[0].image:
        template.containers[0].image = "chat@sha256:1"
    found, base = documents.service_fields(service), documents.service_template(service)
    return Live(
        "e", Split((Target("chat-a", 100),)), fields=found.document, stable="chat-a", base=base.document
    )


@pytest.mark.parametrize("document", EVERY, ids=path_of)
def test_a_field_that_is_live_is_carried_or_told(document: dict[str, Any]) -> None:
    path, live = path_of(document), seen(document)
    made, ruling = planned(SETTINGS, live)
    if path.startswith(OF_THE_BUILD):
        assert path not in leaves(live.fields)
        return
    told = {loss.path for loss in (*ruling.refused, *ruling.beyond)}
    assert any(path.startswith(beyond) for beyond in BEYOND) == bool(told), told
    if path in ("template.revision", "template.containers[0].image"):
        return  # named after its content; asked for
    if "template" in document:  # whichever way it goes, the template that is written has it
        written = run_v2.RevisionTemplate.pb(documents.template_message(made.template))
        assert leaves({"template": json_format.MessageToDict(written)}).items() >= leaves(document).items()
    if told:
        assert any(path.startswith(each) for each in told)
        return
    assert leaves(sent_for(live))[path] == leaves(document)[path]


def sent_for(live: Live) -> dict[str, Any]:
    """The service that is declared, as the provider sends it, as a message and back."""
    declaration = declared(SETTINGS, lambda _: live).resources
    (resource,) = (each for each in declaration if each.type == "gcp:cloudrunv2/service:Service")
    made: dict[str, Any] = json_format.MessageToDict(
        run_v2.Service.pb(to_message(provider_fields.sent({}, resource.inputs)))
    )
    return made


def test_the_table_has_every_field_of_both_sides() -> None:
    """A field that a newer client or provider brings is in it by itself; these are there today."""
    paths = {path_of(document) for document in EVERY}
    assert len(paths) > 100
    assert paths >= {
        "iapEnabled",
        "customAudiences",
        "template.volumes[0].gcs.bucket",
        "template.nodeSelector.accelerator",
    }


PLACE = {"name", "project", "location", "deletionProtection", "deletionPolicy"}


def words(kind: Any, descriptor: Any, at: str = "") -> Iterator[str]:
    """Paths of what the provider has an argument for and the API's client has no field for."""
    apis = {
        "commands": "command",
        "envs": "env",
        "dependsOns": "dependsOn",
        "buildInfos": "buildInfo",
        "traffics": "traffic",
    }
    known = {field.json_name: field for field in descriptor.fields}
    for word, type_ in pulumi_types.input_type_types(kind).items():
        field = known.get(apis.get(word, word))
        inner = next(
            (each for each in [type_, *getattr(type_, "__args__", ())] if pulumi_types.is_input_type(each)),
            None,
        )
        inner = inner or next(
            (
                e
                for arg in getattr(type_, "__args__", ())
                for e in getattr(arg, "__args__", ())
                if pulumi_types.is_input_type(e)
            ),
            None,
        )
        if field is None:
            yield at + word
        elif inner is not None and field.message_type is not None:
            yield from words(inner, field.message_type, f"{at}{word}.")


def messages(descriptor: Any, at: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every message in a service that a client owns, as the names of the fields that lead to it."""
    yield at, tuple(filter(None, at.split(".")))
    for field in descriptor.fields:
        kind = field.message_type
        is_ours = at or field.json_name not in EXEMPT - {"template"}
        if (
            kind is not None
            and is_ours
            and not kind.GetOptions().map_entry
            and "protobuf" not in kind.full_name
        ):
            yield from messages(kind, f"{at}.{field.name}" if at else field.name)


MESSAGES = list(messages(SERVICE))


def test_what_the_provider_alone_knows_is_the_list_that_is_known() -> None:
    """The client has no name for these, so where they are live they arrive with a number, as below."""
    found = set(words(provider.ServiceArgs, SERVICE)) - PLACE
    assert found == {
        "functionalType", "sshEnabled", "tags", "template.sandboxes", "template.workloadIdentityConfig",
        "template.scaling.concurrencyUtilization", "template.scaling.cpuUtilization",
        "template.containers.sandboxLauncher", "template.containers.readinessProbe.successThreshold",
    }  # fmt: skip


@pytest.mark.parametrize("way", [way for _, way in MESSAGES], ids=[at or "service" for at, _ in MESSAGES])
def test_a_field_that_no_version_here_knows_is_told_wherever_it_is(way: tuple[str, ...]) -> None:
    service = run_v2.Service()
    message = run_v2.Service.pb(service)
    for name in way:
        value = getattr(message, name)
        message = value.add() if hasattr(value, "add") else value
        message.SetInParent() if hasattr(message, "SetInParent") else None
    message.MergeFromString(bytes([0xF8, 0x3F, 0x01]))  # field 1023, a number
    found, base = documents.service_fields(service), documents.service_template(service)
    assert [path.rpartition("#")[2] for path in (*found.unknown, *base.unknown)] == ["1023"]
    live = Live("e", Split((Target("chat-a", 100),)), stable="chat-a", base={"containers": [{"image": "a"}]}, unknown=found.unknown, unknown_base=base.unknown)  # fmt: skip
    _, ruling = planned(SETTINGS, live)
    assert bool(ruling.refused) == (way[:1] == ("template",))
    assert bool(ruling.beyond) == (way[:1] != ("template",))


EMPTY = [way for _, way in MESSAGES if way and way != ("template", "containers", "build_info")]


@pytest.mark.parametrize("way", EMPTY, ids=".".join)
def test_a_message_that_is_there_with_nothing_in_it_is_carried_or_told(way: tuple[str, ...]) -> None:
    """``emptyDir: {}`` is a volume, ``tcpSocket: {}`` a probe."""
    service = run_v2.Service()
    message = run_v2.Service.pb(service)
    for name in way:
        value = getattr(message, name)
        message = value.add() if hasattr(value, "add") else value
        message.SetInParent()
    document = json_format.MessageToDict(run_v2.Service.pb(service))
    live = seen(document)
    made, ruling = planned(SETTINGS, live)
    told = {loss.path for loss in (*ruling.refused, *ruling.beyond)}
    assert bool(told) == any(path_of(document).startswith(beyond) for beyond in BEYOND), told
    if told:
        assert path_of(document) in told
        assert path_of(document) in leaves(made.document)
        return
    assert any(path.startswith(path_of(document)) for path in leaves(sent_for(live)))


ZEROS = [
    pytest.param({"template": {"gpuZonalRedundancyDisabled": False}}, id="gpu"),
    pytest.param({"scaling": {"manualInstanceCount": 0}}, id="scaling"),
]


@pytest.mark.parametrize("document", ZEROS)
def test_a_zero_that_says_something_is_told_where_the_provider_leaves_it_out(
    document: dict[str, Any],
) -> None:
    live = seen(document)
    made, ruling = planned(SETTINGS, live)
    assert [loss.path for loss in ruling.beyond] == [path_of(document)]
    assert leaves(made.document).items() >= leaves(document).items()


def test_zero_says_something_where_the_api_tells_it_from_nothing() -> None:
    found = {
        field.json_name
        for way in (run_v2.Service, run_v2.RevisionTemplate)
        for message in kinds(way.pb(way()).DESCRIPTOR, set())
        for field in message.fields
        if field.message_type is None and field.has_presence and len(field.containing_oneof.fields) == 1
    }
    assert found == ZERO_COUNTS


def kinds(descriptor: Any, met: set[str]) -> Iterator[Any]:
    """This kind of message and those in it, each once."""
    if descriptor.full_name not in met:
        met.add(descriptor.full_name)
        yield descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                yield from kinds(field.message_type, met)


def test_a_revisions_own_word_for_its_template_is_the_templates() -> None:
    revision = run_v2.Revision(containers=[run_v2.Container(image="x")], service_account="a", log_uri="u")
    assert set(documents.revision_template(revision).document) == {"containers", "serviceAccount"}
    bare = run_v2.Revision.pb(revision)
    bare.containers[0].MergeFromString(bytes([0xF8, 0x3F, 0x01]))
    bare.MergeFromString(bytes([0xF8, 0x3F, 0x01]))
    assert documents.revision_template(revision).unknown == ("#1023", "containers[0].#1023")


def test_what_is_known_of_fields_is_what_the_api_says() -> None:
    """Which exclude each other, and which lists are sets of named things."""
    oneofs: set[frozenset[str]] = set()
    named: set[str] = set()
    maps: set[str] = set()

    def walk(descriptor: Any) -> None:
        for oneof in descriptor.oneofs:
            if len(oneof.fields) > 1:
                oneofs.add(frozenset(field.json_name for field in oneof.fields))
        for field in descriptor.fields:
            kind = field.message_type
            if kind is not None and kind.GetOptions().map_entry:
                maps.add(field.json_name)
            if kind is not None and not kind.GetOptions().map_entry and "protobuf" not in kind.full_name:
                if field.is_repeated and "name" in kind.fields_by_name:
                    named.add(field.json_name)
                walk(kind)

    walk(run_v2.RevisionTemplate.pb(run_v2.RevisionTemplate()).DESCRIPTOR)
    walk(SERVICE.fields_by_name["binary_authorization"].message_type)
    walk(SERVICE.fields_by_name["build_config"].message_type)
    ours = {frozenset(each) for each in ONE_OF}
    assert oneofs <= ours | {frozenset({"cloudStorageSource"})}
    assert ours - oneofs == {frozenset({"connector", "networkInterfaces"})}
    assert named - {"ports", "httpHeaders"} == NAMED
    assert maps == MAPS


def test_a_new_service_is_declared_whole() -> None:
    made = deployment(SETTINGS, None, "nonce")
    assert made.before is None
    assert made.document["ingress"] == "INGRESS_TRAFFIC_ALL"
