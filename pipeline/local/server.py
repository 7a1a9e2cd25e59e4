"""The process of the local Cloud Run: ``python -m pipeline.local.server --dir DIR``. ``daemon.py`` starts it.

It holds the folder's lock as long as it lives, logs JSON lines to standard error, and ends cleanly on SIGTERM, or when
the folder is gone. What is heavy is imported after the fork: a process with gRPC in it must not be forked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.errors import SpillwayError
from pipeline.local import endpoint
from pipeline.local.locks import wait

if TYPE_CHECKING:
    from pipeline.local.assembly import Settings

IN_USE = 75  # exit code: another server has the folder (EX_TEMPFAIL)
_LOOKS_FOR_ITS_FOLDER_S = 2.0
_LOCK_PATIENCE_S = 2.0  # somebody may just be looking whether the lock is held


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The local Cloud Run's own process.")
    parser.add_argument("--dir", type=Path, required=True, help="state folder")
    parser.add_argument("--settings", type=json.loads, default={}, help="assembly.Settings, as JSON")
    parser.add_argument("--detach", action="store_true", help="go on in a process of its own")
    parser.add_argument("--ready-fd", type=int, help="a pipe: told when it answers, or why it does not")
    given = parser.parse_args(arguments)
    if given.detach and os.fork():
        os._exit(0)  # the other half is nobody's child: it outlives the command and leaves no zombie
    if given.ready_fd is not None:
        os.set_inheritable(given.ready_fd, False)
    lock = wait(lambda: endpoint.hold(given.dir), _LOCK_PATIENCE_S)
    if lock is None:
        return IN_USE
    os.dup(lock.fileno())  # never closed: the folder is held until the process is gone, not just about to go
    endpoint.sign(lock)
    endpoint.remove(given.dir)
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # instances are forked and at once another program
    from pipeline.local.assembly import Settings

    return _run(Settings(given.dir, **given.settings), given.ready_fd, lock)


def _run(settings: Settings, ready_fd: int | None, lock: IO[bytes]) -> int:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=repr),
        ],
        logger_factory=structlog.WriteLoggerFactory(_Log()),  # type: ignore[arg-type]
    )
    log = structlog.get_logger("pipeline.local.server")
    loop_factory = None
    with suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_serve(settings, ready_fd, lock, log))
    except (OSError, SpillwayError) as error:
        log.critical("cannot start", why=str(error))
        _tell(ready_fd, _as_told(error))
        return 1
    finally:
        _leave(settings.folder, lock)
    return 0


def _leave(folder: Path, lock: IO[bytes]) -> None:
    """Nobody is to come here any more; in a folder that was made anew, another server may be told of already."""
    if endpoint.is_of(folder, lock):
        endpoint.remove(folder)


class _Log:
    """Standard error, which is a file on the disk that may be full: no reason to fail."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            os.write(2, text.encode())

    def flush(self) -> None:
        """Nothing is held."""


async def _serve(settings: Settings, ready_fd: int | None, lock: IO[bytes], log: Any) -> None:
    from pipeline.local.assembly import LocalCloudRun

    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    token = secrets.token_urlsafe(32)
    run = LocalCloudRun(settings, token)
    try:
        address = await run.start()
        found = endpoint.Endpoint(os.getpid(), address, token, datetime.now(UTC), run.rest_address)
        endpoint.write(settings.folder, found)
        log.info("ready", address=address, rest=run.rest_address, pid=os.getpid())
        _tell(ready_fd, {})
        # Without the folder nobody finds the server any more, to use it or to end it.
        while not stopped.is_set() and endpoint.is_of(settings.folder, lock):
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), _LOOKS_FOR_ITS_FOLDER_S)
        log.info("ending")
        _leave(settings.folder, lock)
    finally:
        await run.close()
    log.info("ended")


def _tell(ready_fd: int | None, refusal: Mapping[str, str]) -> None:
    """Answer whoever waits at the pipe: an empty object for ready, else why not."""
    if ready_fd is not None:
        with suppress(OSError):  # it may have been told already, or have gone
            os.write(ready_fd, json.dumps(refusal).encode())
            os.close(ready_fd)


def _as_told(error: OSError | SpillwayError) -> Mapping[str, str]:
    if isinstance(error, SpillwayError):
        return {"kind": type(error).__name__, "what": error.what, "why": error.why, "fix": error.fix}
    return {"kind": "SpillwayError", "what": "the local Cloud Run cannot start", "why": str(error), "fix": ""}


if __name__ == "__main__":
    sys.exit(main())
