"""What users met and no verdict rests on, or that the platform says and no session does: in sentences.  PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from pipeline.core.rollout import Rollout
from pipeline.judging.exposure import UNKNOWN, Exposure
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.population import UNSEEN
from pipeline.units import count, format_duration, format_rate

_NOBODY = Exposure()


def notes(rollout: Rollout, met: Mapping[str, Exposure] | None) -> tuple[str, ...]:
    """Args: met: by revision, of this attempt; None: the logs could not be read."""
    plan = rollout.plan
    if met is None:
        return ()
    names = dict.fromkeys((plan.candidate, plan.stable))
    said = [line for name in names for line in _of_one(name, met.get(name, _NOBODY))]
    if plan.candidate != plan.stable:
        said += _runs(rollout, met.get(plan.candidate, _NOBODY))
        said += _first_events(rollout, met)
        said += [each for each in (blind_stable(rollout, met),) if each]
        said += uncompared(rollout, met)
    if not any(e.sessions for e in met.values()) and any(e.requests for e in met.values()):
        said.append(f"The service writes no telemetry. {UNSEEN}")
    return tuple(said)


def _of_one(name: str, met: Exposure) -> Iterator[str]:
    told = (
        (met.exits, "instance", "ended though nobody had asked for it."),
        (met.turned_away, "request", "answered with 5xx or 429 by the platform."),
        (met.hung, "run", "hung: not done in time, on a socket that nobody had closed."),
        (met.silent, "socket", "fell silent after the accept: log lines that were due are missing."),
        (met.closes.get("ignored", 0), "close", "not held against it, by ignore-reasons."),
    )
    return (f"{name}: {count(number, noun)} {words}" for number, noun, words in told if number)


def independent(judge: JudgeState) -> int:
    """Of the candidate's runs those that were judged, over all stages."""
    return max((c.candidate_trials for c in judge.total.values()), default=0)


def _runs(rollout: Rollout, met: Exposure) -> Iterator[str]:
    """How many there were, and of how many the judge was told: one client's are not independent of one another."""
    if met.runs:
        yield (
            f"{rollout.plan.candidate}: {count(met.runs, 'run')}, {independent(rollout.judge):,} independent: "
            "of one client the first in a block is judged."
        )


def _first_events(rollout: Rollout, met: Mapping[str, Exposure]) -> Iterator[str]:
    """How long users waited for the first event, beside what counts as late; only where that is judged."""
    asked = next((c for c in rollout.plan.terms.criteria if c.slower_than is not None), None)
    if asked is None or asked.slower_than is None:
        return
    names = (rollout.plan.candidate, rollout.plan.stable)
    took = [(name, ms) for name in names if (ms := met.get(name, _NOBODY).first_event_p95_ms) is not None]
    if took:
        words = ", ".join(f"{ms:,.0f} ms on {name}" for name, ms in took)
        limit = "" if asked.limit is None else f", in {format_rate(asked.limit)} of the runs at most"
        yield f"First event, p95: {words}; slower than {format_duration(asked.slower_than)} is late{limit}."


def blind_stable(rollout: Rollout, met: Mapping[str, Exposure]) -> str:
    """That stable says nothing while it has users and the candidate speaks; empty where it speaks, or need not."""
    plan, stable = rollout.plan, met.get(rollout.plan.stable, _NOBODY)
    has_users = plan.stable != plan.candidate and 0 < rollout.stage.percent < 100
    if not has_users or stable.sessions or stable.windows or not met.get(plan.candidate, _NOBODY).sessions:
        return ""
    forged = f" ({count(stable.forged, 'line')} with another nonce)" if stable.forged else ""
    return f"No telemetry line from stable {plan.stable}{forged}: it cannot be compared."


def uncompared(rollout: Rollout, met: Mapping[str, Exposure]) -> Iterator[str]:
    """The candidate's runs on sockets of a time in which stable accepted none, or that nobody can tell."""
    candidate = met.get(rollout.plan.candidate, _NOBODY).windows
    stable = met.get(rollout.plan.stable, _NOBODY).windows
    borders = rollout.windows.borders
    alone = {n: runs for n, runs in sorted(candidate.items()) if n == UNKNOWN or not stable.get(n)}
    if alone:
        parts = ", ".join(f"{runs:,} on sockets accepted {_when(n, borders)}" for n, runs in alone.items())
        yield f"Not compared: {count(sum(alone.values()), 'run')} of the candidate ({parts}), beside none of stable's."


def _when(window: int, borders: tuple[datetime, ...]) -> str:
    if window == UNKNOWN:
        return "at a time that no line tells"
    if window == 0:
        return f"before {borders[0]:%H:%M:%S} UTC" if borders else "at any time"
    return f"from {borders[min(window, len(borders)) - 1]:%H:%M:%S} UTC on"
