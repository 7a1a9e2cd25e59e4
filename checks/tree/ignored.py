"""What ``.gitignore`` leaves out, where there is no git to ask.

Read are the forms that people write: names, ``*``, ``**``, ``?``, ``[...]``, a slash in front, in the middle or at the end,
and ``!`` for what is kept after all. What lies in a folder that is left out stays out, as git has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

_PIECE = re.compile(r"\*+|\?|\[!?\]?[^]]*\]|\\.|.", re.DOTALL)


class _Pattern(NamedTuple):
    matches: re.Pattern[str]
    is_kept: bool
    is_folder: bool


def kept(names: Iterable[str], read: Callable[[str], str]) -> list[str]:
    """The names that no pattern leaves out.

    Args:
        names: relative to the root, with forward slashes.
        read: the ``.gitignore`` of a folder (``""`` for the root) as text; empty where there is none.
    """

    @lru_cache(None)
    def patterns(folder: str) -> list[_Pattern]:
        return [made for line in read(folder).splitlines() if (made := _pattern(line))]

    @lru_cache(None)
    def is_out(path: str, *, is_folder: bool) -> bool:
        above = path.rpartition("/")[0]
        if above and is_out(above, is_folder=True):
            return True
        folders = ["", *(above[: m.start()] for m in re.finditer("/", above)), *([above] if above else [])]
        verdict = False
        for folder in folders:
            inside = path[len(folder) + 1 :] if folder else path
            for each in patterns(folder):
                if (is_folder or not each.is_folder) and each.matches.fullmatch(inside):
                    verdict = not each.is_kept
        return verdict

    return [name for name in names if not is_out(name, is_folder=False)]


def _pattern(line: str) -> _Pattern | None:
    text = line.rstrip() if not line.endswith("\\ ") else line
    if not text or text.startswith("#"):
        return None
    is_kept, text = text.startswith("!"), text.removeprefix("!")
    is_folder, text = text.endswith("/"), text.rstrip("/")
    if not text:
        return None
    try:
        body = _path(text.removeprefix("/").split("/"))
        made = re.compile(body if "/" in text else f"(?:.*/)?{body}", re.DOTALL)
        return _Pattern(made, is_kept, is_folder)
    except re.error:
        return None


def _path(parts: list[str]) -> str:
    """Names between slashes; any number of them for ``**``."""
    *folders, last = [part for part, _ in groupby(parts)] if "**" in parts else parts
    above = "".join("(?:.*/)?" if part == "**" else f"{_name(part)}/" for part in folders)
    return above + (".+" if last == "**" else _name(last))


def _name(text: str) -> str:
    """One name. What stands behind a star is sought once, from the left: nothing before it is tried again."""
    pieces = _PIECE.findall(text)
    first, *rest = [list(group) for is_star, group in groupby(pieces, _is_star) if not is_star] or [[]]
    starts, ends = bool(pieces) and _is_star(pieces[0]), bool(pieces) and _is_star(pieces[-1])
    chunks = ["".join(map(_piece, each)) for each in (first, *rest)]
    if not any(map(_is_star, pieces)):
        return chunks[0]
    head = "" if starts else chunks.pop(0)
    tail = "[^/]*" if ends else f"[^/]*{chunks.pop()}"
    return head + "".join(f"(?>[^/]*?{chunk})" for chunk in chunks if chunk) + tail


def _is_star(piece: str) -> bool:
    return piece.startswith("*")


def _piece(piece: str) -> str:
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and len(piece) > 1:
        return f"[{'^' * piece.startswith('[!')}{piece[1:-1].removeprefix('!')}]"
    return re.escape(piece.removeprefix("\\") if len(piece) > 1 else piece)
