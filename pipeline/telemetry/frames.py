"""Messages in the frames of a service that speaks anything but plain JSON, read by what the probe reads them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pipeline.framing.names import FRAMINGS
from pipeline.framing.own import own
from pipeline.framing.protocol import BadFrame, Framing
from pipeline.telemetry.words import data_of

#: The messages that a WebSocket message of ASGI's holds; of one direction of one socket.
Reader = Callable[[Mapping[str, object]], tuple[object, ...]]


def _messages(framing: Framing, frame: Mapping[str, object]) -> tuple[object, ...]:
    """Nothing if it is larger than a megabyte, or not of the framing."""
    data = data_of(frame)
    if data is None:
        return ()
    try:
        return framing.decode(data).messages
    except BadFrame:
        return ()


def reader(told: Mapping[str, object]) -> Callable[[], Reader]:
    """Makes readers; one is made, to see that it can be. Raises whatever keeps it from that.

    Args:
        told: ``framing`` of SPILLWAY_TELEMETRY: its name, and the options by which frames are read.
    """
    name = str(told["name"])
    options = {key: value for key, value in told.items() if key != "name"}
    make = partial(FRAMINGS[name].make if name in FRAMINGS else own(name), **options)
    make()
    return lambda: partial(_messages, make())
