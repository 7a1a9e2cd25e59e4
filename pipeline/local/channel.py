"""A channel to the local Cloud Run of a folder, wherever that is by now.

A restarted server has another token and mostly another address. So each call first looks where the endpoint file
points (microseconds, beside a call's milliseconds) and goes there. Nothing is sent twice: a call that fails is
``PlatformUnavailable``, and whoever called tries again by the rules of the ports.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from pipeline.errors import LocalCloudRunDown, PlatformUnavailable
from pipeline.local import endpoint

_RETRY_AFTER_S = 0.5
#: What a call meets whose server goes, has gone, or was followed by another on the same port.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


class FollowingChannel(grpc.Channel):
    """Close it. Calls raise PlatformUnavailable while no server answers.

    Args:
        learn: told of each token, before it is used.
    Raises: LocalCloudRunDown when no server has the folder at the start; one that is starting is waited for.
    """

    def __init__(self, folder: Path, *, learn: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._learn = learn
        self._lock = threading.Lock()
        # The last is the current one; calls of other threads may be on the others.
        self._all: list[grpc.Channel] = []
        self._follow(endpoint.settled(folder))

    def current(self) -> grpc.Channel:
        """A channel to where the server is now. Raises PlatformUnavailable."""
        try:
            found = endpoint.read(self._folder)
        except LocalCloudRunDown as down:
            raise _unavailable(down) from down
        with self._lock:
            if (found.address, found.token) != self._where:
                self._follow(found)
            return self._all[-1]

    def _follow(self, found: endpoint.Endpoint) -> None:
        self._learn(found.token)
        self._where = (found.address, found.token)
        self._all.append(found.channel())

    def unary_unary(self, method: str, *rest: Any, **options: Any) -> grpc.UnaryUnaryMultiCallable:
        return _Call(self, lambda channel: channel.unary_unary(method, *rest, **options))

    def unary_stream(self, method: str, *rest: Any, **options: Any) -> grpc.UnaryStreamMultiCallable:
        return _Call(self, lambda channel: channel.unary_stream(method, *rest, **options))

    def stream_unary(self, method: str, *rest: Any, **options: Any) -> grpc.StreamUnaryMultiCallable:
        return _Call(self, lambda channel: channel.stream_unary(method, *rest, **options))

    def stream_stream(self, method: str, *rest: Any, **options: Any) -> grpc.StreamStreamMultiCallable:
        return _Call(self, lambda channel: channel.stream_stream(method, *rest, **options))

    def subscribe(self, callback: Any, try_to_connect: bool = False) -> None:
        """Of the current channel alone."""
        self._all[-1].subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        self._all[-1].unsubscribe(callback)

    def close(self) -> None:
        for channel in self._all:
            channel.close()

    def __enter__(self) -> FollowingChannel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Call(
    grpc.UnaryUnaryMultiCallable,
    grpc.UnaryStreamMultiCallable,
    grpc.StreamUnaryMultiCallable,
    grpc.StreamStreamMultiCallable,
):
    """One method of whichever kind, called where the server is now."""

    def __init__(self, channel: FollowingChannel, make: Callable[[grpc.Channel], Any]) -> None:
        """Args: make: the callable of the method, on a channel."""
        self._channel = channel
        self._make = make

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._on_current(lambda call: call(*args, **options))

    def with_call(self, *args: Any, **options: Any) -> Any:
        return self._on_current(lambda call: call.with_call(*args, **options))

    def future(self, *args: Any, **options: Any) -> Any:
        return self._on_current(lambda call: call.future(*args, **options))

    def _on_current(self, work: Callable[[Any], Any]) -> Any:
        call = self._make(self._channel.current())
        try:
            return work(call)
        except grpc.RpcError as error:
            if error.code() not in _GONE:
                raise
            self._channel.current()  # which says it better, if the server is gone
            raise _unavailable(endpoint.no_answer(error)) from error


def _unavailable(why: LocalCloudRunDown | PlatformUnavailable) -> PlatformUnavailable:
    return PlatformUnavailable(why.what, why.why, why.fix, retry_after_s=_RETRY_AFTER_S)
