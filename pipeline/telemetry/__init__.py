"""What a service adds so that Spillway can see its conversations: ``SpillwayTelemetry``."""

from pipeline.telemetry.asgi import SpillwayTelemetry

__all__ = ["SpillwayTelemetry"]
