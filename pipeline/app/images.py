"""The images of ``spillway.yaml``, for the local Cloud Run: by name, and pinned by digest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.schema import Config, Environment

if TYPE_CHECKING:
    from pipeline.local.images.catalogue import Image


def images_of(config: Config, beside: Path) -> Mapping[str, Image]:
    """What each name means.

    Args:
        beside: the folder of spillway.yaml; an image's ``directory`` is relative to it. ``{python}`` in a command
            stands for the interpreter that runs Spillway.
    """
    from pipeline.local.images.catalogue import Image

    return {
        name: Image(
            command=tuple(sys.executable if part == "{python}" else part for part in image.command),
            directory=None if image.directory is None else str((beside / image.directory).absolute()),
            env=image.env,
        )
        for name, image in config.images.items()
    }


@contextmanager
def pinned(
    config: Config, environment: Environment, image: str, *, beside: Path, folder: Path
) -> Iterator[str]:
    """The image by digest; locally, with its folder copied, and kept for the length of the block at least.

    Args:
        folder: of the local Cloud Run.
    Raises: UserError.
    """
    asked = config.image_reference(image, environment)
    if not config.ref(environment).is_local:
        yield asked
        return
    from pipeline.local.images import builds

    if "@" in asked:
        lease = builds.hold(folder, asked)
    else:
        lease = builds.pin(folder, asked, images_of(config, beside)[asked])
    with lease as reference:
        yield reference


def reference_of(config: Config, environment: Environment, image: str, *, beside: Path, folder: Path) -> str:
    """The image by digest, as ``pinned`` would make it; nothing is made. Raises UserError."""
    asked = config.image_reference(image, environment)
    if "@" in asked:
        return asked
    from pipeline.local.images import builds

    return builds.reference(folder, asked, images_of(config, beside)[asked])
