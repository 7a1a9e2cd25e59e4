"""Every error that Spillway raises on purpose, and the exit code each one ends with.

    SpillwayError                    1   failed, unclassified
    |-- UserError                    2   usage: nothing was touched
    |   |-- ConfigError              2   spillway.yaml, with file:line:column
    |   |-- LocalCloudRunDown        2   the local Cloud Run was not up when the command began
    |   |-- PlanRefused              2   the live service makes a rollout unsafe
    |   |   `-- FieldsLost           2   live settings would be lost that nobody asked to change
    |   `-- RecordUnreadable         2   the record on the service cannot be used: traffic was left alone
    |-- AccessError                  3   not authenticated, or forbidden
    |-- NotYet                      18   the image has not soaked long enough elsewhere: nothing was touched
    |-- AnotherRunAlive             14   somebody else drives this rollout
    |-- FirstDeploymentFailed       17   the first revision never became ready: nobody is served
    `-- PlatformError                4   Cloud Run said no, and what traffic is now is unknown
        |-- ServiceNotFound          2   there is no such service, so no traffic either
        |-- RevisionNotFound         2   there is no such revision; nothing was written
        |-- JobNotFound              4   there is no such job, or run of it: who holds a round of probes tells it
        |-- RequestRejected          1   the request itself is wrong; traffic is as it was
        |-- StaleWrite               4   the service changed since it was read: read again, decide again
        |-- RecordLost               4   the record that we wrote is gone or was replaced by one that cannot be read
        `-- PlatformUnavailable      4   no answer, 429 or 503; ``retry_after_s`` says when to try again

4 is for traffic that nobody knows. A fault of the candidate (a 1011, a missing event, silence) is never an exception:
it is evidence (see ``evidence.py``). An exception is a fault of ours or of the platform's.
"""

from __future__ import annotations

INTERRUPTED, TERMINATED = 130, 143  # by a signal: whatever was begun, the service keeps the state


class SpillwayError(Exception):
    """A failure that a person can act on, told in three lines.

    Args:
        what: what went wrong, naming the value, key or revision.
        why: the measured reason, or empty.
        fix: the exact next command or edit, or empty.
    """

    exit_code = 1
    outcome = "error"  # what a document calls it

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.fix) if line)

    @property
    def in_a_line(self) -> str:
        """What and why."""
        return ": ".join(line for line in (self.what, self.why) if line)


class UserError(SpillwayError):
    """The command or a file it was given is wrong; nothing was touched.

    Where there is no better second or third line, the usual ones are told.
    """

    exit_code = 2
    usual_why = "It was told before anything was done: nothing was touched."
    usual_fix = "How it is asked: spillway --help, and --help of each command"

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why or self.usual_why, fix or self.usual_fix)


class ConfigError(UserError):
    """``spillway.yaml`` cannot be used; ``what`` starts with ``file:line:column``."""

    usual_why = "The file is read whole before anything is done: nothing was touched."
    usual_fix = "Mend it there; each key is explained by: spillway schema --markdown"


class PlanRefused(UserError):
    """The live service is in a state in which moving traffic would be a guess."""


class FieldsLost(PlanRefused):
    """An apply would clear or change live settings that nobody asked to change; midway the rollout pauses."""


class LocalCloudRunDown(UserError):
    """The local Cloud Run is not up when a command begins. One that goes away later is PlatformUnavailable."""


class RecordUnreadable(UserError):
    """The rollout record is there and cannot be used; traffic is left alone until a human looks."""


class AccessError(SpillwayError):
    """Credentials are missing or do not allow the call."""

    exit_code = 3


class NotYet(SpillwayError):
    """What an image must have soaked elsewhere, or what soaks here, is not over; nothing was touched.

    Args:
        at: when it is, ISO 8601.
    """

    exit_code = 18
    outcome = "not_yet"

    def __init__(self, what: str, why: str = "", fix: str = "", *, at: str = "") -> None:
        super().__init__(what, why, fix)
        self.at = at


class AnotherRunAlive(SpillwayError):
    """Another process wrote this rollout's heartbeat while we watched."""

    exit_code = 14


class FirstDeploymentFailed(SpillwayError):
    """The first revision of a service never became ready; asked again, it is the same answer."""

    exit_code = 17


class PlatformError(SpillwayError):
    """A call to Cloud Run failed."""

    exit_code = 4


class ServiceNotFound(PlatformError):
    """No such service. The only answer that means "first deployment"."""

    exit_code = 2


class RevisionNotFound(PlatformError):
    """No such revision."""

    exit_code = 2


class JobNotFound(PlatformError):
    """There is no such job of Cloud Run, or no such run of it."""


class RequestRejected(PlatformError):
    """Cloud Run refuses the request itself (invalid argument, failed precondition, name taken)."""

    exit_code = 1


class StaleWrite(PlatformError):
    """The etag no longer matches: the service changed after it was read."""


class RecordLost(PlatformError):
    """The record vanished, or cannot be read any more, while its rollout was driven."""


class PlatformUnavailable(PlatformError):
    """No answer, or an answer that says "later".

    Args:
        retry_after_s: seconds after which one more try makes sense.
    """

    def __init__(self, what: str, why: str = "", fix: str = "", *, retry_after_s: float = 1.0) -> None:
        super().__init__(what, why, fix)
        self.retry_after_s = retry_after_s
