"""What Pulumi's CLI complains of, as our errors: each says the way out, and that a roll-back needs none of it."""

from __future__ import annotations

import os
import re
import socket

from pulumi import automation

from infra.settings import Settings
from pipeline.errors import PlatformError, PlatformUnavailable, SpillwayError

_LINES = 12
_HOLDER = re.compile(r"created by \S*@(?P<host>\S+) \(pid (?P<pid>\d+)\)")
_RETRY_AFTER_S = 10.0
_AFTER = ("Outputs:", "Resources:")  # what the CLI says when it has said what was wrong


#: A pattern in the CLI's words; what is wrong and what to do: ``{stack}`` is filled in.
_KNOWN = (
    (
        r"(?i)incorrect passphrase|passphrase must be set",
        "the secrets of stack {stack} cannot be read: the passphrase is not the one they were written with",
        (
            "Set PULUMI_CONFIG_PASSPHRASE to it; if it is lost: pulumi stack rm --force {stack}, and the next apply adopts"
            " the service as it is"
        ),
    ),
    (
        (
            r"(?i)must be set for login|pulumi login|could not (?:find|read|open) .*backend|unable to open bucket"
            r"|problem logging in|read \".pulumi/meta.yaml\"|no such file or directory.*backend"
            r"|check that the directory exists"
        ),
        "Pulumi's backend cannot be reached, so stack {stack} neither",
        "Log in to it: pulumi login URL, or set PULUMI_BACKEND_URL",
    ),
    (
        r"(?i)(?:no resource plugin|could not load plugin|failed to load plugin|plugin .* not found)",
        "Pulumi has no plugin for Google Cloud here",
        "Install it: pulumi plugin install resource gcp",
    ),
)


def told(error: automation.CommandError, settings: Settings) -> SpillwayError:
    """Our error for one of the CLI's."""
    text, stack = str(error), settings.stack
    back = f"; to give traffic back: spillway rollback {settings.ref.name}"
    if isinstance(error, automation.ConcurrentUpdateError):
        return PlatformUnavailable(
            f"another update holds the lock of stack {stack}",
            next((line.strip() for line in text.splitlines() if _HOLDER.search(line)), _last(text, 1)),
            f"Let it end, or if it is gone: pulumi cancel --stack {stack}{back}",
            retry_after_s=_RETRY_AFTER_S,
        )
    for pattern, what, fix in _KNOWN:
        if re.search(pattern, text):
            return PlatformError(what.format(stack=stack), _last(text, 1), f"{fix.format(stack=stack)}{back}")
    return PlatformError(
        f"pulumi up of {stack} failed", _last(text, _LINES), f"The same command tries again{back}"
    )


def holders_are_dead(error: automation.ConcurrentUpdateError) -> bool:
    """Whether each process that holds the lock ran on this machine and is gone. False when in doubt."""
    holders = list(_HOLDER.finditer(str(error)))
    here = socket.gethostname()
    return bool(holders) and all(h["host"] == here and not _lives(int(h["pid"])) for h in holders)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _last(text: str, count: int) -> str:
    """Of what it said last, what says something: the CLI ends with empty lines and with the names of its streams."""
    lines = [re.sub(r"^ ?(?:code|stdout|stderr): ?\d*", "", line.rstrip()) for line in text.splitlines()]
    said = [line for line in lines if line.strip()]
    if "Diagnostics:" in said:
        told = said[said.index("Diagnostics:") + 1 :]
        said = told[: next((n for n, line in enumerate(told) if line in _AFTER), len(told))]
    errors = [line.strip() for line in said if re.search(r"\berror: ", line)]
    return "\n".join(errors[-1:] if count == 1 and errors else said[-count:])
