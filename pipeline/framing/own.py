"""A framing of the user's: a class that is imported from the folder of the configuration, and not trusted to work."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, TypeVar

from pipeline.framing.protocol import BadFrame, CannotSpeak, Decoded, Frame, Framing

_Made = TypeVar("_Made")


def own(name: str, folder: str = "") -> Callable[..., Framing]:
    """Makes objects of the class ``package.module:Class``; it is imported by the first. Raises CannotSpeak when called.

    Args:
        folder: beside the usual places.
    """
    return partial(_Guarded, name, folder)


class _Guarded:
    """The user's object. Whatever it raises beside what a framing may raise is its own fault: CannotSpeak."""

    def __init__(self, name: str, folder: str, **options: object) -> None:
        self._name = name
        made = _loaded(name, folder)
        self._inner: Any = self._tried("__init__", lambda: made(**options))

    @property
    def is_ready(self) -> bool:
        return self._tried("is_ready", lambda: bool(self._inner.is_ready))

    def opening(self) -> Iterable[Frame]:
        return self._frames("opening", self._tried("opening", lambda: tuple(self._inner.opening())))

    def encode(self, message: object) -> Iterable[Frame]:
        return self._frames("encode", self._tried("encode", lambda: tuple(self._inner.encode(message))))

    def decode(self, frame: Frame) -> Decoded:
        decoded = self._tried("decode", lambda: self._inner.decode(frame))
        if not isinstance(decoded, Decoded):
            raise CannotSpeak(
                f"framing {self._name}: decode returned {type(decoded).__name__}", "Return a Decoded."
            )
        self._frames("decode", decoded.replies)
        return decoded

    def _tried(self, what: str, call: Callable[[], _Made]) -> _Made:
        try:
            return call()
        except (BadFrame, CannotSpeak):
            raise
        except Exception as error:
            if what == "encode" and isinstance(error, ValueError | TypeError):
                raise
            words = f"framing {self._name} failed in {what}: {type(error).__name__}: {str(error)[:200]}"
            raise CannotSpeak(words, "It is no fault of the service's: correct the class.") from error

    def _frames(self, what: str, frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
        for frame in frames:
            if not isinstance(frame, str | bytes):
                raise CannotSpeak(
                    f"framing {self._name}: {what} returned a frame of type {type(frame).__name__}",
                    "Frames are str or bytes.",
                )
        return frames


@lru_cache(maxsize=100)
def _loaded(name: str, folder: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    places = list(sys.path)
    sys.path[:0] = [folder] if folder else []
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        where = f"{folder or 'here'}, and where Python looks"
        raise CannotSpeak(
            f"framing {name} cannot be imported: {type(error).__name__}: {str(error)[:200]}",
            f"It is looked for in {where}. A framing is named package.module:Class.",
        ) from error
    finally:
        sys.path[:] = places
    if not callable(made):
        raise CannotSpeak(f"framing {name} is no class", "A framing is named package.module:Class.")
    return made
