"""The rollout record: a ``Rollout`` as one annotation of the service, and back.

Written in the same ``UpdateService`` as the traffic that it explains, so traffic and record never disagree by our
doing. JSON, versioned, at most 16 KiB: a longer history loses its oldest lines first (the journal keeps them).

Anybody who may write the service may write the annotation, so nothing in it is believed unread: a record of a newer
version, of another service, with numbers that are none or with stages that there are not, is unreadable. Traffic is then
left alone, and a roll-back by hand replaces it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from pipeline.core import codec, draining
from pipeline.core.plausible import MAX_EPOCH, complaints
from pipeline.core.rollout import Phase, Rollout
from pipeline.errors import PlanRefused, RecordUnreadable
from pipeline.judging import judgestate
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.metrics import METRICS
from pipeline.judging.terms import Stage, Terms
from pipeline.model import DRAIN_ANNOTATION, RECORD_ANNOTATION, UNREADABLE_ANNOTATION, LiveService

VERSION = 3
MAX_BYTES = 16 * 1024
#: Of all annotations of a service together. Source: kubernetes.io, annotations; Cloud Run keeps to it.
MAX_ANNOTATION_BYTES = 262_144
_MAX_KEPT_CHARS = MAX_BYTES  # of a text that cannot be used: what a roll-back keeps of it
_KEPT_STEPS = 4
_TERMS = Terms.__struct_fields__


def of(live: LiveService) -> Rollout | None:
    """The rollout that a service carries, or None when it carries none. Raises RecordUnreadable."""
    if live.record_text is None:
        return None
    fix = f"Traffic was left alone. Roll back, which replaces it: spillway rollback {live.ref.name}"
    try:
        found = decode(live.record_text)
    except RecordUnreadable as error:
        raise RecordUnreadable(f"{live.ref.service}: {error.what}", error.why, fix) from error
    if found.plan.ref != live.ref:
        why = f"It speaks of {found.plan.ref.name}: the service was probably copied with its annotations."
        raise RecordUnreadable(f"{live.ref.service}: the rollout record is another service's", why, fix)
    return found


def readable(live: LiveService) -> Rollout | None:
    """The same, and None also for a record that cannot be read: a roll-back must not depend on it."""
    try:
        return of(live)
    except RecordUnreadable:
        return None


def written(rollout: Rollout, live: LiveService, now: datetime, driver: str) -> Rollout:
    """The rollout as the next write bears it: one epoch on, over the read that it was decided on."""
    return replace(
        rollout,
        epoch=rollout.epoch + 1,
        generation=live.generation,
        heartbeat=utc(now),
        driver=driver,
        split=rollout.split.own,
    )


def annotated(live: LiveService, rollout: Rollout) -> Mapping[str, str]:
    """All annotations of the service with this record among them, and the drain order that it speaks of, if it does.

    Raises RecordUnreadable as ``encode`` does.

    The text of one that cannot be used, in whose place it comes, is kept beside it as far as there is room.
    """
    found = {**live.annotations, RECORD_ANNOTATION: encode(rollout)}
    found.pop(DRAIN_ANNOTATION, None)
    if order := draining.order_of(rollout.draining, rollout.plan):
        found[DRAIN_ANNOTATION] = order.encode()
    if live.record_text is not None and readable(live) is None:
        found[UNREADABLE_ANNOTATION] = live.record_text[:_MAX_KEPT_CHARS]
    return found


def must_fit(rollout: Rollout, live: LiveService | None) -> None:
    """Refuse a rollout whose record could outgrow its annotation midway. Raises PlanRefused; nothing was written.

    Args:
        rollout: as it begins; its judge's state is taken as large as it can become.
        live: None for a service that does not exist yet.
    """
    others = {k: v for k, v in (live.annotations if live else {}).items() if k != RECORD_ANNOTATION}
    theirs = sum(len(k.encode()) + len(v.encode()) for k, v in others.items())
    if theirs + MAX_BYTES + len(RECORD_ANNOTATION) > MAX_ANNOTATION_BYTES:
        raise PlanRefused(
            f"{rollout.plan.ref.service}: no room for the rollout record",
            f"Other annotations take {theirs:,} bytes; a service has {MAX_ANNOTATION_BYTES:,} for all of them.",
            "Remove annotations that nobody needs, then plan again.",
        )
    try:
        judge = judgestate.grown(rollout.plan)  # as large as rounds and blocks can make it
        encode(replace(rollout, judge=judge, epoch=MAX_EPOCH, generation=MAX_EPOCH))
    except RecordUnreadable as error:
        raise PlanRefused(error.what, error.why, error.fix) from error


def encode(rollout: Rollout) -> str:
    """The annotation's text. Raises RecordUnreadable when it cannot be made to fit."""
    body = _body(rollout)
    text = _dump(body)
    while len(text.encode()) > MAX_BYTES and len(body.get("history", ())) > _KEPT_STEPS:
        del body["history"][1]  # the first line says where it began
        text = _dump(body)
    for dispensable in ("last", "past"):  # shown to people; nothing is decided by them
        if len(text.encode()) > MAX_BYTES and body.pop(dispensable, None):
            text = _dump(body)
    text = _with_promoted(body)
    if len(text.encode()) > MAX_BYTES and rollout.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        text = _with_promoted(_body(_bare(rollout)))
    if len(text.encode()) > MAX_BYTES:
        raise RecordUnreadable(
            f"the rollout record needs {len(text.encode()):,} bytes, {MAX_BYTES:,} are allowed",
            "Stages, criteria and scenario names are kept in it.",
            "Use fewer stages or criteria in spillway.yaml.",
        )
    return text


def _with_promoted(body: dict[str, Any]) -> str:
    """The text, with the newest of its promoted images that there is room for: the oldest are the last to be shipped."""
    text = _dump(body)
    while len(text.encode()) > MAX_BYTES and body.get("promoted"):
        del body["promoted"][0]
        text = _dump(body)
    return text


def _body(rollout: Rollout) -> dict[str, Any]:
    """Plain values by their keys in the text, where a stage is its number."""
    body = codec.plain(rollout)
    if "stage_index" in body:
        body["stage"] = body.pop("stage_index")
    return body


def _bare(rollout: Rollout) -> Rollout:
    """What is needed to give traffic back and to say so: it is judged for good, and nothing may stand in its way."""
    plan = replace(rollout.plan, image="", terms=Terms((Stage(0),)))
    return replace(
        rollout,
        plan=plan,
        stage_index=0,
        judge=JudgeState(),
        spans=(),
        last=None,
        history=(),
        past=(),
        drift="",
    )


@lru_cache(maxsize=2)
def decode(text: str) -> Rollout:
    """The rollout of a record's text; the same text again costs nothing. Raises RecordUnreadable."""
    raw = _load(text)
    version = raw.pop("v", None)
    if version not in range(1, VERSION + 1):
        raise RecordUnreadable(
            f"the rollout record has version {str(version)[:40]!r}, this Spillway reads 1 to {VERSION}",
            "A newer Spillway wrote it.",
            "Upgrade, or roll back with: spillway rollback SERVICE",
        )
    if "stage" in raw:
        raw["stage_index"] = raw.pop("stage")
    _carry_probes(raw)
    try:
        found = codec.made(Rollout, _from_1(raw) if version == 1 else raw)
        found = _named(found) if version == 1 else found
        complaint = next(complaints(found), "")
    except codec.Misfit as error:
        complaint = str(error)
    except (RecursionError, OverflowError, ValueError) as error:
        complaint = f"it cannot be taken in: {type(error).__name__}"
    if complaint:
        raise _unreadable(complaint)
    return found


def _carry_probes(raw: dict[str, Any]) -> None:
    """Probes had two counts and no bets, and the first failure that stable did not share was a FAIL: it stays one."""
    judge = raw.get("judge")
    if not isinstance(judge, dict):
        return
    ok, bad = judge.pop("probes_ok", None), judge.pop("probes_bad", None)
    if ok is not None:
        judge["probes"] = {"ok": ok}
    if type(bad) is int and 0 < bad < MAX_EPOCH:
        judge.setdefault("failed", f"{bad} probe conversations failed, confirmed against stable")


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Version 1 kept the terms flat in the plan and one earlier split; a stage counted from when it was asked for.

    A stage that is running has not been seen to arrive, so its clock starts when the next driver looks.
    """
    plan, last, before = raw.get("plan"), raw.get("last"), raw.pop("before", None)
    if isinstance(plan, dict):
        plan["terms"] = {name: plan.pop(name) for name in _TERMS if name in plan}
    if isinstance(last, dict):
        last.setdefault("blamed", "")
    return {**raw, "spans": [before]} if before else raw


def _named(old: Rollout) -> Rollout:
    """Version 1 named the criterion that was blamed, and whether an operator sent it back, in its sentences alone."""
    criterion, reason = (text.partition(":")[0] for text in (old.judge.failed, old.reason))
    criterion = criterion if criterion in METRICS else ""
    is_back = old.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) and not old.by_hand
    last = old.last
    if last and last.reason == old.judge.failed:
        last = replace(last, blamed=criterion)
    steps = (replace(s, by_hand=bool(s.by) and not s.reason.startswith("superseded by")) for s in old.history)
    return replace(
        old,
        judge=replace(old.judge, blamed=criterion),
        blamed=reason if is_back and reason in METRICS else "",
        last=last,
        history=tuple(steps),
    )


def _load(text: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise _unreadable(f"it has {len(text):,} characters, {MAX_BYTES:,} are allowed")
    try:
        raw = json.loads(text, parse_constant=_constant)
        json.dumps(raw, ensure_ascii=False).encode()  # half a surrogate pair could not be written back
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it starts {text[:40]!r}") from error
    if not isinstance(raw, dict):
        raise _unreadable(f"it starts {text[:40]!r}")
    return raw


def _constant(name: str) -> float:
    """A bet that is lost for good is -Infinity, one that is won Infinity; NaN is nothing that we write."""
    if name == "NaN":
        raise ValueError("NaN")
    return float(name)


def _dump(body: Mapping[str, Any]) -> str:
    return json.dumps({"v": VERSION, **body}, separators=(",", ":"), sort_keys=True)


def _unreadable(why: str) -> RecordUnreadable:
    return RecordUnreadable(
        "the rollout record on the service cannot be read",
        why,
        "Traffic was left alone. Roll back with: spillway rollback SERVICE [--to REVISION]",
    )


def utc(moment: datetime) -> datetime:
    """Aware UTC, whole milliseconds: what a record keeps."""
    moment = moment.astimezone(UTC)
    return moment - timedelta(microseconds=moment.microsecond % 1000)
