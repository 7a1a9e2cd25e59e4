"""What is asked of Cloud Logging: lines of revisions that evidence can use, in its query language.  PURE.

Telemetry lines, lines that match an error pattern, what the platform says of containers, and of the request log what was
refused and the WebSockets that ended, without our own; and those of our own that came to an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from msgspec import Struct

from pipeline.judging.instances import EXIT_WORDS, START_WORDS
from pipeline.judging.metrics import ERROR_PATTERNS
from pipeline.model import CANDIDATE_TAG, REQUEST_LOG, STABLE_TAG, SYSTEM_LOG, ServiceRef
from pipeline.probe.ask import USER_AGENT

_REVISIONS = 'resource.type="cloud_run_revision"'
_MOST = 60  # services in a question
_LONGEST = 19_000  # characters; Cloud Logging refuses a filter of more than 20,000


class Asked(Struct, frozen=True):
    """Lines of one service.

    Args:
        revisions: their names, in order. ``since``: of the entries' own time.
    """

    ref: ServiceRef
    revisions: tuple[str, ...]
    since: datetime


def entry_filter(
    ref: ServiceRef,
    revisions: Sequence[str],
    since: datetime,
    received_since: datetime | None = None,
    *,
    longest_request: timedelta = timedelta(0),
) -> str:
    """The question in Logging's query language.

    Args:
        since: of the entry's own time; ``received_since``: of the time Logging got it.
        longest_request: so much earlier an entry may be dated that was written since.
    """
    return _of_revisions((*_named(ref, revisions), *_since(since, longest_request)), received_since)


def shared_filter(
    asked: Sequence[Asked],
    received_since: datetime | None = None,
    *,
    longest_request: timedelta = timedelta(0),
) -> str:
    """The same question for several services of one project at once: what is answered names whose it is.

    Revisions of which lines are needed since the same minute share a term, so that more of them fit in.
    """
    groups: dict[datetime, list[str]] = {}
    for each in asked:
        groups.setdefault(each.since.replace(second=0, microsecond=0), []).extend(each.revisions)
    parts = [
        " AND ".join((f"resource.labels.revision_name=({_any(names)})", *_since(at, longest_request)))
        for at, names in sorted(groups.items())
    ]
    terms = (
        f"resource.labels.location=({_any(sorted({each.ref.location for each in asked}))})",
        f"timestamp>={quoted(rfc3339(min(groups) - longest_request))}",
        f"({' OR '.join(f'({part})' for part in parts)})",
    )
    return _of_revisions(terms, received_since)


def errors_filter(ref: ServiceRef, agent: str, revision: str, since: datetime) -> str:
    """Requests of one round that a revision was to answer, and that came to a 5xx."""
    return " AND ".join(
        (
            _REVISIONS,
            *_named(ref, (revision,)),
            f"logName:{quoted(_log_id(REQUEST_LOG))}",
            f"httpRequest.userAgent={quoted(agent)}",
            "httpRequest.status>=500",
            *_since(since, timedelta(0)),
        )
    )


def _named(ref: ServiceRef, revisions: Iterable[str]) -> tuple[str, ...]:
    """Some revisions of one service."""
    return (
        f"resource.labels.service_name={quoted(ref.service)}",
        f"resource.labels.location={quoted(ref.location)}",
        f"resource.labels.revision_name=({_any(revisions)})",
    )


def _of_revisions(terms: Iterable[str], received_since: datetime | None) -> str:
    received = [] if received_since is None else [f"receiveTimestamp>={quoted(rfc3339(received_since))}"]
    return " AND ".join([_REVISIONS, *terms, f"({' OR '.join(_wanted())})", *received])


def in_questions(
    asked: Iterable[Asked], *, longest_request: timedelta = timedelta(0)
) -> Iterator[tuple[Asked, ...]]:
    """Groups, in their order, of one project each, whose question is short enough for Cloud Logging.

    They are small enough for the first to be answered whole where the quota has no room for all.
    """
    for _, of_project in groupby(
        sorted(asked, key=lambda each: each.ref.project), lambda each: each.ref.project
    ):
        group: list[Asked] = []
        for each in of_project:
            longer = [*group, each]
            is_too_long = len(shared_filter(longer, each.since, longest_request=longest_request)) > _LONGEST
            if group and (is_too_long or len(longer) > _MOST):
                yield tuple(group)
                longer = [each]
            group = longer
        yield tuple(group)


def _any(names: Iterable[str]) -> str:
    return " OR ".join(map(quoted, names))


def _since(since: datetime, longest_request: timedelta) -> Iterator[str]:
    """Of the entry's own time, but for a request that had begun so much earlier and was written since."""
    yield f"timestamp>={quoted(rfc3339(since - longest_request))}"
    if longest_request:
        at = quoted(rfc3339(since))
        yield f"(timestamp>={at} OR receiveTimestamp>={at})"


def _wanted() -> Iterator[str]:
    """What evidence can use, a term each."""
    yield "jsonPayload.spillway>=1"
    for pattern in ERROR_PATTERNS:
        yield from (f"{where}:{quoted(pattern)}" for where in ("textPayload", "jsonPayload.message"))
    said = " OR ".join(map(quoted, (START_WORDS, *EXIT_WORDS)))
    yield f"(logName:{quoted(_log_id(SYSTEM_LOG))} AND textPayload:({said}))"
    # A probe's own: by how it calls itself, and by where it goes. Who borrows its name hides himself alone.
    ours = [f"httpRequest.userAgent:{quoted(USER_AGENT)}"]
    ours += [f"httpRequest.requestUrl:{quoted(f'://{tag}---')}" for tag in (CANDIDATE_TAG, STABLE_TAG)]
    told = "httpRequest.status=101 OR httpRequest.status=429 OR httpRequest.status>=500"
    yield f"(logName:{quoted(_log_id(REQUEST_LOG))} AND ({told}) AND NOT ({' OR '.join(ours)}))"


def _log_id(log: str) -> str:
    """As it stands in the name of a log."""
    return f"run.googleapis.com%2F{log.replace('/', '%2F')}"


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
