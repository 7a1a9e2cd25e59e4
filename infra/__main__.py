"""What ``pulumi up`` runs. It puts only this folder on the path, so the project must be installed beside it."""

from __future__ import annotations

from infra import live, program

if __name__ == "__main__":
    program.run(live.read, live.etag)
