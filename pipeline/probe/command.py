"""A team's own command: what it is told, and how it ended.  PURE."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

SAID_CHARS = 300  # of what a command wrote last


class Command(Struct, frozen=True):
    """A command that is to be run, and what it is told of.

    Args:
        url, stable_url: addresses of the candidate and of stable, which their tags lead to.
        probe_key: value of the header ``X-Spillway-Probe`` that keeps its sockets out of the users' evidence.
        within: after this long it is ended.
        header, stable_header: ``name: value`` that leads to each of the two where both have one address; else empty.
    """

    name: str
    url: str
    stable_url: str
    revision: str
    probe_key: str
    within: timedelta
    header: str = ""
    stable_header: str = ""


class CommandEnd(Struct, frozen=True):
    """How a command ended.

    Args:
        exit_code: None when it was ended after its time, or could not be begun.
        said: the last of what it wrote.
        obstacle: why it could not be begun, in words: that says nothing of the candidate.
    """

    exit_code: int | None
    seconds: float
    said: str = ""
    obstacle: str = ""
