"""Lines of the platform about containers and requests, as tests of what is judged by them need them."""

from __future__ import annotations

from pipeline.model import REQUEST_LOG, SYSTEM_LOG, LogLine, Request
from tests.crowd import SECOND
from tests.fakes import START
from tests.lines import CANDIDATE


def exits(*moments: float, revision: str = CANDIDATE, instance: str = "", code: int = 1) -> list[LogLine]:
    """An instance that writes a line each second, and then exits; each moment another one, unless it is named."""
    found = []
    for at in moments:
        name = instance or f"{revision}/{at}"
        found += alive(name, revision, max(0.0, at - 8), at)
        found.append(system(at, f"Container called exit({code}).", name, revision))
    return found


def system(at: float, said: str, instance: str, revision: str = CANDIDATE) -> LogLine:
    key = f"sys {revision} {instance} {at} {said}"
    return LogLine(key, START + at * SECOND, revision, "ERROR", said, instance=instance, log=SYSTEM_LOG)


def alive(instance: str, revision: str, since: float, until: float, every: float = 1.0) -> list[LogLine]:
    count = int((until - since) / every)
    return [
        LogLine(f"{instance} {n}", START + (since + n * every) * SECOND, revision, instance=instance)
        for n in range(count)
    ]


def requests(
    count: int, status: int = 101, revision: str = CANDIDATE, *, seconds: float = 30.0
) -> list[LogLine]:
    """One that ended in each second, each of another client."""
    key = f"{revision} {status} {seconds}"
    return [
        LogLine(
            f"{key} {n}", START + (1 + n) * SECOND, revision, log=REQUEST_LOG, request=Request(status, seconds, f"{key} {n}")
        )
        for n in range(count)
    ]  # fmt: skip
