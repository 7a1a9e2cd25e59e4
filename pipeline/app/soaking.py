"""What ``status`` says of the image that soaks: since when, and when the environments that come after may have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from pipeline.app.session import Session
from pipeline.core.promoted import soaking_alone
from pipeline.core.rollout import Rollout
from pipeline.errors import UserError
from pipeline.model import LiveService, ServiceRef
from pipeline.units import when

#: The environments that come after, and how long an image soaks for each; asked only where one soaks.
Followers = Callable[[], Mapping[str, timedelta]]


def followers_of(session: Session, ref: ServiceRef) -> Mapping[str, timedelta]:
    """The environments that come after this service, and how long it soaks for each; none without a configuration."""
    from pipeline.config.environments_section import followers

    with suppress(UserError):
        places = session.load_places()
        own = [name for name, each in places.environments.items() if places.ref(each) == ref]
        return {name: soak for each in own for name, soak in followers(places.environments, each).items()}
    return {}


def document(live: LiveService, current: Rollout, after: Followers) -> dict[str, object] | None:
    """Of the image that has all traffic; None where none was promoted, or it lost some since."""
    which = soaking_alone(current.promoted, live.pinned.serving)
    if which is None:
        return None
    ready = {name: (which.at + soak).isoformat() for name, soak in after().items()}
    return {"revision": which.revision, "since": which.at.isoformat(), "ready": ready}


def lines(live: LiveService, current: Rollout, after: Followers, now: datetime) -> list[str]:
    """The same in words; none where no environment comes after."""
    which = soaking_alone(current.promoted, live.pinned.serving)
    if which is None or not (waiting := after()):
        return []
    ready = [f"         {_ready(name, which.at + soak, now)}" for name, soak in waiting.items()]
    return [f"soaking  {which.revision} since {when(which.at)} ({which.soaked(now)})", *ready]


def _ready(name: str, at: datetime, now: datetime) -> str:
    return f"ready for {name}" if at <= now else f"ready for {name} at {when(at)}"
