"""What a person is told after ``init``: what was seen, where the telemetry's lines go, and the next commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from checks.service.facts import Application
from checks.service.routes import ASGI
from pipeline import telemetry as package
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
        return [f"telemetry   {repo.service.watched}: it is there"]
    application = next(
        (a for a in repo.service.applications if a.framework == repo.framework and a.name), None
    )
    if application is None or not (repo.framework in ASGI or repo.framework == "ws"):
        what = repo.framework or "this service"
        return [f"telemetry   there is none for {what}: it is judged by scenarios alone (evidence: probes)"]
    lines = _of_node(application) if repo.framework == "ws" else _of_asgi(application)
    return [
        "telemetry   to be judged by users' runs, add to the service:",
        *lines,
        "  then, in spillway.yaml: evidence: users, and the criteria; what a run is it learns from the scenarios",
    ]


def _of_asgi(application: Application) -> list[str]:
    name, where = application.name, application.where
    if application.framework in _MIDDLEWARES:
        how, line = (
            f"{where.path}:{application.end}  after this line:",
            f"{name}.add_middleware(SpillwayTelemetry)",
        )
    else:
        how, line = f"{where.path}  as the last lines:", f"{name} = SpillwayTelemetry({name})"
    return [
        f"  {how}",
        "    from pipeline.telemetry import SpillwayTelemetry",
        f"    {line}",
        "  its image needs the package, and nothing that the package needs: pip install --no-deps",
    ]


def _of_node(application: Application) -> list[str]:
    """One file that is copied; as ``.cjs``, which modules of both kinds can load."""
    file = Path(package.__file__ or "").parent / "node" / "spillway-telemetry.js"
    return [
        f"  cp {file} spillway-telemetry.cjs",
        f"  {application.where.path}:{application.end}  after this statement:",
        '    import { spillwayTelemetry } from "./spillway-telemetry.cjs";    // or: = require(...)',
        f"    spillwayTelemetry({application.name});",
    ]


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
