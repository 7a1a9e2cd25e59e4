"""A round that a driver elsewhere ordered (``probe/order.py``): held here, in a job, and told as lines of the log."""

from __future__ import annotations

import os

from pipeline.app.session import Session
from pipeline.app.wiring import SystemClock, token_source
from pipeline.errors import SpillwayError, UserError
from pipeline.probe import result_lines
from pipeline.probe.course import Held
from pipeline.probe.order import Order
from pipeline.probe.round import run_round
from pipeline.redact import SINK


def hold(session: Session, text: str) -> int:
    """Hold it and write its lines to stdout; 0 whatever the conversations came to.

    Raises: SpillwayError when it cannot be held, after a line that says why.
    """
    order = Order.decode(text)
    session.ends_now = True  # nobody reads the half of a round
    SINK.learn(order.key)
    try:
        seconds = _held(session, order)
    except SpillwayError as error:
        words = f"{error.in_a_line} {error.fix}".strip()
        session.output.data(result_lines.refusal_line(order, words))
        raise
    session.output.data(result_lines.end_line(order, seconds))
    return 0


def _held(session: Session, order: Order) -> float:
    config, batches = session.config, iter(range(100))
    if os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0") != "0":
        raise UserError("a round is held once", "This is another attempt at a task.", "Set max-retries 0.")
    if config.scenarios_fingerprint() != order.scenarios:
        raise UserError(
            "the scenarios of the job's image are not those of the rollout",
            f"{session.config_file.name} of the image has others.",
            "Build the image of probes.job with the file that the rollout uses.",
        )

    def heard(held: Held) -> None:
        for line in result_lines.lines_of(order, next(batches), held):
            session.output.data(line)

    ask = order.ask_with(config.build_scenarios())
    is_asked = ask.candidate.audience or (ask.control and ask.control.audience)
    report = run_round(ask, SystemClock().now, token_source() if is_asked else None, heard=heard)
    return report.seconds
