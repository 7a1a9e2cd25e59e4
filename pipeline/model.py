"""The nouns of a rollout, as values.  PURE.

Theory of operation. A *service* has *revisions*; a *split* says how new connections are shared between
them. A rollout moves the split from the *stable* revision to the *candidate* in *stages*. Everything here is
frozen, knows no I/O, and is what the other pure modules speak:

    LiveService  what one read of Cloud Run showed (the only input about the world)
    Split        what traffic is, or shall be; changed only by methods that return a new one
    Outcome      how a rollout ended, with the exit code that says so

How a rollout goes and is judged is said in ``judging/terms.py``.

Conventions: ``percent`` is int 0-100, ``rate`` is float 0-1, durations are ``timedelta``, times aware UTC.
Revisions are short names (``agent-chat-9f3c1e``), never resource paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from msgspec import Struct, field

STABLE_TAG = "stable"
CANDIDATE_TAG = "candidate"
OUR_TAGS = (STABLE_TAG, CANDIDATE_TAG)
RECORD_ANNOTATION = "spillway.rollout/record"
UNREADABLE_ANNOTATION = "spillway.rollout/unreadable-record"  # what a roll-back found in its place
DRAIN_ANNOTATION = "spillway.rollout/drain"  # what instances of a revision that lost its traffic are asked
NONCE_VARIABLE = "SPILLWAY_NONCE"
TELEMETRY_VARIABLE = "SPILLWAY_TELEMETRY"
CLIENT_VARIABLE = "SPILLWAY_CLIENT"
DRAIN_VARIABLE = "SPILLWAY_DRAIN_URL"
ADMIN_API = "https://run.googleapis.com/v2"  # where an instance reads its own service
#: Variables that a deploy writes into each revision, and that are no part of what it is.
OWN_VARIABLES = (NONCE_VARIABLE, TELEMETRY_VARIABLE, CLIENT_VARIABLE, DRAIN_VARIABLE)
#: Of annotations and labels that Cloud Run keeps to itself.
#: Source: comments of annotations in google/cloud/run/v2/service.proto.
RESERVED_NAMESPACES = (
    "run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev",
)  # fmt: skip
LOCAL_PROJECT = "local"  # the local Cloud Run's; too short to be a Google Cloud project id
LOCAL_REGION = "local"

#: What Cloud Run says of a service and takes from nobody, in its JSON.
#: Source: comments of google/cloud/run/v2/service.proto, "Output only".
OUTPUT_ONLY = frozenset({
    "name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier",
    "urls", "observedGeneration", "terminalCondition", "conditions", "latestReadyRevision", "latestCreatedRevision",
    "trafficStatuses", "uri", "satisfiesPzs", "threatDetectionEnabled", "reconciling", "etag",
})  # fmt: skip

_SERVICE_NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)/services/([^/]+)")


class ServiceRef(Struct, frozen=True):
    """One Cloud Run service: project, location and short service name."""

    project: str
    location: str
    service: str

    @property
    def is_local(self) -> bool:
        """Whether it is on the local Cloud Run. No cloud project can have the name of its project."""
        return self.project == LOCAL_PROJECT

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def name(self) -> str:
        """The resource name that the Admin API takes."""
        return f"{self.parent}/services/{self.service}"

    @property
    def probe_job(self) -> str:
        """The resource name of the job that holds its probes, where they are held inside the network."""
        return f"{self.parent}/jobs/{self.service}-probe"

    def revision_name(self, revision: str) -> str:
        return f"{self.name}/revisions/{revision}"

    @classmethod
    def parse(cls, text: str) -> ServiceRef | None:
        """Read ``projects/P/locations/L/services/S``; anything else is None."""
        match = _SERVICE_NAME.fullmatch(text)
        return cls(*match.groups()) if match else None


class Target(Struct, frozen=True):
    """One line of a split. ``revision`` None stands for LATEST, to which a rollout gives no traffic.

    A tag of somebody's that follows LATEST goes on to follow it: it shows whatever is ready last, at 0 %.
    """

    revision: str | None
    percent: int = 0
    tag: str = ""
    uri: str = ""  # only in what Cloud Run reports; not part of what we write


class Split(Struct, frozen=True):
    """How new connections are shared. Order is kept; one revision may stand in several lines (tags)."""

    targets: tuple[Target, ...] = ()

    def __str__(self) -> str:
        """``a 95%, b 5%``, for messages."""
        return worded(self.serving)

    def percent_of(self, revision: str) -> int:
        return sum(t.percent for t in self.targets if t.revision == revision)

    def tagged(self, tag: str) -> str | None:
        """The revision behind a tag, or None."""
        return next((t.revision for t in self.targets if t.tag == tag), None)

    def uri_of(self, tag: str) -> str:
        return next((t.uri for t in self.targets if t.tag == tag), "")

    @property
    def own(self) -> Split:
        """Without the lines that only carry other people's tags."""
        return Split(tuple(t for t in self.targets if t.percent or t.tag in OUR_TAGS))

    @property
    def revisions(self) -> tuple[str, ...]:
        """Every revision named, in order, once."""
        return tuple(dict.fromkeys(t.revision for t in self.targets if t.revision))

    @property
    def serving(self) -> Mapping[str, int]:
        """Revision to percent, for all that get traffic. LATEST is the key ``""``."""
        shares: dict[str, int] = {}
        for target in self.targets:
            if target.percent:
                key = target.revision or ""
                shares[key] = shares.get(key, 0) + target.percent
        return shares

    def shares_with(self, other: Split) -> bool:
        """Whether both send the same percentages to the same revisions (tags aside)."""
        return self.serving == other.serving

    @classmethod
    def between(
        cls, stable: str, candidate: str | None, percent: int, foreign: Iterable[Target] = ()
    ) -> Split:
        """The split of one stage, with our two tags set; other people's tags ride along at 0 %.

        Args:
            percent: the candidate's share, 0-100.
            foreign: targets whose tags are kept; their percentages are ignored.
        """
        lines = [Target(stable, 100 - percent, STABLE_TAG)]
        if candidate:
            lines.append(Target(candidate, percent, CANDIDATE_TAG))
        lines += [Target(t.revision, 0, t.tag) for t in foreign if t.tag and t.tag not in OUR_TAGS]
        return cls(tuple(lines))


def worded(shares: Mapping[str, int]) -> str:
    """``a 95%, LATEST 5%``: of ``Split.serving``."""
    return ", ".join(f"{name or 'LATEST'} {share}%" for name, share in shares.items()) or "nothing"


class Readiness(StrEnum):
    """What a revision's own Ready condition says."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"


class Revision(Struct, frozen=True):
    """One revision as Cloud Run reports it."""

    name: str
    uid: str
    create_time: datetime
    readiness: Readiness
    image: str = ""
    message: str = ""  # of the condition that is not ready; holds the last log lines of a failed start
    nonce: str = ""  # what its telemetry lines must carry; empty for a revision that we did not deploy
    min_instances: int = 0
    timeout: timedelta = timedelta(minutes=5)  # of a request, so of a socket

    @property
    def is_ready(self) -> bool:
        return self.readiness is Readiness.READY


class LiveService(Struct, frozen=True):
    """One read of the service: everything that a decision may rest on.

    ``wanted`` is spec traffic, ``serving`` is status traffic. ``etag`` belongs to this very read and goes with any
    write that is decided on it. Until the service ``is_settled`` its status may still be that of an older write.
    """

    ref: ServiceRef
    uid: str
    etag: str
    generation: int
    wanted: Split
    serving: Split
    annotations: Mapping[str, str]
    uri: str
    labels: Mapping[str, str] = field(default_factory=dict)
    reconciling: bool = False
    observed_generation: int = 0
    latest_ready: str = ""
    latest_created: str = ""
    last_modifier: str = ""
    update_time: datetime | None = None
    request_timeout: timedelta = timedelta(minutes=5)
    session_affinity: bool = False
    ingress_all: bool = True
    ingress_balanced: bool = False  # not all, and a load balancer of the internet too
    default_uri_disabled: bool = False
    http2: bool = False
    failure: str = ""  # the terminal condition's message when it failed
    template: str = ""  # a hash of all of it: equal while nobody changed it

    @property
    def record_text(self) -> str | None:
        return self.annotations.get(RECORD_ANNOTATION)

    @property
    def is_settled(self) -> bool:
        """Whether the status is of what was asked for last.

        A reconciliation that failed leaves ``observed_generation`` where it was, for good.

        Source: docstring of google.cloud.run_v2.Service.reconciling.
        """
        return not self.reconciling and (self.observed_generation >= self.generation or bool(self.failure))

    @property
    def awaits_revision(self) -> bool:
        """It is being reconciled because a revision is still to be judged; traffic itself may long be right."""
        return self.reconciling and self.latest_created != self.latest_ready

    @property
    def pinned(self) -> Split:
        """Spec traffic with what LATEST is given as what that means now: the latest ready revision; None while nothing is.

        A tag that follows LATEST still does: a line of its own where it stood on one with traffic.
        """
        targets: list[Target] = []
        for t in self.wanted.targets:
            if t.revision or not t.percent:
                targets.append(t)
                continue
            targets.append(Target(self.latest_ready or None, t.percent))
            if t.tag:
                targets.append(Target(None, 0, t.tag, t.uri))
        return Split(tuple(targets))

    @property
    def serves_nobody(self) -> bool:
        """It is settled and no revision ever became ready: there is no traffic that could be moved."""
        return not (self.reconciling or self.serving.serving or self.latest_ready)

    def leads_to(self, revision: str, tag: str) -> str:
        """The tag's address, where it leads to this revision and will: what is served may not be wanted any more. Else empty."""
        is_it = self.serving.tagged(tag) == self.wanted.tagged(tag) == revision
        return self.serving.uri_of(tag) if is_it else ""

    def shows(self, split: Split) -> bool:
        """Whether this split was read back: seen in a status that cannot be an older write's."""
        return self.is_settled and self.serving.shares_with(split)


class Outcome(Enum):
    """How a rollout ended: the name that JSON carries, and the exit code of the command that asked for it.

    0 only where the wished image has the traffic. (``rollback`` asks for something else, and has codes of its own.)
    """

    PROMOTED = ("promoted", 0)
    FIRST_DEPLOYMENT = ("first_deployment", 0)
    FIRST_DEPLOYMENT_UNHEALTHY = ("first_deployment_unhealthy", 17)
    ROLLED_BACK_BY_HAND = ("rolled_back_by_hand", 11)
    SUPERSEDED = ("superseded", 16)
    CHECKS_FAILED = ("checks_failed", 10)
    STOPPED_AT_ZERO = ("stopped_at_zero", 11)
    ROLLED_BACK = ("rolled_back", 11)
    ROLLBACK_UNVERIFIED = ("rollback_unverified", 12)
    PAUSED = ("paused", 13)
    UNDER_WAY = ("under_way", 15)

    def __init__(self, label: str, exit_code: int) -> None:
        self.label = label
        self.exit_code = exit_code


class Request(Struct, frozen=True):
    """One request as the platform's request log has it once it ended; a WebSocket is one.

    Args:
        status: of the answer; 101 for a WebSocket that was granted.
        seconds: from its beginning to its end.
        client: the remote address.
    """

    status: int
    seconds: float = 0.0
    client: str = ""


SYSTEM_LOG, REQUEST_LOG = "varlog/system", "requests"  # what the platform itself writes, and nobody else can


class LogLine(Struct, frozen=True):
    """One log entry, as far as evidence needs it.

    Args:
        at: the entry's timestamp; of a request's, when the request ended.
        payload: jsonPayload, empty for text lines.
        instance: which of the revision's instances it is of; empty where the platform does not say.
        log: which log it stands in: ``SYSTEM_LOG``, ``REQUEST_LOG``, else what the service itself wrote.
        request: of the request log's lines alone.
    """

    insert_id: str
    at: datetime
    revision: str
    severity: str = "DEFAULT"
    text: str = ""
    payload: Mapping[str, object] = field(default_factory=dict)
    instance: str = ""
    log: str = ""
    request: Request | None = None


def is_reserved(key: str) -> bool:
    """Whether Cloud Run keeps annotations and labels of this key's namespace to itself."""
    prefix, slash, _ = key.partition("/")
    return bool(slash) and any(prefix == name or prefix.endswith(f".{name}") for name in RESERVED_NAMESPACES)
