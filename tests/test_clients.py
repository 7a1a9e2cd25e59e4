"""Who was counted before: the memory of an epoch."""

import json
import random

import pytest

from pipeline.judging import clients
from pipeline.judging.clients import BITS, Clients, Memory


def remembering(*failed: tuple[str, str], epoch: int = 3) -> Clients:
    memory = Memory(Clients(), epoch)
    for client, metric in failed:
        memory.failed(client, metric)
        memory.saw(client)
    return memory.kept()


def test_who_failed_is_out_for_that_metric_and_no_other():
    memory = Memory(remembering(("ada", "agent_completed")), 3)
    assert memory.is_out("ada", "agent_completed")
    assert not memory.is_out("ada", "abnormal_1006")
    assert not memory.is_out("bob", "agent_completed")
    assert memory.is_known("ada")
    assert not memory.is_known("bob")


def test_a_new_epoch_knows_nobody():
    memory = Memory(remembering(("ada", "agent_completed")), 4)
    assert not memory.is_out("ada", "agent_completed")
    assert not memory.is_known("ada")
    assert memory.kept() == Clients(4)


def test_folding_in_pieces_through_the_text_comes_to_the_same_as_at_once():
    names = [f"client-{n}" for n in range(500)]
    at_once = remembering(*[(name, "agent_completed") for name in names])
    piecewise = Clients()
    for name in names:
        memory = Memory(piecewise, 3)
        memory.failed(name, "agent_completed")
        memory.saw(name)
        piecewise = Clients(
            **json.loads(json.dumps({f: getattr(memory.kept(), f) for f in ("epoch", "failed", "seen")}))
        )
    assert piecewise == at_once


def test_clients_with_the_same_bit_are_few_and_left_out_whatever_their_arm():
    rng = random.Random(1)
    names = [f"{rng.getrandbits(64):016x}" for _ in range(3000)]
    memory = Memory(remembering(*[(name, "m") for name in names[:1000]]), 3)
    taken = sum(memory.is_out(name, "m") for name in names[1000:])
    expected = 2000 * (1 - (1 - 1 / BITS) ** 1000)
    assert abs(taken - expected) < 60


def test_how_many_are_left_out_is_the_share_of_bits_that_are_set():
    assert Clients().left_out == 0
    many = remembering(*[(f"client-{n}", "m") for n in range(BITS)])
    assert many.left_out == pytest.approx(1 - 1 / 2.718, abs=0.02)
    memory = Memory(many, 3)
    assert sum(memory.is_out(f"another-{n}", "x") for n in range(1000)) / 1000 == pytest.approx(
        many.left_out, abs=0.05
    )


def test_a_table_takes_little_room_however_full_it_gets():
    few = remembering(*[(str(n), "m") for n in range(10)])
    assert len(few.failed) < 120
    full = clients.grown(3)
    assert full.is_readable
    assert len(full.failed) + len(full.seen) < 2800
    assert len(remembering(*[(str(n), "m") for n in range(8000)]).failed) <= len(full.failed)


@pytest.mark.parametrize("text", ["x", "AAAA", "eJwDAAAAAAE=", "\ud800"])
def test_a_text_that_is_no_table_is_told(text):
    assert not Clients(1, failed=text).is_readable
    assert not Clients(1, seen=text).is_readable


def test_a_table_that_would_unpack_to_much_more_is_none():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(10_000_000))).decode()
    assert not Clients(1, failed=bomb).is_readable


def test_nothing_added_is_the_same_value():
    kept = remembering(("ada", "m"))
    assert Memory(kept, 3).kept() == kept
    assert Clients().is_readable


def test_names_that_follow_each_other_share_bits_no_more_often_than_chance():
    places = {clients.place_of(f"agent_completed/run/c{n}") for n in range(1000)}
    assert 1000 - len(places) < 2 * 1000 * 1000 / (2 * BITS)


def test_alone_at_full_traffic_who_failed_before_stays_out() -> None:
    """Clients that always fail come back the fastest: the first blocks there were theirs, and past any limit."""
    before = Memory(Clients(), 3)
    before.failed("broken", "agent_completed")
    before.saw("broken")
    alone, beside = (Memory(before.kept(), 4, is_alone=is_alone) for is_alone in (True, False))
    assert alone.is_out("broken", "agent_completed")
    assert not alone.is_known("broken")  # certification counts each client once an epoch
    assert not beside.is_out("broken", "agent_completed")
    again = Memory(alone.kept(), 4, is_alone=True)
    assert again.kept() == alone.kept() == Clients(4, failed=before.kept().failed)
