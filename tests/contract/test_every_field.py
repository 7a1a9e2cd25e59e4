"""Every field of the API that a client may write is kept as it came, and shown on its revision; the rest is the server's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.cloud import run_v2
from google.protobuf import json_format

from pipeline.local.control.codec import SPEC_FIELDS
from tests.contract.cloud import Cloud, short
from tests.contract.targets import control_plane

Document = dict[str, Any]
SERVICE = run_v2.Service.pb().DESCRIPTOR
KINDS: Mapping[type, str] = {
    run_v2.Service: "",
    run_v2.Container: "template.containers.",
    run_v2.BuildConfig: "build_config.",
}
#: Of what a client owns, what the server says: not kept.
INSIDE = ("build_config.name", "template.containers.build_info")
#: What a revision does not show of its template.
UNSHOWN = ("template.revision", "template.health_check_disabled")
#: Refused where they stand alone, by these rules; ``test_traffic.py`` has them together.
REFUSED = {
    "traffic": "traffic[0].type: must be",
    "traffic.type_": "traffic: percentages sum to 0",
    "traffic.revision": "traffic[0].type: must be",
    "traffic.percent": "traffic[0].type: must be",
    "traffic.tag": "traffic[0].type: must be",
}


def documents(descriptor: Any, path: str = "") -> Iterator[tuple[str, Document]]:
    """The path of each field, down to the last, and a document that has that field alone."""
    for field in descriptor.fields:
        here = path + field.name
        kind = field.message_type
        if kind is None:
            inside = [(here, sample(field))]
        elif kind.GetOptions().map_entry:
            inside = [(here, {"k": "v"})]
        elif kind.full_name == "google.protobuf.Duration":
            inside = [(here, "9s")]
        elif kind.full_name == "google.protobuf.Timestamp":
            inside = [(here, "2026-01-02T03:04:05Z")]
        else:
            inside = [(here, {}), *documents(kind, f"{here}.")]
        for name, value in inside:
            as_list = field.is_repeated and not (kind and kind.GetOptions().map_entry)
            yield name, {field.name: [value] if as_list else value}


def sample(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[1].name
    kinds = {
        field.CPPTYPE_STRING: "x",
        field.CPPTYPE_BOOL: True,
        field.CPPTYPE_INT32: 7,
        field.CPPTYPE_INT64: "7",
    }
    return kinds[field.cpp_type]


EVERY = dict(documents(SERVICE))
OWNED = {
    path: document
    for path, document in EVERY.items()
    if path.partition(".")[0] in SPEC_FIELDS and not path.startswith(INSIDE)
}


def test_what_a_client_owns_is_all_that_the_api_does_not_call_output_only() -> None:
    said = {name for name, text in described(run_v2.Service).items() if "Output only" in text}
    assert len(said) > 15
    assert {field.name for field in SERVICE.fields} - SPEC_FIELDS == said | {"name", "etag"}


def test_nothing_else_of_a_template_is_the_servers() -> None:
    """A field that a newer client calls output only must be named in ``INSIDE``."""
    found = {
        f"{prefix}{name}"
        for kind, prefix in KINDS.items()
        for name, text in described(kind).items()
        if "Output only" in text and prefix
    }
    assert found == set(INSIDE)


def described(kind: type) -> Mapping[str, str]:
    """What the client package's documentation says of each attribute."""
    parts = re.split(r"\n {8}(?=\w+ \()", kind.__doc__ or "")
    return {part.partition(" (")[0]: part for part in parts[1:]}


@pytest.fixture(scope="module", params=["grpc", "rest"])
def running_plane(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with control_plane(over_rest=request.param == "rest") as cloud:
        yield cloud


@pytest.fixture
def plane(running_plane: Cloud) -> Iterator[Cloud]:
    with running_plane.case():
        yield running_plane


def made(path: str, service_id: str) -> run_v2.Service:
    """A service that has the field, and what every service needs."""
    service = run_v2.Service()
    bare = run_v2.Service.pb(service)
    json_format.ParseDict(EVERY[path], bare)
    container = bare.template.containers[0] if bare.template.containers else bare.template.containers.add()
    container.image = container.image or "good"
    for each in container.env:
        each.name = each.name or "A"
        if each.HasField("value_source"):
            each.value_source.secret_key_ref.secret = each.value_source.secret_key_ref.secret or "s"
    if container.depends_on:
        container.ports.add(container_port=8080)
        bare.template.containers.add(name="x", image="good")
    if bare.template.revision:
        bare.template.revision = f"{service_id}-x"
    return service


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every value below a document by its path, and what is empty but there."""
    if isinstance(value, dict) and value:
        return {k: v for key, each in value.items() for k, v in leaves(each, f"{path}.{key}").items()}
    if isinstance(value, list) and value:
        return {
            k: v for number, each in enumerate(value) for k, v in leaves(each, f"{path}[{number}]").items()
        }
    return {path: value}


def fields_of(message: Any) -> dict[str, Any]:
    return leaves(json_format.MessageToDict(type(message).pb(message), preserving_proto_field_name=True))


def is_there(sent: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """What was sent empty may have been filled in."""
    return all(
        found.get(path) == value or (not value and any(p.startswith(path) for p in found))
        for path, value in sent.items()
    )


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_refused_is_refused_by_name(plane: Cloud, path: str) -> None:
    service_id = plane.fresh_id()
    with plane.refused("INVALID_ARGUMENT", match=re.escape(REFUSED[path])):
        plane.services.create_service(
            parent=plane.parent, service=made(path, service_id), service_id=service_id
        )


@pytest.mark.parametrize("path", [path for path in OWNED if path not in REFUSED])
def test_a_field_is_read_back_as_it_was_written(plane: Cloud, path: str) -> None:
    """Made with it; set by a mask on a service that has it not; and on the revision."""
    service_id = plane.fresh_id()
    service = made(path, service_id)
    sent = fields_of(service)
    created = plane.result(
        plane.services.create_service(parent=plane.parent, service=service, service_id=service_id)
    )
    read = plane.get(created)
    bare = plane.get(plane.create())
    assert is_there(sent, fields_of(read))
    usual = {where.replace("[0]", "[1]") for where in fields_of(bare)} | fields_of(bare).keys()
    filled_in = fields_of(read).keys() - sent.keys() - usual
    assert not filled_in, "the server's own, and on no service without the field"
    if path.startswith("template.") and path not in UNSHOWN:
        shown = fields_of(plane.revision(read, short(read.latest_created_revision)))
        assert is_there(
            {k.removeprefix(".template"): v for k, v in sent.items() if k.startswith(".template")}, shown
        )
    if path != "template.revision":
        service.name = bare.name
        plane.update(service, path.partition(".")[0])
        assert is_there(sent, fields_of(plane.get(bare)))


@pytest.mark.parametrize("path", INSIDE)
def test_what_is_output_only_is_not_taken(plane: Cloud, path: str) -> None:
    service_id = plane.fresh_id()
    created = plane.result(
        plane.services.create_service(
            parent=plane.parent, service=made(path, service_id), service_id=service_id
        )
    )
    assert not [
        found for found in fields_of(plane.get(created)) if found.replace("[0]", "").startswith(f".{path}")
    ]


#: Values that are a field's zero, and still say something because the field tells absent and zero apart.
ZEROS: Mapping[str, Document] = {
    "gpu": {"template": {"gpu_zonal_redundancy_disabled": False}},
    "manual": {"scaling": {"manual_instance_count": 0}},
    "use_default": {"binary_authorization": {"use_default": False}},
    "policy": {"binary_authorization": {"policy": ""}},
    "env": {"template": {"containers": [{"image": "good", "env": [{"name": "A", "value": ""}]}]}},
    "empty_dir": {"template": {"volumes": [{"name": "v", "empty_dir": {}}]}},
    "scaling": {"scaling": {}},
    "vpc": {"template": {"vpc_access": {}}},
}


@pytest.mark.parametrize("name", ZEROS)
def test_a_zero_that_says_something_is_kept(plane: Cloud, name: str) -> None:
    service = run_v2.Service()
    bare = json_format.ParseDict(ZEROS[name], run_v2.Service.pb(service))
    if not bare.template.containers:
        bare.template.containers.add(image="good")
    sent, service_id = fields_of(service), plane.fresh_id()
    created = plane.result(
        plane.services.create_service(parent=plane.parent, service=service, service_id=service_id)
    )
    assert sent.items() <= fields_of(plane.get(created)).items()
