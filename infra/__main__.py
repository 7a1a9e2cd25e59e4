"""What ``pulumi up`` runs. It puts only this folder on the path, so the project must be installed beside it."""

from __future__ import annotations

import pulumi

from infra import live, program
from pipeline.errors import SpillwayError

if __name__ == "__main__":
    try:
        program.declare(live.read)
    except SpillwayError as error:
        raise pulumi.RunError(str(error)) from error  # told without a traceback
