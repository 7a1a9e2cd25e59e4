"""socket-config: the service is declared so that WebSockets live as long as a conversation needs.

Theory of operation. What is declared comes in as values (see ``settings.DeclaredService``); only the entry point is
read, for whether anything in it ends well on SIGTERM. Cloud Run's limits are the sources of each complaint.

Source: https://cloud.google.com/run/docs/triggering/websockets
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from checks.finding import Confidence, Finding, Severity
from checks.rules.protocol import Brief, Project, Rule
from checks.settings import DeclaredService, Settings
from checks.tree.symbols import dotted
from checks.tree.tree import Tree

NAME = "socket-config"
_LONGEST_S = 3600.0
_UNDECLARED_S = 300.0
_SERVERS = ("uvicorn", "hypercorn", "gunicorn", "granian", "daphne", "aiohttp.web.run_app", "web.run_app")


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    return {} if settings.socket_config is not None else None


def judge(project: Project, _asked: Brief, _facts: Mapping[str, Any]) -> Iterator[Finding]:
    declared = project.settings.socket_config
    assert declared
    for name, severity, message in _complaints(declared):
        path, line = declared.declared_in.get(name, ("", 0))
        yield Finding(NAME, path, line, 1, severity, Confidence.HIGH, message)
    if declared.entry_point:
        yield from _entry_point(project.now, declared.entry_point)


Complaint = tuple[str, Severity, str]


def _complaints(d: DeclaredService) -> Iterator[Complaint]:
    """What is wrong with a declaration: the field, how bad it is, and why."""
    timeout = _UNDECLARED_S if d.timeout_s is None else d.timeout_s
    error, warning = Severity.ERROR, Severity.WARNING
    known: tuple[tuple[bool, str, Severity, str], ...] = (
        (
            d.timeout_s is None, "timeout_s", warning,
            "no request timeout is declared: Cloud Run closes every socket after 300 s",
        ),
        (
            timeout < d.scenario_s, "timeout_s", error,
            f"request timeout of {timeout:g} s is shorter than the scenario's {d.scenario_s:g} s: sockets are cut in the middle",
        ),
        (
            timeout > _LONGEST_S, "timeout_s", error,
            f"request timeout of {timeout:g} s: Cloud Run takes at most {_LONGEST_S:g} s",
        ),
        (d.http2, "http2", error, "HTTP/2 end-to-end is on: WebSocket upgrades never reach the container"),
        (
            d.session_affinity, "session_affinity", warning,
            "session affinity is on: clients stick to their revision, so the traffic split is not what users see",
        ),
        (
            d.ingress not in ("", "all"), "ingress", error,
            f"ingress {d.ingress!r}: tag URLs answer 404 from outside, so a candidate cannot be probed",
        ),
        (
            d.candidate_min_instances > 0, "candidate_min_instances", warning,
            f"min instances of {d.candidate_min_instances} on the revision: a candidate at 0 % costs money as long as it exists",
        ),
        (
            d.is_production and d.deletion_protection is False, "deletion_protection", error,
            "deletion protection is off in production",
        ),
    )  # fmt: skip
    return ((name, severity, message) for is_wrong, name, severity, message in known if is_wrong)


def _entry_point(tree: Tree, path: str) -> Iterator[Finding]:
    parsed = tree.parsed(path)
    if parsed is None:
        hint = "" if tree.has(path) else tree.hint(path)
        message = f"the entry point {path} is not there or cannot be parsed{hint}"
        yield Finding(NAME, path, 1, 1, Severity.ERROR, Confidence.MEDIUM, message)
    elif not any(_ends_well(node) for node in ast.walk(parsed.tree)):
        message = "nothing here ends well on SIGTERM: sockets break 10 s after Cloud Run stops an instance"
        yield Finding(NAME, path, 1, 1, Severity.WARNING, Confidence.MEDIUM, message)


def _ends_well(node: ast.AST) -> bool:
    """A handler for SIGTERM, a server that has one, or a lifespan that the server runs."""
    if isinstance(node, ast.Attribute | ast.Name):
        return dotted(node).rpartition(".")[2] in ("SIGTERM", "lifespan", "on_shutdown")
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        return name.startswith(_SERVERS) or any(
            keyword.arg in ("lifespan", "on_shutdown") for keyword in node.keywords
        )
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in ("uvicorn", "gunicorn", "shutdown")
    )


RULE = Rule(
    name=NAME,
    summary="The service is declared so that WebSockets live as long as conversations need.",
    why="""\
Cloud Run treats a WebSocket as one long request: the request timeout cuts it (300 s unless declared, 3,600 s at
most), HTTP/2 end-to-end refuses the upgrade, session affinity overrides the traffic split, an internal ingress makes
tag URLs answer 404, and ten seconds after SIGTERM an instance is gone with every socket on it.
""",
    brief=brief,
    judge=judge,
)
