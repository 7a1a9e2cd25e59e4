"""Who is of a fleet: services that files name, and services that bear a label; each task's part of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pipeline.app import stepping
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.app.stepping import Step
from pipeline.core.fleet import task_of
from pipeline.errors import UserError
from pipeline.model import LiveService, ServiceRef
from pipeline.output.writer import Output


class Task(Struct, frozen=True):
    """Which part of the fleet is this process's.

    Args:
        index: from 0; ``count``: how many tasks there are.
    """

    index: int = 0
    count: int = 1

    def has(self, name: str) -> bool:
        return task_of(name, self.count) == self.index

    @classmethod
    def of(cls, environment: Mapping[str, str], most: int) -> Task:
        """As Cloud Run tells each task of a job. Raises UserError."""
        index, count = (environment.get(f"CLOUD_RUN_TASK_{word}", "") for word in ("INDEX", "COUNT"))
        if not index and not count:
            return cls()
        if not (_is_number(index) and _is_number(count) and int(index) < int(count) <= most):
            raise UserError(
                f"CLOUD_RUN_TASK_INDEX={index!r} of CLOUD_RUN_TASK_COUNT={count!r}: no task of a fleet",
                f"The index counts from 0, and at most {most} tasks share the project's quota.",
                f"Give the job fewer tasks: gcloud run jobs update JOB --tasks {most}",
            )
        return cls(int(index), int(count))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6


def files_of(patterns: Sequence[str], folder: Path) -> Sequence[Path]:
    """What the patterns find, each once, in order. Raises UserError for a pattern that finds nothing.

    Args:
        folder: that patterns are relative to; ``**`` is any number of folders.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - absolute ones as well
        if not matches:
            raise UserError(
                f"--files {pattern}: there is no such file",
                f"It was looked for from {folder.absolute()}.",
                "Name the services' files: --files 'services/*/spillway.yaml'",
            )
        for match in matches:
            path = folder / match
            found.setdefault(os.path.realpath(path), path)
    return [*found.values()]


def of_files(
    session: Session, paths: Sequence[Path], env: str | None, task: Task
) -> tuple[Mapping[ServiceRef, Request], Sequence[Step]]:
    """The services that files name, and results of files that name none.

    A file that cannot be read is one task's, by its path; so is a second file of one service.
    """
    found, errors = dict[ServiceRef, Request](), list[Step]()
    for path in paths:
        own = replace(session, output=Output(level=-1), config_file=path)
        try:
            request = Request.of(own, env)
            if request.ref in found:
                raise UserError(  # noqa: TRY301
                    f"{path}: {request.ref.service} has a file already",
                    f"{found[request.ref].session.config_file} names the same service, {request.ref.name}; that one is used.",
                    "Leave one of them out of --files.",
                )
            found[request.ref] = request
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one file is none of the others
            if task.has(str(path)):
                errors.append(stepping.failed(str(path), stepping.told(error)))
    return found, errors


class Label(Struct, frozen=True):
    """``key=value``, or a key alone: with whatever value."""

    key: str
    value: str | None

    @classmethod
    def parse(cls, text: str) -> Label:
        """Raises UserError."""
        key, equals, value = text.partition("=")
        if not key.strip():
            raise UserError(
                f"--label {text!r}: no label",
                "A label is a key, and mostly a value.",
                "Name one: --label spillway=watched",
            )
        return cls(key.strip(), value.strip() if equals else None)

    def is_on(self, live: LiveService) -> bool:
        return self.key in live.labels and self.value in (None, live.labels[self.key])


def labelled(labels: Sequence[Label], services: Mapping[ServiceRef, LiveService]) -> Iterator[ServiceRef]:
    """Services that bear all of these."""
    return (ref for ref, live in services.items() if all(label.is_on(live) for label in labels))
