"""The images of ``spillway.yaml``, for the local Cloud Run: by name, and pinned by digest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.app.request import Request
    from pipeline.config.schema import Config
    from pipeline.local.images.catalogue import Image


def words_of(command: Sequence[str], beside: Path) -> tuple[str, ...]:
    """A command of spillway.yaml: ``{project}`` is its folder, ``{python}`` the interpreter that runs Spillway."""
    here = str(beside.absolute())
    return tuple(part.replace("{python}", sys.executable).replace("{project}", here) for part in command)


def images_of(config: Config, beside: Path) -> Mapping[str, Image]:
    """What each name means.

    Args:
        beside: the folder of spillway.yaml; an image's ``directory`` is relative to it.
    """
    from pipeline.local.images.catalogue import Image

    return {
        name: Image(
            command=words_of(image.command, beside),
            directory=None if image.directory is None else str((beside / image.directory).absolute()),
            env=image.env,
        )
        for name, image in config.images.items()
    }


@contextmanager
def pinned(request: Request, image: str) -> Iterator[Request]:
    """The request with its image by digest; locally, with the folder copied, and kept for the length of the block.

    Raises: UserError.
    """
    asked = request.config.image_reference(image, request.environment)
    if not request.ref.is_local:
        yield request.with_image(asked)
        return
    from pipeline.local.images import builds

    folder = request.session.local_folder
    lease = builds.hold(folder, asked) if "@" in asked else builds.pin(folder, asked, _image(request, asked))
    with lease as reference:
        yield request.with_image(reference)


def referenced(request: Request, image: str) -> Request:
    """The request as ``pinned`` would make it; nothing is made. Raises UserError."""
    asked = request.config.image_reference(image, request.environment)
    if "@" in asked:
        return request.with_image(asked)
    from pipeline.local.images import builds

    return request.with_image(builds.reference(request.session.local_folder, asked, _image(request, asked)))


def _image(request: Request, name: str) -> Image:
    return images_of(request.config, request.session.config_file.parent)[name]
