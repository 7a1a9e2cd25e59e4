"""``webhook:`` of ``spillway.yaml``: who is told what a rollout does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct

from pipeline.config import sections
from pipeline.config.fields import Misplaced, not_empty, text_like
from pipeline.config.yamltree import Document

_ON_THIS_MACHINE = r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+([/?]|$)|/)"


def is_private(url: str) -> bool:
    """Nobody on the way reads what is sent there."""
    return url.lower().startswith("https://") or re.match(_ON_THIS_MACHINE, url) is not None


class WebhookConfig(Struct, frozen=True, kw_only=True):
    """Who is told what a rollout does: one address that each step is posted to.

    Args:
        url: the address, `https://...`; `${env:NAME}` in it is the variable's value where the command runs.
        format: the shape of the bodies: our own JSON, or what Slack or Google Chat takes.
        secret: what each body is signed with; `${env:NAME}` likewise.
    """

    url: Annotated[str, text_like(r"https?://[^\s]+|.*\$\{env:.*", "an address, https://...")]
    format: Literal["json", "slack", "google-chat"] = "json"
    secret: Annotated[str, not_empty] | None = None

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "url": {"anyOf": [{"pattern": f"^{_ON_THIS_MACHINE}"}, {"not": {"pattern": "^http://"}}]}
        }
    }

    def __post_init__(self) -> None:
        if self.url.startswith("http://") and not is_private(self.url):
            raise Misplaced(("url",), "http:// would show everybody on the way what it says: write https://")


class _Alone(Struct, frozen=True, kw_only=True):
    webhook: WebhookConfig | None = None


def read(document: Document) -> WebhookConfig | None:
    """The section, whatever is wrong elsewhere in the file; None where there is none. Raises ConfigError."""
    alone = {key: value for key, value in document.keys.items() if key == "webhook"}
    return sections.read(_Alone, alone, document).webhook
