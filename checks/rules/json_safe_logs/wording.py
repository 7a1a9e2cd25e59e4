"""A finding of json-safe-logs in words, with the way of the value."""

from __future__ import annotations

from typing import NamedTuple

from checks.finding import Confidence, Finding, Severity, Step
from checks.rules.json_safe_logs.encoders import Encoder
from checks.rules.json_safe_logs.facts import Given, Reach
from checks.rules.json_safe_logs.refusals import Refusal

NAME = "json-safe-logs"
#: what the settings call the sinks that end in an encoder of the tree's choice
_FAMILY_WORDS = {"extra": "extra", "message": "extra", "structlog": "structlog", "loguru": "loguru"}
_SINKS = {
    "json.dumps": "json.dumps without default=",
    "json.dumps with default": "json.dumps",
    "json.dumps with skipkeys": "json.dumps",
    "simplejson": "simplejson.dumps",
    "extra": "the log call's extra",
    "message": "a structured log message",
    "log_struct": "log_struct",
    "send_json": "send_json",
    "JSONResponse": "JSONResponse",
    "json_response": "json_response",
    "emit": "emit",
    "json=": "json=",
    "sink": "a configured sink",
}
_MOST_STEPS = 3


class Where(NamedTuple):
    """The sink that a value ends in, and the helper through which it does."""

    sink: str
    field: str
    step: Step | None = None


def finding(
    path: str, value: Reach | Given, where: Where, refused: Refusal, encoder: Encoder | None, *, is_lost: bool
) -> Finding:
    """What is told of a value. Args: is_lost: the encoder is known, and refuses what the value is."""
    field = f" as {where.field!r}" if where.field and where.field not in ("extra", "a key", "json") else ""
    sink = where.sink.removesuffix("?")
    what = f"{_a(refused.word)}{', as a key' if refused.is_key else ''}"
    writer = _SINKS.get(sink, f"a {sink} field")
    message = (
        f"{value.text} {_verb(refused)} {what}: {writer} cannot write it{field}{_doubt(where.sink, encoder)}"
    )
    trail = [Step(path, line, text) for line, text in value.steps if line != value.line]
    if refused.path:
        trail.append(Step(refused.path, refused.line, f"{refused.word} is defined here"))
    del trail[_MOST_STEPS:]
    trail += [where.step] if where.step is not None else []
    if encoder is not None and encoder.path:
        trail.append(Step(encoder.path, encoder.line, f"written by {encoder.name}"))
    confidence = Confidence.HIGH if refused.is_sure and is_lost else Confidence.MEDIUM
    return Finding(NAME, path, value.line, value.column, Severity.ERROR, confidence, message, tuple(trail))


def _doubt(sink: str, encoder: Encoder | None) -> str:
    """Where nothing in the tree says how a sink writes: what would."""
    if sink.endswith("?"):
        return f", if this is a {'socket' if sink == 'send_json?' else 'client'} that uses json.dumps: annotate it as one"
    if sink not in _FAMILY_WORDS and encoder is not None:
        return f", unless {encoder.name} makes it do so"
    if sink not in _FAMILY_WORDS or (encoder is not None and encoder.kind != "unknown"):
        return ""
    word = _FAMILY_WORDS[sink]
    what = "no file here sets up its encoder"
    if encoder is not None:
        what = f"what {encoder.name} does with it is not known"
    return f", if it ends in plain json.dumps: {what}; say plain: [{word}] or trusted: [{word}]"


def _verb(refused: Refusal) -> str:
    """It is that, or holds it; it may where another branch, or a helper's other way, is harmless."""
    if refused.is_sure:
        return "holds" if refused.is_inside else "is"
    return "may hold" if refused.is_inside else "may be"


def _a(word: str) -> str:
    if word == "bytes":
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
