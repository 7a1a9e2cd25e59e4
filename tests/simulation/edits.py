"""Other people's hands on the service and its revisions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.model import CANDIDATE_TAG, RECORD_ANNOTATION, STABLE_TAG, LiveService, Readiness, Split, Target
from tests.oracle import FOREIGN_TAG
from tests.rollouts import CANDIDATE, STABLE
from tests.simulation.faults import Fault, happens

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.rollout import Simulation

PREVIEW = "agent-chat-preview"


@contextmanager
def _by_somebody(sim: Simulation) -> Iterator[LiveService]:
    before = sim.platform.shown()
    sim.applies.append(before)
    yield before
    sim.oracle.foreign(before, sim.platform.shown())


@happens("edit", weight=2)
def edit(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """Traffic by hand."""
    with _by_somebody(sim) as live:
        share = fault.pick((0, 10, 50, 100)) if sim.is_ready(CANDIDATE) else 0
        targets = [Target(STABLE, 100 - share), *(t for t in live.wanted.targets if t.tag == FOREIGN_TAG)]
        targets += [Target(CANDIDATE, share)] if share else []
        sim.platform.foreign_write(split=Split(tuple(targets)))


@happens("touch", "label")
def touch(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """A write that leaves traffic, tags and record alone."""
    with _by_somebody(sim) as live:
        more = {"team/note": f"{fault.salt:.3f}"} if fault.kind == "label" else {}
        sim.platform.foreign_write(annotations={**live.annotations, **more})


@happens("preview")
def preview(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """Another revision at 0 %, the latest one."""
    with _by_somebody(sim):
        if PREVIEW not in sim.platform.known:
            sim.platform.add(PREVIEW)
        sim.platform.foreign_write()
        assert sim.platform.live is not None
        sim.platform.live = replace(sim.platform.live, latest_created=PREVIEW, latest_ready=PREVIEW)


@happens("foreign tag")
def foreign_tag(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    with _by_somebody(sim) as live:
        kept = [t for t in live.wanted.targets if t.tag != FOREIGN_TAG]
        to = fault.pick((None, STABLE, CANDIDATE if CANDIDATE in sim.platform.known else STABLE))
        sim.platform.foreign_write(split=Split((*kept, *([Target(to, 0, FOREIGN_TAG)] if to else []))))


@happens("our tag")
def our_tag(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """One of our tags is taken away, or moved to the other revision."""
    with _by_somebody(sim) as live:
        tag, other = fault.pick(
            ((STABLE_TAG, ""), (CANDIDATE_TAG, ""), (CANDIDATE_TAG, STABLE), (STABLE_TAG, CANDIDATE))
        )
        lines = [
            replace(t, tag="", uri="") if t.tag == tag else replace(t, uri="") for t in live.wanted.targets
        ]
        if other in sim.platform.known:
            lines.append(Target(other, 0, tag))
        sim.platform.foreign_write(split=Split(tuple(t for t in lines if t.percent or t.tag)))


@happens("wipe")
def wipe(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    with _by_somebody(sim):
        sim.platform.foreign_write(annotations={})


@happens("replay", weight=2)
def replay(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """An apply of an old state: its split, tags and annotations."""
    with _by_somebody(sim):
        old = fault.pick([*sim.applies, *sim.snapshots])
        if all(sim.is_ready(revision) for revision in old.wanted.serving):
            lines = tuple(t for t in old.wanted.targets if t.revision in sim.platform.known)
            sim.platform.foreign_write(split=Split(lines), annotations=old.annotations)


@happens("rot", weight=2)
def rot(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """The record becomes one that cannot be used."""
    with _by_somebody(sim) as live:
        if live.record_text:
            text = fault.pick(tuple(ROTTEN.values()))(live.record_text)
            sim.platform.foreign_write(annotations={**live.annotations, RECORD_ANNOTATION: text})


def _changed(**changes: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**_body(text), **changes})


def _body(text: str) -> dict[str, object]:
    try:
        return dict(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _of_another_service(text: str) -> str:
    body = _body(text)
    plan = dict(body.get("plan") or {})  # type: ignore[call-overload]
    plan |= {
        "ref": {"project": "p", "location": "l", "service": "other"},
        "stable": "other-1",
        "candidate": "other-2",
    }
    return json.dumps({**body, "plan": plan})


ROTTEN: Mapping[str, Callable[[str], str]] = {
    "newer": _changed(v=99, phase="soaring"),
    "older": _changed(v=0),
    "corrupt": lambda text: text[::-1],
    "truncated": lambda text: text[: len(text) // 2],
    "NaN": _changed(epoch=float("nan")),
    "another service's": _of_another_service,
    "huge": _changed(reason="x" * 250_000),
    "hostile": lambda text: "[" * 5_000,
    "empty": lambda text: "",
}  # fmt: skip


@happens("remake", weight=2)
def remake(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """The candidate is deleted and made again under its name."""
    known = sim.platform.known
    if CANDIDATE in known:
        known[CANDIDATE] = replace(known[CANDIDATE], uid=f"again-{fault.salt:.6f}")
        sim.platform.foreign_write()  # no revision is made without a write of the service
        sim.oracle.remade()


@happens("delete stable")
def delete_stable(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    if sim.platform.live and not sim.platform.live.wanted.percent_of(STABLE):
        sim.platform.known[STABLE] = replace(sim.platform.known[STABLE], readiness=Readiness.FAILED)


@happens("break candidate")
def break_candidate(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    known = sim.platform.known
    if CANDIDATE in known:
        known[CANDIDATE] = replace(known[CANDIDATE], readiness=Readiness.FAILED)
        sim.turn_bad()


@happens("candidate fails users")
def fail_users(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """A fault that begins late."""
    sim.users.go_on()
    sim.health.fails_users.setdefault(CANDIDATE, 0.7)
    sim.turn_bad()


@happens("stable is ill")
def stable_is_ill(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """Its probes hang or fail, or it writes no lines any more; for a while."""
    sim.users.go_on()
    fault.pick((sim.health.hangs_probes, sim.health.fails_probes, sim.health.writes_nothing)).add(STABLE)


@happens("blind logs")
def blind_logs(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    sim.users.unreadable = not sim.users.unreadable


@happens("blind probes")
def blind_probes(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    sim.blind_probes = not sim.blind_probes


@happens("probes hang")
def probes_hang(sim: Simulation, fault: Fault, process: Process, name: str) -> None:
    """Rounds that are begun now take long, or never come back."""
    sim.round_takes = fault.pick((20.0, 1e6))
