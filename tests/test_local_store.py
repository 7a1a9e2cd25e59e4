"""The state folder: what was kept comes back as it was, and a file that is not ours is named with a way out."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from pipeline.errors import SpillwayError
from pipeline.local.control.operations import SERVICE, Operation
from pipeline.local.control.state import Failure, Service, Stamp, checked
from pipeline.local.control.store import Registry, Shelf
from pipeline.local.control.writes import create, with_defaults
from pipeline.local.dataplane import StartFailed
from pipeline.local.front.addresses import PortBook, reachable
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from pipeline.model import ServiceRef

AT = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
REF = ServiceRef("local", "here", "chat")


def services(folder: Path) -> Shelf[Service]:
    return Shelf(folder / "services", Service)


def operations(folder: Path) -> Shelf[Operation]:
    return Shelf(folder / "operations", Operation)


def service() -> Service:
    ids = iter(f"id-{n}" for n in range(100))
    spec = with_defaults(REF, {
        "template": {"containers": [{"image": "good", "env": [{"name": "A", "value": "ü \U0001f600"}]}]},
        "annotations": {"spillway.rollout/record": '{"v":1}'},
    })  # fmt: skip
    return create(REF, spec, Stamp("me", AT, lambda: next(ids)))


def operation(name: str = "o", **changes: object) -> Operation:
    made = Operation(f"{REF.parent}/operations/{name}", SERVICE, REF.name, AT, {"name": REF.name})
    return replace(made, **changes)  # type: ignore[arg-type]


def test_services_come_back_as_they_were(tmp_path: Path) -> None:
    made = service()
    name = made.latest_created
    for state in (made, checked(made, name, None, AT), checked(made, name, Failure("INTERNAL", "boom"), AT)):
        services(tmp_path).save(state.name, state)
        assert list(services(tmp_path)) == [state]


def test_operations_come_back_as_they_were(tmp_path: Path) -> None:
    kept = [
        operation("a"),
        operation("b", is_done=True, error=("ABORTED", "why")),
        operation("c", deletes=True),
    ]
    for one in kept:
        operations(tmp_path).save(one.name, one)
    assert list(operations(tmp_path)) == kept
    operations(tmp_path).remove(kept[0].name)
    assert list(operations(tmp_path)) == kept[1:]


def test_half_a_file_of_a_killed_writer_is_not_read(tmp_path: Path) -> None:
    made = service()
    services(tmp_path).save(made.name, made)
    (kept,) = (tmp_path / "services").iterdir()
    kept.with_suffix(".new").write_text('{"ref": {"proj')
    assert list(services(tmp_path)) == [made]


def test_a_registry_is_on_disk_before_anyone_sees_it(tmp_path: Path) -> None:
    registry = Registry(services(tmp_path))
    made = service()
    registry.publish(made)
    assert [s.name for s in Registry(services(tmp_path))] == [REF.name]
    registry.remove(REF.name)
    assert REF.name not in registry
    assert not list(Registry(services(tmp_path)))


def test_a_registry_takes_no_service_that_breaks_an_invariant(tmp_path: Path) -> None:
    made = service()
    registry = Registry(services(tmp_path))
    with pytest.raises(AssertionError, match="observed generation 9"):
        registry.publish(replace(made, observed_generation=9))
    assert REF.name not in registry


_READ: dict[str, Callable[[Path], object]] = {
    "services/x.json": lambda folder: list(services(folder)),
    "operations/o.json": lambda folder: list(operations(folder)),
    "ports.json": PortBook,
}


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("services/x.json", "{}", lambda folder: list(services(folder))),
        ("operations/o.json", "broken", lambda folder: list(operations(folder))),
        ("ports.json", "[1]", PortBook),
        ("ports.json", '{"a": "b"}', PortBook),
        *((name, b"", read) for name, read in _READ.items()),
        *((name, b'{"\xff": 1}', read) for name, read in _READ.items()),
        *((name, b'{"a":' * 100_000, read) for name, read in _READ.items()),
    ],
)
def test_a_state_file_that_is_not_one_is_named_with_a_way_out(
    tmp_path: Path, name: str, content: str | bytes, read: Callable[[Path], object]
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SpillwayError) as refused:
        read(tmp_path)
    assert str(file) in refused.value.what
    assert refused.value.fix == f"Move it away and start again: mv {file} {file}.bad"


def test_images_are_added_and_replaced_by_name(tmp_path: Path) -> None:
    catalogue.write(tmp_path, {"a": Image(("one",), "/"), "b": Image(("two",), "/", {"X": "1"})})
    catalogue.write(tmp_path, {"a": Image(("three",), "/")})
    assert catalogue.named(tmp_path, "a") == Image(("three",), "/")
    assert catalogue.named(tmp_path, "b") == Image(("two",), "/", {"X": "1"})


def test_a_folder_whose_name_is_no_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    image = Image(("one",), os.fsdecode(b"/\xff"))
    catalogue.write(tmp_path, {"a": image})
    catalogue.write(tmp_path, {"b": image})
    assert catalogue.named(tmp_path, "a") == catalogue.named(tmp_path, "b") == image


@pytest.mark.parametrize(
    "content", [b"", b'{"a": {"command": ["\xff"]}}', b"[" * 100_000, b'{"a": {"command": 1}}']
)
def test_a_catalogue_that_is_none_is_told_to_whoever_starts_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "images.json").write_bytes(content)
    with pytest.raises(StartFailed, match="not an image catalogue"):
        catalogue.named(tmp_path, "a")
    with pytest.raises(SpillwayError, match="not an image catalogue"):
        catalogue.write(tmp_path, {"a": Image(("one",), "/")})


def test_of_images_that_are_written_at_once_none_is_lost(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: catalogue.write(tmp_path, {f"i{n}": Image((str(n),), "/")}), range(100)))
    assert all(catalogue.named(tmp_path, f"i{n}").command == (str(n),) for n in range(100))


def test_a_port_is_kept_over_restarts_and_given_back_when_forgotten(tmp_path: Path) -> None:
    book = PortBook(tmp_path)
    main, tag = book.port("s", ""), book.port("s", "t")
    assert main != tag
    book.close()
    again = PortBook(tmp_path)
    assert (again.port("s", ""), again.port("s", "t")) == (main, tag)
    assert again.listener("s", "t").getsockname()[1] == tag
    again.forget("s")
    assert json.loads((tmp_path / "ports.json").read_text()) == {}
    again.close()


def test_a_port_that_somebody_else_took_is_given_up_for_another(tmp_path: Path) -> None:
    book = PortBook(tmp_path)
    port = book.port("s", "")
    book.close()
    with socket.create_server(("127.0.0.1", port)):
        again = PortBook(tmp_path)
        assert again.listener("s", "").getsockname()[1] != port
        assert again.port("s", "") != port
        again.close()


def test_listeners_send_small_answers_at_once(tmp_path: Path) -> None:
    """asyncio sets TCP_NODELAY only on sockets that were made with this protocol number."""
    book = PortBook(tmp_path)
    assert book.listener("s", "").proto == socket.IPPROTO_TCP
    book.close()


@pytest.mark.parametrize(
    ("bind", "host", "public"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("::1", "[::1]", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "[::1]", True),
        ("192.0.2.7", "192.0.2.7", True),
    ],
)
def test_where_clients_of_this_machine_find_it(tmp_path: Path, bind: str, host: str, public: bool) -> None:
    assert reachable(bind) == host
    assert PortBook(tmp_path, bind).is_public is public
