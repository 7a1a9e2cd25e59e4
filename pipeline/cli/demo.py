"""demo: the whole story on a local Cloud Run of its own, in under 90 seconds."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from pipeline.app.programs import EngineChoice
from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import Engine, refuse_idle
from pipeline.errors import SpillwayError, UserError

if TYPE_CHECKING:
    from pipeline.app.demo_story import Chapter
    from pipeline.config.schema import Config

_IMAGE = "good"


@command
def demo(
    session: Session,
    *,
    rate: Annotated[
        float, typer.Option("--rate", min=20, max=200, help="User conversations a second.")
    ] = 100.0,
    only: Annotated[str, typer.Option("--only", help="One chapter alone: a, b or c.")] = "",
    engine: Engine = EngineChoice.AUTO,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the local Cloud Run running, to look around.")
    ] = False,
) -> int:
    """Watch the whole story on this machine: no account, nothing left running, under 90 seconds.

    A stable revision and a crowd of users; then a revision that the probes stop at 0 %, one that only users can tell
    and that is sent back by itself, a good one that is promoted, a roll-back and a promote by hand.

    Example:  spillway demo
    """
    from pipeline.local import daemon

    if only not in ("", "a", "b", "c"):
        raise UserError(
            f"no chapter {only!r} that stands alone", "Alone there are: a, b and c.", "spillway demo --only b"
        )
    session.need_folder()
    refuse_idle(session, "in the demo, which has its own", "spillway demo", "config")
    session.engine = engine
    ours = _session(session)
    shutil.rmtree(ours.local_folder, ignore_errors=True)
    began = time.monotonic()
    try:
        chapters = _tell(ours, rate, only)
    finally:
        if not keep:
            daemon.down(ours.local_folder)
    seconds = round(time.monotonic() - began, 1)
    reports = chapters[0 if only else 1].reports
    document = {
        "outcome": "done",
        "exit_code": 0,
        "seconds": seconds,
        "chapters": [chapter.to_json() for chapter in chapters],
        "reports": [str(path) for path in reports],
    }
    session.output.result("\n".join(map(str, reports)), document)
    session.output.say(
        f"{seconds:g}s in all. The report of {'its rollout' if only else 'the revision that was sent back'} is named above."
    )
    return 0


def _session(session: Session) -> Session:
    """A session of the demo's own: its configuration, and a folder where it harms nobody's state."""
    folder = session.state_folder / "demo"
    return replace(
        session,
        config_file=Path(__file__).parents[1] / "demo" / "spillway.yaml",
        state_folder=folder,
        local=folder / "local",
    )


def _tell(session: Session, rate: float, only: str) -> list[Chapter]:
    from pipeline.app.demo_story import Story
    from pipeline.app.images import images_of
    from pipeline.demo.users import Users
    from pipeline.local import daemon

    config, say = session.config, session.output.say
    say("starting a local Cloud Run, and a stable revision on it")
    images = images_of(config, session.config_file.parent)
    daemon.up(session.local_folder, images, trust_forwarded=True, strict_masks=True)
    uri = _deploy_stable(session, config)
    say(f"{uri}: {rate:g} user conversations a second from now on")
    with Users(uri, rate) as users:
        return Story(session, config, users).tell(only)


def _deploy_stable(session: Session, config: Config) -> str:
    from pipeline.app.drive import open_drive
    from pipeline.app.images import pinned
    from pipeline.app.request import Request

    with pinned(Request.of(session, None, config), _IMAGE) as request, open_drive(request) as drive:
        ended = drive.begin()
        if ended is None or ended.outcome.exit_code:
            raise SpillwayError(
                "the stable revision did not come up",
                ended.words if ended else "another rollout is under way",
            )
        return drive.world.platform.read(drive.place.ref).uri
