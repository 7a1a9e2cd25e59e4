"""An answer in pieces, as server-sent events, by Starlette. BROKEN=drop: the stream ends without its last event."""

import json
import os
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def complete(request: Request) -> StreamingResponse:
    asked = await request.json()

    async def events() -> AsyncIterator[str]:
        yield ": welcome\n\n"
        for word in asked["prompt"].split():
            yield f"event: token\ndata: {json.dumps({'text': word})}\n\n"
        if not os.environ.get("BROKEN"):
            yield "event: done\ndata: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/complete", complete, methods=["POST"])])
uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")
