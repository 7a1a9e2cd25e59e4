"""Pulumi's CLI as a process that we may leave.

The Automation API waits for the CLI, whatever happens. This one runs it in a session of its own, so that Ctrl-C reaches
us alone; told to stop, it gives the CLI a SIGINT and three seconds, in which it ends what it does and gives its lock
back, and then leaves it behind: its output goes to files, so that it lives on without us.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pulumi import automation
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from pipeline.cloudrun.pulumi.found import VERSION, Found
from pipeline.errors import PlatformUnavailable

GRACE_S = 3.0
_LOOK_S = 0.05

OnOutput = Callable[[str], Any]


class Cli(automation.PulumiCommand):
    """``automation.PulumiCommand`` that hears ``stopped``."""

    def __init__(self, where: Found, stopped: Callable[[], bool] = lambda: False) -> None:
        super().__init__(root=str(where.root) if where.root else None, version=VersionInfo.parse(VERSION))
        self._stopped = stopped

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
        *,
        stdin: str = "",
    ) -> automation.CommandResult:
        """Raises: automation.CommandError; PlatformUnavailable when told to stop before it ended."""
        env = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        if (command := Path(self.command)).is_absolute():  # what is beside it goes first
            env["PATH"] = os.pathsep.join([str(command.parent), env.get("PATH", os.defpath)])
        with Told(on_output) as out, Told(on_error) as err, tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            process = subprocess.Popen(
                [self.command, "--non-interactive", *args], cwd=cwd, env=env, stdin=given,
                stdout=out.file, stderr=err.file, start_new_session=True,
            )  # fmt: skip
            code = self._waited(process, (out, err))
            result = automation.CommandResult(stdout=out.text, stderr=err.text, code=code)
        if code:
            raise create_command_error(result)
        return result

    def set_secret(self, stack: automation.Stack, key: str, value: str) -> None:
        """Set a secret of a stack's config. Raises as ``run``.

        The Automation API hands it over as an argument, which everybody on the machine can read, and which is limited.
        """
        workspace = stack.workspace
        args = ["config", "set", key, "--secret", "--stack", stack.name]
        self.run(args, workspace.work_dir, workspace.env_vars, stdin=value)

    def _waited(self, process: subprocess.Popen[bytes], told: tuple[Told, Told]) -> int:
        asked_at: float | None = None
        try:
            while (code := process.poll()) is None:
                for each in told:
                    each.go_on()
                if self._stopped():
                    asked_at = asked_at or _ask_to_end(process)
                    if time.monotonic() - asked_at >= GRACE_S:
                        break
                time.sleep(_LOOK_S)
        except BaseException:
            _leave(process, asked_at or _ask_to_end(process))
            raise
        for each in told:
            each.go_on()
        if asked_at is not None and code != 0:
            raise PlatformUnavailable(
                f"pulumi was told to end{' and did' if code is not None else f', and goes on as process {process.pid}'}",
                "It had a SIGINT and three seconds." if code is None else told[1].text[-300:],
                "The same command goes on with it; to give traffic back: spillway rollback",
            )
        return code or 0


def _ask_to_end(process: subprocess.Popen[bytes]) -> float:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    return time.monotonic()


def _leave(process: subprocess.Popen[bytes], asked_at: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, asked_at + GRACE_S - time.monotonic()))


class Told:
    """One stream of the CLI, through a file that nobody else sees."""

    def __init__(self, on_line: OnOutput | None) -> None:
        self._on_line = on_line
        self._read, self._lines = 0, list[str]()

    def __enter__(self) -> Told:
        self.file: IO[bytes] = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def go_on(self) -> None:
        """Hand on the lines that have come since."""
        for line in self._fresh():
            self._lines.append(line)
            if self._on_line is not None:
                self._on_line(line)

    @property
    def text(self) -> str:
        rest = os.pread(self.file.fileno(), 1 << 20, self._read)  # a last line without its end
        return "\n".join([*self._lines, *rest.decode(errors="replace").splitlines()])

    def _fresh(self) -> Iterator[str]:
        while piece := os.pread(self.file.fileno(), 1 << 20, self._read):
            whole = piece.rpartition(b"\n")[0]
            if not whole and not piece.startswith(b"\n"):
                return
            self._read += len(whole) + 1
            yield from (line.rstrip() for line in whole.decode(errors="replace").split("\n"))
