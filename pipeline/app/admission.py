"""Whether an image may be rolled out in an environment yet: ``after:`` and ``soak-lock:`` of ``spillway.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct

from pipeline.app.request import Request
from pipeline.app.session import who
from pipeline.app.wiring import SystemClock, open_place
from pipeline.config.environments_section import followers
from pipeline.core import record
from pipeline.core.promoted import Admission, digest_of
from pipeline.driving.predecessor import Predecessor, must_not_be_locked
from pipeline.errors import ServiceNotFound, UserError

_LONGEST_REASON = 400  # it stands in the record


class Door(Struct, frozen=True):
    """Asked by a rollout that has not begun.

    Args:
        reason: why no soak is waited for; empty where one is.
    """

    request: Request
    reason: str = ""

    def __call__(self) -> Admission | None:
        """Why the image is let in; None where nothing stands before the environment.

        Raises: NotYet, PlanRefused, UserError, and what reading the other environment raises.
        """
        request, after = self.request, self.request.environment.after
        held = followers(request.config.environments, request.name) if request.environment.soak_lock else {}
        if self.reason:
            if after is None and not held:
                raise UserError(
                    f"--override-soak: no soak stands before {request.name}",
                    "It has neither after: nor soak-lock: in spillway.yaml.",
                    "Leave --override-soak and --reason out.",
                )
            return Admission(f"without a soak: {self.reason[:_LONGEST_REASON]}", who())
        if held:
            with open_place(request.session, request.ref) as place, suppress(ServiceNotFound):
                live = place.platform.read(request.ref)
                must_not_be_locked(live, SystemClock().now(), request.name, held)
        if after is None:
            return None
        with opened(request) as before:
            return before.admission(request.image)


@contextmanager
def opened(request: Request) -> Iterator[Predecessor]:
    """The environment that comes before the request's. Its ``after`` is set."""
    after, config = request.environment.after, request.config
    assert after is not None
    ref = config.ref(config.environments[after.environment])
    with open_place(request.session, ref) as place:
        yield Predecessor(
            place.platform, SystemClock(), ref, after.environment, request.name, after.soak,
            config.shared_fingerprint(), request.environment.image,
        )  # fmt: skip


def next_image(request: Request, source: str) -> str:
    """The image that ``--from`` means, by digest. Raises NotYet, PlanRefused, UserError, and what reading raises."""
    after = request.environment.after
    if after is None or after.environment != source:
        comes = f"comes after {after.environment}" if after else "comes after no other"
        raise UserError(
            f"--from {source}: {request.name} {comes}",
            "Which environment an image comes from, and how long it soaks there, is said in spillway.yaml.",
            f"Write environments: {request.name}: after: {{environment: {source}, soak: 24h}}, or give --image DIGEST.",
        )
    with open_place(request.session, request.ref) as place, opened(request) as before:
        try:
            live = place.platform.read(request.ref)
        except ServiceNotFound:
            return before.next_image(None, ())
        return before.next_image(live, place.platform.revisions(request.ref))


def commit_of(request: Request, image: str) -> str:
    """Of the source of an image that soaked in the environment before, as its record has it; empty: it does not."""
    with opened(request) as before:
        current = record.of(before.platform.read(before.ref))
        known = current.promoted if current else ()
        return next((each.commit for each in reversed(known) if each.digest == digest_of(image)), "")
