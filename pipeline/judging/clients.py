"""Who was counted before in this split's epoch: two small tables of bits, folded block by block.  PURE.

Theory of operation. Of one client its first run in a block is judged, over both arms, until it failed: then it is out
for that metric (a log-rank test: whoever is still in was left in by what lay *before* the block, so the comparison of
the block is fair whatever that was). Counting a client in each block for ever lets one that always fails, on a socket
that it keeps, vote again and again; counting it once an epoch never sees a fault that begins later.

The record has room for no list of clients. Each is one bit among ``BITS``: ``failed`` by client and metric, ``seen`` by
client. Two clients may share a bit; then the later one is left out. Which one that is depends on its name and on
blocks before, never on its arm or on how its run ends, so both arms are thinned alike and the bound holds. It costs
power alone: at 1,000 failed clients of one metric, an eighth of the trials. After an incident that many thousands met
it may leave hardly anybody: from ``FULL`` on nothing passes on what was counted before it (``judge.py``).

A new epoch empties both tables: whoever was out may be on the other arm now.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from functools import lru_cache

from msgspec import Struct

BITS = 8192
_BYTES = BITS // 8
FULL = 0.75  # of the bits of ``failed``: a fault is then found four times as late


class Clients(Struct, frozen=True):
    """The memory of one epoch as the record keeps it.

    Args:
        epoch: the split's epoch that it is of; -1 before any.
        failed, seen: a table each, zlib in base64; empty: no bit is set.
    """

    epoch: int = -1
    failed: str = ""
    seen: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether both texts are tables: a record may hold anything."""
        try:
            return all(len(_bytes_of(text)) == _BYTES for text in (self.failed, self.seen))
        except ValueError:
            return False

    @property
    def left_out(self) -> float:
        """Of clients that never failed, the share that is left out all the same; of each metric."""
        return int.from_bytes(_bytes_of(self.failed), "big").bit_count() / BITS


class Memory:
    """The same, open: asked while a block is counted, and added to when that block is whole."""

    def __init__(self, clients: Clients, epoch: int, *, is_alone: bool = False) -> None:
        """Empty when what was kept is another epoch's.

        Args:
            is_alone: nothing runs beside the candidate in this epoch. Who failed before it, on either arm, stays out:
                clients that always fail come back the fastest, and against a limit the first blocks would be theirs.
        """
        before = Clients(epoch, failed=clients.failed) if is_alone else Clients()
        kept = clients if clients.epoch == epoch else before
        self._epoch = epoch
        self._failed, self._seen = bytearray(_bytes_of(kept.failed)), bytearray(_bytes_of(kept.seen))
        self._kept = kept if kept.epoch == epoch else Clients(epoch)

    def is_out(self, client: str, metric: str) -> bool:
        """It failed this metric in an earlier block, or shares the bit of one that did."""
        place = place_of(f"{metric}/{client}")
        return bool(self._failed[place >> 3] & 1 << (place & 7))

    def is_known(self, client: str) -> bool:
        """It was counted in an earlier block, or shares the bit of one that was."""
        place = place_of(client)
        return bool(self._seen[place >> 3] & 1 << (place & 7))

    def failed(self, client: str, metric: str) -> None:
        place = place_of(f"{metric}/{client}")
        self._failed[place >> 3] |= 1 << (place & 7)

    def saw(self, client: str) -> None:
        place = place_of(client)
        self._seen[place >> 3] |= 1 << (place & 7)

    def kept(self) -> Clients:
        """As it is now; the same value while nothing was added."""
        before = self._kept
        failed = before.failed if _bytes_of(before.failed) == self._failed else _text_of(self._failed)
        seen = before.seen if _bytes_of(before.seen) == self._seen else _text_of(self._seen)
        self._kept = Clients(self._epoch, failed, seen)
        return self._kept


def grown(epoch: int) -> Clients:
    """One as long, written down, as any can get: bits that no compression shortens."""
    noise = b"".join(zlib.crc32(str(n).encode()).to_bytes(4, "big") for n in range(_BYTES // 4))
    return Clients(epoch, _text_of(noise), _text_of(noise))


@lru_cache(maxsize=16_384)
def place_of(key: str) -> int:
    """The bit of a key. Names that follow each other share none more often than chance: a checksum would not do."""
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big") % BITS


@lru_cache(maxsize=8)
def _bytes_of(text: str) -> bytes:
    """Raises ValueError for a text that no table was written as."""
    if not text:
        return bytes(_BYTES)
    try:
        return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _BYTES + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(str(error)) from error


def _text_of(table: bytes | bytearray) -> str:
    return base64.b64encode(zlib.compress(bytes(table))).decode()
