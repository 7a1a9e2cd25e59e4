"""What ``init`` does: looks, asks what it cannot see, makes the files, and writes them where nothing is lost by it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from pipeline.app import static_checks
from pipeline.app.check_subject import Subject
from pipeline.app.session import Session
from pipeline.config import json_schema, schema, yamltree
from pipeline.errors import UserError
from pipeline.model import LiveService, ServiceRef
from pipeline.scaffold import action, configuration, watchdog, workflow
from pipeline.scaffold.configuration import Answers
from pipeline.scaffold.repository import Repository, see
from pipeline.units import format_duration

_GITHUB = "GitHub Actions"


class Ask(Protocol):
    """Asks a person; the default where nobody is asked."""

    def __call__(self, question: str, default: str) -> str: ...


class Made(Struct, frozen=True):
    """What is to be written: path from the root to text.

    Args:
        left: files that would be there too, and why they are not.
    """

    repo: Repository
    files: Mapping[str, str]
    left: Mapping[str, str]


def look(root: Path) -> Repository:
    """Raises UserError."""
    with static_checks.told_as_usage():
        return see(root)


def answers(repo: Repository, ask: Ask) -> Answers:
    """What could not be seen, asked."""
    path = send = ""
    expect: Sequence[str] = ()
    if not repo.path:
        path = ask("Path of the WebSocket, such as /ws (empty: none)", "")
    if (repo.path or path) and repo.starts is None:
        send = ask("Type of the message that begins a run (empty: leave it out)", "")
        words = ask("Types of the events that the service sends for it, in order", "") if send else ""
        expect = [word for word in words.replace(",", " ").split() if word]
    project = repo.project or ask("Google Cloud project (empty: local only for now)", "")
    region = repo.region or (ask("Cloud Run region", "us-central1") if project else "")
    return Answers(path=path, send=send, expect=expect, project=project, region=region)


def of_live(said: Answers, ref: ServiceRef, live: LiveService) -> Answers:
    """With the live service: its place, and what of it matters to a rollout."""
    notes = [f"{ref.service} as it is: request timeout {format_duration(live.request_timeout)}"]
    if live.session_affinity:
        notes.append("Session affinity is on: it beats the traffic split, and a rollout warns of it.")
    if not live.ingress_all:
        notes.append(
            "Its ingress is not open to all: tag addresses answer 404, so probes need probes.address or probes.from: job"
            " (docs/reaching.md)."
        )
    if live.http2:
        notes.append("HTTP/2 end-to-end is on: WebSockets need HTTP/1.")
    if live.failure:
        notes.append(f"It failed last: {live.failure.splitlines()[0][:120]}")
    return replace(said, live=ref, notes=notes)


def make(session: Session, root: Path, repo: Repository, said: Answers, *, ci: bool) -> Made:
    """Every file, checked: what is written loads, and fails no check that it switches on."""
    said = replace(said, checks=_checks(session, root, repo, said))
    files = {
        schema.DEFAULT_FILE: configuration.text(repo, said),
        configuration.SCHEMA_FILE: json.dumps(json_schema.schema(), indent=1) + "\n",
        watchdog.FILE: watchdog.TEXT,
    }
    schema.parse(files[schema.DEFAULT_FILE], schema.DEFAULT_FILE)
    left: dict[str, str] = {}
    if ci and repo.prefix:
        left[workflow.FILE] = (
            "GitHub reads workflows at the top of a repository alone: copy one of docs/workflows there, "
            f"with working-directory: {repo.prefix}"
        )
    elif ci and repo.ci in ("", _GITHUB):
        files |= {workflow.FILE: workflow.text(configuration.name_of(repo, said)), **action.files()}
    elif ci:
        left[workflow.FILE] = f"{repo.ci} is what this repository uses"
    return Made(repo, files, left)


def _checks(session: Session, root: Path, repo: Repository, said: Answers) -> list[str]:
    """The rules that fit; one that fails today is written as a comment, with what it found."""
    rows: list[str] = []
    for rule in configuration.rules(repo):
        name = rule.strip().partition(":")[0]
        text = configuration.text(repo, replace(said, checks=[rule]))
        document = yamltree.parse(text, str(root / schema.DEFAULT_FILE))
        settings = static_checks.settings_for(
            schema.validate_checked(document), root / schema.DEFAULT_FILE, document
        )
        with static_checks.told_as_usage():
            errors = Subject(root, settings, is_configured=True).run([name]).errors
        if errors:
            session.output.say(
                f"{name} finds {len(errors)} today, so it is written as a comment: {errors[0].place}"
            )
            rows.append(
                f"  #{rule[1:]}    # {len(errors)} findings when this was written: spillway check --rule {name}"
            )
        else:
            rows.append(rule)
    return rows


def write(root: Path, made: Made, *, force: bool) -> None:
    """All of them, or none: what was written before one that cannot be is taken away again.

    A link in the place of a file is replaced, never followed: what it leads to may be no file of this repository.

    Raises: UserError before anything is written where a file is there already, or would come to stand elsewhere.
    """
    there = [path for path in made.files if os.path.lexists(root / path)]
    if there and not force:
        raise UserError(
            f"{', '.join(there)}: there already",
            "Nothing was written.",
            "See what would be: spillway init --dry-run; replace them: spillway init --force",
        )
    _must_stay_inside(root, made.files)
    new: list[Path] = []
    for path, text in made.files.items():
        file = root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            new += [] if os.path.lexists(file) else [file]
            if file.is_symlink():
                file.unlink()
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            for each in new:
                with suppress(OSError):
                    each.unlink()
            raise UserError(
                f"{path}: cannot be written", f"{error.strerror}. Nothing new was left.", "Make it writable."
            ) from error


def _must_stay_inside(root: Path, files: Iterable[str]) -> None:
    """Raises UserError where a folder on the way is a link that leads out of the repository."""
    top = root.resolve()
    for path in files:
        folder = (root / path).parent
        if not folder.resolve().is_relative_to(top):
            raise UserError(
                f"{path}: {folder.relative_to(root)} leads out of this folder, to {folder.resolve()}",
                "What init writes is this repository's alone. Nothing was written.",
                "Make it a folder of its own, or leave the workflow out: spillway init --no-ci",
            )
