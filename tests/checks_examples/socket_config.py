"""Small declarations for socket-config; the tests are made from them."""

from __future__ import annotations

from msgspec.structs import replace

from checks.settings import DeclaredService, Settings
from tests.checks_examples.example import Example

_FIELDS = (
    "timeout_s",
    "http2",
    "session_affinity",
    "ingress",
    "candidate_min_instances",
    "deletion_protection",
)
_GOOD = DeclaredService(
    timeout_s=3600,
    scenario_s=60,
    deletion_protection=True,
    declared_in={name: ("spillway.yaml", line) for line, name in enumerate(_FIELDS, 1)},
)


def _case(title: str, declared: DeclaredService, *finds: str, **files: str) -> Example:
    sources = {f"{name}.py": text for name, text in files.items()}
    return Example(title, sources, Settings(socket_config=declared), finds)


VALID = (
    _case("all well", _GOOD),
    _case("no protection on staging", replace(_GOOD, deletion_protection=False)),
    _case(
        "a server with a handler",
        replace(_GOOD, entry_point="main.py"),
        main="import uvicorn\nuvicorn.run('a:b')\n",
    ),
    _case(
        "a handler",
        replace(_GOOD, entry_point="main.py"),
        main="import signal\nsignal.signal(signal.SIGTERM, print)\n",
    ),
)

INVALID = (
    _case("too short", replace(_GOOD, timeout_s=30), "spillway.yaml:1"),
    _case("undeclared", replace(_GOOD, timeout_s=None), "spillway.yaml:1 ?"),
    _case(
        "undeclared and too short",
        replace(_GOOD, timeout_s=None, scenario_s=600),
        "spillway.yaml:1 ?",
        "spillway.yaml:1",
    ),
    _case("too long", replace(_GOOD, timeout_s=7200), "spillway.yaml:1"),
    _case("HTTP/2", replace(_GOOD, http2=True), "spillway.yaml:2"),
    _case("affinity", replace(_GOOD, session_affinity=True), "spillway.yaml:3 ?"),
    _case("ingress", replace(_GOOD, ingress="internal"), "spillway.yaml:4"),
    _case("idle candidate", replace(_GOOD, candidate_min_instances=2), "spillway.yaml:5 ?"),
    _case("unprotected", replace(_GOOD, is_production=True, deletion_protection=False), "spillway.yaml:6"),
    _case("no SIGTERM", replace(_GOOD, entry_point="main.py"), "main.py:1 ?", main="while True:\n    pass\n"),
    _case("no entry point", replace(_GOOD, entry_point="gone.py"), "gone.py:1 ?"),
)
