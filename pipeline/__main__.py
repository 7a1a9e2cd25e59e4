"""``python -m pipeline`` is ``spillway``."""

from pipeline.cli.main import main

main()
