"""``spillway.yaml`` to what the static checks are asked, and their answer as plain values.

``checks`` reads no YAML and knows no cloud; here the two meet. The service that socket-config judges is what the Pulumi
program declares for this configuration: HTTP/2 end-to-end and session affinity are never on, ingress is open.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from checks import settings as asked
from checks.errors import CheckError
from checks.finding import Report
from checks.output.document import as_dict, from_json
from pipeline import private
from pipeline.app.check_subject import Subject
from pipeline.app.request import Request
from pipeline.config import raw, schema, template_section, yamltree
from pipeline.errors import ConfigError, UserError
from pipeline.redact import SINK
from pipeline.report import journal
from pipeline.units import parse_duration, shown

_ROUNDED = timedelta(milliseconds=1)  # the record keeps whole ones
_ANSWER_HOLDS = timedelta(minutes=10)  # giving up another rollout first takes a minute or two
_PRODUCTION = ("prod", "prd", "live")


def subject(path: Path | None, file: Path, *, is_named: bool) -> Subject:
    """Find the configuration for a folder, and the folder for a configuration.

    Args:
        path: the folder that somebody named, if they did; its own ``spillway.yaml`` is the one that counts.
        file: the configuration, whether it is there or not; if not, the nearest above the folder counts, up to the
            repository's top.
        is_named: somebody asked for this very file, so it must be there, and it speaks for whatever ``path`` is.
    Raises: ConfigError, UserError.
    """
    if path is not None and not os.path.isdir(path):
        raise UserError(
            f"{path}: not a folder", "The checks look at a folder of Python files.", "Name one that exists."
        )
    if path is not None and not is_named and os.path.lexists(path / schema.DEFAULT_FILE):
        file = path / schema.DEFAULT_FILE
    if not is_named and not os.path.lexists(file):
        path = path or file.parent
        above = _above(path)
        if above is None:
            return Subject(path, unconfigured())
        file = above
    document = raw.read(file)
    if document.value is None:  # a file in which nothing stands yet
        document = replace(document, value={})
    checked = schema.validate_checked(document)
    made = _configured(checked, document, file)
    if not (checked.environments or checked.scenarios):
        made = _looking(made)
    root = made.root.resolve()
    if path is None or path.resolve() == root:
        return made
    there = path.resolve()
    if there.is_relative_to(root):
        return replace(made, part=there.relative_to(root).as_posix())
    if is_named:
        return replace(made, root=path)
    is_around = root.is_relative_to(there) and there.is_relative_to(file.parent.resolve())
    return made if is_around else Subject(path, unconfigured())


def _above(folder: Path) -> Path | None:
    """The nearest ``spillway.yaml`` above a folder, no higher than where its repository begins."""
    here = folder.absolute()
    for each in (here, *here.parents):
        if os.path.lexists(each / schema.DEFAULT_FILE):
            return each / schema.DEFAULT_FILE
        if os.path.lexists(each / ".git"):
            return None
    return None


def _looking(made: Subject) -> Subject:
    """With what needs no configuration, where the ``checks`` of a file for them alone name nothing to look for."""
    kept = {name: getattr(made.settings, name) for name in ("exclude", "baseline", "socket_config")}
    if made.settings != replace(asked.Settings(), **kept):
        return made
    return replace(made, settings=replace(unconfigured(), **kept), is_configured=False)


def unconfigured() -> asked.Settings:
    """What needs no configuration: unsafe log lines, and helpers that exist several times."""
    return asked.Settings(json_safe_logs=asked.JsonSafeLogs(), discover=True)


def of_rollout(request: Request) -> Subject | None:
    """What is checked before a rollout; None where the configuration has no ``checks``. Raises ConfigError."""
    session = request.session
    made = _configured(request.config, session.document, session.config_file, request.name)
    return made if made.is_configured else None


def _configured(
    checked: schema.Checked, document: yamltree.Document, file: Path, environment: str | None = None
) -> Subject:
    root = file.parent / checked.source
    if not os.path.isdir(root):
        raise ConfigError(f"{document.where(('source',))}: source: {shown(checked.source)} is not a folder")
    settings = settings_for(checked, file, document, environment)
    return Subject(root, settings, "", checked.checks is not None, file)


def settings_for(
    checked: schema.Checked, file: Path, document: yamltree.Document, environment: str | None = None
) -> asked.Settings:
    """The settings of a configuration.

    Args:
        environment: the one that a rollout is for; without it, the strictest of all is assumed.
    """
    if checked.checks is None:
        return replace(unconfigured(), socket_config=_declared(checked, file, document, environment))
    section = _located(checked.checks, file.parent / checked.source, file.parent)
    service = _declared(replace(checked, checks=section), file, document, environment)
    logs, additive = section.json_safe_logs, section.additive
    # the single source of a safe text is itself a safe helper
    helpers = tuple(each.symbol for each in section.single_source)
    return replace(
        section,
        json_safe_logs=logs and replace(logs, safe=logs.safe + helpers),
        additive=additive and asked.Additive(_base(additive.base, file.parent)),
        socket_config=service,
        messages=tuple(messages(checked)) if section.event_map else (),
        baseline=str(file.parent / section.baseline) if section.baseline else "",
    )


def _located(section: asked.Settings, root: Path, beside: Path) -> asked.Settings:
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


def _base(base: str, beside: Path) -> str:
    """A folder is relative to the file that names it; a git ref stays as it is."""
    return str(beside / base) if os.path.isdir(beside / base) else base


def messages(checked: schema.Checked) -> list[str]:
    """Every message type that a scenario sends or expects, once, in order."""
    found: list[str] = []
    for scenario in checked.build_scenarios():
        sent = [message.get("type") for message in scenario.sent if isinstance(message, dict)]
        expected = [event.match.get("type") for event in scenario.expected]
        found += [each for each in (*sent, *expected) if isinstance(each, str)]
    return list(dict.fromkeys(found))


def _declared(
    checked: schema.Checked, file: Path, document: yamltree.Document, environment: str | None
) -> asked.DeclaredService | None:
    """None where nothing is declared: a file for the checks alone."""
    if not isinstance(checked, schema.Config):
        return None
    container, section = checked.container, checked.checks and checked.checks.socket_config
    template = template_section.as_document(template_section.TEMPLATE, container.template)
    least = (template.get("scaling") or {}).get("minInstanceCount") or container.min_instances or 0
    names = [environment] if environment else list(checked.environments)
    keys = {
        "timeout_s": ("container", "timeout"),
        "candidate_min_instances": ("container", "min-instances"),
        "deletion_protection": ("container", "deletion-protection"),
    }
    return replace(
        section or asked.DeclaredService(),
        timeout_s=(container.timeout or parse_duration(template.get("timeout") or "1h")).total_seconds(),
        scenario_s=max(scenario.longest_s for scenario in checked.build_scenarios()),
        candidate_min_instances=least,
        deletion_protection=container.deletion_protection,
        is_production=any(
            name.startswith(_PRODUCTION) and not checked.ref(checked.environments[name]).is_local
            for name in names
        ),
        declared_in={name: (_shown(file, checked), document.line(key)) for name, key in keys.items()},
    )


def _shown(file: Path, checked: schema.Checked) -> str:
    """The configuration as findings name files: relative to the root."""
    root = (file.parent / checked.source).resolve()
    return Path(os.path.relpath(file.resolve(), root)).as_posix()


@contextmanager
def told_as_usage() -> Iterator[None]:
    """A question that the checks cannot answer is a user's mistake, told in three lines."""
    try:
        yield
    except CheckError as error:
        raise UserError(error.what, error.why, error.fix) from error


def kept_in(folder: Path, rollout_id: str) -> Path:
    """Where the last answer for a rollout is kept: it is given before an attempt begins, and so before it has a name."""
    return folder / f"{journal.file_name(rollout_id)}-0.checks.json"


def store(file: Path, report: Report) -> None:
    """Keep the answer for the report, without secrets. Raises OSError."""
    private.make_folder(file.parent)
    private.write(file, json.dumps(SINK.values(as_dict(report)), indent=1) + "\n")


def of_attempt(folder: Path, attempt: journal.Attempt) -> Report | None:
    """The answer that let this attempt begin, under its own name from then on; None when there is none.

    The last answer may be of a later attempt, or of an earlier one that this one did not ask again: it is this one's when
    it was given right before the start.
    """
    own, file = attempt.path(folder, ".checks.json"), kept_in(folder, attempt.rollout_id)
    found = stored(own)
    if found is None and _was_right_before(file, attempt.started):
        found = stored(file)
        if found is not None:
            with suppress(OSError):
                store(own, found)
    return found


def _was_right_before(file: Path, started: datetime) -> bool:
    try:
        given = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return False
    return timedelta(0) <= started + _ROUNDED - given <= _ANSWER_HOLDS


def stored(file: Path) -> Report | None:
    """What ``store`` kept; None when it is not there or not ours."""
    try:
        return from_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
