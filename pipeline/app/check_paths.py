"""Files that the checks' settings name: from the source that is checked, or from where ``spillway.yaml`` stands."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from checks.settings import Settings


def located(section: Settings, root: Path, beside: Path) -> Settings:
    """The settings with each file as the checks name it, relative to ``root``; what is nowhere stays as it is written."""

    def place(path: str) -> str:
        other = Path(os.path.normpath(beside / path))
        is_other = not os.path.lexists(root / path) and os.path.lexists(other)
        top = Path(os.path.normpath(root))
        return other.relative_to(top).as_posix() if is_other and other.is_relative_to(top) else path

    def pattern(text: str) -> tuple[str, ...]:
        below = f"{Path(os.path.relpath(root, beside)).as_posix()}/"
        return (text, text.removeprefix(below)) if text.startswith(below) else (text,)

    service = section.socket_config
    return replace(
        section,
        single_source=tuple(
            replace(each, home=place(each.home), reexporters=tuple(map(place, each.reexporters)))
            for each in section.single_source
        ),
        event_map=tuple(replace(each, home=place(each.home)) for each in section.event_map),
        socket_config=service
        and replace(service, entry_point=service.entry_point and place(service.entry_point)),
        exclude=tuple(form for each in section.exclude for form in pattern(each)),
    )
