"""The action for GitHub's CI as files of the user's own repository, where a workflow names it by its path.

So no reference has to be right, or may be read, in another repository. In the package the files are links to
``.github/actions/rollout``; a wheel has them as files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FOLDER = ".github/actions/spillway"
_NAMES = ("action.yml", "run.sh", "stands.sh")


def files() -> Mapping[str, str]:
    """Path from the root of the repository to text."""
    there = Path(__file__).parent / "github_action"
    return {f"{FOLDER}/{name}": (there / name).read_text(encoding="utf-8") for name in _NAMES}
