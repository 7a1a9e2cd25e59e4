"""The images of ``spillway.yaml`` as the local Cloud Run's catalogue."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config

if TYPE_CHECKING:
    from pipeline.local.images import Image


def images_of(config: Config, beside: Path) -> Mapping[str, Image]:
    """What the local Cloud Run knows of each image.

    Args:
        beside: the folder of spillway.yaml; an image's ``directory`` is relative to it. ``{python}`` in a command
            stands for the interpreter that runs Spillway.
    """
    from pipeline.local.images import Image

    return {
        name: Image(
            command=tuple(sys.executable if part == "{python}" else part for part in image.command),
            directory=str((beside / image.directory).absolute()),
            env=image.env,
        )
        for name, image in config.images.items()
    }


def write_catalogue(folder: Path, config: Config, beside: Path) -> None:
    """Write it where the local Cloud Run reads it, at each start of a revision."""
    from pipeline.local import images

    images.write(folder, images_of(config, beside))
