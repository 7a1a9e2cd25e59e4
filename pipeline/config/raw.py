"""``spillway.yaml`` as a tree of values, before anything is validated; its secrets are known to the sink from here on."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline import credentials
from pipeline.config import bounded_file, yamltree
from pipeline.probe import secret_file
from pipeline.redact import SINK


def read(path: Path) -> yamltree.Document:
    """Raises ConfigError."""
    document = yamltree.parse(bounded_file.read(path), str(path))
    SINK.learn(*credentials.of_config(document.value, os.environ))
    files = (path.parent / each for each in credentials.files_of(document.value))
    SINK.learn(*filter(None, map(_text_of, files)))
    return document


def _text_of(path: Path) -> str:
    """Of a secret's file; empty where there is none: whoever needs it says so."""
    try:
        return secret_file.read(path)
    except (OSError, ValueError):
        return ""
