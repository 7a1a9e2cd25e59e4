"""The mechanical half of event-map: a missing entry, written like its neighbours behind the last of the literal."""

from __future__ import annotations

from checks.finding import Edit
from checks.rules.event_map.change import Entry
from checks.tree.parse import Parsed


def new_entry(parsed: Parsed, end: list[int], model: Entry, key: str, member: str) -> Edit | None:
    """The edit that adds ``key``; None where the literal's layout is not one that can be continued.

    Args:
        end: line and column at which the last value ends.
        model: an entry of the same literal.
    """
    lines = parsed.data.split(b"\n")
    source = lines[model.line - 1].decode(errors="replace")
    quote = source.encode()[model.column - 1 : model.column].decode(errors="replace")
    if quote.isidentifier() and model.key is not None and model.key.form == "obj":
        quote = '"'  # the neighbours' keys are constants
    if quote not in ("'", '"'):
        return None
    before, _, rest = source[model.column - 1 :].partition(":")
    value = f"{quote}{member}{quote}" if model.form == "text" else _like(rest, model.member, member)
    if not before or not value:
        return None
    text = f"{quote}{key}{quote}: {value}"
    line, column = end
    after = lines[line - 1][column:].lstrip()
    indent = source[: len(source) - len(source.lstrip())]
    if indent + source.strip()[:1] != source[: model.column]:
        return Edit(parsed.path, (line, column), (line, column), f", {text}")
    if after.startswith(b","):
        return Edit(parsed.path, (line + 1, 0), (line + 1, 0), f"{indent}{text},\n")
    return Edit(parsed.path, (line, column), (line, column), f",\n{indent}{text}")


def _like(rest: str, old: str, new: str) -> str:
    """The neighbour's value with another member: ``MessageType.START_AGENT.value`` keeps its ends."""
    left, found, right = rest.strip().partition(old)
    tail = next((t for t in (".value", ".name") if right.startswith(t)), "")
    return f"{left}{new}{tail}" if found and left.endswith(".") else ""
