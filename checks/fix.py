"""Makes the edits of fixes: in one file all or none, the text around them unchanged; a second run has nothing to do."""

from __future__ import annotations

import difflib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from checks.errors import CheckError
from checks.finding import Edit, Finding, Skipped
from checks.tree.files import Unreadable, decode, places, read, replace
from checks.tree.parse import Unparsable, parse

_BOM = b"\xef\xbb\xbf"


def plan(root: Path, findings: Iterable[Finding]) -> tuple[dict[str, bytes], list[Skipped]]:
    """New bytes by path for every file that can be fixed, and the files that cannot, with the reason."""
    edits: dict[str, set[Edit]] = defaultdict(set)
    for finding in findings:
        for edit in finding.fix.edits if finding.fix else ():
            edits[edit.path].add(edit)
    made: dict[str, bytes] = {}
    refused: list[Skipped] = []
    for path, wanted in sorted(edits.items()):
        try:
            made[path] = edited(read(root, path), wanted)
        except (Unreadable, ValueError) as error:
            refused.append(Skipped(path, f"not mended: {error}"))
    return made, refused


def diff(root: Path, files: Mapping[str, bytes]) -> str:
    """What ``write`` would change, as a unified diff. Raises Unreadable for a file that is gone."""
    lines: list[str] = []
    for path, data in files.items():
        old, new = (decode(each).splitlines(keepends=True) for each in (read(root, path), data))
        lines += difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def write(root: Path, files: Mapping[str, bytes]) -> None:
    """Replace files, keeping their mode. Raises CheckError on the first that cannot be written."""
    for path, data in files.items():
        target = root / path
        try:
            replace(target, data, target.stat().st_mode & 0o7777)
        except OSError as error:
            raise CheckError(f"{os.fspath(target)}: cannot be written", str(error)) from error


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    """The file with these edits. Raises ValueError when they meet each other or break the syntax."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    newline = b"\r\n" if b"\r\n" in data.partition(b"\n")[0] + b"\n" else b"\n"
    starts = [len(_BOM) if data.startswith(_BOM) else 0, *(at + 1 for at in places(data, b"\n"))]
    stretches = sorted((_offset(starts, e.start, data), _offset(starts, e.end, data), e.text) for e in edits)
    pieces: list[bytes] = []
    at = 0
    for start, end, text in stretches:
        if start < at:
            raise ValueError("two fixes meet; run again after this one")
        pieces += [data[at:start], _starting_on_a_line(data, start, text, newline)]
        at = end
    result = b"".join((*pieces, data[at:]))
    try:
        parse("", result)
    except Unparsable as error:
        raise ValueError(f"the result would not parse: {error.reason}") from error
    return result


def _starting_on_a_line(data: bytes, start: int, text: str, newline: bytes) -> bytes:
    """The new text with the file's own line ends; on a line of its own even where the last line has no end."""
    encoded = text.encode().replace(b"\n", newline)
    is_open_end = start == len(data) and start and not data.endswith(b"\n") and text.endswith("\n")
    return newline + encoded if is_open_end else encoded


def _offset(starts: list[int], position: tuple[int, int], data: bytes) -> int:
    line, column = position
    return min(starts[line - 1] + column, len(data)) if line <= len(starts) else len(data)
