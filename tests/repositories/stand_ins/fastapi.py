"""As much of FastAPI as the repository beside it uses, on Starlette."""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = ["APIRouter", "FastAPI", "WebSocket", "WebSocketDisconnect"]


class APIRouter(Router):
    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self.prefix = prefix

    def websocket(self, path: str) -> Callable[[Any], Any]:
        def keep(function: Any) -> Any:
            self.routes.append(WebSocketRoute(self.prefix + path, function))
            return function

        return keep


class FastAPI(Starlette):
    def include_router(self, router: APIRouter) -> None:
        self.routes.extend(router.routes)

    def get(self, path: str) -> Callable[[Any], Any]:
        def keep(function: Any) -> Any:
            self.add_route(path, lambda _request: JSONResponse(function()))
            return function

        return keep
