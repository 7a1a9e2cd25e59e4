"""Lines no wider than a terminal from which no figure is lost: what does not fit goes on in the next one.  PURE."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.text import Text

_MOST_LINES = 4  # of one long text
_BESIDE = "\0"  # the second column of a wide character, while lines are counted in characters


def flow(
    parts: Iterable[Text],
    width: int,
    indent: int = 2,
    *,
    branch: str = "",
    below: str | None = None,
    gap: int = 3,
) -> list[Text]:
    """The parts side by side; what does not fit goes on in the next line.

    Args:
        indent: blanks before each further line, after ``below``.
        branch: what the first line begins with. ``below``: what each further one does; None: the same.
        gap: blanks between two parts.
    """
    further = f"{branch if below is None else below}{' ' * indent}"
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + gap + part.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], " " * gap, part)
            continue
        for piece in _pieces(part, width - len(further if lines else branch), width - len(further)):
            lines.append(Text.assemble(further if lines else branch, piece))
    return lines


def _pieces(part: Text, first: int, further: int) -> Iterator[Text]:
    """A text that is longer than a line, by words; the last line says that there is more."""
    if part.cell_len <= first:
        yield part
        return
    width = max(10, min(first, further))
    for piece in _wrapped(part.plain, width) or [""]:
        yield Text(piece, style=part.style or (part.spans[0].style if part.spans else ""))


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` columns, of which Chinese, Japanese, Korean and emoji take two a character."""
    wide = "".join(each + _BESIDE * (cell_len(each) - 1) for each in text)
    if len(wide) > len(text):
        width -= 1  # a line may end between the two columns
    lines = textwrap.wrap(wide, width, max_lines=_MOST_LINES, placeholder=" ...")
    return [line.replace(_BESIDE, "") for line in lines]
