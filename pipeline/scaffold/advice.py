"""What a person is told after ``init``: what was seen, where the telemetry's lines go, and the next commands."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipeline.scaffold.repository import Repository

_MOST = 8
_MIDDLEWARES = frozenset({"fastapi", "starlette"})


def seen(repo: Repository) -> Iterator[str]:
    """One line for each thing that was seen or missed."""
    yield f"framework   {repo.framework or 'not seen'}"
    yield from _conversations(repo)
    if repo.dockerfile:
        yield f"image       {repo.dockerfile}"
    if repo.command:
        yield f"start       {' '.join(repo.command)}"
    if repo.project or repo.region:
        yield f"cloud       {repo.project or '?'} in {repo.region or '?'}"
    if repo.pulumi:
        yield f"pulumi      {repo.pulumi}: two programs that declare one service undo each other; take it out of yours"
    if repo.ci:
        yield f"ci          {repo.ci}"


def _conversations(repo: Repository) -> Iterator[str]:
    routes, handled = repo.service.routes, repo.service.handled
    for route in routes:
        yield f"websocket   {route.path}  ({route.where})"
    if not routes:
        yield "websocket   no route seen"
    for row in handled[:_MOST]:
        sends = ", ".join(sent.type for sent in row.sends) or "nothing seen"
        yield f"message     {row.type}  ({row.where}, {row.style}) -> {sends}"
    if len(handled) > _MOST:
        yield f"            and {len(handled) - _MOST} more"
    if not handled:
        yield "message     no type seen"


def telemetry(repo: Repository) -> list[str]:
    """The lines that make the service judged by its users' runs, and where they go."""
    if repo.service.watched:
        return [f"telemetry   {repo.service.watched}: SpillwayTelemetry is there"]
    application = next(
        (a for a in repo.service.applications if a.framework == repo.framework and a.name), None
    )
    if not repo.is_asgi or application is None:
        what = repo.framework or "this service"
        return [
            f"telemetry   is an ASGI middleware, and {what} is not ASGI: it is judged by scenarios alone (evidence: probes)"
        ]
    where = f"{application.where.path}:{application.end or application.where.line}"
    if application.framework in _MIDDLEWARES:
        line = f"{application.name}.add_middleware(SpillwayTelemetry{_arguments(repo)})"
        how = f"{where}  after this line:"
    else:
        line = f"{application.name} = SpillwayTelemetry({application.name}{_arguments(repo)})"
        how = f"{application.where.path}  as the last lines:"
    return [
        "telemetry   to be judged by users' runs, add to the service:",
        f"  {how}",
        "    from pipeline.telemetry.asgi import SpillwayTelemetry",
        f"    {line}",
        "  its image needs the package, and nothing that the package needs: pip install --no-deps",
        "  then, in spillway.yaml: evidence: users, and the criteria",
    ]


def _arguments(repo: Repository) -> str:
    if repo.starts is None:
        return ""
    events = [json.dumps(sent.type) for sent in repo.starts.sends]
    expects = f"({', '.join(events)},)" if len(events) == 1 else f"({', '.join(events)})"
    field = "" if repo.service.type_field == "type" else f", type_field={json.dumps(repo.service.type_field)}"
    return f", starts=({json.dumps(repo.starts.type)},), expects={expects}, within_s=10{field}"


def following(repo: Repository) -> list[str]:
    """The next commands."""
    if not repo.command:
        return ["next: name the command under images: in spillway.yaml, then: spillway local up"]
    return [
        "next:",
        "  spillway local up",
        "  spillway rollout --env local --image app    the first revision: all traffic, probed at once",
        "  spillway rollout --env local --image app    after a change: in stages, and back by itself when it fails",
    ]
