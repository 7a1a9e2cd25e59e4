"""How many sockets this process may hold at once."""

from __future__ import annotations

import errno
import resource

from pipeline.errors import UserError
from pipeline.probe.conversation import Kind
from pipeline.probe.verdict import Ending

_SPARE = 64  # files, pipes and what a lookup opens


def make_room(sockets: int) -> None:
    """Raise the process's own limit as far as it takes. Raises: UserError where the hard limit is below that."""
    needed = sockets + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _holds(soft, needed):
        return
    if not _holds(hard, needed):
        raise UserError(
            f"{sockets} sockets at once are more than this process may open",
            f"It may have {hard} open files (ulimit -Hn), and {needed} are needed.",
            f"Allow more: ulimit -n {needed}; or hold fewer at once: --concurrency",
        )
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{sockets} sockets at once are more than this process may open",
            f"It may have {soft} open files (ulimit -n), {needed} are needed, and raising it failed: {error}.",
            f"Allow more: ulimit -n {needed}; or hold fewer at once: --concurrency",
        ) from error


def _holds(limit: int, needed: int) -> bool:
    return limit in (resource.RLIM_INFINITY, -1) or limit >= needed


def unreached(error: Exception, words: str) -> Ending:
    """How it ends where nobody was reached: no service is to blame where no more files may be opened here."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    shortages = {
        errno.EMFILE: f"this process may open no more than {soft} files (ulimit -n)",
        errno.ENFILE: "this machine may open no more files",
    }
    if isinstance(error, OSError) and error.errno in shortages:
        return Ending(Kind.NOT_SPOKEN, shortages[error.errno])
    return Ending(Kind.UNREACHABLE, words)
