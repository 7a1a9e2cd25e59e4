"""The JSON schema (draft 2020-12) of what each command prints with ``-o json``, and of an event's line with ``ndjson``.

What is printed of a value is described from its class; what a command puts together by hand is a row here.
``docs/output.schema.json`` is it, and every document that a test sees printed is held to it. Keys may be added; one
that is there keeps its name and type.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from msgspec import Struct, structs

from checks.finding import Confidence, Severity
from pipeline.core.rollout import Event, Phase
from pipeline.doctor.answer import Answer
from pipeline.errors import NotYet
from pipeline.judging.judgement import CriterionJudgement, Verdict
from pipeline.model import Outcome
from pipeline.output.writer import DRY_RUN
from pipeline.probe.conversation import Kind, Message
from pipeline.probe.summary import Row
from pipeline.probe.times import Times
from pipeline.report.document import Report

DRAFT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_DEFINED: dict[str, Schema] = {}  # what was printed of values, by their classes' names

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
ANY: Schema = {}
COUNT: Schema = {"type": "integer", "minimum": 0}
PERCENT: Schema = {"type": "integer", "minimum": 0, "maximum": 100}
MOMENT: Schema = {"type": "string", "format": "date-time"}
_PLAIN: Mapping[Any, Schema] = {
    str: TEXT, bool: FLAG, int: {"type": "integer"}, float: NUMBER, datetime: MOMENT, timedelta: NUMBER, Any: ANY, object: ANY,
}  # fmt: skip


def schema() -> Schema:
    """Of a document of any command; ``$defs`` has each command's by its name, ``local_up`` for ``local up``."""
    shared = {"error": _ERROR, "interrupted": _INTERRUPTED, "dry_run": _WOULD, "event": _EVENT, **_DEFINED}
    ends = (ref("error"), ref("interrupted"))
    commands = {
        name: either(made, *([ref("dry_run")] if name in _DRY else []), *ends)
        for name, made in _COMMANDS.items()
    }
    return {
        "$schema": DRAFT,
        "title": "What spillway prints with -o json",
        "description": "One document for each command; $defs has each command's own, and the line of an event.",
        "anyOf": [ref(name) for name in commands],
        "$defs": {**shared, **commands},
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def record(needed: Mapping[str, Schema], more: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these keys, and with ``more`` where there is something to say."""
    return {"type": "object", "properties": {**needed, **(more or {})}, "required": list(needed)}


def beginning(needed: Mapping[str, Schema]) -> Schema:
    """An object with these keys and others that depend on what it is about."""
    return {**record(needed), "additionalProperties": True}


def rows(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def by_name(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def either(*shapes: Schema) -> Schema:
    return {"anyOf": list(shapes)}


def or_null(shape: Schema) -> Schema:
    return either(shape, {"type": "null"})


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def of(shape: Any) -> Schema:
    """Of what a field is declared to be: times as text, durations in seconds, enums by their value."""
    origin, inner = get_origin(shape), get_args(shape)
    if isinstance(shape, type) and issubclass(shape, Struct):
        if shape.__name__ not in _DEFINED:
            _DEFINED[shape.__name__] = record(_keys(shape))
        return ref(shape.__name__)
    if origin in (Union, UnionType):
        kinds = [{"type": "null"} if each is type(None) else of(each) for each in inner]
        return either(*kinds)
    if origin is tuple and inner[-1] is not Ellipsis:
        return {
            "type": "array", "prefixItems": [of(each) for each in inner], "minItems": len(inner), "maxItems": len(inner),
        }  # fmt: skip
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return by_name(of(inner[1]))
    if origin is not None:
        return rows(of(inner[0]))
    if isinstance(shape, type) and issubclass(shape, Enum):
        return one_of(*(each.value for each in shape))
    return _PLAIN[shape]


def _keys(shape: type[Struct]) -> dict[str, Schema]:
    return {each.name: of(each.type) for each in structs.fields(shape)}


def _ends(*outcomes: str) -> Schema:
    return {"outcome": one_of(*outcomes), "exit_code": COUNT}


_ERROR = record(
    {**_ends("error", NotYet.outcome), **dict.fromkeys(("error", "what", "why", "fix"), TEXT)},
    {"next_at": TEXT},
)
_INTERRUPTED = record(_ends("interrupted"))
_WOULD = record({**_ends(DRY_RUN), "would": TEXT})
#: Commands that say what they would do, and do it not. (Of a rollout that is its plan, of ``init`` and ``check`` their own.)
_DRY = frozenset({"promote", "rollback", "unpin", "local_up", "local_down"})
_EVENT = beginning({"at": MOMENT, "event": TEXT, "text": TEXT})
_SHARES = by_name(PERCENT)
_PIN = or_null(
    record({**dict.fromkeys(("revision", "idle", "text", "warning", "command"), TEXT), "was_sent_back": FLAG})
)
_JUDGEMENT = record({
    "verdict": of(Verdict), "reason": TEXT, "blamed": TEXT, "criteria": rows(of(CriterionJudgement)),
})  # fmt: skip
_FINDING = record({
    **dict.fromkeys(("rule", "path", "message", "print"), TEXT), "line": COUNT, "column": COUNT,
    "severity": of(Severity), "confidence": of(Confidence), "fix": or_null(TEXT),
    "trail": rows(record({"path": TEXT, "line": COUNT, "text": TEXT})),
})  # fmt: skip
_CHECKED: Schema = {
    "version": COUNT, "findings": rows(_FINDING), "skipped": rows(record({"path": TEXT, "line": COUNT, "reason": TEXT})),
    "files": COUNT, "seconds": NUMBER, "failed": FLAG, "additive_only": or_null(FLAG), "baselined": COUNT, "rules": rows(TEXT),
    "generated": rows(TEXT), "folders": rows(TEXT),
}  # fmt: skip
_OUTCOME: Schema = {"outcome": one_of(*(each.label for each in Outcome)), "exit_code": COUNT}
_REVISIONS: Schema = {"candidate": TEXT, "stable": TEXT, "percent": PERCENT}
_ROLLOUT = record(
    _OUTCOME,
    {
        **_REVISIONS, **_CHECKED, "rollout": TEXT, "attempt": COUNT, "reason": TEXT, "reports": rows(TEXT),
        "api_calls": by_name(COUNT), "next": TEXT, "superseded_by": TEXT,
    },
)  # fmt: skip
_STAGE = record({"percent": PERCENT, "soak": NUMBER, "deadline": NUMBER, "hold": FLAG})
_CRITERION = record({
    "metric": TEXT, "limit": or_null(NUMBER), "certify": or_null(NUMBER), "slower_than": or_null(NUMBER),
})  # fmt: skip
_COMMAND = record({"name": TEXT, "percents": rows(PERCENT), "within": NUMBER})
_AGREED: Schema = {
    **dict.fromkeys(("rollout", "service", "stable", "candidate", "image"), TEXT), "now": _SHARES, "stages": rows(_STAGE),
    "writes": rows(_SHARES), "verify": rows(_COMMAND), "criteria": rows(_CRITERION), "certification_trials": by_name(COUNT),
    "earliest_promotion_seconds": NUMBER, "soak_seconds": NUMBER, "runs_per_second": or_null(NUMBER), "warnings": rows(TEXT),
}  # fmt: skip
_NEW: Schema = {
    "changes": rows(record({"path": TEXT, "before": ANY, "after": ANY})), "beyond_provider": rows(TEXT),
    "resources": rows(beginning({"type": TEXT, "name": TEXT})), "checks": or_null({"type": "object"}),
}  # fmt: skip
_STEP = record(
    {"at": MOMENT, "event": of(Event), "percent": PERCENT, "reason": TEXT, "by": TEXT},
)
_STEPPED = record(
    {
        "event": one_of("tick"), "service": TEXT, "outcome": one_of("none", *(each.label for each in Outcome)), "exit_code": COUNT,
        "next_at": or_null(MOMENT),
    },
    {"why": TEXT, "next": TEXT, "raises_nothing": TEXT, **_REVISIONS},
)  # fmt: skip
_NOT_STEPPED = record(
    {
        "event": one_of("failed_tick"),
        "service": TEXT,
        **{key: _ERROR["properties"][key] for key in _ERROR["required"]},
    }
)
_SOAKING = or_null(record({"revision": TEXT, "since": MOMENT, "ready": by_name(MOMENT)}))
_LEFT = record({
    "revision": TEXT, "role": one_of("candidate", "stable"), "open": or_null(COUNT), "last_ends_at": or_null(MOMENT),
})  # fmt: skip
_LOCAL = {"address": TEXT, "rest_address": TEXT, "pid": COUNT}

_COMMANDS: Mapping[str, Schema] = {
    "init": record({"written": FLAG, "files": by_name(TEXT), "left": by_name(TEXT)}),
    "check": either(
        record(
            {**_ends("checks_passed", "checks_failed"), **_CHECKED, "root": TEXT, "mended": rows(TEXT)},
            {"event_map": rows({"type": "object"}), "unhandled": by_name(TEXT)},
        ),
        record(dict.fromkeys(("name", "summary", "why"), TEXT)),
        record({"baseline": TEXT, "findings": COUNT}),
    ),
    "plan": either(
        record({**_AGREED, "pinned": _PIN}, {**_NEW, "outcome": one_of("ended"), "admission": TEXT}),
        record({"first_deployment": FLAG, "candidate": TEXT, "image": TEXT, **_NEW}),
        record({"outcome": one_of("ended"), "pinned": _PIN}),
    ),
    "rollout": either(_ROLLOUT, ref("plan")),
    "promote": _ROLLOUT,
    "rollback": record({
        **_OUTCOME, "service": TEXT, "target": TEXT, "was": _SHARES, "candidate": TEXT, "percent": PERCENT, "verified": FLAG,
    }),
    "unpin": record({
        "outcome": one_of("unpinned", Outcome.UNDER_WAY.label), "exit_code": COUNT, "service": TEXT, "latest": TEXT,
        "was": _SHARES, "already": FLAG,
    }),
    "status": record({
        "service": TEXT, "rollout": TEXT, "attempt": COUNT, "outcome": _OUTCOME["outcome"], "phase": of(Phase),
        "stage": COUNT, **_REVISIONS, "wanted": _SHARES, "serving": _SHARES, "epoch": COUNT, "driver": TEXT,
        "heartbeat": MOMENT, "pinned": _PIN, "drift": TEXT, "reason": TEXT, "judgement": _JUDGEMENT, "waiting": TEXT,
        "history": rows(_STEP), "alerts": rows({"type": "object"}), "alerts_not_evaluated": rows({"type": "object"}), "soaking": _SOAKING,
        "sockets": rows(_LEFT), "draining": TEXT,
    }),
    "tick": either(_STEPPED, record(
        {
            "event": one_of("fleet"), **_ends("watched"), "task": COUNT, "tasks": COUNT, "services": COUNT, "under_way": COUNT,
            "counts": by_name(COUNT), "step_every_seconds": NUMBER, "steps_a_pass": or_null(COUNT),
        },
        {"results": rows(either(_STEPPED, _NOT_STEPPED))},
    )),
    "probe": record({
        **_ends("ok", "failed", "unreachable", "not_spoken", "stopped"), "seconds": NUMBER, "scenarios": rows(of(Row)),
        "loop": {"enum": ["uvloop", "asyncio"]}, "left": COUNT, "times": rows(of(Times)),
        "failures": rows(record({
            "scenario": TEXT, "kind": of(Kind), "detail": TEXT, "close_code": or_null(COUNT), "close_reason": TEXT,
            "status": or_null(COUNT), "transcript": rows(of(Message)),
        })),
    }),
    "report": record({"reports": rows(TEXT), **_keys(Report)}),
    "schema": {"type": "object"},
    "doctor": record({**_ends("healthy", "unhealthy"), "answers": rows(of(Answer))}),
    "demo": record({
        **_ends("done"), "seconds": NUMBER, "reports": rows(TEXT),
        "chapters": rows(beginning({"name": TEXT, "outcome": TEXT, "expected": TEXT, "seconds": NUMBER})),
    }),
    "local_up": record({**_ends("up"), **_LOCAL, "started_now": FLAG, "folder": TEXT, "images": rows(TEXT)}),
    "local_down": record({**_ends("down"), "was_up": FLAG, "folder": TEXT}),
    "local_status": beginning({
        **_ends("up"), **_LOCAL, "started": MOMENT, "services": rows(beginning({"name": TEXT, "uri": TEXT})),
    }),
    "local_logs": either(record({**_ends("done"), "entries": rows({"type": "object"})}), {"type": "object"}),
}  # fmt: skip
