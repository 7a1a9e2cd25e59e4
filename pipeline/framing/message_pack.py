"""``msgpack``: MessagePack in binary frames, by the library of that name (an extra).  PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.framing.protocol import MOST_MESSAGES, AtOnce, BadFrame, CannotSpeak, Decoded, Frame


class MessagePack(AtOnce):
    """One value in each binary frame, or several one after the other."""

    def __init__(self) -> None:
        self._library = _library()

    def encode(self, message: object) -> Iterable[Frame]:
        try:
            return (self._library.packb(message),)
        except OverflowError as error:
            raise ValueError(str(error)) from None

    def decode(self, frame: Frame) -> Decoded:
        if isinstance(frame, str):
            raise BadFrame(f"a text message of {len(frame)} characters, expected MessagePack")
        try:
            return Decoded(tuple(self._values(frame)))
        except BadFrame:
            raise
        except (ValueError, TypeError, RecursionError, self._library.UnpackException) as error:
            words = str(error) or type(error).__name__
            raise BadFrame(f"a message of {len(frame)} bytes that is not MessagePack ({words})") from None

    def _values(self, frame: bytes) -> Iterator[object]:
        # No length that is said in a frame may be more than the frame, whatever memory it would ask for.
        limits = dict.fromkeys(
            ("max_str_len", "max_bin_len", "max_array_len", "max_map_len", "max_ext_len"), len(frame)
        )
        unpacker = self._library.Unpacker(strict_map_key=False, max_buffer_size=max(1, len(frame)), **limits)
        unpacker.feed(frame)
        read = 0
        for number, value in enumerate(unpacker):
            if number == MOST_MESSAGES:
                raise BadFrame(f"more than {MOST_MESSAGES} messages in one frame")
            read = unpacker.tell()
            yield value
        if read != len(frame):
            raise BadFrame(
                f"a message of {len(frame)} bytes that is not MessagePack (it breaks off after {read})"
            )


def _library() -> Any:
    try:
        import msgpack
    except ImportError:
        raise CannotSpeak(
            "framing msgpack needs the library msgpack, which is not installed here",
            "pip install 'spillway[msgpack]'",
        ) from None
    return msgpack
