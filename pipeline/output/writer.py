"""Where output goes: data to stdout, for machines; everything for people to stderr. All of it through ``redact.SINK``.

Nothing here raises for what a stream does (``streams.py``): a closed, full or stalled one loses text, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from pipeline.errors import NotYet, SpillwayError
from pipeline.events import Looked, RolloutEvent
from pipeline.model import Outcome
from pipeline.output import streams
from pipeline.redact import SINK, uncommanded_json

DRY_RUN = "dry_run"  # the outcome of what was only said


class Mode(StrEnum):
    TEXT = "text"
    JSON = "json"  # one document at the end
    NDJSON = "ndjson"  # one line per event, then the document as the last line


class Output(Struct):
    """One command's output. ``level``: -1 quiet, 0 normal, 1 and up verbose."""

    mode: Mode = Mode.TEXT
    level: int = 0
    last: Mapping[str, object] | None = None  # the document that the command ended with

    def say(self, text: str) -> None:
        """A line for people."""
        if self.level >= 0:
            streams.put("stderr", f"{SINK.lines(text)}\n")

    def result(self, text: str, document: Mapping[str, object]) -> None:
        """What the command was asked for: text for people on stdout, or the one document."""
        self.ended(document)
        if self.mode is Mode.TEXT and text:
            streams.put("stdout", f"{SINK.lines(text)}\n")

    def would(self, text: str, **more: object) -> int:
        """What a dry run says: to people, and as a document. Returns its exit code."""
        self.say(f"would {text}")
        self.result("", {"outcome": DRY_RUN, "exit_code": 0, "would": text, **more})
        return 0

    def ended(self, document: Mapping[str, object]) -> None:
        """The one document where lines of text would say nothing more: people were told already."""
        self.last = document
        if self.mode is not Mode.TEXT:
            self._document(document)

    def data(self, text: str) -> None:
        """Text in a form of its own (SARIF, CI annotations) that its maker escaped: only secrets are taken out."""
        streams.put("stdout", f"{SINK.text(text)}\n")

    def event(self, event: RolloutEvent, /) -> None:
        """A listener: events as lines, where lines were asked for."""
        if self.mode is Mode.NDJSON and not isinstance(event, Looked):
            self._document(
                {"at": event.at.isoformat(), "event": event.kind, "text": event.text, **event.details}
            )

    def error(self, error: SpillwayError) -> None:
        """Three lines for people, or the one document for machines."""
        at = {"next_at": error.at} if isinstance(error, NotYet) else {}
        self.ended({**error_document(error), **at})
        streams.put("stderr", f"{SINK.lines(f'spillway: {error}')}\n")

    def _document(self, document: Mapping[str, object]) -> None:
        indent = 2 if self.mode is Mode.JSON else None
        streams.put("stdout", f"{uncommanded_json(json.dumps(SINK.values(document), indent=indent))}\n")


def error_document(error: SpillwayError) -> dict[str, object]:
    """Of whatever could not be done, in the words that people are told."""
    return {
        "outcome": error.outcome, "exit_code": error.exit_code, "error": type(error).__name__,
        "what": error.what, "why": error.why, "fix": error.fix,
    }  # fmt: skip


def outcome_document(outcome: Outcome, **more: object) -> dict[str, object]:
    """What every command that ends with an outcome prints."""
    return {"outcome": outcome.label, "exit_code": outcome.exit_code, **more}
