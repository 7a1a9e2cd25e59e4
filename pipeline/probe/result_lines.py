"""What a job says of the round that it held: one line for each conversation, and one for its end.  PURE.

    {"spillway_round": 1, "round": "...", "said": "{...}", "signed": "...", "message": "candidate agent-run: ok"}

``said`` is JSON in a text, since a log gives back numbers other than they were, and ``signed`` is its HMAC with the key of
the round's order. The log is written by many: a line that the key did not sign is nobody's, whatever it says. Lines may
come late, twice, out of order or not at all. A round is known once the *course* of it (``course.py``) can be gone through
again with what the lines tell; so it has the conversations that were asked for, and no others.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, count
from typing import Any

from msgspec import Struct, ValidationError, convert, field, to_builtins
from msgspec.structs import astuple, replace

from pipeline.probe.ask import ProbeAsk
from pipeline.probe.conversation import Conversation, Kind, Message
from pipeline.probe.course import Held, Turn, course
from pipeline.probe.order import VERSION, Order
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.request_log import errors_met, is_unmarked_error
from pipeline.probe.route import Route, Witness
from pipeline.probe.summary import outcome_name
from pipeline.redact import SINK

MARK = "spillway_round"  # the key that all lines have
_TRANSCRIPT_CHARS = 16_000  # of a line: Cloud Logging takes 256 KiB, with every quote escaped twice
_DETAIL_CHARS = 2_000
_SIDES = ("candidate", "stable")

Place = tuple[int, int, int]  # batch of the course, turn of the batch, address of the turn


def lines_of(order: Order, batch: int, held: Held) -> Iterable[str]:
    """Of one batch of turns, as it ended."""
    for turn, sides in enumerate(held):
        for side, conversation in enumerate(sides):
            said = {"at": [batch, turn, side], "conversation": _to_json(conversation)}
            yield _line(order, said, f"{_SIDES[side]} {conversation.scenario}: {outcome_name(conversation)}")


def end_line(order: Order, seconds: float) -> str:
    """The round was held to its end."""
    return _line(order, {"ended": seconds}, f"the round took {seconds:.1f} s")


def refusal_line(order: Order, why: str) -> str:
    """No conversation was held, or not all."""
    return _line(order, {"refused": SINK.cut(why, _DETAIL_CHARS)}, "the round could not be held")


def _line(order: Order, said: Mapping[str, object], message: str) -> str:
    text = json.dumps(SINK.values(said))
    return json.dumps(
        {
            MARK: VERSION,
            "round": order.round_id,
            "said": text,
            "signed": _sign(order.key, text),
            "message": message,
        }
    )


def _sign(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _to_json(conversation: Conversation) -> Mapping[str, object]:
    """With as much of the transcript, from its beginning, as a line has room for."""
    sizes = accumulate(len(message.text) for message in conversation.transcript)
    kept = (m for m, size in zip(conversation.transcript, sizes, strict=True) if size <= _TRANSCRIPT_CHARS)
    said = [astuple(message) for message in kept]
    return {**to_builtins(conversation), "detail": conversation.detail[:_DETAIL_CHARS], "transcript": said}


class Results(Struct):
    """What the lines of one round came to so far.

    Args:
        seconds: that the round took; None until its end is told.
        refused: why it was not held.
        strange: lines that bear the round's name and not its signature.
    """

    conversations: dict[Place, Conversation] = field(default_factory=dict)
    seconds: float | None = None
    refused: str = ""
    strange: int = 0


def read(payloads: Iterable[Mapping[str, Any]], order: Order) -> Results:
    """Of the first line of each conversation. What is not signed with the order's key counts for nothing."""
    made = Results()
    for payload in payloads:
        said, signed = payload.get("said"), payload.get("signed")
        if payload.get("round") != order.round_id or not isinstance(said, str):
            continue
        if not isinstance(signed, str) or not hmac.compare_digest(
            signed.encode(), _sign(order.key, said).encode()
        ):
            made.strange += 1
            continue
        _take(made, said)
    return made


def _take(made: Results, text: str) -> None:
    """A line that is signed and makes no sense here, of another Spillway, is as if it had not come."""
    try:
        said = json.loads(text)
        if "conversation" in said:
            found = _conversation(said["conversation"])
            made.conversations.setdefault(convert(said["at"], Place), found)
        elif "ended" in said:
            made.seconds = float(said["ended"])
        else:
            made.refused = made.refused or str(said["refused"])
    except (AttributeError, KeyError, TypeError, ValueError, ValidationError):
        return


def _conversation(row: Mapping[str, Any]) -> Conversation:
    """Raises TypeError, ValueError, ValidationError."""
    said = [dict(zip(Message.__struct_fields__, each, strict=True)) for each in row.get("transcript", ())]
    return convert({**row, "transcript": said}, Conversation)


def report_of(results: Results, ask: ProbeAsk, started: datetime, logged: int = 0) -> ProbeReport | None:
    """The round as it would have come to here; None while conversations of it, or its end, are not known of.

    Args:
        ask: with the routes, by which it is judged who answered.
        logged: how many 5xx of the round the platform's request log has under the candidate.
    """
    if results.seconds is None:
        return None
    steps = course(ask, started)
    turns = next(steps)
    for batch in count():
        held = _held(results, batch, turns)
        if held is None:
            return None
        try:
            turns = steps.send(held)
        except StopIteration as end:
            report: ProbeReport = end.value
            return _proven(replace(report, seconds=results.seconds), ask, logged)
    raise AssertionError("a course ends")


def _held(results: Results, batch: int, turns: Sequence[Turn]) -> Held | None:
    held = []
    for number, turn in enumerate(turns):
        sides = [results.conversations.get((batch, number, side)) for side in range(len(turn.addresses))]
        found = tuple(each for each in sides if each is not None and each.scenario == turn.scenario.name)
        if len(found) != len(turn.addresses):
            return None
        held.append(found)
    return held


def _proven(report: ProbeReport, ask: ProbeAsk, logged: int) -> ProbeReport:
    """With what another revision may have answered told apart."""
    ours, beside = ask.candidate.route, ask.control.route if ask.control else None
    met = errors_met(report)
    is_logged = 0 < met <= logged
    return replace(
        report,
        warm_up=_told_apart(report.warm_up, ours, is_logged=is_logged),
        candidate=_told_apart(report.candidate, ours, is_logged=is_logged),
        control=_told_apart(report.control, beside),
        confirming=tuple(
            replace(
                block,
                candidate=_told_apart(block.candidate, ours, is_logged=is_logged),
                control=_told_apart(block.control, beside),
            )
            for block in report.confirming
        ),
    )


def _told_apart(
    conversations: Iterable[Conversation], route: Route | None, *, is_logged: bool = False
) -> tuple[Conversation, ...]:
    made = []
    for each in conversations:
        if is_logged and route is not None and is_unmarked_error(each, route):
            made.append(each)
            continue
        doubt = Witness(route, each.marks).doubt
        was_held = each.kind is not Kind.NOT_SPOKEN or each.marks
        made.append(replace(each, kind=Kind.UNPROVEN, detail=doubt) if doubt and was_held else each)
    return tuple(made)
