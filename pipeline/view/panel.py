"""What a look at a rollout shows: header, weight, revisions as a tree with gates, events.  Values in, text out.

Every line is a ``rich.text.Text`` no wider than asked; no markup is parsed, and whatever a service said goes through
``SINK.shown`` first. A state is told by glyph and word; colour only repeats it. What does not fit goes on in the next
line (``flow.py``), so no figure is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field
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
from pipeline.report.left import left_on
from pipeline.report.left import words as draining_words
from pipeline.report.notes import blind_stable, independent, uncompared
from pipeline.view.flow import flow
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
_CLOSES = {
    "server_error_1011": "1011", "abnormal_1006": "1006", "restart_1012": "1012", "keepalive_1011": "1011 keepalive",
    "by_client": "by client",
}  # fmt: skip
_BAR = 20
_EVENTS = 6


class Seen(Struct, frozen=True):
    """What users met, from the logs.

    Args:
        exposures: revision to what was met since the rollout began. ``instances``: to how many were heard of lately.
        fresh: revision to connections accepted since the running stage began: the weight as it really is.
    """

    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    fresh: Mapping[str, int] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)


class Happening(Struct, frozen=True):
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
        *(line for part in _reason(look, seen) for line in flow([part], width, indent=9)),
        *_tree(look, seen, now, width),
        Text("events", style="bold"),
        *(line for each in happened[-_EVENTS:] for line in _event(each, width)),
    ]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return Group(*lines)


def _event(each: Happening, width: int) -> list[Text]:
    return flow([Text(SINK.shown(each.text))], width, 0, branch=f" {each.at:%H:%M:%S}  ", below=" " * 11)


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
    candidate = s.rollout.plan.candidate
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
    yield from _open(look, seen)
    if blind := blind_stable(s.rollout, seen.exposures):
        yield Text(SINK.shown(f"! {blind}"), style="bold yellow")
    yield from (Text(SINK.shown(line), style="dim") for line in uncompared(s.rollout, seen.exposures))


def _open(look: Look, seen: Seen) -> Iterator[Text]:
    """Sockets by revision, with the end of the last one where nobody new comes to it."""
    s = look.situation
    parts = [
        f"{each.role} {each.open:,}" + (f" (last ends at about {each.ends:%H:%M})" if each.ends else "")
        for each in left_on(s.rollout, seen.exposures, (s.candidate, s.stable))
        if each.revision in seen.exposures
    ]
    if parts:
        yield Text(f"still open: {', '.join(parts)}")


def _reason(look: Look, seen: Seen | None) -> Iterator[Text]:
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
    if said := draining_words(s.rollout, seen.exposures if seen else None):
        yield Text(f"draining {SINK.shown(said)}")
    if pin := pin_of(s.live, s.rollout):
        yield Text(
            f"pinned   {SINK.shown(pin.revision)} by name: plain deploys get 0%; give it back: spillway unpin"
        )
        if pin.warning:
            yield Text(f"! {SINK.shown(pin.warning)}", style="yellow")


def _tree(look: Look, seen: Seen | None, now: datetime, width: int) -> Iterator[Text]:
    plan, met = look.situation.rollout.plan, seen.exposures if seen else {}
    stable, candidate = met.get(plan.stable), met.get(plan.candidate)
    yield Text(f"~ {SINK.shown(plan.ref.service)}")
    if plan.candidate != plan.stable:
        yield from flow(
            _revision(look, seen, now, is_stable=False), width, 4, branch="|-- ", below="|   ", gap=2
        )
        inner, last, below = "|   |-- ", "|   `-- ", "|   |   "
        for parts in gate_lines(look, candidate):
            yield from flow(parts, width, 2, branch=inner, below=below, gap=2)
        yield from flow(_unasked(candidate), width, 2, branch=inner, below=below)
        yield from flow(_users(look, plan.candidate, candidate), width, 2, branch=last, below="|       ")
    yield from flow(_revision(look, seen, now, is_stable=True), width, 4, branch="`-- ", below="    ", gap=2)
    yield from flow(_unasked(stable), width, 2, branch="    |-- ", below="    |   ")
    yield from flow(_users(look, plan.stable, stable), width, 2, branch="    `-- ", below="        ")


def _revision(look: Look, seen: Seen | None, now: datetime, *, is_stable: bool) -> Iterator[Text]:
    s, plan = look.situation, look.situation.rollout.plan
    name, revision = (plan.stable, s.stable) if is_stable else (plan.candidate, s.candidate)
    percent = _share(s.live, s.live.serving, name)
    role, style = ("stable", "green") if is_stable else ("candidate", "cyan")
    yield Text(SINK.shown(name), style="bold")
    yield Text.assemble(f"{role:<9} {percent:>3}%  ", (bar(percent), style))
    if instances := seen.instances.get(name) if seen else None:
        yield Text(f"{instances} inst")
    if is_stable:
        yield Text("rollback target")
    if revision is None:
        was_deleted = s.rollout.draining is not None and s.rollout.draining.ended is not None
        missing = "deleted" if was_deleted else "not there yet"
        yield Text("is gone" if is_stable else missing, style="yellow")
    elif not revision.is_ready:
        yield Text(f"{revision.readiness.value}: {SINK.shown(revision.message)}", style="red")
    elif not is_stable:
        yield Text(f"up {clock(now - revision.create_time)}")
    image = plan.image if not is_stable else revision.image if revision else ""
    if image:
        yield Text(f"image {SINK.shown(short_image(image))}", style="dim")


def short_image(image: str) -> str:
    """``chat@0a1b2c3d4e5f``: the last part of its name, and as much of the digest as tells it apart."""
    name, _, digest = image.rpartition("/")[2].partition("@")
    return f"{name}@{digest.partition(':')[2][:12]}" if digest else name


def _unasked(exposure: Exposure | None) -> Iterator[Text]:
    if exposure is not None and (words := unasked_words(exposure)):
        yield Text(f"! {SINK.shown(words)}", style="yellow")


def _users(look: Look, revision: str, exposure: Exposure | None) -> Iterator[Text]:
    """How users' sockets ended, how many users were hurt, and how many of their runs could be counted."""
    if exposure is None:
        yield Text("users: no log lines yet", style="dim")
        return
    yield Text(f"sessions {exposure.sessions:,}")
    yield Text(f"affected {exposure.affected:,}", style="bold red" if exposure.affected else "")
    if revision == look.situation.rollout.plan.candidate and exposure.runs:
        yield Text(f"{exposure.runs:,} runs, {independent(look.judge):,} independent")
    alarming = {
        "hung": exposure.hung, "log lines missing": exposure.silent, "exits": exposure.exits,
        "turned away": exposure.turned_away,
    }  # fmt: skip
    yield from (Text(f"{words} {n:,}", style="bold red") for words, n in alarming.items() if n)
    closes = [f"{_CLOSES.get(kind, kind)} {number:,}" for kind, number in sorted(exposure.closes.items())]
    yield Text(f"closes: {', '.join(closes) or 'none yet'}")


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
