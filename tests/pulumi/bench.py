"""A program on Pulumi's real engine, and what a test does to the service behind its back."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from google.cloud import run_v2
from msgspec.structs import replace
from pulumi import automation

from infra import program
from infra.compose import compose
from infra.live import etag, read
from infra.settings import Settings, Template
from pipeline.cloudrun.pulumi.apply import PulumiCli
from pipeline.cloudrun.pulumi.found import Found
from pipeline.cloudrun.pulumi.home import LocalHome
from pipeline.cloudrun.service import CloudRun
from pipeline.cloudrun.stack import InProcess
from pipeline.local.provider.service import LocalProvider
from pipeline.model import LiveService, Split
from tests.contract.cloud import Cloud


@dataclass
class Bench:
    cloud: Cloud
    folder: Path
    found: Found
    names: dict[str, str] = field(default_factory=dict)

    def name(self, settings: Settings) -> str:
        """Of the revision that these settings made, or make: it follows from what is live when it is first asked for."""
        if settings.encode() not in self.names:
            live = read(settings, self.cloud.channel)
            made = compose(settings, live.stable, live.base) if live else compose(settings)
            self.names[settings.encode()] = made.revision
        return self.names[settings.encode()]

    def settings(self, **template: Any) -> Settings:
        """Of a service that does not exist yet."""
        made = Template(**{"image": "good", **template})
        return Settings("local", "here", self.cloud.fresh_id(), made, deletion_protection=False)

    @property
    def cli(self) -> PulumiCli:
        channel = self.cloud.channel
        reader, now = partial(read, channel=channel), partial(etag, channel=channel)
        home = LocalHome(self.folder, channel)
        return PulumiCli(reader, now, self.found, home, lambda: LocalProvider(channel))

    @property
    def in_process(self) -> InProcess:
        return InProcess(LocalProvider(self.cloud.channel), partial(read, channel=self.cloud.channel))

    @contextmanager
    def stack(self, settings: Settings, run: Callable[[], None] | None = None) -> Iterator[automation.Stack]:
        """The stack itself, for what ``apply`` does not do: no refresh, another program."""
        cli = self.cli
        with cli._stack(settings, run or (lambda: program.run(cli.read, cli.etag))) as stack:
            yield stack

    def up(self, settings: Settings, *, refresh: bool = False, **options: Any) -> dict[str, int]:
        """A bare ``pulumi up``: by default as from a checkout that never refreshed. What was done, by its name."""
        with self.stack(settings) as stack:
            return dict(stack.up(refresh=refresh, color="never", **options).summary.resource_changes or {})

    def shows_no_change(self, settings: Settings, *, refresh: bool = False) -> bool:
        with self.stack(settings) as stack:
            try:
                stack.preview(refresh=refresh, expect_no_changes=True, color="never")
            except automation.CommandError as error:
                if "no changes were expected" not in str(error):
                    raise
                return False
        return True

    def state(self, settings: Settings) -> dict[str, Any]:
        """The stack's state as the backend keeps it."""
        (file,) = (self.folder / "pulumi/backend/.pulumi/stacks").rglob(f"{settings.stack}.json")
        return dict(json.loads(file.read_text())["checkpoint"]["latest"])

    def message(self, settings: Settings) -> run_v2.Service:
        while (service := self.cloud.services.get_service(name=settings.ref.name)).reconciling:
            pass
        return service

    def live(self, settings: Settings) -> LiveService:
        self.message(settings)
        return CloudRun.over(self.cloud.channel).read(settings.ref)

    def move(self, settings: Settings, split: Split, notes: dict[str, str] | None = None) -> None:
        """As the pipeline does, or a person: traffic and annotations in one write."""
        platform, now = CloudRun.over(self.cloud.channel), self.live(settings)
        annotations = now.annotations if notes is None else notes
        platform.write(settings.ref, etag=now.etag, annotations=annotations, split=split)
        self.message(settings)


def another(settings: Settings, version: str = "2", **changes: Any) -> Settings:
    return replace(settings, template=replace(settings.template, **{"env": {"V": version}, **changes}))


def lock(state: Path, stack: str, pid: int) -> Path:
    """The lock of a stack as a CLI of that process would hold it. ``state``: folder of the local Cloud Run."""
    folder = state / "pulumi/backend/.pulumi/locks/organization/spillway" / stack
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "4b1f0f0e-0000-4000-8000-000000000000.json"
    held = {
        "pid": pid,
        "username": "me",
        "hostname": socket.gethostname(),
        "timestamp": "2026-11-27T07:00:00Z",
    }
    file.write_text(json.dumps(held))
    return file
