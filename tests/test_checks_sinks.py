"""What the corpus says of sockets, responses and clients is what the real ones do with each of its values."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from tests.checks_corpus import encoders, sockets


def send_json(value: Any) -> None:
    """Starlette's, on a socket that is open and takes everything."""

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_message: Any) -> None: ...

    async def talk() -> None:
        websocket = WebSocket({"type": "websocket"}, receive, send)
        await websocket.accept()
        await websocket.send_json(value)

    asyncio.run(talk())


def post(value: Any) -> None:
    requests.Request("POST", "http://localhost", json=value).prepare()


REAL: dict[str, Callable[[Any], Any]] = {
    "send_json": send_json,
    "JSONResponse": JSONResponse,
    "json_response": web.json_response,
    "json= of requests": post,
    "json= of aiohttp": aiohttp.JsonPayload,
}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the corpus's values are made of."""
    made = types.ModuleType("app.kinds")
    exec(encoders.KINDS, made.__dict__)  # our own texts
    monkeypatch.setitem(sys.modules, "app", types.ModuleType("app"))
    monkeypatch.setitem(sys.modules, "app.kinds", made)
    user = types.ModuleType("app.user")
    monkeypatch.setitem(sys.modules, "app.user", user)
    exec(sockets.HEAD, user.__dict__)
    return user.__dict__


@pytest.mark.parametrize("sink", REAL)
@pytest.mark.parametrize("value", sockets.VALUES)
def test_it_refuses(sink: str, value: str, names: dict[str, Any]) -> None:
    refused = (TypeError, requests.exceptions.InvalidJSONError)
    with pytest.raises(refused):
        REAL[sink](eval(value, names))


@pytest.mark.parametrize("sink", REAL)
@pytest.mark.parametrize("value", encoders.GOOD)
def test_it_takes(sink: str, value: str, names: dict[str, Any]) -> None:
    REAL[sink](eval(value, names))
