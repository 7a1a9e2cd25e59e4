"""What ``plan`` prints: every write that the rollout would make, its gates, and how early it can end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta

from pipeline.app import template_diff, who_counts
from pipeline.app.drive import Drive
from pipeline.app.gate import Gate
from pipeline.app.session import Session
from pipeline.core import plan, record
from pipeline.core.differs import differences
from pipeline.core.earliest import legs
from pipeline.core.intent import Begin, Ended, First, Resume, Supersede, intent_of
from pipeline.core.pin import Pin, pin_of
from pipeline.core.promoted import Admission
from pipeline.core.rollout import Rollout
from pipeline.errors import PlanRefused, ServiceNotFound
from pipeline.judging.judge import counts_runs
from pipeline.model import LiveService, Split
from pipeline.report.banner import short
from pipeline.units import format_duration, format_rate, when


def show(drive: Drive, gate: Gate, admit: Callable[[], Admission | None]) -> int:
    """Print the plan, and give the exit code; raises PlanRefused and NotYet where the rollout would."""
    session, wish = drive.request.session, drive.request.wish
    try:
        live = drive.world.platform.read(wish.ref)
    except ServiceNotFound:
        live = None
    found = (drive.world.platform.revisions(wish.ref), record.of(live)) if live is not None else ((), None)
    pin = pin_of(live, found[1]) if live is not None else None
    wish = drive.aimed(wish, live, found[1])
    match intent_of(wish, live, *found):
        case First():
            first = (
                f"{wish.ref.service} does not exist: {wish.candidate} would be its first revision and get 100%, ungated.",
                "It would be probed at once. From then on every rollout is staged.",
            )
            document = {"first_deployment": True, "candidate": wish.candidate, "image": wish.image}
            admitted = _admitted(admit())
            return _show_new(drive, gate, [*first, *admitted.values()], {**document, **admitted})
        case Supersede(other):
            raise PlanRefused(
                f"{wish.ref.service}: {other.plan.candidate} is under way ({other.phase})",
                f"It began {when(other.started)}. {differences(wish, other.plan)}",
                "Let it end, roll it back, or begin yours with: spillway rollout --image DIGEST --supersede",
            )
        case Resume(own):
            session.output.say(f"{own.plan.candidate} is under way already: the same command resumes it")
            return _show_agreed(session, own, live, pin)
        case Ended() as ended:
            session.output.say(f"it has ended: {ended.words} (again: --retry)")
            for line in drive.not_applied(ended):
                session.output.say(line)
            return _show_ended(session, ended, live, pin)
        case Begin(proposal):
            wanted = live.wanted if live is not None else Split()
            met, admitted = who_counts.look(drive.world, wish, proposal), _admitted(admit())
            counted = who_counts.lines(met, wish)
            way = _way(wish)
            lines = [*_lines(proposal, met.rate), *way, *admitted.values(), *counted, *_pinned(pin)]
            document = {**_document(proposal, wanted, met.rate), **_pin_document(pin), **admitted}
            return _show_new(drive, gate, lines, document)


def _admitted(admission: Admission | None) -> Mapping[str, str]:
    """Why the image may be rolled out already, where the environment comes after another."""
    return {"admission": admission.words} if admission else {}


def _way(wish: plan.Wish) -> list[str]:
    """By which probes go, where it is not from here to the tags' own addresses."""
    if not (wish.is_reached or wish.is_inside):
        return []
    whither = "the addresses of probes.address" if wish.is_reached else "the tags' own addresses"
    job = wish.ref.probe_job.rpartition("/")[2]
    who = f"the job {job}, inside the network" if wish.is_inside else "this machine"
    return [
        "",
        f"probes go to {whither}, from {who}; what the telemetry's mark does not prove counts for nobody",
    ]


def _pinned(pin: Pin | None) -> list[str]:
    return [pin.text] if pin else []


def _pin_document(pin: Pin | None) -> dict[str, object]:
    return {"pinned": pin.to_json() if pin else None}


def _show_agreed(session: Session, current: Rollout, live: LiveService | None, pin: Pin | None) -> int:
    """What a rollout that is under way agreed to do."""
    wanted = live.wanted if live is not None else Split()
    agreed = plan.Proposal(current.plan)
    text = "\n".join([*_lines(agreed), *_pinned(pin)])
    session.output.result(text, {**_document(agreed, wanted), **_pin_document(pin)})
    return 0


def _show_ended(session: Session, ended: Ended, live: LiveService | None, pin: Pin | None) -> int:
    """Nothing is going to be written. A rollout that a later one replaced has no plan any more."""
    warned = [f"warning: {pin.warning}"] if pin and pin.warning else []
    text, document = [*_pinned(pin), *warned], {"outcome": "ended", **_pin_document(pin)}
    if ended.rollout is not None and live is not None:
        agreed = plan.Proposal(ended.rollout.plan)
        text, document = [*_head(agreed), "", *text], {**_document(agreed, live.wanted), **document}
    session.output.result("\n".join(text), document)
    return 0


def _show_new(drive: Drive, gate: Gate, lines: Sequence[str], document: Mapping[str, object]) -> int:
    """What would be begun, with what the Pulumi program would bring about and what the checks found.

    Raises: FieldsLost, as the rollout would.
    """
    made, ruling = drive.must_lose_nothing()
    declared = () if ruling.beyond else drive.program.declared(drive.request.settings)
    resources = [each.summary for each in declared]  # without secrets
    changed = template_diff.lines(made, ruling)
    drive.request.session.output.result(
        "\n".join([*lines, *changed, *_declared(resources), *gate.lines()]),
        {
            **document,
            **template_diff.document(made, ruling),
            "resources": resources,
            "checks": gate.document(),
        },
    )
    return gate.exit_code


def _declared(resources: Sequence[Mapping[str, object]]) -> list[str]:
    """What the Pulumi program would bring about, given what is live."""
    out = ["", "program"] if resources else []
    for resource in (r for r in resources if len(r) > 2):
        out.append(f"  {resource['type']}  {resource['name']}")
        out += [f"    {key}: {value}" for key, value in resource.items() if key not in {"type", "name"}]
    kinds = Counter(str(r["type"]) for r in resources if len(r) == 2)
    return out + [f"  {kind}  {count} of them" for kind, count in sorted(kinds.items())]


def _head(proposal: plan.Proposal) -> list[str]:
    made = proposal.plan
    return [
        f"rollout {made.rollout_id}  {made.ref.name}",
        f"  stable     {made.stable}  (roll-back target{', adopted' if made.stable_adopted else ''})",
        f"  candidate  {made.candidate}  {made.image}",
    ]


def _lines(proposal: plan.Proposal, rate: float | None = None) -> list[str]:
    """Args: rate: users' runs per second, where they were counted."""
    made = proposal.plan
    out = [
        *_head(proposal),
        "",
        "writes",
        f"  1  pin {made.stable} at 100%, tag it stable, write the record",
        f"  2  create {made.candidate} at 0% (Pulumi program), tag it candidate",
    ]
    for number, stage in enumerate(made.terms.stages, start=2):
        then = "hold for promote" if stage.hold else f"soak {format_duration(stage.soak)}"
        head = f"{number}  {stage.percent:>4}%" if stage.percent else "   probe"
        out.append(f"  {head}  {then}, undecided after {format_duration(stage.deadline)}: pause")
    rhythm = f"every {format_duration(made.terms.probing.every)}, a failure is asked again at once, 5 on each"
    out += ["", "gates", f"  probes     {', '.join(made.terms.scenarios)}: {rhythm}"]
    out += [
        f"  {each.name:<10} a command of yours, at {', '.join(f'{p}%' for p in each.percents)}, within {format_duration(each.within)}"
        for each in made.terms.verify
    ]
    trials = proposal.certification_trials()
    for criterion in made.terms.criteria:
        words = "against stable only" if criterion.limit is None else f"limit {format_rate(criterion.limit)}"
        if criterion.certify:
            words += f", certify {format_rate(criterion.certify)} ({trials[criterion.metric]} clean trials)"
        out.append(f"  {criterion.metric:<26} {words}")
    out += ["", *_earliest(proposal, rate)]
    return out + [f"warning: {warning}" for warning in proposal.warnings]


def _earliest(proposal: plan.Proposal, rate: float | None) -> Iterator[str]:
    """When it can be promoted, and which stages wait for users' runs longer than for their soak."""
    made = legs(proposal.plan, rate, proposal.certification_trials())
    takes = sum((leg.takes for leg in made), timedelta(0))
    at = (
        f"at the {rate:.3g} runs a second of now"
        if rate
        else "if users bring the runs by then: none is known of"
    )
    yield f"earliest promotion  {short(takes)} after the start{f', {at}' if counts_runs(proposal.plan) else ''}"
    for leg in made:
        if leg.runs and rate:
            yield f"  {leg.percent:>4}%  {short(leg.takes)} until {leg.runs:,} runs on the candidate are judged"


def _document(proposal: plan.Proposal, wanted: Split, rate: float | None = None) -> dict[str, object]:
    made = proposal.plan
    earliest = legs(made, rate, proposal.certification_trials())
    return {
        "rollout": made.rollout_id,
        "service": made.ref.name,
        "stable": made.stable,
        "candidate": made.candidate,
        "image": made.image,
        "now": dict(wanted.serving),
        "stages": [
            {"percent": s.percent, "soak": _seconds(s.soak), "deadline": _seconds(s.deadline), "hold": s.hold}
            for s in made.terms.stages
        ],
        "writes": [
            dict(Split.between(made.stable, made.candidate, s.percent).serving) for s in made.terms.stages
        ],
        "criteria": [
            {
                "metric": c.metric,
                "limit": c.limit,
                "certify": c.certify,
                "slower_than": _seconds(c.slower_than),
            }
            for c in made.terms.criteria
        ],
        "verify": [
            {"name": each.name, "percents": list(each.percents), "within": _seconds(each.within)}
            for each in made.terms.verify
        ],
        "certification_trials": dict(proposal.certification_trials()),
        "soak_seconds": proposal.soak.total_seconds(),
        "runs_per_second": rate,
        "earliest_promotion_seconds": sum(leg.takes.total_seconds() for leg in earliest),
        "warnings": list(proposal.warnings),
    }


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
