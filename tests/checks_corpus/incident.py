"""The incident's backend before its fix: about forty files, five definitions of one helper, one missing map entry.

The names are those of the incident; the bodies are ours. ``EXPECTED`` says what each rule must find, line by line.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from checks.settings import EventMap, JsonSafeLogs, Settings, SingleSource

HELPER = "_safe_websocket_state_for_logging"
HOME = "websocket_core/utils.py"

_PACKAGES = ("websocket_core", "routes", "services", "agents", "models", "core", "tools")

_HOME_TEXT = '''\
"""Helpers of the socket layer."""

import logging
from enum import Enum
from typing import Any

logger = logging.getLogger(__name__)


def _safe_websocket_state_for_logging(state: Any) -> str:
    """Text for a socket state, whatever it is."""
    try:
        if isinstance(state, Enum):
            return str(state.name).lower()
        if hasattr(state, "name") and hasattr(state, "value"):
            return str(state.name).lower()
        return str(state)
    except Exception:
        return "<serialization_error>"


def is_websocket_connected(websocket: Any) -> bool:
    """Whether messages can be sent."""
    logger.debug("state", extra={"state": _safe_websocket_state_for_logging(websocket.client_state)})
    return getattr(websocket, "client_state", None) is not None
'''

_COPY = '''\


def _safe_websocket_state_for_logging(state) -> str:
    """A local copy."""
    if hasattr(state, "name"):
        return str(state.name).lower()
    return str(state)
'''

_TYPES = '''\
"""Message types and the map from the old names."""

from enum import Enum
from typing import Dict


class MessageType(str, Enum):
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    HEARTBEAT = "heartbeat"
    START_AGENT = "start_agent"
    AGENT_PROGRESS = "agent_progress"
    AGENT_RESPONSE = "agent_response"
    AGENT_RESPONSE_COMPLETE = "agent_response_complete"
    AGENT_ERROR = "agent_error"
    USER_MESSAGE = "user_message"


LEGACY_MESSAGE_TYPE_MAP: Dict[str, MessageType] = {
    "connect": MessageType.CONNECT,
    "disconnect": MessageType.DISCONNECT,
    "ping": MessageType.HEARTBEAT,
    "pong": MessageType.HEARTBEAT,
    "user_message": MessageType.USER_MESSAGE,
    "agent_started": MessageType.START_AGENT,
    "agent_thinking": MessageType.AGENT_PROGRESS,
    "tool_executing": MessageType.AGENT_PROGRESS,
    "tool_completed": MessageType.AGENT_PROGRESS,
    "agent_completed": MessageType.AGENT_RESPONSE_COMPLETE,
}


def normalize_message_type(name: str) -> MessageType:
    return LEGACY_MESSAGE_TYPE_MAP.get(name, MessageType.USER_MESSAGE)
'''

_ROUTE = (
    '''\
"""The socket endpoint."""

import json
import logging

from fastapi import APIRouter, WebSocket
from websocket_core.types import normalize_message_type

logger = logging.getLogger(__name__)
router = APIRouter()
'''
    + _COPY
    + """\


@router.websocket("/ws")
async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    logger.info("open", extra={"state": websocket.client_state})
    while True:
        message = await websocket.receive_json()
        kind = normalize_message_type(message["type"])
        logger.info("state %s", _safe_websocket_state_for_logging(websocket.client_state))
        await websocket.send_text(json.dumps({"type": kind, "state": websocket.application_state}))
"""
)

_POOL = (
    '''\
"""Open connections by user."""

import json
import logging
from datetime import datetime

from fastapi import WebSocket
from models.session import Session

logger = logging.getLogger(__name__)
'''
    + _COPY
    + """\


class WebSocketConnectionPool:
    def __init__(self) -> None:
        self.connections = {}

    def health(self, websocket) -> dict:
        state = websocket.client_state
        details = {"connected": len(self.connections)}
        details["state"] = state
        logger.info("health", extra=details)
        return {"state": _safe_websocket_state_for_logging(state), "at": datetime.now().isoformat()}

    def describe(self, websocket: WebSocket, session: Session) -> None:
        now = datetime.now()
        report = {
            "connections": len(self.connections),
            "active": [each.user.profile.name for each in self.connections.values() if each.is_open],
            "started": self.clock.started_at.replace(microsecond=0).isoformat(),
            "age": round((now - self.clock.started_at).total_seconds(), 1),
            "user": session.user.profile.display_name.strip().lower(),
            "thread": session.thread.latest.identifier.split("-")[0],
            "limits": [self.limits.per_user.hard, self.limits.per_user.soft, self.limits.total.hard],
            "headers": {"agent": websocket.headers.get("user-agent"), "origin": websocket.headers.get("origin")},
            "websocket_state": websocket.application_state,
        }
        logger.info("connection report", extra=report)
        logger.debug(json.dumps(report))
"""
)

_AUTH = (
    '''\
"""Authentication of sockets."""

import json
import logging

from starlette.websockets import WebSocketState

logger = logging.getLogger(__name__)
'''
    + _COPY
    + """\


def authenticate(websocket) -> bool:
    if websocket.client_state != WebSocketState.CONNECTED:
        logger.error(json.dumps({"event": "refused", "expected": WebSocketState.CONNECTED.name, "state": websocket.client_state}))
        return False
    logger.info("state %s", _safe_websocket_state_for_logging(websocket.client_state))
    return True
"""
)

_SERVICE = (
    '''\
"""Authentication, for everything."""

import logging

from models.session import Session

logger = logging.getLogger(__name__)
'''
    + _COPY
    + """\


class UnifiedAuthenticationService:
    def check(self, websocket, session: Session) -> bool:
        try:
            return session.user is not None
        except ValueError as error:
            logger.error("failed", extra={"error": str(error), "phase": session.phase, "user": session.user})
            logger.debug("state %s", _safe_websocket_state_for_logging(websocket.client_state))
            return False
"""
)

_USER = '''\
"""Sends what agents say."""

import logging

from websocket_core.utils import _safe_websocket_state_for_logging

logger = logging.getLogger(__name__)


async def send(websocket, event: dict) -> None:
    logger.info("send", extra={"state": _safe_websocket_state_for_logging(websocket.client_state)})
    await websocket.send_json(event)
'''

_SESSION = '''\
"""A session, as stored."""

from dataclasses import dataclass
from enum import Enum


class SessionPhase(Enum):
    NEW = 1
    ACTIVE = 2
    CLOSED = 3


@dataclass
class Session:
    user: str
    phase: SessionPhase = SessionPhase.NEW
'''

_LOGGING = '''\
"""Every log line is one line of JSON."""

import json
import logging

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    def format(self, record):
        line = {"severity": record.levelname, "message": record.getMessage()}
        line.update({k: v for k, v in record.__dict__.items() if k not in _PLAIN})
        return json.dumps(line)


def configure() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
'''

_FILLER = '''\
"""{title}."""

import logging

logger = logging.getLogger(__name__)


class {name}:
    """Does its part; logs text only."""

    def __init__(self, limit: int = {number}) -> None:
        self.limit = limit
        self.seen: list[str] = []

    def run(self, item: str) -> int:
        logger.info("run %s of %s", item, self.limit, extra={{"item": item, "limit": self.limit}})
        self.seen.append(item)
        return len(self.seen)
'''

FILES: dict[str, str] = {f"{package}/__init__.py": "" for package in _PACKAGES}
FILES |= {
    HOME: _HOME_TEXT,
    "websocket_core/types.py": _TYPES,
    "websocket_core/unified_websocket_auth.py": _AUTH,
    "websocket_core/sender.py": _USER,
    "routes/websocket.py": _ROUTE,
    "services/websocket_connection_pool.py": _POOL,
    "services/unified_authentication_service.py": _SERVICE,
    "models/session.py": _SESSION,
    "core/logs.py": _LOGGING,
    "tests/test_utils.py": f"def {HELPER}(state):\n    return 'a stand-in'\n",
    "README.md": f"Use `{HELPER}`.\n",
}
_NAMES = (
    "agents/supervisor", "agents/triage", "agents/data", "agents/reporting", "agents/registry", "core/config",
    "core/database", "core/metrics", "core/scheduler", "core/tracing", "models/message", "models/thread", "models/user",
    "routes/agents", "routes/health", "routes/threads", "services/billing", "services/search", "services/threads",
    "tools/executor", "tools/dispatcher", "tools/catalog", "websocket_core/heartbeat", "websocket_core/rooms",
)  # fmt: skip
FILES |= {
    f"{name}.py": _FILLER.format(title=name, name="".join(p.title() for p in name.split("/")), number=i + 1)
    for i, name in enumerate(_NAMES)
}

REQUIRED = {
    "execute_agent": "START_AGENT",
    "agent_started": "START_AGENT",
    "agent_thinking": "AGENT_PROGRESS",
    "tool_executing": "AGENT_PROGRESS",
    "tool_completed": "AGENT_PROGRESS",
    "agent_completed": "AGENT_RESPONSE_COMPLETE",
}

SETTINGS = Settings(
    single_source=(SingleSource(HELPER, HOME),),
    event_map=(EventMap("LEGACY_MESSAGE_TYPE_MAP", "websocket_core/types.py", REQUIRED),),
    messages=tuple(REQUIRED),
    json_safe_logs=JsonSafeLogs(safe=(HELPER,)),
)


def _line(path: str, text: str) -> int:
    return next(i for i, line in enumerate(FILES[path].split("\n"), 1) if text in line)


COPIES = (
    "routes/websocket.py",
    "services/unified_authentication_service.py",
    "services/websocket_connection_pool.py",
    "websocket_core/unified_websocket_auth.py",
)

#: rule -> every (path, line) that it must find, and no other
EXPECTED: dict[str, set[tuple[str, int]]] = {
    "single-source": {(path, _line(path, f"def {HELPER}")) for path in COPIES},
    "event-map": {("websocket_core/types.py", _line("websocket_core/types.py", "LEGACY_MESSAGE_TYPE_MAP: "))},
    "json-safe-logs": {
        ("routes/websocket.py", _line("routes/websocket.py", '"open"')),
        ("routes/websocket.py", _line("routes/websocket.py", "json.dumps(")),
        (
            "services/websocket_connection_pool.py",
            _line("services/websocket_connection_pool.py", "extra=details"),
        ),
        (
            "services/websocket_connection_pool.py",
            _line("services/websocket_connection_pool.py", "extra=report"),
        ),
        (
            "services/websocket_connection_pool.py",
            _line("services/websocket_connection_pool.py", "json.dumps(report)"),
        ),
        (
            "services/unified_authentication_service.py",
            _line("services/unified_authentication_service.py", "phase"),
        ),
        (
            "websocket_core/unified_websocket_auth.py",
            _line("websocket_core/unified_websocket_auth.py", "json.dumps("),
        ),
    },
}


_LEFT = [name for name in REQUIRED if name != "execute_agent"]
#: the same incident where messages are dispatched in other ways: what is configured, its file, and how the entry is written
DISPATCHED = {
    "decorators": (
        "on",
        '@on("execute_agent") above its handler',
        "HANDLERS = {}\n\n\ndef on(name):\n    def wrap(handler):\n        HANDLERS[name] = handler\n        return handler\n\n    return wrap\n\n\n"
        + "".join(f'@on("{name}")\nasync def answer_{name}(websocket, message): ...\n\n\n' for name in _LEFT),
    ),
    "if": (
        "dispatch",
        'elif kind == "execute_agent":',
        "async def dispatch(websocket, kind, message):\n"
        + "".join(
            f'    {"el" * bool(n)}if kind == "{name}":\n        await answer_{name}(websocket, message)\n'
            for n, name in enumerate(_LEFT)
        ),
    ),
    "match": (
        "dispatch",
        'case "execute_agent":',
        'async def dispatch(websocket, message):\n    match message["type"]:\n'
        + "".join(
            f'        case "{name}":\n            await answer_{name}(websocket, message)\n' for name in _LEFT
        ),
    ),
}
DISPATCH_HOME = "websocket_core/dispatch.py"


def dispatched(style: str) -> tuple[dict[str, str], Settings]:
    """The files of the incident with another dispatch, and what is configured."""
    name, _, text = DISPATCHED[style]
    event_map = (EventMap(name, DISPATCH_HOME, dict.fromkeys(REQUIRED, "")),)
    return FILES | {DISPATCH_HOME: text}, replace(SETTINGS, event_map=event_map)


def plant(root: Path) -> Path:
    """Write the tree below ``root``."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root
