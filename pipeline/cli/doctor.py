"""doctor: what stands between this machine and a rollout, and how each of it is mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import Env
from pipeline.errors import AccessError, UserError
from pipeline.output import streams

if TYPE_CHECKING:
    from pipeline.doctor.answer import Answer


@connecting
def doctor(session: Session, *, env: Env = None) -> int:
    """Ask everything that a rollout needs: each line says ok, or what is wrong and the fix. Changes nothing.

    Of the cloud: credentials, APIs, each permission by name, Pulumi's CLI, plugin and state, clock, log quota, registry,
    ingress, tag addresses, telemetry. Of the local Cloud Run: its process, ports and clock, the images' commands, and
    the service. Exit 0 when a rollout can be, 3 when credentials or permissions are missing, 2 when something else is.

    Example:  spillway doctor --env local
    """
    from pipeline.app.doctor import Doctor
    from pipeline.app.request import Request

    session.leaves_at_once = True
    answers = Doctor(session, Request.of(session, env), session.output.say).answers()
    code = exit_code(answers)
    streams.wait_for_reader()
    document = {
        "outcome": "healthy" if not code else "unhealthy",
        "exit_code": code,
        "answers": [answer.to_json() for answer in answers],
    }
    session.output.result("\n".join(line for answer in answers for line in lines(answer)), document)
    return code


def exit_code(answers: Sequence[Answer]) -> int:
    wrong = [answer for answer in answers if answer.verdict == "wrong"]
    kind = AccessError if any(answer.is_access for answer in wrong) else UserError
    return kind.exit_code if wrong else 0


def lines(answer: Answer) -> list[str]:
    """One for what was found, one for what mends it."""
    made = [f"{answer.verdict.value:<10}{answer.name:<18}  {answer.said}"]
    return [*made, f"{'':<30}fix: {answer.fix}"] if answer.fix else made
