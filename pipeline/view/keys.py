"""What keys mean while a rollout is watched, each one confirmed before anything comes of it.  PURE."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Order(StrEnum):
    """What an operator asks of the driver of a rollout."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLL_BACK = "roll back"
    QUIT = "quit"


_KEYS = {
    "p": (Order.PROMOTE, "promote to the next stage now?"),
    "h": (Order.HOLD, "hold it here, until spillway promote?"),
    "r": (Order.ROLL_BACK, "roll back: all traffic to stable?"),
    "q": (Order.QUIT, "leave? the service keeps the state; spillway tick goes on"),
}
HELP = "[p]romote [h]old [r]oll back [q]uit"


@dataclass(slots=True)
class Keys:
    """Keys as they come. ``line`` is what to show: which there are, the question, or what was asked for."""

    line: str = HELP
    _asked: Order | None = None

    def press(self, key: str) -> Order | None:
        """The order that this key confirms; None for every other one."""
        if self._asked is not None:
            order, self._asked = self._asked, None
            if key.lower() == "y":
                self.line = f"{order} ..."
                return order
            self.line = HELP
            return None
        if key.lower() in _KEYS:
            self._asked, question = _KEYS[key.lower()]
            self.line = f"{question} [y/n]"
        return None

    def obeyed(self) -> None:
        """What was asked for is done, or was refused."""
        if self._asked is None:
            self.line = HELP
