"""``spillway check`` as hooks and CI repeat it: the same answer, without loading the command line and the schemas.

Both cost more than checking two thousand files does. So a plain ``check`` of a configuration that was read before
(``check_cache.py``) is answered here; anything else, and everything that goes wrong, is left to ``check.py``, which does
it all over and tells it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.output import streams

CHECKS_FAILED = 10  # as ``Outcome.CHECKS_FAILED``; told here without the model's weight
_FILE = "spillway.yaml"
_HARMLESS = frozenset({"SPILLWAY_CACHE_DIR"})


def check(words: Sequence[str]) -> int | None:
    """Answer and exit code of ``check [--rule RULE]...``; None when that is not what is asked, or not known.

    Args:
        words: the command line behind the program's name.
    """
    rules = _rules(words)
    is_plain = not any(name.startswith("SPILLWAY_") and name not in _HARMLESS for name in os.environ)
    if rules is None or not is_plain or not os.path.isfile(_FILE):  # noqa: PTH113 - must not raise
        return None
    return _answer(rules)


def _rules(words: Sequence[str]) -> list[str] | None:
    """The rules that are named, none for all; None for any other command line."""
    if not words or words[0] != "check" or len(words) % 2 == 0:
        return None
    flags, names = words[1::2], words[2::2]
    is_known = all(flag == "--rule" for flag in flags) and not any(name.startswith("-") for name in names)
    return list(names) if is_known else None


def _answer(rules: list[str]) -> int | None:
    from checks.errors import CheckError
    from checks.finding import seen_from
    from checks.output.text import render_text
    from pipeline.app import check_cache
    from pipeline.errors import SpillwayError
    from pipeline.redact import SINK, secrets_of, uncommanded

    subject = check_cache.load(Path(_FILE))
    if subject is None:
        return None
    try:
        report = subject.asked_for(rules).run(rules)
    except (CheckError, SpillwayError):
        return None
    SINK.learn(*secrets_of(os.environ))
    text = render_text(seen_from(report, subject.prefix(Path.cwd()))).rstrip("\n")
    streams.wait_for_reader()
    streams.put("stdout", f"{uncommanded(SINK.text(text))}\n")
    return CHECKS_FAILED if report.errors else 0
