"""Where ``spillway`` starts."""

from __future__ import annotations

import sys

from pipeline.cli import quick


def main() -> None:
    """Entry point of the console script."""
    code = quick.check(sys.argv[1:])
    if code is not None:
        raise SystemExit(code)
    from pipeline.cli.app import app

    app()
