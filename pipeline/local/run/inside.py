"""Who is inside the network of the local Cloud Run: the jobs that have VPC access, by the processes that they run.

A request's connection is followed to the process that opened it, whose environment bears the token of its attempt
(``strays.py``). So any program of such a job is inside, and the same address answers 404 to everybody else, as in the
cloud. Linux alone tells whose a connection is; elsewhere nobody is inside.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from pipeline.local.run import listening, strays

_OPEN = "01"  # the state's number in /proc/net/tcp: established


def fresh_token(folder: Path) -> str:
    """A token for one more that is inside."""
    return f"{_prefix(folder)}{secrets.token_hex(12)}"


def holds(folder: Path, client_port: int, server_port: int) -> bool:
    """Whether the client of a connection on this machine is inside. Takes a few milliseconds, of the disk's kind."""
    wanted = f":{client_port:04X}", f":{server_port:04X}"
    ends = listening.rows(_OPEN)  # the client's is the one that has its port
    inodes = {inode for local, remote, inode in ends if (local[-5:], remote[-5:]) == wanted and inode != "0"}
    return bool(inodes) and not inodes.isdisjoint(listening.sockets(strays.pids(_prefix(folder))))


def _prefix(folder: Path) -> str:
    return f"{strays.folder_token(folder)}inside-"
