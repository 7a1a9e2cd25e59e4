"""Small trees and what the rules must say about them, read from one text file per rule.

Shape of such a file: ``=== title`` starts a case, ``--- path`` a file of it. Lines before the first file say what is
configured: ``@ key words``. A case called ``common`` is no case: its files are in every tree of the text, unless the
case has its own, and its settings are those of every case that sets nothing itself. A file below ``before/`` belongs
to the base. What must be found is marked in the code and taken out before the checks see it:

    x = 1  #! word      a finding that fails the gate, with this word in its message (a word is not needed)
    x = 1  #? word      a finding that does not
    @ finds a.py:1 ?    the same, for files that cannot be marked

``@ alone`` leaves the common files out. ``@ missed`` marks a case whose finding is known not to be found: it counts against the recall.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from checks.finding import Finding
from checks.runner import run
from checks.settings import Settings

HERE = Path(__file__).parent
_MARK = re.compile(r"[ \t]*#([!?])(?: (.*))?$")
_BASE = "before/"

Options = Mapping[str, list[list[str]]]


@dataclass(frozen=True, slots=True)
class Expected:
    """One finding: where, whether it fails the gate, and a word of its message."""

    path: str
    line: int
    is_sure: bool
    word: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One tree. ``base`` is what it was before; None where nothing is compared."""

    rule: str
    title: str
    files: Mapping[str, str]
    settings: Settings
    finds: tuple[Expected, ...] = ()
    base: Mapping[str, str] | None = None
    is_missed: bool = False


def load(rule: str, settings: Callable[[Options], Settings]) -> list[Case]:
    """The cases of ``RULE.txt`` beside this file, in order."""
    text = (HERE / f"{rule.replace('-', '_')}.txt").read_text(encoding="utf-8")
    common_files: Mapping[str, str] = {}
    common_options: dict[str, list[list[str]]] = {}
    cases: list[Case] = []
    for part in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        head, *files = re.split(r"^--- ", rest, flags=re.MULTILINE)
        options = _options(head)
        texts = {path: body for path, _, body in (each.partition("\n") for each in files)}
        if title == "common":
            common_files, common_options = texts, options
        else:
            asked = settings({**common_options, **options})
            shared = {} if "alone" in options else common_files
            cases.append(_case(rule, title, {**shared, **texts}, options, asked))
    return cases


def _options(head: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for line in head.splitlines():
        if line.startswith("@ "):
            key, *words = line[2:].split()
            found.setdefault(key, []).append(words)
    return found


def _case(rule: str, title: str, texts: Mapping[str, str], options: Options, settings: Settings) -> Case:
    before = {p.removeprefix(_BASE): read(p, text)[0] for p, text in texts.items() if p.startswith(_BASE)}
    base = before or ({} if "compared" in options else None)
    made = marked(rule, title, {p: t for p, t in texts.items() if not p.startswith(_BASE)}, settings)
    places = ((place.rpartition(":"), doubt) for place, *doubt in options.get("finds", []))
    more = tuple(Expected(path, int(line), not doubt) for (path, _, line), doubt in places)
    return replace(made, finds=made.finds + more, base=base, is_missed="missed" in options)


def marked(rule: str, title: str, texts: Mapping[str, str], settings: Settings) -> Case:
    """A case from files with marks in them."""
    both = {path: read(path, text) for path, text in texts.items()}
    finds = tuple(each for _, found in both.values() for each in found)
    return Case(rule, title, {path: text for path, (text, _) in both.items()}, settings, finds)


def read(path: str, text: str) -> tuple[str, list[Expected]]:
    """The text without its marks, and what they say."""
    lines: list[str] = []
    finds: list[Expected] = []
    for number, line in enumerate(text.split("\n"), 1):
        mark = _MARK.search(line)
        if mark:
            finds.append(Expected(path, number, mark[1] == "!", mark[2] or ""))
            line = line[: mark.start()]  # noqa: PLW2901 - the line without its mark
        lines.append(line)
    return "\n".join(lines), finds


def plant(root: Path, case: Case) -> tuple[Path, str | None]:
    """Write the tree and its base below ``root``; where both lie, the base as text or None."""
    for name, files in (("now", case.files), ("before", case.base or {})):
        (root / name).mkdir(parents=True)
        for path, text in files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
    return root / "now", None if case.base is None else str(root / "before")


def findings(case: Case, folder: Path) -> list[Finding]:
    """What its rule says about the case, in this process and without a cache."""
    root, base = plant(folder, case)
    report = run(root, case.settings, base=base, only=[case.rule], jobs=1, cache=False)
    assert not report.skipped, f"{case.rule}: {case.title}: {report.skipped}"
    return list(report.findings)
