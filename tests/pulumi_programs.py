"""The Pulumi program as ``pulumi up`` runs it, without an engine."""

from __future__ import annotations

import threading

import pulumi

from infra import program
from infra.settings import CONFIG_KEY, PROJECT, Settings


def refusal(settings: Settings, read: program.Read) -> list[str]:
    """The lines of the error that it ends with, which must be the one that Pulumi prints as it is."""
    told: list[BaseException] = []

    def up() -> None:
        pulumi.runtime.set_all_config({f"{PROJECT}:{CONFIG_KEY}": settings.encode()})
        try:
            program.run(read, lambda _: "")
        except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
            told.append(error)

    thread = threading.Thread(target=up)  # Pulumi's settings are the thread's own
    thread.start()
    thread.join()
    assert [type(error) for error in told] == [pulumi.RunError], "the one that Pulumi prints as it is"
    return str(told[0]).splitlines()
