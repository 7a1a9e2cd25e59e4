"""What a service adds so that Spillway can see its conversations: ``SpillwayTelemetry``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.telemetry.asgi import SpillwayTelemetry

__all__ = ["SpillwayTelemetry"]


def __getattr__(name: str) -> object:
    """The middleware, once it is asked for: who only reads lines loads no asyncio."""
    if name != "SpillwayTelemetry":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.telemetry.asgi import SpillwayTelemetry

    return SpillwayTelemetry
