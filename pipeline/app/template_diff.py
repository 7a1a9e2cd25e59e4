"""What of a service a deployment would change, field by field: the stable revision's template beside the candidate's."""

from __future__ import annotations

from msgspec.structs import replace

from infra.deployment import OWN_ANNOTATIONS, Deployment
from infra.document import Change, covers, differences, leaves
from infra.guard import Ruling, shown
from pipeline.model import OWN_VARIABLES


def changes(made: Deployment) -> tuple[Change, ...]:
    """The service's fields first, then the template's, without what is Spillway's own. Empty for a new service."""
    if made.before is None:
        return ()
    before = {key: value for key, value in made.before.items() if key != "template"}
    found = (
        *differences(before, made.fields),
        *(
            replace(change, path=f"template.{change.path}")
            for change in differences(made.before.get("template", {}), made.template)
        ),
    )
    return tuple(change for change in found if not _is_ours(change.path))


def not_applied(made: Deployment) -> list[str]:
    """What is asked of the service and not live yet; it is written together with a revision, never alone."""
    head = "warning: container: service: asks for more, which is written with the next revision:"
    found = [f"  {_line(change)}" for change in changes(made) if not covers("template", change.path)]
    return [head, *found] if found else []


def lines(made: Deployment, ruling: Ruling) -> list[str]:
    """For people: what is added, removed and changed, how much stays, and what the provider cannot say."""
    if made.before is None:
        return []
    found = changes(made)
    stays = len(leaves(made.before)) - sum(change.before is not None for change in found)
    out = [
        "",
        f"template  {made.stable or 'none'} -> {made.revision}",
        *(f"  {_line(change)}" for change in found),
    ]
    out.append(
        f"  {stays} other fields stay as they are" if found else f"  all {stays} fields stay as they are"
    )
    if ruling.beyond:
        out.append("  written by the Admin API, the template alone: Pulumi's provider has no word for")
        out += [f"    {loss.path}" for loss in ruling.beyond]
    return out


def document(made: Deployment, ruling: Ruling) -> dict[str, object]:
    """The same for JSON, secrets masked."""
    changed = [
        {
            "path": change.path,
            "before": None if change.before is None else shown(change.path, change.before),
            "after": None if change.after is None else shown(change.path, change.after),
        }
        for change in changes(made)
    ]
    return {"changes": changed, "beyond_provider": [loss.path for loss in ruling.beyond]}


def _line(change: Change) -> str:
    path, before, after = change.path, change.before, change.after
    if before is None:
        return f"+ {path} = {shown(path, after)}"
    if after is None:
        return f"- {path} (was {shown(path, before)})"
    return f"~ {path}: {shown(path, before)} -> {shown(path, after)}"


def _is_ours(path: str) -> bool:
    """And names of named things, which their paths say."""
    names = (
        *(f"env[{name}]" for name in OWN_VARIABLES),
        *(f"annotations[{name}]" for name in OWN_ANNOTATIONS),
    )
    return path.endswith("].name") or covers("template.revision", path) or any(each in path for each in names)
