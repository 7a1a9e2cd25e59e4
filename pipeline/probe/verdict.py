"""From what was seen in a conversation to its outcome.  PURE.

Theory of operation. ``Progress`` follows the expected events, message by message. ``Ending`` says how the
connection ended, without judging it. ``judge_conversation`` puts the two together; the first line that fits holds:

    the ending is a fault by itself (refused, unreadable ...)           that fault
    events are missing, but the last group came and no bad close did    missing_events
    events are missing, the socket was closed                           closed_early
    events are missing, the socket was still open                       timed_out
    all events came, one too early or twice                             out_of_order
    all events came in order, the close was another                     wrong_close
    otherwise                                                           ok

A message counts for the first group that is not complete. Only if nothing there wants it may it be a repeat, and
only then is it out of order; so a sequence may name the same event several times. Of several expectations that
want a message, the one with most fields takes it. What comes after the last expected event is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.probe.scenario import (
    CloseClass,
    Conversation,
    Expectation,
    Kind,
    Message,
    Scenario,
    close_class,
    matches,
)

NO_CODE = 1005  # a close frame without a code
NO_FRAME = 1006  # the connection ended without a close frame


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the expected events have come.

    Args:
        wanted: each expectation with the number of its group, in order.
        seen: indices in ``wanted`` of what was met.
        events: their names, in the order in which they came.
        disorder: the first message that came when it should not have, in plain words.
    """

    wanted: tuple[tuple[int, Expectation], ...]
    seen: frozenset[int] = frozenset()
    events: tuple[str, ...] = ()
    disorder: str = ""

    @classmethod
    def at_start(cls, scenario: Scenario) -> Progress:
        return cls(tuple((number, each) for number, group in enumerate(scenario.groups) for each in group))

    def after(self, message: object) -> Progress:
        """The progress when ``message`` (parsed JSON) has come; the same object when nobody waited for it."""
        hits = [index for index, (_, each) in enumerate(self.wanted) if matches(each.match, message)]
        if not hits:
            return self
        fresh = [index for index in hits if index not in self.seen]
        due = [index for index in fresh if self.wanted[index][0] == self._group_under_way]
        if due:
            return self._met(max(due, key=lambda index: len(self.wanted[index][1].match)))
        if any(self.wanted[index][1].repeats for index in hits if index in self.seen):
            return self
        if not fresh:
            return replace(self, disorder=self.disorder or f"{self._name(hits[0])} came twice")
        return self._met_early(fresh[0])

    @property
    def is_complete(self) -> bool:
        return len(self.seen) == len(self.wanted)

    @property
    def has_last_group(self) -> bool:
        """Whether the conversation went on to its end, whatever is missing on the way."""
        last = self.wanted[-1][0] if self.wanted else None
        return bool(self.wanted) and all(self.wanted[index][0] != last for index in self._open)

    @property
    def awaited(self) -> tuple[str, ...]:
        """Names of the expected events that have not come."""
        return tuple(self._name(index) for index in self._open)

    @property
    def _open(self) -> tuple[int, ...]:
        return tuple(index for index in range(len(self.wanted)) if index not in self.seen)

    @property
    def _group_under_way(self) -> int | None:
        return next((group for index, (group, _) in enumerate(self.wanted) if index not in self.seen), None)

    def _name(self, index: int) -> str:
        return self.wanted[index][1].name

    def _met(self, index: int) -> Progress:
        return replace(self, seen=self.seen | {index}, events=(*self.events, self._name(index)))

    def _met_early(self, index: int) -> Progress:
        group = self.wanted[index][0]
        skipped = ", ".join(self._name(other) for other in self._open if self.wanted[other][0] < group)
        words = f"{self._name(index)} came before {skipped}"
        return replace(self._met(index), disorder=self.disorder or words)


@dataclass(frozen=True, slots=True)
class Closing:
    """The close that was seen.

    Args:
        code: from the server's close frame; NO_CODE if it had none, NO_FRAME if none came.
        by_server: the server closed (or dropped) first; otherwise it answered our close.
        cause: what the operating system said about a dropped connection, if anything.
    """

    code: int
    reason: str = ""
    by_server: bool = True
    cause: str = ""

    @property
    def words(self) -> str:
        if self.code == NO_FRAME:
            how = f": {self.cause}" if self.cause else ""
            return f"connection lost without a close frame (1006{how})"
        code = "without a code (1005)" if self.code == NO_CODE else f"with {self.code}"
        reason = f' "{self.reason}"' if self.reason else ""
        blame = (
            ": it missed our pong" if close_class(self.code, self.reason) is CloseClass.KEEPALIVE_1011 else ""
        )
        return f"server {'closed' if self.by_server else 'answered our close'} {code}{reason}{blame}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a conversation ended, as far as it can be told without looking at its events.

    Args:
        fault: an outcome that stands whatever events came; ``detail`` explains it.
        status: of a refused handshake or an HTTP step.
        close: None while the socket is still open, which is how waiting ends at a deadline.
    """

    fault: Kind | None = None
    detail: str = ""
    status: int | None = None
    close: Closing | None = None


def judge_conversation(
    scenario: Scenario,
    progress: Progress,
    ending: Ending,
    *,
    seconds: float,
    first_event_s: float | None = None,
    transcript: tuple[Message, ...] = (),
) -> Conversation:
    """The outcome of one conversation; the module docstring is its table."""
    kind, detail = _outcome(scenario, progress, ending)
    return Conversation(
        scenario=scenario.name,
        kind=kind,
        seconds=seconds,
        detail=detail,
        status=ending.status,
        close_code=ending.close.code if ending.close else None,
        close_reason=ending.close.reason if ending.close else "",
        first_event_s=first_event_s,
        events=progress.events,
        transcript=transcript,
    )


def _outcome(scenario: Scenario, progress: Progress, ending: Ending) -> tuple[Kind, str]:
    if ending.fault:
        return ending.fault, ending.detail
    if not progress.is_complete:
        kind, detail = _incomplete(scenario, progress, ending.close)
        return kind, "; ".join(filter(None, (detail, progress.disorder)))
    if progress.disorder:
        return Kind.OUT_OF_ORDER, progress.disorder
    wrong = _wrong_close(scenario, ending.close) if scenario.path else ""
    return (Kind.WRONG_CLOSE, wrong) if wrong else (Kind.OK, "")


def _incomplete(scenario: Scenario, progress: Progress, close: Closing | None) -> tuple[Kind, str]:
    awaited = ", ".join(progress.awaited)
    if progress.has_last_group and (close is None or _is_expected(scenario, close)):
        return Kind.MISSING_EVENTS, f"{progress.events[-1]} came, but never {awaited}"
    if close is None:
        return Kind.TIMED_OUT, f"nothing more within {scenario.within_s:g} s; still awaited: {awaited}"
    return Kind.CLOSED_EARLY, f"{close.words}; still awaited: {awaited}"


def _wrong_close(scenario: Scenario, close: Closing | None) -> str:
    if close is None:
        return f"server did not answer our close ({scenario.close})"
    return "" if _is_expected(scenario, close) else f"{close.words}, expected {scenario.close}"


def _is_expected(scenario: Scenario, close: Closing) -> bool:
    if close.code == NO_CODE:  # an answer need not repeat our code, and no code at all is the usual 1000
        return scenario.close == 1000 or not close.by_server
    return close.code == scenario.close
