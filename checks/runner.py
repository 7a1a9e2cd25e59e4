"""Rules and a tree to one report: the only place that knows the order of things.

    discover -> brief -> read and search each file -> collect (cached, in processes when it pays) -> judge -> report

A file is read once here. Judging reads a file again only to follow a name into it, or to show a finding's line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from checks import baseline, suppress
from checks.errors import CheckError
from checks.finding import Finding, Report, by_place, fingerprints
from checks.rules import BY_NAME, RULES
from checks.rules.additive.rule import NAME as ADDITIVE
from checks.rules.protocol import Project
from checks.run.cache import Cache
from checks.run.memory import RememberedTree
from checks.run.scan import COMMENTS, collector_off
from checks.run.sweep import Sweep
from checks.settings import Additive, Settings
from checks.tree import files
from checks.tree.base_tree import open_base
from checks.tree.tree import Tree


@collector_off()  # to the end: what was collected is freed by then, and need not be walked even once
def run(
    root: Path,
    settings: Settings,
    *,
    base: str | None = None,
    only: Iterable[str] | None = None,
    jobs: int | None = None,
    cache: bool = True,
    cache_folder: Path | None = None,
) -> Report:
    """Check the tree below ``root``.

    Args:
        base: git ref or folder to compare with; wins over the settings.
        only: names of rules; all that the settings switch on otherwise.
        jobs: processes at most; as many as cores otherwise.
    Raises: CheckError when the question is wrong. Nothing in the checked code raises.
    """
    started = time.monotonic()
    if base:
        settings = replace(settings, additive=Additive(base))
    listing = files.discover(root, settings.exclude)
    kept = Cache(root.resolve(), cache_folder) if cache else None
    tree = RememberedTree(listing.paths, partial(files.read_or_none, root), root, kept)
    asked = settings.additive.base if settings.additive else ""
    project = Project(settings, tree, open_base(root, asked) if asked else None)
    sweep = Sweep(root, project, tree, _asked(only), kept)
    sweep.read_all(jobs)
    found = sweep.judge()
    if kept:
        kept.save(is_whole=only is None)
    comments = {path: entry[COMMENTS] for path, entry in sweep.entries.items() if entry.get(COMMENTS)}
    findings = finished(tree, suppress.apply(found, comments, tuple(BY_NAME), tuple(sweep.briefs)))
    compares = ADDITIVE in sweep.briefs and project.base is not None
    known = baseline.load(Path(settings.baseline)) if settings.baseline else frozenset()
    fresh = tuple(f for f in findings if f.print not in known)
    return Report(
        findings=fresh,
        skipped=tuple(sorted({*listing.skipped, *sweep.skipped}, key=lambda s: (s.path, s.line))),
        files=len(listing.paths),
        seconds=time.monotonic() - started,
        additive_only=not any(f.rule == ADDITIVE and f.fails_gate for f in found) if compares else None,
        baselined=len(findings) - len(fresh),
        rules=tuple(sweep.briefs),
        generated=tuple(sorted(sweep.generated)),
        folders=listing.folders,
    )


def _asked(only: Iterable[str] | None) -> tuple[str, ...]:
    names = tuple(BY_NAME) if only is None else tuple(only)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise CheckError(
            f"no rule {unknown[0]!r}",
            f"There are: {', '.join(BY_NAME)}",
            "What each finds: spillway check --explain RULE",
        )
    return tuple(rule.name for rule in RULES if rule.name in names)


def finished(tree: Tree, findings: Iterable[Finding]) -> list[Finding]:
    """Each finding with its source line and its print, in order of place; equal ones are reported once."""
    shown: dict[str, list[str]] = {}
    complete: list[Finding] = []
    for finding in sorted(set(findings), key=by_place):
        if finding.path and finding.path not in shown:
            shown[finding.path] = tree.lines(finding.path)
        complete.append(_with_line(finding, shown.get(finding.path, [])))
    return [replace(f, print=p) for f, p in zip(complete, fingerprints(complete), strict=True)]


def _with_line(finding: Finding, lines: list[str]) -> Finding:
    """The line's text, and the column in characters: rules give the parser's, in bytes from 0, as ``column - 1``."""
    if not 0 < finding.line <= len(lines):
        return finding
    text = lines[finding.line - 1]
    if text.isascii():
        return replace(finding, text=text)
    before = text.encode(errors="surrogateescape")[: finding.column - 1]
    return replace(finding, text=text, column=len(before.decode(errors="replace")) + 1)


def explain(name: str) -> Mapping[str, str]:
    """A rule's page: what it finds and why it matters. Raises CheckError for an unknown rule."""
    (asked,) = _asked((name,))
    rule = BY_NAME[asked]
    return {"name": rule.name, "summary": rule.summary, "why": rule.why}
