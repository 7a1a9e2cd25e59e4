"""An instance reads its own service's annotations, with a key that is good for nothing else."""

from __future__ import annotations

from pipeline.local.api.own_service import OwnService
from pipeline.model import ADMIN_API, DRAIN_VARIABLE

CHAT, OTHER = (f"projects/local/locations/local/services/{name}" for name in ("chat", "other"))


def own() -> OwnService:
    made = OwnService({CHAT: {"a": "1"}, OTHER: {"b": "2"}}.get)
    made.address = "127.0.0.1:1234"
    return made


def path_of(made: OwnService, service: str) -> str:
    env = made.environment(service, {DRAIN_VARIABLE: f"{ADMIN_API}/{service}", "MODE": "x"})
    assert env.keys() == {DRAIN_VARIABLE, "MODE"}
    assert env["MODE"] == "x"
    address, path = env[DRAIN_VARIABLE].split("1234", 1)
    assert address == "http://127.0.0.1:"
    return path


def test_it_reads_its_own_annotations_and_nobody_elses() -> None:
    made = own()
    path = path_of(made, CHAT)
    assert made.answer("GET", path) == {"name": CHAT, "annotations": {"a": "1"}}
    assert made.answer("GET", path.replace("/chat", "/other")) is None
    assert made.answer("GET", path_of(made, OTHER)) == {"name": OTHER, "annotations": {"b": "2"}}


def test_a_key_opens_nothing_else() -> None:
    made = own()
    path = path_of(made, CHAT)
    assert made.answer("PATCH", path) is None
    assert made.answer("GET", path.replace("/instances/", "/instances/x")) is None
    for strange in ("/instances/", "/instances//", f"/instances/\xff/{CHAT}", f"/v2/{CHAT}", "/"):
        assert made.answer("GET", strange) is None
    assert own().answer("GET", path) is None, "it ends with the server"


def test_an_address_of_somebody_elses_stays() -> None:
    env = {DRAIN_VARIABLE: "https://orders.example/chat"}
    assert own().environment(CHAT, env) == env
    assert own().environment(CHAT, {"MODE": "x"}) == {"MODE": "x"}
