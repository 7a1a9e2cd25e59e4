"""A report as Markdown or as one HTML file that needs nothing else. Values in, text out.

Theory of operation. A report is full of text that a service, or whoever talks to it, chose. Every value that a template
prints goes through one door (Jinja's ``finalize``): escapes and secrets go (``redact.SINK``), and then it is escaped
for where it lands: by autoescape in HTML, by ``_finalize_markdown`` in Markdown. Only the templates' own text and what was built
here as ``Markup`` pass as they are; no template uses ``safe``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.redact import SINK, uncommanded
from pipeline.report import chart
from pipeline.report.banner import NOT_SHOWN, short
from pipeline.report.document import Report
from pipeline.units import when

MAX_MARKDOWN_BYTES = 900_000  # a CI step summary takes 1 MiB
_SPECIAL = re.compile(r"[\\`*\[\]|~<>&$@#]|(?<![^\W_])_|_(?![^\W_])|://|(?i:www)\.|::")
_ENTITIES = {
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
    "$": "&#36;",
    "@": "&#64;",
    "#": "&#35;",
    "::": "&#58;&#58;",
    "://": ":&#47;/",
}


def html(report: Report) -> str:
    """One page: styles and chart inside, no script, no address of any other machine."""
    return page("report.html", **_context(report))


def markdown(report: Report) -> str:
    """GitHub's Markdown, at most 900 kB: what does not fit is left out, and said."""
    rendered = page("report.md", **_context(report))
    text = re.sub(r"\n{3,}", "\n\n", rendered).strip() + "\n"
    data = text.encode()
    if len(data) <= MAX_MARKDOWN_BYTES:
        return text
    end = "\n\n**Cut here: the rest is in the HTML report.**\n"
    kept = data[: MAX_MARKDOWN_BYTES - len(end) - 8].decode(errors="ignore").rpartition("\n")[0]
    fence = "\n```" if kept.count("\n```") % 2 else ""
    return kept + fence + end


def page(template: str, **values: object) -> str:
    """A page from a template, whose suffix says how values are escaped."""
    return _environment(template.rpartition(".")[2]).get_template(template).render(values)


def _context(report: Report) -> dict[str, Any]:
    marks = [(report.clocks.first_bad, "first bad session"), (report.clocks.safe, "new connections safe")]
    seen = [c for c in report.closes if not report.shares or c.start < report.shares[-1].at]
    drawn = chart.draw(report.shares, seen, report.candidate, [(at, label) for at, label in marks if at])
    return {"r": report, "chart": drawn, "c": chart}


@cache
def _environment(kind: str) -> Environment:
    is_html = kind == "html"
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=is_html,  # noqa: S701 - Markdown has an escape of its own
        finalize=_finalize_html if is_html else _finalize_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= _FILTERS
    return environment


def _finalize_html(value: object) -> object:
    return value if isinstance(value, Markup) else SINK.shown(str(value))


def _finalize_markdown(value: object) -> str:
    """Markdown shows it as it is: no markup, link, mention, formula, table cell or command in it."""
    return str(value) if isinstance(value, Markup) else _SPECIAL.sub(_escaped, SINK.shown(str(value)))


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    return f"{found[:3]}&#46;" if found.lower() == "www." else _ENTITIES.get(found, f"\\{found}")


def _fence(lines: Iterable[str]) -> Markup:
    """A Markdown code block around lines that may hold anything, fences too."""
    shown = [uncommanded(SINK.shown(line)) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup("\n".join([f"{fence}text", *shown, fence]))  # noqa: S704 - the fence is longer than any inside


def _clock(at: datetime | None) -> str:
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" if at else NOT_SHOWN


def _figure(value: float) -> str:
    """``0.98``, ``1,660``, ``1.2e+07``: enough digits to compare."""
    if value >= 1e6:
        return f"{value:.1e}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _lines(text: str) -> Markup:
    """For a block of HTML that keeps its lines: each made harmless by itself."""
    return Markup("\n").join(SINK.shown(line) for line in text.split("\n"))


_FILTERS: dict[str, Callable[[Any], str]] = {
    "time": lambda at: when(at) if at else NOT_SHOWN,
    "clock": _clock,
    "took": short,
    "fence": _fence,
    "split": lambda shares: ", ".join(f"{name or 'LATEST'} {percent} %" for name, percent in shares.items()),
    "rate": lambda pair: f"{100 * pair[1] / pair[0]:.3g}%",  # of (trials, failures), as the pair
    "pair": lambda pair: f"{pair[1]:,}/{pair[0]:,}",
    "figure": _figure,
    "words": lambda name: name.replace("_", " "),
    "lines": _lines,
    "count": lambda number: NOT_SHOWN if number is None else f"{number:,}",
}
