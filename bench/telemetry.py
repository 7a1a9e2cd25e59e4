"""What the ASGI middleware costs a message: the same app and the same messages, with it and without, in one run.

    python -m bench.telemetry

The app takes a message and answers with one; nothing of a network is in it, so that all that is measured is ours. A chat's
messages are pieces of an answer; those that ask for a run or end one are few, and they alone are parsed.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from typing import Any

from pipeline.telemetry import SpillwayTelemetry
from pipeline.telemetry.settings import FIVE_EVENTS

MESSAGES = 20_000
ROUNDS = 7
GATE_US = 5.0


def text(kind: str, size: int) -> str:
    return json.dumps({"type": kind, "payload": {"text": "x" * size}})


#: What the client says once, what it says again and again, and what the service answers with each time.
CASES: Mapping[str, tuple[str | None, str, str]] = {
    "pieces of 50 characters, no run under way": (None, text("hello", 50), text("token", 50)),
    "pieces of 50 characters during a run": ("execute_agent", text("more", 50), text("token", 50)),
    "pieces of 2,000 characters during a run": ("execute_agent", text("more", 2000), text("token", 2000)),
    "pieces that name an expected event": ("execute_agent", text("more", 50), text("token", 20) + "agent_thinking"),
    "an event of the run that came before": ("execute_agent", text("more", 50), text("agent_started", 50)),
}  # fmt: skip


async def seconds(is_watched: bool, case: tuple[str | None, str, str]) -> float:
    """Of MESSAGES messages each way."""
    start, incoming, outgoing = case
    given = {"type": "websocket.receive", "text": incoming}
    answer = {"type": "websocket.send", "text": outgoing}
    first = {"type": "websocket.receive", "text": text(start, 10)} if start else given
    took = 0.0

    async def receive() -> Any:
        return given

    async def send(_message: Any) -> None:
        return

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal took
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.send", "text": text(FIVE_EVENTS[0], 10)})
        began = time.perf_counter()
        for _ in range(MESSAGES):
            await receive()
            await send(answer)
        took = time.perf_counter() - began

    asked = iter([first])

    async def first_receive() -> Any:
        return next(asked, given)

    whole = SpillwayTelemetry(app, write=lambda _: None, environ={}) if is_watched else app
    await whole({"type": "websocket", "path": "/ws", "headers": []}, first_receive, send)  # type: ignore[operator]
    return took


def main() -> None:
    worst = 0.0
    print("microseconds a message, with the middleware less without it, median of rounds side by side")
    for name, case in CASES.items():
        pairs = [(asyncio.run(seconds(True, case)), asyncio.run(seconds(False, case))) for _ in range(ROUNDS)]
        cost = statistics.median(with_it - without for with_it, without in pairs) / (2 * MESSAGES) * 1e6
        worst = max(worst, cost)
        print(f"  {name:45} {cost:5.2f}")
    print(f"gate {GATE_US} us: {'met' if worst < GATE_US else 'MISSED'}")
    raise SystemExit(worst >= GATE_US)


if __name__ == "__main__":
    main()
