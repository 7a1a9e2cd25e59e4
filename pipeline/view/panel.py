"""What a look at a rollout shows: header, weight, revisions as a tree with gates, events.  Values in, text out.

Every line is a ``rich.text.Text`` no wider than asked; no markup is parsed, and whatever a service said goes through
``SINK.shown`` first. A state is told by glyph and word; colour only repeats it. What may be long comes last in its
line, because lines are cut at their end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rich.console import Group
from rich.text import Text

from pipeline.core.pin import pin_of
from pipeline.core.rollout import ENDED, Phase, Rollout, Step
from pipeline.events import Look
from pipeline.judging.exposure import Exposure
from pipeline.model import LiveService, Outcome, Split
from pipeline.redact import SINK
from pipeline.report import writes
from pipeline.report.facts import unasked_words, words_of
from pipeline.report.notes import blind_stable, uncompared
from pipeline.view.gate_lines import gate_lines

PHASES = {
    Phase.DEPLOYING: ("DEPLOYING", "cyan"),
    Phase.ROLLING: ("ROLLING", "cyan"),
    Phase.PAUSED: ("PAUSED", "yellow"),
    Phase.PROMOTED: ("PROMOTED", "bold green"),
    Phase.ROLLING_BACK: ("ROLLING BACK", "bold red"),
    Phase.ROLLED_BACK: ("ROLLED BACK", "bold red"),
}
NARROWEST = 40
_BAR = 20
_EVENTS = 6


@dataclass(frozen=True, slots=True)
class Seen:
    """What users met, from the logs.

    Args:
        exposures: revision to what was met since the rollout began.
        fresh: revision to connections accepted since the running stage began: the weight as it really is.
    """

    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    fresh: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happening:
    """One line under "events"."""

    at: datetime
    text: str

    @classmethod
    def of(cls, step: Step) -> Happening:
        by = f"  by {step.by}" if step.by else ""
        return cls(step.at, f"{words_of(step)} {step.percent}%{by}  {step.reason}".rstrip())


def render(
    look: Look,
    events: Sequence[Happening],
    seen: Seen | None,
    now: datetime,
    width: int,
    keys: str = "",
) -> Group:
    """The whole picture, one fact after the other, no line wider than ``width`` columns.

    Args:
        events: newest last; empty: the record's own history.
        seen: None when the logs were not, or could not be, read.
        keys: what the keyboard may ask for, or has asked.
    """
    width = max(NARROWEST, width)
    happened = events or [Happening.of(step) for step in look.situation.rollout.history]
    lines = [
        *flow([*_header(look, now), *([Text(keys, style="bold")] if keys else [])], width),
        *flow(_weight(look, seen), width, indent=9),
        *_reason(look),
        *_tree(look, seen, now),
        Text("events", style="bold"),
        *(
            Text.assemble((f" {each.at:%H:%M:%S}", "dim"), f"  {SINK.shown(each.text)}")
            for each in happened[-_EVENTS:]
        ),
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return Group(*lines)


def flow(parts: Iterable[Text], width: int, indent: int = 2) -> list[Text]:
    """The parts side by side, three blanks between them; what does not fit goes on in the next line."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + 3 + part.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], "   ", part)
        else:
            lines.append(Text.assemble(" " * indent, part) if lines else part)
    return lines


def _header(look: Look, now: datetime) -> Iterator[Text]:
    current = look.situation.rollout
    word, style = PHASES[current.phase]
    if current.outcome is Outcome.FIRST_DEPLOYMENT_UNHEALTHY:
        word, style = "UNHEALTHY", "bold red"
    ended = current.phase in ENDED
    until = current.history[-1].at if ended and current.history else now
    yield Text(SINK.shown(current.plan.ref.service), style="bold")
    yield Text(SINK.shown(current.plan.ref.location))
    yield Text(word, style=style)
    yield Text(f"stage {current.stage_index + 1}/{len(current.plan.terms.stages)}")
    yield Text(f"{'took' if ended else 'elapsed'} {clock(until - current.started)}")
    if coming := upcoming(current, now):
        yield Text(f"next: {coming}")


def upcoming(current: Rollout, now: datetime) -> str:
    """The next change of traffic and when it can come at the earliest; empty when none is planned."""
    if current.phase is Phase.ROLLING_BACK:
        return "reading traffic back"
    if current.phase is Phase.PAUSED:
        return "waits for promote"
    if current.phase is not Phase.ROLLING:
        return ""
    if current.arrived is None:
        return f"{current.stage.percent}% served: {current.waiting}".rstrip(": ")
    left = current.arrived + current.stage.soak - now
    then = (
        "promotion"
        if current.is_last_stage
        else f"{current.plan.terms.stages[current.stage_index + 1].percent}%"
    )
    if current.stage.hold:
        then = "hold for promote"
    if left > timedelta(0):
        return f"{then} in {clock(left)}"
    return f"{then} when the gates pass: {current.waiting}".rstrip(": ")


def _share(live: LiveService, split: Split, revision: str) -> int:
    """In percent; LATEST is the latest ready revision's."""
    of_latest = split.serving.get("", 0) if revision == live.latest_ready else 0
    return split.percent_of(revision) + of_latest


def _weight(look: Look, seen: Seen | None) -> Iterator[Text]:
    s = look.situation
    candidate, stable = s.rollout.plan.candidate, s.rollout.plan.stable
    wanted, serving = (_share(s.live, split, candidate) for split in (s.live.wanted, s.live.serving))
    yield Text.assemble(("weight", "bold"), f"   set {wanted}%")
    if wanted != serving:
        yield Text(f"serving {serving}%, moving", style="yellow")
    if seen is None:
        yield Text("users: no log lines yet", style="dim")
        return
    to_candidate, to_all = seen.fresh.get(candidate, 0), sum(seen.fresh.values())
    if to_all:
        yield Text(f"actual {to_candidate / to_all:.1%} of new connections ({to_candidate:,}/{to_all:,})")
    roles = (("candidate", candidate), ("stable", stable))
    opened = [f"{role} {e.open_sockets:,}" for role, name in roles if (e := seen.exposures.get(name))]
    if opened:
        yield Text(f"still open: {', '.join(opened)}")
    if blind := blind_stable(s.rollout, seen.exposures):
        yield Text(SINK.shown(f"! {blind}"), style="bold yellow")
    for line in uncompared(s.rollout, seen.exposures):
        yield Text(SINK.shown(line), style="dim")


def _reason(look: Look) -> Iterator[Text]:
    """Why it stands where it stands, when that needs saying."""
    s = look.situation
    if s.drift:
        yield Text(f"! drift: {SINK.shown(s.drift)}", style="bold yellow")
    if s.blind:
        yield Text(f"? cannot look: {SINK.shown(s.blind)}", style="yellow")
    if s.rollout.reason and s.rollout.phase not in (Phase.ROLLING, Phase.DEPLOYING) and not s.drift:
        yield Text(f"why      {SINK.shown(s.rollout.reason)}")
    if s.rollout.phase is Phase.PAUSED:
        back = writes.roll_back(s.rollout.plan.ref)
        yield Text(SINK.shown(f"let it go on  spillway promote   or give traffic back: {back}"))
    if pin := pin_of(s.live, s.rollout):
        yield Text(
            f"pinned   {SINK.shown(pin.revision)} by name: plain deploys get 0%; give it back: spillway unpin"
        )
        if pin.warning:
            yield Text(f"! {SINK.shown(pin.warning)}", style="yellow")


def _tree(look: Look, seen: Seen | None, now: datetime) -> Iterator[Text]:
    plan = look.situation.rollout.plan
    yield Text(f"~ {SINK.shown(plan.ref.service)}")
    if plan.candidate != plan.stable:
        yield _revision("|-- ", look, now, is_stable=False)
        for line in gate_lines(look):
            yield Text("|   |-- ") + line
        yield from _unasked("|   |-- ", seen, plan.candidate)
        yield Text("|   `-- ") + _closes(seen, plan.candidate)
    yield _revision("`-- ", look, now, is_stable=True)
    yield from _unasked("    |-- ", seen, plan.stable)
    yield Text("    `-- ") + _closes(seen, plan.stable)


def _revision(branch: str, look: Look, now: datetime, *, is_stable: bool) -> Text:
    s, plan = look.situation, look.situation.rollout.plan
    name, revision = (plan.stable, s.stable) if is_stable else (plan.candidate, s.candidate)
    percent = _share(s.live, s.live.serving, name)
    role, style, more = ("stable", "green", "  rollback target") if is_stable else ("candidate", "cyan", "")
    line = Text.assemble(
        branch, (SINK.shown(name), "bold"), f"  {role:<9} {percent:>3}%  ", (bar(percent), style), more
    )
    if revision is None:
        line.append("  is gone" if is_stable else "  not there yet", style="yellow")
    elif not revision.is_ready:
        line.append(f"  {revision.readiness.value}: {SINK.shown(revision.message)}", style="red")
    elif not is_stable:
        line.append(f"  up {clock(now - revision.create_time)}")
    return line


def _unasked(branch: str, seen: Seen | None, revision: str) -> Iterator[Text]:
    exposure = seen.exposures.get(revision) if seen else None
    if exposure is not None and (words := unasked_words(exposure)):
        yield Text.assemble(branch, (f"! {SINK.shown(words)}", "yellow"))


def _closes(seen: Seen | None, revision: str) -> Text:
    """How users' sockets ended, and how many users were hurt."""
    exposure = seen.exposures.get(revision) if seen else None
    if exposure is None:
        return Text("users: no log lines yet", style="dim")
    closes = "  ".join(f"{kind} {number:,}" for kind, number in sorted(exposure.closes.items())) or "none yet"
    affected = (f"affected {exposure.affected:,}", "bold red" if exposure.affected else "")
    line = Text.assemble(f"sessions {exposure.sessions:,}   ", affected, f"   closes: {closes}")
    alarming = {
        "hung": exposure.hung, "log lines missing": exposure.silent, "exits": exposure.exits,
        "turned away": exposure.turned_away,
    }  # fmt: skip
    for words, number in alarming.items():
        if number:
            line.append(f"   {words} {number:,}", style="bold red")
    return line


def bar(percent: int, width: int = _BAR) -> str:
    """``####....``: a share that is not nothing shows at least one mark, one that is not all at most all but one."""
    marks = round(width * percent / 100)
    if 0 < percent < 100:
        marks = min(max(1, marks), width - 1)
    return "#" * marks + "." * (width - marks)


def clock(duration: timedelta) -> str:
    """``06:12``, ``1:06:12``, ``2d 01:06``."""
    days, rest = divmod(max(0, round(duration.total_seconds())), 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{rest % 60:02d}" if hours else f"{minutes:02d}:{rest % 60:02d}"
