"""The service as it is: ingress, what beats the split, whether tag addresses answer, and whether its users are seen."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msgspec import Struct

from pipeline.config.environments_section import Environment
from pipeline.config.schema import Config
from pipeline.doctor.answer import Answer, note, ok, unasked, wrong
from pipeline.driving.ports import LogSource
from pipeline.errors import JobNotFound, RequestRejected
from pipeline.model import LiveService, LogLine
from pipeline.probe.route import Ways
from pipeline.probe.target import target_of
from pipeline.telemetry.lines import Accepted, Run, Unasked, from_payload, is_telemetry

_TIMEOUT_S = 5.0
_LOOKED_BACK = timedelta(hours=1)


def settings(live: LiveService, ways: Ways | None = None, *, is_inside: bool = False) -> Sequence[Answer]:
    """What of the service decides whether a rollout can be.

    Args:
        ways: by which probes go, if not the tags' addresses.
        is_inside: a job inside the network holds them.
    """
    made = [ok("service", f"{live.ref.name}, {live.wanted or 'no traffic'}")]
    is_shut, failure = not live.ingress_all and not is_inside, "".join(live.failure.splitlines()[:1])
    amiss = (
        (is_shut and ways is None, wrong, "ingress", "not open to all: tag addresses answer 404", _open(live, "--ingress all")),
        (live.default_uri_disabled and ways is None, wrong, "address", "the default address is off: tag addresses too", _open(live, "--default-url")),
        (live.session_affinity, note, "affinity", "session affinity beats the traffic split", _update(live, "--no-session-affinity")),
        (live.http2, wrong, "http2", "HTTP/2 end-to-end: WebSockets need HTTP/1", _update(live, "--no-use-http2")),
        (live.failure, note, "condition", failure[:160], "See it: spillway status"),
    )  # fmt: skip
    made += [answer(name, said, fix) for is_so, answer, name, said, fix in amiss if is_so]
    if len(made) == 1:
        way = "open" if ways is None else "probes go by probes.address"
        way = "probes are held inside, by probes.from: job" if is_inside and not live.ingress_all else way
        made.append(ok("ingress", f"{way}, HTTP/1, no session affinity"))
    return made


def _open(live: LiveService, option: str) -> str:
    return f"Name a load balancer's addresses (docs/reaching.md), or: {_update(live, option)}"


def _update(live: LiveService, option: str) -> str:
    ref = live.ref
    return (
        f"gcloud run services update {ref.service} --project {ref.project} --region {ref.location} {option}"
    )


def probe_job(image: Callable[[], str]) -> Sequence[Answer]:
    """Whether the job that holds the probes is there, and may be looked at. Args: image: of it."""
    try:
        return [ok("probe job", f"there, of {image()}")]
    except RequestRejected as error:
        fix = "Mend its image under probes.job; the next deployment's Pulumi program declares it anew"
        return [wrong("probe job", f"{error.what}: {error.why}", fix)]
    except JobNotFound as error:
        fix = "The Pulumi program makes it with the next deployment: spillway rollout --image IMAGE"
        return [note("probe job", error.what, fix)]


def tags(live: LiveService, ways: Ways | None = None, *, is_inside: bool = False) -> Sequence[Answer]:
    """Whether each tag's address reaches the revision: any answer of the service will do, 404 with no tag will not."""
    if is_inside:
        return [unasked("tags", "probes are held inside the network (probes.from: job), and this is outside")]
    if ways is not None:
        both = (ways.to_stable(""), ways.to_candidate("", ""))
        return [_reached(route.name, route.url, dict(route.headers)) for route in both]
    tagged = [target for target in live.serving.targets if target.tag and target.uri]
    if not tagged:
        return [unasked("tags", "no revision is tagged yet: the first rollout sets stable and candidate")]
    return [_reached(target.tag, target.uri) for target in tagged]


def _reached(tag: str, uri: str, led: Mapping[str, str] | None = None) -> Answer:
    name = f"tag {tag}"
    host, port = target_of(uri)
    is_secure = urlsplit(uri).scheme in ("https", "wss")
    try:
        connection = (
            http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
            if is_secure
            else http.client.HTTPConnection(
                "127.0.0.1" if host.endswith(".localhost") else host, port, timeout=_TIMEOUT_S
            )
        )
        connection.request(
            "GET",
            "/",
            headers={"Host": urlsplit(uri).netloc, "User-Agent": "spillway-doctor", **(led or {})},
        )
        status = connection.getresponse().status
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        fix = "Look at the network and its proxy, then: spillway doctor"
        return wrong(name, f"{uri}: {type(error).__name__}: {error}", fix)
    if status in (401, 403):
        fix = "Probes need an ID token: id-token: true in the environment, and roles/run.invoker"
        return note(name, f"{uri}: HTTP {status}", fix)
    return ok(name, f"{uri} answers (HTTP {status} at /)")


def telemetry(
    live: LiveService, logs: LogSource, config: Config, environment: Environment, now: datetime
) -> Sequence[Answer]:
    """What the last hour's lines say of users: sockets, runs, and which message they never sent."""
    serving = [name for name in live.serving.serving if name]
    lines = logs.lines(live.ref, since=now - _LOOKED_BACK, revisions=serving)
    seen = counted(lines)
    if not seen.sockets:
        said = f"no telemetry line of {', '.join(serving) or 'any revision'} in the last hour"
        if environment.evidence == "probes":
            return [ok("telemetry", f"{said}; evidence: probes needs none")]
        fix = "Add the telemetry to the service (spillway init prints the lines), or write evidence: probes"
        return [wrong("telemetry", said, fix)]
    if not seen.runs and environment.evidence == "users":
        starts = ", ".join(seen.starts) or _starts(config)
        said = f"{seen.sockets} sockets, none asked for {starts or 'a run'}"
        fix = "Let a scenario send what users send (the telemetry learns it from there), or set starts in its call"
        return [wrong("telemetry", said, fix)]
    return [ok("telemetry", f"{seen.sockets} sockets of users, {seen.runs} runs in the last hour")]


class Seen(Struct):
    """Of users: sockets, decided runs, and what the middleware waited for in vain."""

    sockets: int = 0
    runs: int = 0
    starts: tuple[str, ...] = ()


def counted(lines: Sequence[LogLine]) -> Seen:
    """A probe's lines are not counted."""
    seen = Seen()
    for line in lines:
        if not is_telemetry(line.payload) or line.payload.get("probe"):
            continue
        match from_payload(line.payload):
            case Accepted():
                seen.sockets += 1
            case Run(outcome=outcome) if outcome != "idle":
                seen.runs += 1
            case Unasked(starts=starts):
                seen.starts = starts
    return seen


def _starts(config: Config) -> str:
    """The messages that the scenarios begin with."""
    sent = [message for scenario in config.build_scenarios() for message in scenario.sent[:1]]
    types = [str(each["type"]) for each in sent if isinstance(each, dict) and "type" in each]
    return ", ".join(dict.fromkeys(types))
