"""``spillway.yaml`` as a tree of values, before anything is validated; its secrets are known to the sink from here on."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline import credentials
from pipeline.config import bounded_file, yamltree
from pipeline.redact import SINK


def read(path: Path) -> yamltree.Document:
    """Raises ConfigError."""
    document = yamltree.parse(bounded_file.read(path), str(path))
    SINK.learn(*credentials.of_config(document.value, os.environ))
    return document
