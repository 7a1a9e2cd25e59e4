"""Pages of a list, with tokens that stay right while the list changes."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from pipeline.local.control.state import Refused

DEFAULT_SIZE = 100
MAX_SIZE = 1000

T = TypeVar("T")


def page(
    items: Iterable[T], key: Callable[[T], str], *, size: int, token: str, descending: bool = False
) -> tuple[list[T], str]:
    """One page in order of ``key``, and the token of the next (empty on the last).

    A token names the last item seen, not a position: what comes or goes meanwhile repeats and hides nothing.
    """
    if size < 0:
        raise Refused("INVALID_ARGUMENT", f"page_size: {size} is negative.")
    wanted = min(size or DEFAULT_SIZE, MAX_SIZE)
    ordered = sorted(items, key=key, reverse=descending)
    if token:
        last = _decoded(token)
        ordered = [item for item in ordered if (key(item) < last if descending else key(item) > last)]
    shown = ordered[:wanted]
    return shown, _encoded(key(shown[-1])) if len(ordered) > wanted else ""


def _encoded(last: str) -> str:
    return urlsafe_b64encode(last.encode()).decode()


def _decoded(token: str) -> str:
    with suppress(ValueError):
        last = urlsafe_b64decode(token.encode()).decode()
        if _encoded(last) == token:  # decoding skips what is not base64
            return last
    raise Refused("INVALID_ARGUMENT", f"page_token: '{token}' was not given out here.")
