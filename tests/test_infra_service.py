"""What the program declares, given what is live: a split that moves nothing and a nonce that stays."""

from __future__ import annotations

from infra.live import Live
from infra.service import nonce_of, split_of
from infra.settings import Settings, Template
from pipeline.model import Split, Target

SETTINGS = Settings("p", "l", "chat", Template("chat@sha256:1"))
NEW = SETTINGS.revision


def test_the_first_revision_gets_everything() -> None:
    assert split_of(SETTINGS, None) == Split((Target(NEW, 100),))


def test_a_live_split_is_declared_as_it_is_with_every_tag() -> None:
    split = Split((Target("chat-a", 90, "stable"), Target("chat-b", 10), Target("chat-b", 0, "theirs")))
    assert split_of(SETTINGS, Live("e", split)) == split


def test_latest_before_anything_is_ready_is_the_declared_revision() -> None:
    assert split_of(SETTINGS, Live("e", Split((Target(None, 100),)))) == Split((Target(NEW, 100),))


def test_a_service_that_never_served_has_no_split_to_keep() -> None:
    dead = Live("e", Split((Target("chat-failed", 100),)), serves_nobody=True)
    assert split_of(SETTINGS, dead) == Split((Target(NEW, 100),))


def test_the_nonce_is_read_back_from_a_revision_that_is_there() -> None:
    split = Split((Target("chat-a", 100),))
    assert nonce_of(Live("e", split, nonce="abc")) == "abc"
    assert not nonce_of(Live("e", split, nonce="")), "somebody else's revision without one stays as it is"


def test_a_new_revision_gets_a_nonce_that_nobody_can_guess() -> None:
    absent = Live("e", Split((Target("chat-a", 100),)), nonce=None)
    made = {nonce_of(live) for live in (None, absent) for _ in range(20)}
    assert len(made) == 40
    assert all(len(nonce) == 32 for nonce in made)
