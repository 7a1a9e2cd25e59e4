"""Etags as Cloud Run was recorded to write them: the time of the last write, and whose it is.  PURE.

``"`` + base64 of ``update_time`` as a protobuf ``Timestamp`` + ``/`` + base64 of the resource name + ``"``, without padding.
It changes with writes alone. A hint of when somebody wrote, never a promise: clients must treat it as opaque.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

TICK = timedelta(microseconds=1)  # two writes are at least this far apart
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS, _NANOS = 0x08, 0x10  # the two fields of a Timestamp, as numbers on the wire


def etag_of(at: datetime, name: str) -> str:
    since = at - _EPOCH
    stamp = _stamp(since // timedelta(seconds=1), since.microseconds * 1000)
    return f'"{_packed(stamp)}/{_packed(name.encode())}"'


def version_of(etag: str) -> str:
    """What a refusal calls it: microseconds since 1970 of the write; what is no etag of ours, as it came."""
    parts = etag.strip('"').split("/")
    for cut in range(len(parts), 0, -1):  # base64 has slashes of its own, so the longest part that is a time
        time = "/".join(parts[:cut])
        with suppress(ValueError, KeyError):
            fields = dict(_fields(b64decode(time + "=" * (-len(time) % 4), validate=True)))
            seconds, nanos = fields[_SECONDS], fields.get(_NANOS, 0)
            if _packed(_stamp(seconds, nanos)) == time:
                return str(seconds * 1_000_000 + nanos // 1000)
    return etag


def _stamp(seconds: int, nanos: int) -> bytes:
    return bytes([_SECONDS, *_varint(seconds), *((_NANOS, *_varint(nanos)) if nanos else ())])


def _packed(raw: bytes) -> str:
    return b64encode(raw).decode().rstrip("=")


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _fields(stamp: bytes) -> Iterator[tuple[int, int]]:
    """Tag and value of each field, as far as they go."""
    rest = iter(stamp)
    for tag in rest:
        value = shift = 0
        for byte in rest:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield tag, value
