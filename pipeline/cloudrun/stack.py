"""The Pulumi program, run one way or another; what it declares is the same.

``declared`` runs it in this process and only collects what it declares. ``InProcess`` then brings that about on the
local Cloud Run with one plain loop: services, no deletions, no state, and Pulumi's engine is not used, which it says.
``pulumi/apply.py`` has the engine do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from infra.alerts import Declared
from infra.compose import unreserved
from infra.settings import PROJECT, Settings
from infra.slipped import must_not_have_slipped
from pipeline.cloudrun.faults import translated
from pipeline.errors import RequestRejected, StaleWrite

if TYPE_CHECKING:
    from infra.live import Live
    from infra.program import Read
    from pipeline.local.provider.service import LocalProvider

_TRIES = 5
Say = Callable[[str], None]


class Declaration(Struct, frozen=True):
    """What one run of the program declared, and the read of the live service that it rests on."""

    live: Live | None
    resources: tuple[Declared, ...]


def declared(settings: Settings, read: Read) -> Declaration:
    """Run the program and change nothing. Raises what ``read`` raises: a program that could not look declares nothing.

    Pulumi keeps its run-time in context variables and event loops of the thread; a thread of its own, with all loops
    closed at its end, leaves nothing behind, so it can be run again.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pulumi-program") as thread:
        return thread.submit(_run_program, settings, read).result()


def _run_program(settings: Settings, read: Read) -> Declaration:
    import pulumi
    from pulumi.runtime import rpc

    from infra import program

    seen: list[Live | None] = []
    found: list[Declared] = []

    def remember(asked: Settings) -> Live | None:
        seen.append(read(asked))
        return seen[-1]

    class Collector(pulumi.runtime.Mocks):
        def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], None]:
            raise NotImplementedError(
                f"the program calls {args.token}, which only Pulumi's engine can answer"
            )

        def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
            if args.custom:
                found.append(Declared(args.typ, args.name, _unwrapped(args.inputs, rpc)))
            return args.name, args.inputs

    loop = asyncio.new_event_loop()
    workers = ThreadPoolExecutor(max_workers=1)
    loop.set_default_executor(workers)
    asyncio.set_event_loop(loop)
    try:
        pulumi.runtime.set_mocks(Collector(), project=PROJECT, stack=settings.stack)
        pulumi.runtime.test(lambda: program.declare(settings, remember))()  # type: ignore[no-untyped-call]
    finally:
        workers.submit(_close_loop).result()
        workers.shutdown()
        loop.close()
    return Declaration(seen[0], tuple(found))


def _close_loop() -> None:
    """The mock monitor makes an event loop in the worker's thread and leaves it open."""
    with suppress(RuntimeError):  # it made none
        asyncio.get_event_loop().close()


def _unwrapped(value: Any, rpc: Any) -> Any:
    """The value without Pulumi's wrapping of secrets."""
    if rpc.is_rpc_secret(value):
        value = rpc.unwrap_rpc_secret(value)
    match value:
        case dict():
            return {key: _unwrapped(item, rpc) for key, item in value.items()}
        case list():
            return [_unwrapped(item, rpc) for item in value]
    return value


class InProcess(Struct, frozen=True):
    """Without the CLI, on the local Cloud Run."""

    provider: LocalProvider
    read: Read
    say: Say = field(default=lambda _: None)
    lasts: timedelta = timedelta(seconds=15)
    outlives: bool = False

    def apply(self, settings: Settings) -> None:
        """Bring about what the program declares; returns when it is accepted. Writes nothing when nothing differs.

        The write carries no etag, as the real provider's does not: the etag is compared immediately before it, and
        afterwards the service is read back.

        Raises: StaleWrite when the service changed under each of several tries, or between the last look and the
            write; RequestRejected.
        """
        self.say("running the Pulumi program in process: Pulumi's engine and state are not used")
        for tries_left in reversed(range(_TRIES)):
            try:
                before = self._apply_once(settings)
                break
            except StaleWrite:
                if not tries_left:
                    raise
        if before is not None:
            must_not_have_slipped(settings, before, self.read(settings))

    def _apply_once(self, settings: Settings) -> Live | None:
        """What was live when the program looked, if that was written over."""
        with translated(f"deploy {settings.service}", etag=True):
            declaration = declared(settings, self.read)
            plain = self.provider.plain
            services = [resource for resource in declaration.resources if resource.type not in plain.kinds]
            wrote = [self._bring_about(resource, declaration.live) for resource in services]
            for resource in declaration.resources:
                if resource.type in plain.kinds:
                    _must_be_right(resource, plain.check(resource.type, resource.inputs))
                    plain.bring_about(resource.type, resource.inputs)
            return declaration.live if any(wrote) else None

    def _bring_about(self, resource: Declared, live: Live | None) -> bool:
        """Whether anything had to be written."""
        _must_be_right(resource, self.provider.check(resource.inputs))
        # Without a state of the last apply: whatever was live then and may be declared is the program's.
        state = self.provider.read(resource.inputs, unreserved(live.fields) if live else None)
        if (state["etag"] if state else "") != (live.etag if live else ""):
            raise StaleWrite(f"{resource.name} changed after the program had read it")
        if state is None:
            self.provider.create(resource.inputs)
        elif self.provider.diff(state, resource.inputs):
            self.provider.update(state, resource.inputs)
        else:
            return False
        return True


def _must_be_right(resource: Declared, problems: Sequence[str]) -> None:
    if problems:
        raise RequestRejected(f"{resource.name}: {problems[0]}", f"declared as {resource.type}")
