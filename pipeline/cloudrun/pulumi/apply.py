"""The Pulumi program applied by Pulumi's own engine, through the Automation API.

Every apply begins with a refresh. What an earlier one left behind is put right first: a lock whose holder is gone is
cancelled, operations that were pending are looked up, and a service that is there and not in the stack is taken into it
as it is, by an apply of its own that changes nothing.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Any, TypeVar

import pulumi
from msgspec import Struct, field
from pulumi import automation

from infra import program
from infra.settings import CONFIG_KEY, PROJECT, Settings
from pipeline.cloudrun.pulumi import faults
from pipeline.cloudrun.pulumi.cli import Cli
from pipeline.cloudrun.pulumi.found import Found
from pipeline.cloudrun.pulumi.home import CloudHome, LocalHome
from pipeline.cloudrun.stack import Say
from pipeline.errors import PlatformError, SpillwayError
from pipeline.local.provider.fields import refreshed
from pipeline.local.provider.service import SERVICE, LocalProvider

#: Until the engine has sent its write: a refresh, and in the cloud its plugin's start, come before.
_LASTS, _LASTS_LOCALLY = timedelta(minutes=5), timedelta(minutes=1)
_LOCK_PATIENCE_S = 10.0  # one that was left behind ends by itself, having lost us
_POLL_INTERVAL = "1s"  # the plugin's own is ten: every deploy would take a multiple of it
#: Of what the CLI prints, what is worth a line: each resource that it changed, and what it complains of.
_TELLING = re.compile(r"gcp:.*\b(?:created|updated|deleted|imported|replaced)\b|error|warning")
T = TypeVar("T")


class PulumiCli(Struct, frozen=True):
    """With Pulumi's engine. Looks for nothing and starts nothing until it is applied.

    Args:
        provider: reads a service as Pulumi spells it, to take it into a stack.
        stopped: whether the process was told to end.
    """

    read: program.Read
    etag: program.Etag
    found: Found
    home: LocalHome | CloudHome
    provider: Callable[[], LocalProvider]
    say: Say = field(default=lambda _: None)
    stopped: Callable[[], bool] = field(default=lambda: False)

    @property
    def lasts(self) -> timedelta:
        """See ``ports.Deployer``."""
        return _LASTS_LOCALLY if self.home.is_local else _LASTS

    @property
    def outlives(self) -> bool:
        """See ``ports.Deployer``. The CLI goes on without us; the local Cloud Run's provider is in this process."""
        return not self.home.is_local

    def apply(self, settings: Settings) -> None:
        """``pulumi up`` with a refresh before it.

        Raises: what the program's read raises; StaleWrite when somebody wrote the service meanwhile;
            PlatformUnavailable while another update holds the lock, or told to stop; PlatformError when anything else
            fails.
        """
        self.say(f"running the Pulumi program with {self.found}")
        failed = list[SpillwayError]()

        def run() -> None:
            program.run(self.read, self.etag, failed.append)

        try:
            with self._stack(settings, run) as stack:
                self._mend(stack, settings, run)
                self._patiently(stack, lambda: self._up(stack))
        except automation.CommandError as error:
            raise failed[0] if failed else faults.told(error, settings) from error
        if failed:  # some versions of the CLI end well although what comes after a write complains
            raise failed[0]

    @contextmanager
    def _stack(self, settings: Settings, run: automation.PulumiFn) -> Iterator[automation.Stack]:
        # An engine that ends amid the program is, for the SDK's own server, an error worth a traceback.
        logging.getLogger("grpc._server").disabled = True
        cli = Cli(self.found, self.stopped)
        with self.home.opened(settings.stack) as (folder, environment):
            stack = automation.create_or_select_stack(
                stack_name=settings.stack,
                project_name=PROJECT,
                program=run,
                opts=automation.LocalWorkspaceOptions(
                    work_dir=folder, env_vars=environment, pulumi_command=cli
                ),
            )
            cli.set_secret(stack, f"{PROJECT}:{CONFIG_KEY}", settings.encode())
            if not self.home.is_local:
                stack.set_config("gcp:pollInterval", automation.ConfigValue(_POLL_INTERVAL))
            yield stack

    def _up(self, stack: automation.Stack, **options: Any) -> automation.UpResult:
        return stack.up(refresh=True, on_output=self._tell, color="never", suppress_progress=True, **options)

    def _tell(self, line: str) -> None:
        if _TELLING.search(line):
            self.say(line.strip())

    def _mend(self, stack: automation.Stack, settings: Settings, run: automation.PulumiFn) -> None:
        """See the module docstring."""
        state = stack.export_stack().deployment or {}
        if pending := state.get("pending_operations"):
            self.say(f"an apply was interrupted: looking what became of {len(pending)} operation(s)")
            self._patiently(
                stack, lambda: stack.refresh(clear_pending_creates=True, on_output=self._tell, color="never")
            )
            state = stack.export_stack().deployment or {}
        is_known = any(found["type"] == SERVICE for found in state.get("resources") or ())
        if not is_known and (inputs := self._as_it_is(settings)) is not None:
            self.say(f"{settings.service} is there and not in stack {settings.stack}: taking it in as it is")
            self._adopt(stack, settings, inputs, run)

    def _as_it_is(self, settings: Settings) -> dict[str, Any] | None:
        """All that a program could declare of the service, with what is live; None when it does not exist."""
        ref = settings.ref
        state = self.provider().read({"project": ref.project, "location": ref.location, "name": ref.service})
        return None if state is None else refreshed({}, state)

    def _adopt(
        self, stack: automation.Stack, settings: Settings, inputs: dict[str, Any], run: automation.PulumiFn
    ) -> None:
        """Run the program with what is live in the place of what it declares.

        The engine would follow an import by an update where they differ: so it is asked first.
        """

        def as_it_is(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
            if args.type_ != SERVICE:
                return None
            importing = pulumi.ResourceOptions(import_=settings.ref.name, version=version("pulumi-gcp"))
            return pulumi.ResourceTransformationResult(
                inputs, pulumi.ResourceOptions.merge(args.opts, importing)
            )

        def adopting() -> None:
            pulumi.runtime.register_stack_transformation(as_it_is)
            run()

        foreseen = stack.preview(program=adopting, color="never").change_summary
        if {str(what) for what in foreseen} - {"create", "same", "import"}:
            would = ", ".join(f"{count} {what}" for what, count in foreseen.items())
            raise PlatformError(
                f"{settings.service} cannot be taken into stack {settings.stack} as it is",
                f"Pulumi would do {would}, where an import alone was asked for; nothing was written.",
                f"Look what differs: spillway plan; to give traffic back: spillway rollback {settings.ref.name}",
            )
        self._patiently(stack, lambda: self._up(stack, program=adopting))

    def _patiently(self, stack: automation.Stack, work: Callable[[], T]) -> T:
        """Do it; a lock that somebody holds is waited for, and one that nobody holds any more is cancelled."""
        give_up = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                return work()
            except automation.ConcurrentUpdateError as error:
                if faults.holders_are_dead(error):
                    self.say(
                        f"the lock of stack {stack.name} is that of a process which is gone: cancelling it"
                    )
                    stack.cancel()
                    continue
                if self.stopped() or time.monotonic() >= give_up:
                    raise
            time.sleep(1.0)
