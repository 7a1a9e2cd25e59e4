"""``drain:`` of ``spillway.yaml``: what becomes of sockets that are open on a revision that lost its traffic."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Struct

from pipeline.config.fields import Duration, Misplaced, between, text_like
from pipeline.judging.terms import DRAIN_MAX

_address = text_like(r"https?://[^\s/]\S*", "an address that starts with https:// or http://")


class DrainConfig(Struct, frozen=True, kw_only=True):
    """What becomes of sockets that are open on a revision that lost its traffic. A word alone is `how`.

    Args:
        how: after a roll-back: `keep` leaves them until they end, `ask` has the instances close them by and by, each after its run, `delete` deletes the revision.
        max: until when the last one is to be gone where the instances are asked.
        promoted: the same of the old stable revision after a promotion: `keep` or `ask`, since it is what can be gone back to.
        url: where the instances look for orders, instead of the service's own annotation; they need no permission for that.
    """

    how: Literal["keep", "ask", "delete"] = "keep"
    max: Annotated[Duration, between("10s", "1h")] = DRAIN_MAX
    promoted: Literal["keep", "ask"] = "keep"
    url: Annotated[str, _address] | None = None

    SHORT: ClassVar[str] = "how"

    def __post_init__(self) -> None:
        if self.url and not self.asks:
            raise Misplaced(("url",), "nobody looks there: neither how nor promoted is ask")

    @property
    def asks(self) -> bool:
        """Instances are told where to look for orders."""
        return "ask" in (self.how, self.promoted)
