"""How to reach the local Cloud Run of a state folder: its address, its token, and whether it is alive.

A server holds a lock on ``server.lock`` as long as it lives, however it ends: process numbers can be given to somebody
else, a lock cannot.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from pipeline import private
from pipeline.errors import AccessError, LocalCloudRunDown, PlatformUnavailable
from pipeline.local.locks import take
from pipeline.model import ServiceRef

if TYPE_CHECKING:
    import grpc

STATUS_METHOD = "/spillway.local.Status/Get"  # takes nothing; JSON comes back
_START_S = 30.0
_POLL_S = 0.05
_LOOK_S = 2.0
#: why a file is not there: neither it nor its folder, another kind of file, a link to itself, deleted on another machine
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # loopback is nobody's proxy's business
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel does not wait out an old one's back-off
)


class Endpoint(Struct, frozen=True):
    """A local Cloud Run that answered when it was looked for.

    Args:
        address: HOST:PORT of the Admin and Logging services (gRPC).
        started: aware UTC.
        rest_address: HOST:PORT of the Admin API over HTTP and JSON.
    """

    pid: int
    address: str
    token: str
    started: datetime
    rest_address: str = ""

    def __repr__(self) -> str:
        return f"Endpoint({self.address}, process {self.pid})"  # without the token

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [
            ("address", self.address),
            ("pid", self.pid),
        ]  # rich asks this first, and a Struct's tells all

    def channel(self) -> grpc.Channel:
        """A channel that carries the token; close it."""
        import grpc

        from pipeline.local.bearer import BearerToken

        return grpc.intercept_channel(
            grpc.insecure_channel(self.address, options=_OPTIONS), BearerToken(self.token)
        )


def read(folder: Path) -> Endpoint:
    """The endpoint of a server that answers. Raises LocalCloudRunDown, and AccessError where we may not look."""
    try:
        if not is_alive(folder):
            raise _not_running(folder)
        return msgspec.json.decode(_file(folder).read_bytes(), type=Endpoint)
    except PermissionError as error:
        fix = "Run this as the user who started it."
        raise AccessError(f"{folder}: the local Cloud Run is somebody else's", str(error), fix) from error
    except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise LocalCloudRunDown(
            "the local Cloud Run does not answer yet",
            f"It starts or ends at this moment: {folder}",
            "Wait for it: spillway local up",
        ) from error


def settled(folder: Path) -> Endpoint:
    """The endpoint, waited for while a server starts or ends. Raises LocalCloudRunDown."""
    give_up = time.monotonic() + _START_S
    while True:
        try:
            return read(folder)
        except LocalCloudRunDown:
            if not is_alive(folder) or time.monotonic() >= give_up:
                raise
        time.sleep(_POLL_S)


class Alerts(Struct, frozen=True):
    """Of a local Cloud Run: incidents that are open, and policies that are kept and never fire, with ``why``."""

    firing: Sequence[Mapping[str, Any]] = ()
    not_evaluated: Sequence[Mapping[str, Any]] = ()

    def of(self, ref: ServiceRef) -> Alerts:
        """Incidents of one service, and the policies of its project but for those that are another service's."""
        return Alerts(
            [one for one in self.firing if one["title"].startswith(f"{ref.service}: ")],
            [
                one
                for one in self.not_evaluated
                if one["policy"].startswith(f"projects/{ref.project}/")
                and one["service"] in ("", ref.service)
            ],
        )


def alerts_of(channel: grpc.Channel) -> Alerts:
    """None where the local Cloud Run does not answer: a look must not fail for them."""
    import grpc

    try:
        answer = json.loads(channel.unary_unary(STATUS_METHOD)(b"", timeout=_LOOK_S))
    except grpc.RpcError:
        return Alerts()
    return Alerts(answer.get("alerts", ()), answer.get("alerts_not_evaluated", ()))


def no_answer(fault: Exception) -> PlatformUnavailable:
    """What to raise when a call on the endpoint's channel failed."""
    return PlatformUnavailable(
        "the local Cloud Run does not answer",
        str(getattr(fault, "details", lambda: "")() or fault),
        "Start it anew: spillway local down && spillway local up",
    )


def write(folder: Path, endpoint: Endpoint) -> None:
    """Readable by its owner alone."""
    private.write(_file(folder), msgspec.json.encode(endpoint))


def remove(folder: Path) -> None:
    _file(folder).unlink(missing_ok=True)


def is_alive(folder: Path) -> bool:
    """Whether a server holds this folder."""
    if not os.path.exists(_lock_file(folder)):
        return False
    with _lock_file(folder).open("rb") as file:
        return not take(file, fcntl.LOCK_SH)


def holder(folder: Path) -> int | None:
    """The server that holds this folder, whether or not it answers yet; None if there is none."""
    if not is_alive(folder):
        return None
    text = _lock_file(folder).read_text(encoding="ascii")
    return int(text) if text.isdecimal() else None


def hold(folder: Path) -> IO[bytes] | None:
    """The folder's lock, held while the file is open; None if another server has it."""
    private.make_folder(folder)
    file = private.open_append(_lock_file(folder))
    if not take(file):
        file.close()
        return None
    file.truncate(0)
    return file


def is_of(folder: Path, lock: IO[bytes]) -> bool:
    """Whether a lock is still the folder's: that may have been deleted since, or made anew.

    Where that cannot be told just now (rights were taken away, the disk has an error), it is.
    """
    try:
        return os.path.samestat(os.fstat(lock.fileno()), _lock_file(folder).stat())
    except OSError as error:
        return error.errno not in _GONE


def sign(lock: IO[bytes]) -> None:
    """Say in the lock that this process is the server, for whoever wants to end it."""
    lock.write(str(os.getpid()).encode("ascii"))
    lock.flush()


def tidy(folder: Path) -> None:
    """Take away the endpoint that a killed server left; a no-op while one lives."""
    if os.path.exists(_file(folder)) and (lock := hold(folder)):
        with lock:
            remove(folder)


def _not_running(folder: Path) -> LocalCloudRunDown:
    """Why nobody answers: a server takes its endpoint away when it ends, so one that is left was killed."""
    killed = f"Its process was killed; services, ports and records are kept in {folder}"
    why = killed if os.path.exists(_file(folder)) else f"No process holds {folder}"
    return LocalCloudRunDown("the local Cloud Run is not running", why, "Start it: spillway local up")


def _file(folder: Path) -> Path:
    return folder / "endpoint.json"


def _lock_file(folder: Path) -> Path:
    return folder / "server.lock"
