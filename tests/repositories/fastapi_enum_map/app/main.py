import os

from fastapi import APIRouter, FastAPI, WebSocket, WebSocketDisconnect

from app.ws.agent import pong, run_agent
from app.ws.types import LEGACY_MESSAGE_TYPE_MAP, MessageType

router = APIRouter(prefix="/v1")
HANDLERS = {MessageType.START_AGENT: run_agent, MessageType.PING: pong}


@router.websocket("/ws")
async def socket(ws: WebSocket) -> None:
    await ws.accept()
    try:
        while True:
            message = await ws.receive_json()
            kind = LEGACY_MESSAGE_TYPE_MAP[message["type"]]
            await HANDLERS[kind](ws, message)
    except WebSocketDisconnect:
        return


app = FastAPI()
app.include_router(router)


@app.get("/healthz")
def healthz():
    return {"status": "ok"}
