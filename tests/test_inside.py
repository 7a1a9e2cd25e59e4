"""Who is inside the local network: processes of jobs with VPC access, and nobody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.local.run import inside, strays

#: Opens a connection, says so, and keeps it until its input ends.
CLIENT = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print(s.getsockname()[1], flush=True); sys.stdin.read()"


@contextmanager
def client(token: str, port: int) -> Iterator[int]:
    """A process with this token that is connected. The port of its end."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CLIENT, str(port)], env={**os.environ, strays.VARIABLE: token},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells whose a connection is")
@pytest.mark.parametrize(
    ("token", "is_inside"),
    [
        (inside.fresh_token, True),
        (strays.fresh_token, False),
        (lambda folder: inside.fresh_token(folder / "another"), False),
        (lambda _: "", False),
    ],
)  # fmt: skip
def test_a_connection_is_followed_to_who_opened_it(
    tmp_path: Path, token: Callable[[Path], str], is_inside: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with client(token(tmp_path), port) as mine:
            assert inside.holds(tmp_path, mine, port) is is_inside
            assert not inside.holds(tmp_path, mine, port + 1)
        assert not inside.holds(tmp_path, mine, port), "it is gone"
