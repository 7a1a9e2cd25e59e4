import asyncio


async def tell(ws, kind, **payload):
    await ws.send_json({"type": kind, "payload": payload})


async def run_agent(ws, message):
    payload = message["payload"]
    await tell(ws, "agent_started", agent=payload["agent"])
    try:
        for thought in ("a", "b"):
            await tell(ws, "agent_thinking", text=thought)
        await tell(ws, "tool_executing", tool="search")
        await asyncio.sleep(0.01)
        await tell(ws, "tool_completed", tool="search")
    except ValueError as error:
        await tell(ws, "agent_error", error=str(error))
    await tell(ws, "agent_completed", answer=payload.get("text"))


async def pong(ws, message):
    await tell(ws, "pong")
