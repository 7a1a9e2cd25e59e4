"""The webhook: bodies as a real server receives them, tries, and that whoever tells it never waits."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.app import webhook
from pipeline.app.session import Session
from pipeline.app.webhook import Webhook, body_of
from pipeline.config import schema
from pipeline.config.webhook_section import WebhookConfig
from pipeline.credentials import of_config
from pipeline.errors import ConfigError
from pipeline.events import RolledBack, RolloutEvent, Said
from pipeline.model import Outcome
from pipeline.output.writer import Output
from tests.fakes import REF, START
from tests.receiver import Receiver, receiving
from tests.rollouts import CANDIDATE, STABLE, Scene


class Listening(list[RolloutEvent]):
    """What an engine tells, and who hears it as it is told."""

    def __init__(self, hook: Webhook) -> None:
        super().__init__()
        self._hook = hook

    def append(self, event: RolloutEvent, /) -> None:
        super().append(event)
        self._hook(event)


DOCUMENT = {
    "service": REF.name, "environment": "production", "step": "waiting", "text": "a <b> & c", "reason": None,
    "promote": "spillway promote --env production", "rollback": "spillway rollback x", "candidate": None,
}  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as kept:
        yield kept


def a_hook(url: str, **options: Any) -> tuple[Webhook, list[str]]:
    said: list[str] = []
    config = WebhookConfig(url=url, **options.pop("config", {}))
    options.setdefault("sleep", lambda _: None)
    return Webhook(config, REF, "production", say=said.append, **options), said


def paused() -> Said:
    return Said(START, "paused", "drift: somebody did something")


def test_a_roll_back_is_told_step_by_step(receiver: Receiver) -> None:
    scene = Scene()
    scene.users.failing[CANDIDATE] = 0.5
    hook, said = a_hook(receiver.url)
    with hook:
        scene.told = Listening(hook)
        assert scene.roll() is Outcome.ROLLED_BACK
    assert said == []
    steps = [body["step"] for body in receiver.bodies]
    assert (steps[0], steps[-2:]) == ("start", ["rollback", "end"])
    assert set(steps[1:-2]) == {"stage"}
    rollback, end = receiver.bodies[-2:]
    assert (rollback["candidate"], rollback["stable"], rollback["environment"]) == (
        CANDIDATE,
        STABLE,
        "production",
    )
    assert "failed against" in rollback["text"]
    assert "failed against" in end["reason"]
    assert "promote" not in end


def test_one_that_waits_says_what_to_type(receiver: Receiver) -> None:
    hook, _ = a_hook(receiver.url)
    with hook:
        hook(paused())
    (body,) = receiver.bodies
    assert body["promote"] == "spillway promote --env production"
    assert body["rollback"].startswith(f"spillway rollback {REF.name}")


@pytest.mark.parametrize("form", ["slack", "google-chat"])
def test_a_chat_gets_one_text(form: str) -> None:
    body = body_of(DOCUMENT, form)
    assert list(body) == ["text"]
    text = str(body["text"])
    assert "`spillway promote --env production`" in text
    assert ("a &lt;b&gt; &amp; c" in text) is (form == "slack")


def test_a_body_is_signed(receiver: Receiver) -> None:
    hook, _ = a_hook(receiver.url, config={"secret": "${env:HOOK_SECRET}"}, environ={"HOOK_SECRET": "s3cret"})
    with hook:
        hook(paused())
    ((body, headers),) = receiver.raw
    signed = f"{headers['x-spillway-timestamp']}.".encode() + body
    assert (
        headers["x-spillway-signature"] == f"sha256={hmac.new(b's3cret', signed, hashlib.sha256).hexdigest()}"
    )


def test_an_address_that_fails_for_a_while_is_tried_again(receiver: Receiver) -> None:
    receiver.statuses += [503, 429]
    hook, said = a_hook(receiver.url)
    with hook:
        hook(paused())
    assert (len(receiver.bodies), said) == (3, [])


@pytest.mark.parametrize(("statuses", "tries"), [([404] * 9, 1), ([302] * 9, 1), ([500] * 9, 3)])
def test_one_that_does_not_take_it_is_said_once(receiver: Receiver, statuses: list[int], tries: int) -> None:
    receiver.statuses += statuses
    hook, said = a_hook(receiver.url)
    with hook:
        hook(paused())
        hook(paused())
    assert len(receiver.bodies) == 2 * tries
    assert said == [f"the webhook could not be told: answered {statuses[0]} (the rollout goes on)"]


def test_a_variable_that_is_not_set_is_said(receiver: Receiver) -> None:
    hook, said = a_hook("${env:NOT_SET}", environ={})
    with hook:
        hook(paused())
    assert receiver.bodies == []
    assert "NOT_SET" in said[0]


@pytest.mark.parametrize("url", ["http://example.com/", "http://localhost:x@example.com/", "ftp://x/"])
def test_an_address_that_everybody_on_the_way_could_read_is_not_used(url: str) -> None:
    posted: list[object] = []
    hook, said = a_hook("${env:HOOK}", environ={"HOOK": url}, post=lambda *what: posted.append(what) or 200)
    with hook:
        hook(paused())
    assert (posted, len(said)) == ([], 1)


def test_who_tells_it_does_not_wait_for_an_address_that_hangs() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def hang(*_: object) -> int:
        begun.set()
        goes_on.wait()
        return 200

    hook, said = a_hook("https://example.com/", post=hang, is_stopping=lambda: True)
    with hook:
        for _ in range(200):
            hook(paused())
        assert begun.wait(60)
    goes_on.set()
    assert said == ["the webhook could not be told: not everything was delivered (the rollout goes on)"]


def test_an_answer_without_end_is_an_answer(receiver: Receiver) -> None:
    receiver.is_endless = True
    hook, said = a_hook(receiver.url)
    with hook:
        for _ in range(2):
            hook(paused())
    assert said == []
    assert len(receiver.bodies) == 2


def test_the_address_is_secret_and_no_part_of_what_a_rollout_is() -> None:
    text = "service: a\nenvironments: {local: {endpoint: local}}\nscenarios: {s: {path: /, send: {type: x}, expect: [y]}}\n"
    plainly, other = (
        schema.parse(text + f"webhook: {{url: 'https://hooks.example.com/{name}'}}\n")
        for name in ("T0/b", "T1/b")
    )
    assert plainly.fingerprint() == other.fingerprint() == schema.parse(text).fingerprint()
    tree = {"webhook": {"url": "https://hooks.example.com/T0/b", "format": "slack"}}
    assert of_config(tree, {}) == ("https://hooks.example.com/T0/b",)
    for bad in ("http://hooks.example.com/", "hooks", "ftp://x"):
        with pytest.raises(ConfigError, match="https"):
            schema.parse(text + f"webhook: {{url: '{bad}'}}\n")


# -- what a hand did, while something is wrong elsewhere in the file ---------------------------------------------------

FILE = """\
service: chat
environments:
  production: {{project: acme, region: us-central1}}
scenarios: {{run: {{path: /ws, expect: [done]}}}}
{webhook}
{slip}
"""
RESTORED = RolledBack(START, STABLE)


def a_session(folder: Path, webhook: str, slip: str = "") -> Session:
    file = folder / "spillway.yaml"
    file.write_text(FILE.format(webhook=webhook, slip=slip))
    return Session(Output(), file, folder, None, yes=False)


@pytest.mark.parametrize(
    "slip", ["", "stages: 5", "criteria: {server_error_1011: {limit: 5}}", "servcies: {}"]
)
def test_a_roll_back_by_hand_is_told_whatever_is_wrong_elsewhere(
    receiver: Receiver, tmp_path: Path, slip: str
) -> None:
    session = a_session(tmp_path, f"webhook: {{url: '{receiver.url}'}}", slip)
    webhook.tell(session, REF, "production", [RESTORED])
    assert [(body["step"], body["service"], body["environment"]) for body in receiver.bodies] == [
        ("end", REF.name, "production")
    ]


@pytest.mark.parametrize("section", ["webhook: 7", "webhook: {url: [a]}", "webhook: {adress: 'https://a.b'}"])
def test_a_section_that_is_wrong_is_told_after_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    webhook.tell(a_session(tmp_path, section), REF, "production", [RESTORED])
    said = capsys.readouterr().err
    assert said.count("the webhook could not be told: ") == 1
    assert f"{tmp_path}/spillway.yaml:5:" in said
