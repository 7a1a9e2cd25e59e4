"""Ways to the two revisions that are not their tags' own addresses, and who was met there.  PURE.

A tag's address leads to its revision by Cloud Run's word. A load balancer's address leads to where somebody configured
it, so each answer must prove who gave it, by the mark that the telemetry of that revision gives to a probe
(``telemetry/proof.py``). A conversation with an answer that does not is held against nobody: the round says nothing.

Stable only sets the measure: where its answers carry no mark they count, since it may be older than this. Were they
somebody else's, a candidate would at worst be held to another measure, and never pass unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

REVISION_HEADER = "X-Spillway-Revision"

Saw = Callable[[Mapping[str, str]], None]  # told the headers of each answer


def unseen(headers: Mapping[str, str]) -> None:
    """For who need not know."""


class Route(Struct, frozen=True):
    """A way to one revision.

    Args:
        name: whose it is, "candidate" or "stable".
        url: http(s)://host[:port][/path].
        headers: that lead there.
        mark: of the revision that must answer.
        other, other_mark: whose it must not be.
        revision: its name; empty where nobody need know.
    """

    name: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    mark: str = ""
    other: str = ""
    other_mark: str = ""
    revision: str = ""

    @property
    def is_strict(self) -> bool:
        return self.name == "candidate" or not self.other_mark

    def doubt(self, given: str | None) -> str:
        """Why an answer is not this revision's; empty when it counts. Args: given: the mark that it carries."""
        if given == self.mark and self.mark:
            return ""
        if given and given == self.other_mark:
            return f"the address of the {self.name} ({self.url}) leads to {self.other}"
        if given is None and not self.is_strict:
            return ""
        return (
            f"the address of the {self.name} ({self.url}) may lead to another revision: the answer carries no "
            f"{REVISION_HEADER} of the {self.name}'s, which its telemetry middleware gives to a probe"
        )


class Witness:
    """Sees every answer of one conversation.

    Args:
        route: None for a tag's own address, where nothing need be proven.
        seen: what answers carried already, where somebody else saw them.
    """

    def __init__(self, route: Route | None, seen: Iterable[str | None] = ()) -> None:
        self._route = route
        self._seen = list(seen)

    def saw(self, headers: Mapping[str, str]) -> None:
        try:
            self._seen.append(headers.get(REVISION_HEADER))
        except LookupError:  # it came twice
            self._seen.append("")

    @property
    def seen(self) -> tuple[str | None, ...]:
        """The mark that each answer carried; None for none, empty where it came twice."""
        return tuple(self._seen)

    @property
    def doubt(self) -> str:
        """Why the conversation says nothing of the revision; empty when it does."""
        if self._route is None:
            return ""
        if not self._seen and self._route.is_strict:
            return f"nobody answered at the address of the {self._route.name} ({self._route.url})"
        return next(filter(None, map(self._route.doubt, self._seen)), "")


class Ways(Struct, frozen=True):
    """Where probes and a team's own commands go instead of the tags' addresses.

    Args:
        header: by which a load balancer that has one address for both tells them apart; empty where each has its own.
        stable_value, candidate_value: of that header.
        audience: of ID tokens, instead of the service's own address.
    """

    stable: str
    candidate: str
    header: str = ""
    stable_value: str = ""
    candidate_value: str = ""
    audience: str = ""

    def header_line(self, value: str) -> str:
        """``name: value``, as a team's own command gets it; empty where there is no such header."""
        return f"{self.header}: {value}" if self.header else ""

    def to_stable(self, mark: str, candidate_mark: str = "") -> Route:
        """Args: candidate_mark: empty where there is only one revision, which then must prove itself."""
        return Route(
            "stable", self.stable, self._led(self.stable_value), mark, "the candidate", candidate_mark
        )

    def to_candidate(self, mark: str, stable_mark: str, revision: str = "") -> Route:
        return Route(
            "candidate",
            self.candidate,
            self._led(self.candidate_value),
            mark,
            "stable",
            stable_mark,
            revision,
        )

    def _led(self, value: str) -> tuple[tuple[str, str], ...]:
        return ((self.header, value),) if self.header else ()
