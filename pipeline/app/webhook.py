"""One webhook: what a rollout does is posted to an address, off the critical path.

A thread of its own posts, and tries again; whoever tells it never waits. What could not be delivered by the end of the
command is given up after ``_PATIENCE_S``: that a chat is down must not hold a job, and never a roll-back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from pipeline.app.session import Session
from pipeline.config import webhook_section
from pipeline.config.webhook_section import WebhookConfig, is_private
from pipeline.core.rollout import Rollout
from pipeline.credentials import resolved
from pipeline.errors import ConfigError
from pipeline.events import RolloutEvent
from pipeline.model import ServiceRef
from pipeline.redact import SINK, plain

_PATIENCE_S = 2.0  # at the end of a command
_TIMEOUT_S = (3.0, 5.0)  # to connect, and to be answered
_RESTS_S = (0.5, 2.0)  # between the tries
#: what is told, by the kind of an event; of the others nobody is
_STEPS = {
    "started": "start", "shifted": "stage", "paused": "waiting", "restoring": "rollback", "rolled_back": "end", "promoted": "end",
}  # fmt: skip

Post = Callable[[str, bytes, Mapping[str, str]], int]  # address, body, headers: the status


class Webhook:
    """A listener that posts. Use it as a context: its end is the thread's.

    Args:
        environment: the name in ``spillway.yaml``, for the commands in the message.
        say: told once, when something could not be delivered.
        is_stopping: whether the command was asked to end: then what is left is not waited for.
    """

    def __init__(
        self,
        config: WebhookConfig,
        ref: ServiceRef,
        environment: str,
        *,
        say: Callable[[str], None],
        is_stopping: Callable[[], bool] = lambda: False,
        post: Post | None = None,
        sleep: Callable[[float], object] = time.sleep,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._ref = ref
        self._environment = environment
        self._current: Rollout | None = None  # as it was written last
        self._say = say
        self._is_stopping = is_stopping
        self._post = post or _post
        self._sleep = sleep
        self._environ = environ
        self._queue: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._has_complained = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(0.0 if self._is_stopping() else _PATIENCE_S)
            if self._thread.is_alive():
                self._complain("not everything was delivered")

    def __call__(self, event: RolloutEvent, /) -> None:
        self._current = getattr(event, "rollout", None) or self._current
        if (step := _STEPS.get(event.kind)) is None:
            return
        self._queue.put(self._document(step, event))
        if self._thread is None:
            # A daemon: a process that is told to end at once ends at once.
            self._thread = threading.Thread(target=self._deliver, name="webhook", daemon=True)
            self._thread.start()

    def _document(self, step: str, event: RolloutEvent) -> dict[str, object]:
        from pipeline.report import writes

        current = self._current
        plan = current.plan if current else None
        return {
            "step": step,
            "at": event.at.isoformat(),
            "service": self._ref.name,
            "environment": self._environment,
            "rollout": plan.rollout_id if plan else None,
            "attempt": current.attempt if current else None,
            "candidate": plan.candidate if plan else None,
            "stable": plan.stable if plan else None,
            "text": SINK.text(plain(event.text)),
            "reason": SINK.text(plain(current.reason))
            if current and step == "end" and current.reason
            else None,
            "promote": writes.promote(self._environment) if step == "waiting" else None,
            "rollback": writes.roll_back(self._ref) if step in ("waiting", "stage") else None,
        }

    def _deliver(self) -> None:
        while (document := self._queue.get()) is not None:
            try:
                self._send(document)
            except Exception as error:  # noqa: BLE001 - whatever an address or a library does, the rollout goes on
                self._complain(f"{type(error).__name__}: {error}")

    def _send(self, document: Mapping[str, object]) -> None:
        url, secret = (
            resolved(text, self._environ) for text in (self._config.url, self._config.secret or "")
        )
        if not is_private(url):
            self._complain("its address is not https://")
            return
        body = json.dumps(body_of(document, self._config.format)).encode()
        headers = {"content-type": "application/json", **_signature(secret, body)}
        for rest in (*_RESTS_S, None):
            try:
                status = self._post(url, body, headers)
            except OSError as error:
                told = f"{type(error).__name__}"
            else:
                if 200 <= status < 300:
                    return
                told = f"answered {status}"
                if status not in (408, 429) and status < 500:
                    break  # it will not like it better the next time
            if rest is not None:
                self._sleep(rest)
        self._complain(told)

    def _complain(self, what: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            self._say(f"the webhook could not be told: {what} (the rollout goes on)")


def of(session: Session, config: WebhookConfig, ref: ServiceRef, environment: str) -> Webhook:
    """What posts for this command."""
    return Webhook(config, ref, environment, say=session.output.say, is_stopping=session.stopped.is_set)


def tell(session: Session, ref: ServiceRef, env: str | None, told: Iterable[RolloutEvent]) -> None:
    """What an operator's command did, once it is done and answered; where the configuration was needed anyway.

    Of that no more is needed than for the command itself, and the section.
    """
    with suppress(Exception):
        name, _ = session.load_places().environment(env)
        try:
            config = webhook_section.read(session.document)
        except ConfigError as error:
            session.output.say(f"the webhook could not be told: {error.what} (what was asked for is done)")
            return
        if config is not None:
            with of(session, config, ref, name) as hook:
                for event in told:
                    hook(event)


def body_of(document: Mapping[str, object], form: str) -> Mapping[str, object]:
    """The message as the receiver wants it: all of it, or one text for a chat.

    Source: docs.slack.dev, "Formatting message text" (&, < and > are escaped; nothing else is special in code spans);
    developers.google.com/workspace/chat, "Format messages".
    """
    if form == "json":
        return {name: value for name, value in document.items() if value is not None}
    told = f"*{document['service']}* ({document['environment']}): {document['step']}: {document['text']}"
    if document["reason"]:
        told += f" ({document['reason']})"
    commands = (f"`{document[name]}`" for name in ("promote", "rollback") if document[name])
    text = "\n".join([told, *commands])
    if form == "slack":
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def _signature(secret: str, body: bytes) -> Mapping[str, str]:
    """``sha256=`` and the HMAC of "TIME.BODY", so that a message that was heard cannot be said again later."""
    if not secret:
        return {}
    at = str(int(time.time()))
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-spillway-timestamp": at, "x-spillway-signature": f"sha256={digest}"}


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    import requests

    with requests.post(
        url, data=body, headers=dict(headers), timeout=_TIMEOUT_S, allow_redirects=False, stream=True
    ) as answer:  # its body is never read: it may have no end
        return answer.status_code
