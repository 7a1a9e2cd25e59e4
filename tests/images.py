"""A folder that images are made of, and the state folder that pins them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pipeline.local.images import builds
from pipeline.local.images.catalogue import Image


class Place:
    """A source folder, and a state folder that pins it."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.state = folder / "state"
        self.source.mkdir()
        self.write("server.py", "one")

    def write(self, path: str, text: str = "") -> Path:
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def image(self, *command: str, **env: str) -> Image:
        return Image(command or ("python", "server.py"), str(self.source), env)

    def reference(self, **env: str) -> str:
        return builds.reference(self.state, "good", self.image(**env))

    def pin(self, name: str = "good") -> str:
        with builds.pin(self.state, name, self.image()) as reference:
            return reference

    def copied(self, reference: str) -> list[str]:
        """Paths of the copy."""
        root = builds.find(self.state, reference).directory
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir() or p.is_symlink())

    def copies(self) -> list[Path]:
        return list((self.state / "images" / "content").glob("*"))


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def digest(reference: str) -> str:
    return reference.partition("@sha256:")[2]


def collect(place: Place, *used: str) -> None:
    for left in builds.collect(place.state, [digest(reference) for reference in used]):
        shutil.rmtree(left)
