"""The whole command line ``spillway``: names, help and nothing else. Every command imports what it needs when it runs."""

from __future__ import annotations

from pipeline.cli.registry import COMMANDS, GROUPS, build

app = build((*COMMANDS, *GROUPS))
