"""``json``: one JSON value in each text frame.  PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NoReturn

from pipeline.framing.protocol import BadFrame, Decoded, Frame


class Json:
    """One JSON value in each text frame."""

    is_ready = True

    def opening(self) -> Iterable[Frame]:
        return ()

    def encode(self, message: object) -> Iterable[Frame]:
        return (json.dumps(message, allow_nan=False),)

    def decode(self, frame: Frame) -> Decoded:
        if isinstance(frame, bytes):
            raise BadFrame(f"a binary message of {len(frame)} bytes, expected JSON text")
        return Decoded((parsed(frame),))


def parsed(text: str | bytes) -> object:
    """The JSON value of a text. Raises BadFrame."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"a message that is not JSON ({error})") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
