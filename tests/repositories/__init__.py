"""Three repositories of other people, as unlike as they come: what ``init`` meets.

Each is a folder beside this file. ``plant`` copies one and gives it what a developer has installed: an environment of its
own for Python, ``node_modules`` for Node. FastAPI and ``ws`` are not needed here: where they are not installed, the
smallest thing that behaves like them stands in, from ``stand_ins``.
"""

from __future__ import annotations

import importlib.util
import shutil
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Repository:
    """Args: breaks: file, and the text in it that becomes a fault which closes sockets."""

    name: str
    start: str
    path: str
    service: str
    breaks: tuple[str, str, str]


FASTAPI = Repository(
    "fastapi_enum_map", "execute_agent", "/v1/ws", "chat-backend",
    ("app/ws/agent.py", 'await tell(ws, "tool_completed", tool="search")', "await ws.close(1011)\n        return"),
)  # fmt: skip
STARLETTE = Repository(
    "starlette_registry", "ask", "/chat/example", "questions",
    ("server.py", 'await socket.send_text(json.dumps({"event": "answer"}))', 'raise KeyError("state")'),
)  # fmt: skip
NODE = Repository(
    "node_ws", "start_run", "/socket", "chat-node", ("server.js", 'send(ws, "run_completed", {});', "ws.close(1011);")
)  # fmt: skip
ALL = (FASTAPI, STARLETTE, NODE)


def plant(repository: Repository, parent: Path, *, installed: bool = False) -> Path:
    """A copy below ``parent``, in a folder of the service's name. Args: installed: with what it needs to run."""
    folder = parent / repository.service
    shutil.copytree(HERE / repository.name, folder)
    if installed and repository is NODE:
        shutil.copytree(HERE / "stand_ins" / "ws", folder / "node_modules" / "ws")
    elif installed:
        _environment(folder / ".venv")
    return folder


def _environment(folder: Path) -> None:
    """Has what the tests have, Spillway among it, and FastAPI."""
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    here = (sysconfig.get_path("purelib"), HERE.parents[1])
    (packages / "tests.pth").write_text("\n".join(map(str, here)), encoding="utf-8")
    if importlib.util.find_spec("fastapi") is None:
        shutil.copy(HERE / "stand_ins" / "fastapi.py", packages)
