"""From what was seen in a conversation to its outcome.  PURE.

Theory of operation. ``Progress`` follows the expected events, message by message. ``Ending`` says how the
connection ended, without judging it. ``judge_conversation`` puts the two together; the first line that fits holds:

    the ending is a fault by itself (refused, unreadable ...)           that fault
    nothing but JSON arrays came, which no scenario speaks of           not_spoken
    events are missing, but the last group came and no bad close did    missing_events
    events are missing, the socket was closed                           closed_early
    events are missing, the socket was still open                       timed_out
    all events came, one too early or twice                             out_of_order
    all events came in order, the close was another                     wrong_close
    otherwise                                                           ok

A message counts for the first group that is not complete. Only if nothing there wants it may it be a repeat, and
only then is it out of order; so a sequence may name the same event several times. Of several expectations that
want a message, the one with most fields takes it. What comes after the last expected event is not judged.

Where an event is missing, a message that nearly was it is told: its name is right, and a field is another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import Struct

from pipeline.framing.patterns import finds
from pipeline.probe.close_class import CloseClass, close_class
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from pipeline.probe.server_errors import error_words
from pipeline.probe.steps import Close

NO_CODE = 1005  # a close frame without a code
NO_FRAME = 1006  # the connection ended without a close frame
_ARRAY = "a JSON array"
_NAMES_TOLD = 5  # of events that came and were not awaited

Bind = Callable[[Expectation], Expectation | None]  # fills in what is known by now; None: not all of it is


def _as_it_is(event: Expectation) -> Expectation:
    return event


class Progress(NamedTuple):
    """How far the expected events of one step have come. One is made for each message, so it is a tuple: the cheapest.

    Args:
        wanted: each expectation with the number of its group, in order.
        counts: how often each came.
        events: names of those that came, in order.
        met: index of the expectation that the last message fulfilled, None if none.
        disorder: the first message that came when it should not have, in plain words.
        near: index to how the last message that nearly fulfilled it differed.
        others: names of the first messages that nobody waited for.
        open: indices of what is still awaited.
        last: the last group that has events which must come; None where none has.
    """

    wanted: tuple[tuple[int, Expectation], ...]
    counts: tuple[int, ...]
    events: tuple[str, ...] = ()
    met: int | None = None
    disorder: str = ""
    near: Mapping[int, str] = {}
    others: tuple[str, ...] = ()
    open: tuple[int, ...] = ()
    last: int | None = None

    @classmethod
    def at_start(cls, groups: tuple[tuple[Expectation, ...], ...]) -> Progress:
        wanted = tuple([(number, each) for number, group in enumerate(groups) for each in group])
        still = tuple([index for index, (_, each) in enumerate(wanted) if each.least])
        return cls(wanted, (0,) * len(wanted), open=still, last=wanted[still[-1]][0] if still else None)

    def after(self, message: object, bind: Bind = _as_it_is) -> Progress:
        """The progress when ``message`` (a JSON value) has come."""
        if (due := self._due(message, bind)) is not None:
            return self._met(due)
        bound = [bind(each) for _, each in self.wanted]
        hits = [index for index, each in enumerate(bound) if each and each.is_met_by(message)]
        if not hits:
            return self._passed_by(message, bound)
        fresh = [index for index in hits if self.counts[index] < self.wanted[index][1].least]
        more = [index for index in hits if index not in fresh and self._has_room(index)]
        if more:
            return self._met(more[0])
        if not fresh:
            return self._replace(met=None, disorder=self.disorder or self._too_often(hits[0]))
        return self._met_early(fresh[0])

    @property
    def is_complete(self) -> bool:
        return not self.open

    @property
    def has_last_group(self) -> bool:
        """Whether the conversation went on to its end, whatever is missing on the way."""
        return self.last is not None and not (self.open and self.wanted[self.open[-1]][0] == self.last)

    @property
    def awaited(self) -> tuple[str, ...]:
        """Names of the expected events that have not come, or not often enough."""
        return tuple(self._short_of(index) for index in self.open)

    @property
    def nearly(self) -> str:
        """How what came differs from what is awaited; else what came; empty where nothing did."""
        words = next((self.near[index] for index in self.open if index in self.near), "")
        return words or (f"what came: {', '.join(self.others)}" if self.others else "")

    def _due(self, message: object, bind: Bind) -> int | None:
        """Index of what the message is among the events whose turn it is: hardly ever is another asked."""
        now, found, most = self._group_under_way, None, -1
        for index in self.open:
            group, event = self.wanted[index]
            if group != now:
                break
            if len(event.match) > most and (each := bind(event)) and each.is_met_by(message):
                found, most = index, len(event.match)
        return found

    def _has_room(self, index: int) -> bool:
        """Whether it may come once more, which before its turn nothing may."""
        group, each = self.wanted[index]
        now = self._group_under_way
        is_its_turn = bool(self.counts[index]) or now is None or group <= now
        return is_its_turn and (each.most is None or self.counts[index] < each.most)

    @property
    def _group_under_way(self) -> int | None:
        return self.wanted[self.open[0]][0] if self.open else None

    def _name(self, index: int) -> str:
        return self.wanted[index][1].name

    def _short_of(self, index: int) -> str:
        came, least = self.counts[index], self.wanted[index][1].least
        match = self.wanted[index][1].match
        if least == 1 and any(
            count and each.match == match for count, (_, each) in zip(self.counts, self.wanted, strict=True)
        ):
            return f"{self._name(index)} once more"
        return self._name(index) if least == 1 else f"{self._name(index)} ({came} of at least {least} came)"

    def _too_often(self, index: int) -> str:
        most = self.wanted[index][1].most
        if not self.counts[index]:
            return f"{self._name(index)} came too early"
        return (
            f"{self._name(index)} came twice"
            if most == 1
            else f"{self._name(index)} came more than {most} times"
        )

    def _met(self, index: int) -> Progress:
        count, event = self.counts[index] + 1, self.wanted[index][1]
        counts = (*self.counts[:index], count, *self.counts[index + 1 :])
        events = (*self.events, event.name) if count == 1 else self.events
        still = self.open
        if count == event.least:
            place = still.index(index)
            still = still[:place] + still[place + 1 :]
        return Progress(
            self.wanted, counts, events, index, self.disorder, self.near, self.others, still, self.last
        )

    def _met_early(self, index: int) -> Progress:
        group = self.wanted[index][0]
        skipped = ", ".join(self._name(other) for other in self.open if self.wanted[other][0] < group)
        words = f"{self._name(index)} came before {skipped}"
        return self._met(index)._replace(disorder=self.disorder or words)

    def _passed_by(self, message: object, bound: list[Expectation | None]) -> Progress:
        said = ((index, bound[index]) for index in self.open)
        near = {index: words for index, each in said if each and (words := each.near_miss(message))}
        if near:
            return self._replace(met=None, near={**self.near, **near})
        name = "" if error_words(message) else name_of(message)
        if not name or name in self.others or len(self.others) == _NAMES_TOLD:
            return self if self.met is None else self._replace(met=None)
        return self._replace(met=None, others=(*self.others, name))


def name_of(message: object) -> str:
    """What a person calls a message that nobody waits for."""
    if isinstance(message, list):
        return _ARRAY
    if not isinstance(message, Mapping):
        return f"a message that is {_JSON.get(type(message), 'binary')}, no object"
    name = next(
        (str(message[key])[:60] for key in ("type", "event") if isinstance(message.get(key), str)), ""
    )
    keys = ", ".join(str(key)[:20] for key in itertools.islice(message, 3))
    return name or (f"a message with {keys}" if keys else "an empty object")


_JSON = {str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


class Closing(Struct, frozen=True):
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


class Ending(Struct, frozen=True):
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
    connect_s: float | None = None,
    first_event_s: float | None = None,
    where: str = "",
    marks: tuple[str | None, ...] = (),
) -> Conversation:
    """The outcome of one conversation; the module docstring is its table.

    Args:
        where: the step that it came to, where there are several.
        marks: of each answer, as ``route.Witness`` saw them.
    """
    kind, detail = _outcome(scenario, progress, ending)
    detail = f"{where}: {detail}" if where and detail else detail
    return Conversation(
        scenario=scenario.name,
        kind=kind,
        seconds=seconds,
        detail=detail,
        status=ending.status,
        close_code=ending.close.code if ending.close else None,
        close_reason=ending.close.reason if ending.close else "",
        connect_s=connect_s,
        first_event_s=first_event_s,
        events=progress.events,
        marks=marks,
    )


def _outcome(scenario: Scenario, progress: Progress, ending: Ending) -> tuple[Kind, str]:
    if ending.fault:
        return ending.fault, ending.detail
    if not progress.is_complete and not progress.events and progress.others == (_ARRAY,):
        return Kind.NOT_SPOKEN, "a JSON array came: set framing: json-array if it holds events"
    if not progress.is_complete:
        kind, detail = _incomplete(scenario, progress, ending.close)
        return kind, "; ".join(filter(None, (detail, progress.nearly, progress.disorder, ending.detail)))
    if progress.disorder:
        return Kind.OUT_OF_ORDER, progress.disorder
    wrong = wrong_close(scenario.close, ending.close) if scenario.path else ""
    return (Kind.WRONG_CLOSE, wrong) if wrong else (Kind.OK, "")


def _incomplete(scenario: Scenario, progress: Progress, close: Closing | None) -> tuple[Kind, str]:
    awaited = ", ".join(progress.awaited)
    if progress.has_last_group and (close is None or _is_expected(scenario.close, close)):
        return Kind.MISSING_EVENTS, f"{progress.events[-1]} came, but never {awaited}"
    if close is None:
        return Kind.TIMED_OUT, f"nothing more within {scenario.within_s:g} s; still awaited: {awaited}"
    return Kind.CLOSED_EARLY, f"{close.words}; still awaited: {awaited}"


def wrong_close(wanted: Close, close: Closing | None) -> str:
    """How a close differs from the one that was wanted, in plain words; empty when it does not."""
    if close is None and wanted.by == "server":
        return f"server did not close, expected it to, with {wanted.code}"
    if close is None:
        return f"server did not answer our close ({wanted.code})"
    if not _is_expected(wanted, close):
        return f"{close.words}, expected {wanted.code}"
    if wanted.by and (wanted.by == "server") != close.by_server:
        return f"{close.words}, expected {'it to close' if wanted.by == 'server' else 'us to close'} first"
    if wanted.reason and not finds(wanted.reason, close.reason):
        return f"{close.words}, expected a reason that matches {wanted.reason!r}"
    return ""


def _is_expected(wanted: Close, close: Closing) -> bool:
    if close.code == NO_CODE:  # an answer need not repeat our code, and no code at all is the usual 1000
        return wanted.code == 1000 or not close.by_server
    return close.code == wanted.code
