"""The exit codes as help lists them: a line each."""

from __future__ import annotations

CODES = {
    "0": "done: the wished image has the traffic, or the step was taken",
    "1": "failed, unclassified: traffic is as it was",
    "2": "usage, configuration, or an unsafe service: nothing was touched",
    "3": "not authenticated, or forbidden",
    "4": "a cloud operation failed: TRAFFIC IS UNKNOWN",
    "10": "checks failed: nothing was deployed",
    "11": "sent back, by a gate or by hand: traffic was restored, read back",
    "12": "sent back, and the roll-back was NOT seen",
    "13": "paused: waits for spillway promote",
    "14": "another run of this rollout is alive",
    "15": "time-out: still under way",
    "16": "superseded by another image",
    "17": "first deployment: it answers badly, or never got ready",
    "18": "not yet: a soak that is waited for is not over: untouched",
    "20, 21": "probe: conversations failed; nothing could be reached",
    "130, 143": "interrupted: the service keeps the state",
}
_OF_ROLLOUT = tuple(code for code in CODES if not code.startswith("20"))


def epilog(codes: tuple[str, ...] = tuple(CODES)) -> str:
    """Lines that click leaves as they are."""
    return "\n".join(["\b", "Exit codes:", *(f"  {code:<8}  {CODES[code]}" for code in codes)])


ALL, OF_ROLLOUT = epilog(), epilog(_OF_ROLLOUT)
