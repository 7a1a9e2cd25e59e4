"""Whether somebody wrote the service beside an apply of the program, which carries no etag.  PURE."""

from __future__ import annotations

from infra.deployment import KEYS_ANNOTATION, Live
from infra.settings import Settings
from pipeline.errors import StaleWrite


def must_be_unchanged(settings: Settings, before: Live, etag: str) -> None:
    """Right before the write: raises StaleWrite when somebody wrote since the program looked.

    Args:
        before: what the program saw. ``etag``: of what is there now; empty for nothing.
    """
    if etag != before.etag:
        raise StaleWrite(
            f"{settings.service} was changed after the Pulumi program had read it",
            "An apply would write over that; nothing was written.",
            f"Apply it again; look what changed: spillway status {settings.ref.name}",
        )


def must_not_have_slipped(settings: Settings, before: Live, after: Live | None) -> None:
    """After it: raises StaleWrite when somebody wrote between the program's look and its write, or has written since.

    Args:
        before: what the program saw and has declared again. ``after``: what is there now.
    """
    if before.serves_nobody:
        return  # then the program declares a split of its own
    if after is None:
        what = "it was deleted"
    elif not after.split.shares_with(before.split):
        what = f"traffic is {after.split}, it was {before.split}"
    elif _tags(after) != _tags(before):
        what = "a tag was moved"
    elif changed := sorted(_ours(before) ^ _ours(after)):
        what = f"the annotation {changed[0][0]} is another"
    elif after.generation > before.generation + 1:
        times = after.generation - before.generation - 1
        what = f"somebody else wrote it {'once' if times == 1 else f'{times} times'}, and what is not known"
    else:
        return
    raise StaleWrite(
        f"{settings.service} was changed while the Pulumi program was applied: {what}",
        f"An apply carries no etag. Generation {before.generation} was read"
        + (f", {after.generation} is there now." if after else "."),
        f"Look: spillway status; give traffic back: spillway rollback {settings.ref.name}",
    )


def _tags(live: Live) -> set[tuple[str, str | None]]:
    return {(target.tag, target.revision) for target in live.split.targets if target.tag}


def _ours(live: Live) -> set[tuple[str, str]]:
    return {
        (key, value)
        for key, value in live.annotations.items()
        if key.startswith("spillway.") and key != KEYS_ANNOTATION
    }
