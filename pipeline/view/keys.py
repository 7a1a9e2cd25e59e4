"""What keys mean while a rollout is watched, each one confirmed before anything comes of it.  PURE."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from msgspec import Struct

from pipeline.core.rollout import ENDED, Phase


class Order(StrEnum):
    """What an operator asks of a rollout."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll back"
    QUIT = "quit"


#: How each is offered, and what is asked before it is done. The letter in brackets is the key.
_WORDS = {
    Order.PROMOTE: ("[p]romote", "promote to the next stage now?"),
    Order.HOLD: ("[h]old", "hold it here, until spillway promote?"),
    Order.ROLL_BACK: ("[r]oll back", "roll back: all traffic to stable?"),
    Order.QUIT: ("[q]uit", "leave? the service keeps the state; spillway tick goes on"),
}
_KEYS = {offer[1]: order for order, (offer, _) in _WORDS.items()}


def sensible(phase: Phase) -> Collection[Order]:
    """What may be asked of a rollout in this phase by who only looks on."""
    if phase in ENDED or phase is Phase.ROLLING_BACK:
        return (Order.QUIT,)
    return [order for order in Order if order is not Order.HOLD or phase is not Phase.PAUSED]


class Keys(Struct):
    """Keys as they come. ``offered``: what may be asked for now."""

    offered: Collection[Order] = tuple(Order)
    _asked: Order | None = None
    _given: Order | None = None

    @property
    def line(self) -> str:
        """What to show: which there are, the question, or what was asked for."""
        if self._asked is not None:
            return f"{_WORDS[self._asked][1]} [y/n]"
        if self._given is not None:
            return f"{self._given} ..."
        return " ".join(_WORDS[order][0] for order in Order if order in self.offered)

    def press(self, key: str) -> Order | None:
        """The order that this key confirms; None for every other one."""
        if self._asked is not None:
            order, self._asked = self._asked, None
            self._given = order if key.lower() == "y" else self._given
            return order if key.lower() == "y" else None
        wanted = _KEYS.get(key.lower())
        self._asked = wanted if wanted in self.offered else None
        return None

    def obeyed(self) -> None:
        """What was asked for is done, or was refused."""
        self._given = None
