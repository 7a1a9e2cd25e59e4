"""Writing reports: the record and the logs from the service, the journal from this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import evidence
from pipeline.cli.frame import Session
from pipeline.errors import SpillwayError
from pipeline.ports import World
from pipeline.rollout import Rollout

if TYPE_CHECKING:
    from pipeline.evidence import Exposure


def exposures(world: World, current: Rollout) -> Mapping[str, Exposure] | None:
    """What users met on each revision since the rollout began; None when the logs cannot be read."""
    plan = current.plan
    names = (plan.candidate, plan.stable)
    try:
        lines = world.logs.lines(plan.ref, since=current.started, revisions=names)
        nonces = {r.name: r.nonce for r in world.platform.revisions(plan.ref)}
    except SpillwayError:
        return None
    now = world.clock.now()
    return {
        name: evidence.exposure(lines, evidence.Arm(name, nonces.get(name, "")), plan.sampling, now) for name in names
    }


def write_reports(session: Session, world: World, current: Rollout) -> list[Path]:
    """Markdown and HTML beside the journal. A report that cannot be written is said, never an error: a roll-back must
    not end badly because of paper."""
    from pipeline import journal, render, report

    folder = session.state_folder / "rollouts"
    name = f"{current.plan.rollout_id}-{current.attempt}"
    try:
        lines = journal.read(folder / f"{name}.jsonl")
        made = report.build(current, lines, exposures(world, current), world.clock.now())
        folder.mkdir(parents=True, exist_ok=True)
        texts = {f"{name}.md": render.markdown(made), f"{name}.html": render.html(made)}
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        session.output.say(f"no report: {error}")
        return []
    return [folder / file for file in texts]
