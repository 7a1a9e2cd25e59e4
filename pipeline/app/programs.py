"""Who applies the Pulumi program: Pulumi's engine, or this process (on the local Cloud Run alone)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.errors import UserError

if TYPE_CHECKING:
    import grpc

    from infra.alerts import Declared
    from infra.live import Live
    from infra.settings import Settings
    from pipeline.cloudrun.pulumi.apply import PulumiCli
    from pipeline.cloudrun.stack import InProcess
    from pipeline.local.provider.service import LocalProvider


class EngineChoice(StrEnum):
    """``auto``: Pulumi's engine where its CLI is on this machine."""

    AUTO = "auto"
    PULUMI = "pulumi"
    IN_PROCESS = "in-process"

    @classmethod
    def named(cls, text: str) -> EngineChoice:
        """``auto`` for a name that is none."""
        return cls(text) if text in set(cls) else cls.AUTO


class Program(Struct):
    """``deploy.Apply``: chosen when it is first needed, so that who deploys nothing needs no CLI.

    Args:
        channel: to a local Cloud Run; None is the cloud.
        folder: that local Cloud Run's; of the cloud, the project's, where the stack may have settings of its own.
    """

    channel: grpc.Channel | None
    folder: Path
    engine: EngineChoice
    say: Callable[[str], None] = lambda _: None
    stopped: Callable[[], bool] = lambda: False
    _chosen: InProcess | PulumiCli | None = None

    @property
    def lasts(self) -> timedelta:
        """See ``ports.Deployer``. Raises: what choosing raises."""
        return self.chosen.lasts

    @property
    def outlives(self) -> bool:
        """See ``ports.Deployer``. Raises: what choosing raises."""
        return self.chosen.outlives

    def apply(self, settings: Settings) -> None:
        """Raises: what choosing and applying raise."""
        self.chosen.apply(settings)

    def declared(self, settings: Settings) -> tuple[Declared, ...]:
        """What the program declares, given what is live. Writes nothing and needs no CLI."""
        from pipeline.cloudrun.stack import declared

        return declared(settings, self._read).resources

    @property
    def chosen(self) -> InProcess | PulumiCli:
        """Raises UserError when what was asked for is not to be had here.

        (A cached_property of Python 3.11 has one lock for all programs: a CLI that hangs would hold a whole fleet.)
        """
        self._chosen = self._chosen or self._choose()
        return self._chosen

    def _choose(self) -> InProcess | PulumiCli:
        if self.engine is EngineChoice.IN_PROCESS:
            return self._in_process()
        from pipeline.cloudrun.pulumi.found import found

        try:
            where = found()
        except UserError as error:
            if self.engine is EngineChoice.PULUMI or self.channel is None:
                raise
            self.say(f"{error.what}: {error.why}")
            return self._in_process()
        from pipeline.cloudrun.pulumi.apply import PulumiCli
        from pipeline.cloudrun.pulumi.home import CloudHome, LocalHome

        home = CloudHome(self.folder) if self.channel is None else LocalHome(self.folder, self.channel)
        return PulumiCli(self._read, self._etag, where, home, self._provider, self.say, self.stopped)

    def _in_process(self) -> InProcess:
        from pipeline.cloudrun.stack import InProcess

        if self.channel is None:
            raise UserError(
                "--engine in-process is for the local Cloud Run",
                "In the cloud the program is applied by Pulumi's engine, which keeps the state.",
                "Get the CLI: make pulumi; then give the command without --engine",
            )
        return InProcess(self._provider(), self._read, self.say)

    def _provider(self) -> LocalProvider:
        from pipeline.local.provider.service import LocalProvider
        from pipeline.rpc.run import API

        return LocalProvider(self.channel if self.channel is not None else API.channel())

    def _read(self, settings: Settings) -> Live | None:
        from infra.live import read

        return read(settings, channel=self.channel)

    def _etag(self, settings: Settings) -> str:
        from infra.live import etag

        return etag(settings, channel=self.channel)
