"""The images of ``spillway.yaml`` as the local Cloud Run's catalogue."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.config import Config


def write_catalogue(folder: Path, config: Config, beside: Path) -> None:
    """Write it where the local Cloud Run reads it.

    Args:
        beside: the folder of spillway.yaml; an image's ``directory`` is relative to it. ``{python}`` in a command
            stands for the interpreter that runs Spillway.
    """
    from pipeline.local import images

    made = {
        name: images.Image(
            command=tuple(sys.executable if part == "{python}" else part for part in image.command),
            directory=str((beside / image.directory).absolute()),
            env=image.env,
        )
        for name, image in config.images.items()
    }
    images.write(folder, made)
