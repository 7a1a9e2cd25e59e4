"""A framing of the user's: a class that is imported from the folder of the configuration, and not trusted to work."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

from pipeline.framing.protocol import MOST_MESSAGES, BadFrame, CannotSpeak, Decoded, Frame, Framing

_Made = TypeVar("_Made")
_LOADING = Lock()  # ``sys.path`` is the process's, and services of a fleet are loaded side by side
_BROUGHT = dict[str, set[str]]()  # modules by name, of each folder that something was imported from


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
        return self._frames("opening", self._inner.opening)

    def encode(self, message: object) -> Iterable[Frame]:
        return self._frames("encode", lambda: self._inner.encode(message))

    def decode(self, frame: Frame) -> Decoded:
        decoded = self._tried("decode", lambda: self._inner.decode(frame))
        if not isinstance(decoded, Decoded):
            raise CannotSpeak(
                f"framing {self._name}: decode returned {type(decoded).__name__}", "Return a Decoded."
            )
        messages = self._tuple("decode", lambda: decoded.messages, "messages")
        for message in messages:
            self._check(message)
        return Decoded(messages, self._frames("decode", lambda: decoded.replies))

    def _tried(self, what: str, call: Callable[[], _Made]) -> _Made:
        try:
            return call()
        except (BadFrame, CannotSpeak, KeyboardInterrupt):
            raise
        except BaseException as error:  # also one that wants to end the process
            if what == "encode" and isinstance(error, ValueError | TypeError):
                raise
            words = f"framing {self._name} failed in {what}: {type(error).__name__}: {_text_of(error)}"
            raise CannotSpeak(words, "It is no fault of the service's: correct the class.") from error

    def _tuple(self, what: str, give: Callable[[], Iterable[_Made]], noun: str) -> tuple[_Made, ...]:
        """What a method gave, which may be without an end."""
        made = self._tried(what, lambda: tuple(islice(give(), MOST_MESSAGES + 1)))
        if len(made) > MOST_MESSAGES:
            raise CannotSpeak(
                f"framing {self._name}: {what} returned more than {MOST_MESSAGES} {noun}", "Return fewer."
            )
        return made

    def _frames(self, what: str, give: Callable[[], Iterable[Frame]]) -> tuple[Frame, ...]:
        frames = self._tuple(what, give, "frames")
        for frame in frames:
            if not isinstance(frame, str | bytes):
                raise CannotSpeak(
                    f"framing {self._name}: {what} returned a frame of type {type(frame).__name__}",
                    "Frames are str or bytes.",
                )
        return frames

    def _check(self, message: object) -> None:
        """Others look at the message, and what is no value like JSON's may do anything then."""
        try:
            strange = next(_strange(message), None)
        except RecursionError:
            raise BadFrame("a message that is nested too deep") from None
        if strange is not None:
            raise CannotSpeak(
                f"framing {self._name}: decode returned a message with a {type(strange).__name__} in it",
                "Messages are values like JSON's: texts, numbers, lists, mappings.",
            )


def _strange(value: object) -> Iterator[object]:
    """Whatever is no value like JSON's in there."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _strange(key)
            yield from _strange(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strange(each)
    elif value is not None and not isinstance(value, str | bytes | bool | int | float):
        yield value


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error of the user's
        return "(its text fails, too)"


@lru_cache(maxsize=100)
def _loaded(name: str, folder: str) -> Callable[..., object]:
    with _LOADING:
        return _load(name, folder)


def _load(name: str, folder: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    places = list(sys.path)
    sys.path[:0] = [folder] if folder else []
    for other in [each for each in _BROUGHT if each != folder]:
        _forget(other)
    before = set(sys.modules)
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        where = f"{folder or 'here'}, and where Python looks"
        raise CannotSpeak(
            f"framing {name} cannot be imported: {type(error).__name__}: {_text_of(error)}",
            f"It is looked for in {where}. A framing is named package.module:Class.",
        ) from error
    finally:
        sys.path[:] = places
        _BROUGHT.setdefault(folder, set()).update(set(sys.modules) - before)
    if not callable(made):
        raise CannotSpeak(f"framing {name} is no class", "A framing is named package.module:Class.")
    return made


def _forget(folder: str) -> None:
    """Modules of another configuration's folder: from here on their names may stand for others. Who has them keeps them."""
    for name in _BROUGHT.pop(folder):
        start = os.path.join(os.path.abspath(folder), name.partition(".")[0])  # noqa: PTH100, PTH118 - as Python spells it
        file = getattr(sys.modules.get(name), "__file__", None) or ""
        if folder and file.startswith((f"{start}.", f"{start}{os.sep}")):
            del sys.modules[name]
