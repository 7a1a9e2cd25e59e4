"""What a repository shows of its service: how it starts, its WebSocket, its messages, its cloud, its CI.

Files are read, never run. Whatever cannot be read is not seen, and no error.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from checks.service import javascript, look
from checks.service.facts import Handled, Service
from checks.service.routes import ASGI
from checks.tree.files import READ_LIMIT_BYTES
from pipeline.scaffold import dockerfile

_VENVS = (".venv", "venv", "env")
_CI = (
    (".github/workflows", "GitHub Actions"),
    (".gitlab-ci.yml", "GitLab CI"),
    ("cloudbuild.yaml", "Cloud Build"),
)
_STARTS = ("execute", "run", "start", "ask", "prompt", "query", "chat", "message", "submit")
_MOST_BYTES = 256 * 1024


class Repository(Struct, frozen=True):
    """What was seen.

    Args:
        name: for the service: of the live one that is named somewhere, of the project, or of the folder.
        framework: empty where none was seen.
        command: how the service is started here, in words of an image; ``directory`` is where. Empty: not seen.
        starts: the message that a client begins a run with, and what it leads to; None: not seen.
        project, region: that some file of the repository deploys to; empty: not seen.
        is_watched: the telemetry middleware is in the source already.
        prefix: of the folder in a repository of git that is larger, as in ``services/chat``; empty at its top.
    """

    root: Path
    name: str
    framework: str = ""
    service: Service = field(default_factory=Service)
    command: tuple[str, ...] = ()
    directory: str = "."
    dockerfile: str = ""
    starts: Handled | None = None
    project: str = ""
    region: str = ""
    pulumi: str = ""
    ci: str = ""
    prefix: str = ""

    @property
    def path(self) -> str:
        """Of the WebSocket; empty: not seen."""
        return self.service.routes[0].path if self.service.routes else ""

    @property
    def is_watched(self) -> bool:
        return self.service.watched is not None

    @property
    def is_python(self) -> bool:
        return bool(self.service.applications) and not self.is_node

    @property
    def is_node(self) -> bool:
        return bool(javascript.framework(self.root))


def see(root: Path) -> Repository:
    """Raises CheckError when the root is no folder that can be read."""
    python = look.look(root)
    node = javascript.framework(root)
    is_node = bool(node) and not python.routes
    service = javascript.look(root) if is_node else python
    framework = node if is_node else next((a.framework for a in python.applications), "")
    docker = read(root, "Dockerfile")
    command, directory = _start(root, service, docker, is_node=is_node)
    deployed = _deployed(root)
    return Repository(
        root=root,
        name=deployed.get("service") or _named(root),
        framework=framework,
        service=service,
        command=command,
        directory=directory,
        dockerfile="Dockerfile" if docker else "",
        starts=_starting(service.handled),
        project=deployed.get("project", ""),
        region=deployed.get("region", ""),
        pulumi="Pulumi.yaml" if (root / "Pulumi.yaml").is_file() else "",
        ci=next((name for path, name in _CI if os.path.lexists(root / path)), ""),
        prefix=_prefix(root),
    )


def _prefix(root: Path) -> str:
    """Where the root is in the repository of git around it; empty where it is its top, or in none."""
    here = root.resolve()
    top = next((each for each in (here, *here.parents) if os.path.lexists(each / ".git")), here)
    return "" if top == here else here.relative_to(top).as_posix()


def read(root: Path, path: str) -> str:
    """A text file; empty where it is none."""
    file = root / path
    try:
        if not file.is_file() or file.stat().st_size > min(_MOST_BYTES, READ_LIMIT_BYTES):
            return ""
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def service_name(text: str) -> str:
    """A name that Cloud Run takes, made of any text."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.rpartition("/")[2].lower()).strip("-")
    plain = re.sub(r"^[^a-z]+", "", plain)[:49].strip("-")
    return plain or "service"


def _named(root: Path) -> str:
    try:
        project: Any = tomllib.loads(read(root, "pyproject.toml")).get("project", {})
    except tomllib.TOMLDecodeError:
        project = {}
    named = project.get("name") if isinstance(project, dict) else ""
    return service_name(str(named or javascript.package(root).get("name") or root.resolve().name))


def _starting(handled: tuple[Handled, ...]) -> Handled | None:
    """The message that most follows from; of several, the one whose name says so."""

    def weight(row: Handled) -> tuple[int, bool]:
        return len(row.sends), any(word in row.type.lower() for word in _STARTS)

    able = [row for row in handled if row.sends]
    return max(able, key=weight) if able else None


def _start(root: Path, service: Service, docker: str, *, is_node: bool) -> tuple[tuple[str, ...], str]:
    """The command and its folder: the Dockerfile's, else what the framework is started with."""
    said = dockerfile.command(docker)
    if not said and is_node:
        package = javascript.package(root)
        scripts = package.get("scripts")
        start = scripts.get("start", "") if isinstance(scripts, dict) else ""
        said = dockerfile.words_of(str(start)) or ["node", str(package.get("main") or "index.js")]
    made = next(
        (a for a in service.applications if a.framework in ASGI and a.server and "." not in a.server), None
    )
    if not said and made:
        module = made.where.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        said = [
            "uvicorn",
            f"{module}:{made.server}",
            *(["--factory"] if made.factory else []),
            "--port",
            "$PORT",
        ]
    if not said and (script := _script(root, service)):
        said = ["python", script]
    if not said:
        return (), "."
    return dockerfile.for_this_machine(said, interpreter(root)), _folder(said, service)


def _script(root: Path, service: Service) -> str:
    """A file of the service that starts it when it is run; empty where there is none."""
    places = [*(a.where.path for a in service.applications), *(r.where.path for r in service.routes)]
    return next((path for path in places if "__main__" in read(root, path)), "")


def _folder(words: list[str], service: Service) -> str:
    """Where ``module:app`` can be imported, or the file of the command is: the root, or a folder below it."""
    paths = [a.where.path for a in service.applications]
    for word in words:
        module = word.partition(":")[0].replace(".", "/") + ".py" if ":" in word else word
        for path in paths:
            if path == module:
                return "."
            if path.endswith(f"/{module}"):
                return path.removesuffix(f"/{module}")
    return "."


def interpreter(root: Path) -> str:
    """The project's own Python; ``{python}``, Spillway's, where it has none."""
    there = (name for name in _VENVS if os.path.lexists(root / name / "bin" / "python"))
    return next((f"{{project}}/{name}/bin/python" for name in there), "{python}")


def _deployed(root: Path) -> Mapping[str, str]:
    """What files of the repository say of where it goes: stacks of Pulumi, workflows, scripts with ``gcloud run deploy``."""
    found: dict[str, str] = {}
    for text in _deploying(root):
        for key, pattern in _PATTERNS.items():
            match = re.search(pattern, text, re.MULTILINE)
            if match and "$" not in match[1]:
                found.setdefault(key, match[1])
    return found


_PATTERNS = {
    "service": r"gcloud (?:beta )?run deploy ([a-z][a-z0-9-]{0,48})\b",
    "project": r"""(?:gcp:project:|--project[= ]|PROJECT_ID:)\s*["']?([a-z][a-z0-9-]{4,28}[a-z0-9])\b""",
    "region": r"""(?:gcp:region:|--region[= ]|REGION:)\s*["']?([a-z]+-[a-z]+\d)\b""",
}


def _deploying(root: Path) -> Iterator[str]:
    for pattern in (
        "Pulumi.*.yaml",
        ".github/workflows/*.y*ml",
        "cloudbuild*.yaml",
        "Makefile",
        "deploy*.sh",
        ".gitlab-ci.yml",
    ):
        for file in sorted(root.glob(pattern)):
            yield read(root, str(file.relative_to(root)))
