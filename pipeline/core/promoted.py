"""What an environment's record keeps of the images that were promoted there, and which of them the next may have.  PURE.

Theory of operation. Production *comes after* staging: it gets what has soaked there. The record of each service keeps the
last ten times that an image had all traffic: from its promotion until another one was given a share, or it was sent back.
An image that gets everything back because the one after it failed begins a soak of its own, and one that fails later is
shipped no more.

Anybody who may write the service may write its record. So nothing of it is believed that the revision itself contradicts:
the digest, the uid, that it was there when it is said to have been promoted (no soak is older than its revision), and for
one that is said to soak now, that it has all traffic. Digests are compared, not names in a registry: the next environment
may pull from another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.soak import whole
from pipeline.model import Revision, worded
from pipeline.units import format_duration, when

KEPT = 10
_CLOCKS_AGREE = timedelta(minutes=1)


class Promoted(Struct, frozen=True):
    """One time that an image had all traffic.

    Args:
        digest: of the image, ``sha256:...``.
        config: hash of the configuration but for its environments.
        at: when it was promoted, or got all traffic back; its soak begins here.
        left: when it ended; None while it lasts.
        failed: when this revision was sent back afterwards, by a gate or by hand.
        commit: of the source of its image; empty: nobody said.
    """

    digest: str
    config: str
    revision: str
    uid: str
    at: datetime
    left: datetime | None = None
    failed: datetime | None = None
    commit: str = ""

    def soaked(self, now: datetime) -> str:
        """For how long, in words: to the second, and no time at all where the clock that wrote it is ahead."""
        return format_duration(whole(max((self.left or now) - self.at, timedelta(0))))


class Admission(Struct, frozen=True):
    """Why an image was let into an environment that comes after another, in words.

    Args:
        by: who overrode the soak; empty where it was complete.
    """

    words: str
    by: str = ""

    @property
    def told(self) -> str:
        """With who overrode it."""
        return f"{self.words} ({self.by})" if self.by else self.words


def digest_of(image: str) -> str:
    """``sha256:...`` of ``NAME@sha256:...``; empty where there is none."""
    return image.partition("@")[2]


# -- keeping the list -------------------------------------------------------------------------------------------------


def soaking(known: Sequence[Promoted]) -> Promoted | None:
    """The one that has all traffic now, as far as the record knows."""
    return known[-1] if known and known[-1].left is None else None


def soaking_alone(known: Sequence[Promoted], serving: Mapping[str, int]) -> Promoted | None:
    """The same, where the traffic that is asked for says so too."""
    open_one = soaking(known)
    return open_one if open_one is not None and serving == {open_one.revision: 100} else None


def joined(known: Sequence[Promoted], new: Promoted) -> tuple[Promoted, ...]:
    """One more; the same revision, still soaking, goes on with its soak."""
    open_one = soaking(known)
    if open_one is not None and (open_one.revision, open_one.uid) == (new.revision, new.uid):
        return tuple(known)
    return (*left(known, new.at), new)[-KEPT:]


def left(known: Sequence[Promoted], at: datetime) -> tuple[Promoted, ...]:
    """None has all traffic any more."""
    open_one = soaking(known)
    return (*known[:-1], replace(open_one, left=max(at, open_one.at))) if open_one else tuple(known)


def unless_alone(known: Sequence[Promoted], revision: str, at: datetime) -> tuple[Promoted, ...]:
    """The soak goes on for the revision that has everything, and ends for another.

    Args:
        revision: empty where traffic is shared.
    """
    open_one = soaking(known)
    return tuple(known) if open_one is not None and open_one.revision == revision else left(known, at)


def taken_over(known: Sequence[Promoted], stable: str, uid: str) -> tuple[Promoted, ...]:
    """As a new rollout finds them. Where another revision has the traffic than we gave it to, nobody knows since when."""
    open_one = soaking(known)
    is_it = open_one is not None and (open_one.revision, open_one.uid) == (stable, uid)
    return tuple(known) if open_one is None or is_it else left(known, open_one.at)


def failed(known: Sequence[Promoted], revision: str, at: datetime) -> tuple[Promoted, ...]:
    """This revision was sent back."""
    return tuple(replace(p, failed=p.failed or at) if p.revision == revision else p for p in known)


def given_back(known: Sequence[Promoted], revision: str, uid: str, at: datetime) -> tuple[Promoted, ...]:
    """This revision has everything again: a soak of its own begins. One that never was promoted here has none.

    Args:
        uid: empty where it is not known.
    """
    last = next((p for p in reversed(known) if p.revision == revision and uid in ("", p.uid)), None)
    return joined(known, replace(last, at=at, left=None, failed=None)) if last else tuple(known)


def commit_of(known: Sequence[Promoted], revision: str, uid: str) -> str:
    """Of the source that this revision was built from; empty where nobody said."""
    return next((p.commit for p in reversed(known) if (p.revision, p.uid) == (revision, uid)), "")


# -- choosing from it -------------------------------------------------------------------------------------------------


class Ship(Struct, frozen=True):
    """Its soak is complete."""

    which: Promoted


class NotBefore(Struct, frozen=True):
    """Nothing may be shipped yet.

    Args:
        at: when something may, at the earliest.
        which: what soaks; None while what would soak is still being rolled out.
    """

    at: datetime
    which: Promoted | None = None


class Refused(Struct, frozen=True):
    """Nothing may be shipped, and waiting alone does not change that."""

    why: str


Choice = Ship | NotBefore | Refused


class Found(Struct, frozen=True):
    """The environment that an image comes from, as it is.

    Args:
        revisions: by name.
        serving: revision to percent, as asked for, LATEST as what it means now.
        config: hash of our own configuration but for its environments.
    """

    revisions: Mapping[str, Revision]
    serving: Mapping[str, int]
    config: str
    now: datetime


def choose(known: Sequence[Promoted], soak: timedelta, found: Found) -> Choice:
    """The newest of these whose soak is complete, or when there will be one, or why there will be none."""
    upcoming: NotBefore | None = None
    doubts: list[str] = []
    for each in reversed(known):
        doubt = next(_doubts(each, found), "")
        lasted = (each.left or found.now) - each.at
        if not doubt and lasted >= soak:
            return Ship(each)
        if not doubt and each.left is None:
            upcoming = NotBefore(each.at + soak, each)
        doubts.append(doubt or f"{each.revision} soaked {each.soaked(found.now)} of {format_duration(soak)}")
    return upcoming or Refused(doubts[0] if doubts else "it was never promoted there")


def _doubts(each: Promoted, found: Found) -> Iterator[str]:
    """What speaks against believing the record of this one, or against shipping it."""
    name, revision = each.revision, found.revisions.get(each.revision)
    if each.failed is not None:
        yield f"{name} was sent back after its promotion, at {when(each.failed)}"
    if revision is None:
        yield f"{name} is gone, so nothing shows what its record says"
        return
    if revision.uid != each.uid:
        yield f"{name} has uid {revision.uid}, its record says {each.uid}: it was made again"
    if digest_of(revision.image) != each.digest:
        yield f"{name} runs {digest_of(revision.image) or revision.image}, its record says {each.digest}"
    if revision.create_time > each.at + _CLOCKS_AGREE:
        yield f"{name} was made at {when(revision.create_time)}, its record says promoted at {when(each.at)}"
    if max(each.at, each.left or each.at) > found.now + _CLOCKS_AGREE:
        yield f"the record of {name} speaks of {when(max(each.at, each.left or each.at))}, which is to come"
    if each.config != found.config:
        yield f"{name} soaked with another spillway.yaml: {each.config[:12]}, yours is {found.config[:12]}"
    if each.left is None and found.serving != {name: 100}:
        yield f"{name} has all traffic by its record, and traffic is {worded(found.serving)}"
    if each.left is None and not revision.is_ready:
        yield f"{name} is {revision.readiness}"


def newer(known: Sequence[Promoted], has: Sequence[str], since: datetime | None) -> tuple[Promoted, ...]:
    """What was promoted here after what the next environment has: going on never takes it back.

    Args:
        has: digests that the next environment has, or tried last.
        since: where none of these was promoted here, what was promoted after this moment; None: everything.
    """
    last = max((i for i, each in enumerate(known) if each.digest in has), default=None)
    if last is not None:
        return tuple(known[last + 1 :])
    return tuple(each for each in known if since is None or each.at > since)
