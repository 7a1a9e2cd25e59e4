"""SIGINT and SIGTERM in the middle of whatever is waited for: the command ends, and the service keeps the state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.local import endpoint
from tests.e2e.project import Project, image, line_with

#: It never listens: its revision is judged when its startup time is over, minutes later.
HANGS = f'{{command: ["{sys.executable}", -c, "import time; time.sleep(3600)"]}}'
SOON_S = 40  # a busy machine's three seconds; what is waited for takes minutes


def told_to_end(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    process.send_signal(number)
    _, err = process.communicate(timeout=SOON_S)
    assert "Traceback" not in err, err
    return process.returncode, err


def read_until(process: subprocess.Popen[str], event: str) -> None:
    assert line_with(process.stdout, f'"event": "{event}"'), f"it never told {event!r}"


@contextmanager
def hung(pid: int) -> Iterator[None]:
    """A process that answers nobody."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_while_the_first_revision_starts(empty: Project, number: int, code: int) -> None:
    empty.configure({"hangs": HANGS}, **{"startup: 30s": "startup: 4m"})
    with empty.start("rollout", "--image", "hangs", "-o", "ndjson") as process:
        read_until(process, "deploying")
        assert told_to_end(process, number)[0] == code


def test_while_the_candidate_starts(project: Project) -> None:
    project.configure({"good": image(), "hangs": HANGS}, **{"startup: 30s": "startup: 4m"})
    with project.start("rollout", "--image", "hangs", "-o", "ndjson") as process:
        read_until(process, "deploying")
        assert told_to_end(process, signal.SIGTERM)[0] == 143
    assert project.run("rollback", project.ref.name).code == 0


def test_while_the_service_answers_nobody(lonely: Project) -> None:
    with lonely.start("rollout", "--image", "next", "-o", "ndjson") as process:
        read_until(process, "shifted")
        with hung(endpoint.read(lonely.local).pid):
            assert told_to_end(process, signal.SIGTERM)[0] == 143
    done = lonely.run("rollout", "--image", "next", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr
