"""The house in figures: statements, and per folder its rooms, the arrows between them and the floors they stand on.

A *room* of a folder is a file or a folder directly in it; an *arrow* is an import of one by another (or by something
inside it); a room stands one *floor* above the highest that it imports. Rooms of a circle are told and stand together.

    python -m bench.house [TREE]      another checkout, to compare with
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

PACKAGES = ("checks", "infra", "pipeline")


def modules(root: Path) -> Mapping[str, Path]:
    """Dotted name to file; a package is its ``__init__``."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: Mapping[str, Path]) -> frozenset[str]:
    """Every module named by an import statement, lazy ones too; ``from a import b`` yields ``a.b`` if that is known."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = names & known.keys()
            found |= inside | ({node.module} if len(inside) < len(names) else set())
    return frozenset(found)


def statements(path: Path) -> int:
    """Without docstrings."""
    body = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    texts = sum(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for node in body
    )
    return sum(isinstance(node, ast.stmt) for node in body) - texts


def rooms(folder: str, graph: Mapping[str, Set[str]]) -> Mapping[str, Set[str]]:
    """Each room of a folder and the rooms beside it that it imports."""
    depth = folder.count(".") + 2

    def room(module: str) -> str:
        return ".".join(module.split(".")[:depth]) if module.startswith(f"{folder}.") else ""

    found: dict[str, set[str]] = {room(m): set() for m in graph if room(m)}
    for module, imported in graph.items():
        here = room(module)
        if here:
            found[here] |= {room(i) for i in imported} - {"", here}
    return found


def floors(arrows: Mapping[str, Set[str]]) -> Mapping[str, int]:
    """The floor of each room, from 1; rooms in a circle wait for each other and are left out."""
    placed: dict[str, int] = {}
    while len(placed) < len(arrows):
        ready = [room for room, below in arrows.items() if room not in placed and below <= placed.keys()]
        if not ready:
            break
        placed |= {room: 1 + max((placed[b] for b in arrows[room]), default=0) for room in ready}
    return placed


def report(root: Path) -> Iterator[str]:
    known = modules(root)
    graph = {name: imports(path, known) for name, path in known.items()}
    for package in PACKAGES:
        paths = [path for name, path in known.items() if name.split(".")[0] == package]
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)
        yield f"{package:10} {len(paths):4} files {lines:7,} lines {sum(map(statements, paths)):7,} statements"
    total = sum(map(statements, known.values()))
    yield f"{'together':10} {len(known):4} files {'':13} {total:7,} statements"
    yield ""
    packages = sorted({name for name, path in known.items() if path.name == "__init__.py"})
    for package in packages:
        arrows = rooms(package, graph)
        if len(arrows) < 2:
            continue
        placed = floors(arrows)
        circle = sorted(arrows.keys() - placed.keys())
        told = f"  CIRCLE {', '.join(circle)}" if circle else ""
        count = sum(map(len, arrows.values()))
        high = max(placed.values(), default=0)
        yield f"{package:24} {len(arrows):3} rooms {count:4} arrows {high:3} floors{told}"


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())))
