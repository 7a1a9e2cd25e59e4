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
_LOOKS = ("0", "1", "2", "3", "4", "130, 143")
_ENDS = tuple(code for code in CODES if not code.startswith("20"))
#: What each command may end with; one in a group by its own name.
OF = {
    **dict.fromkeys(("rollout", "promote"), _ENDS),
    "tick": tuple(code for code in _ENDS if code not in ("10", "14", "18")),
    "plan": ("0", "1", "2", "3", "4", "10", "18", "130, 143"),
    "rollback": ("0", "1", "2", "3", "4", "12", "130, 143"),
    "unpin": ("0", "1", "2", "3", "4", "15", "130, 143"),
    **dict.fromkeys(("status", "report", "logs", "init"), _LOOKS),
    "doctor": ("0", "1", "2", "3", "130, 143"),
    "check": ("0", "1", "2", "10", "130, 143"),
    "probe": ("0", "1", "2", "20, 21", "130, 143"),
    **dict.fromkeys(("schema", "demo", "up", "down", "pulumi"), ("0", "1", "2", "130, 143")),
}
_MOVES = ("rollout", "promote", "tick")  # whose 0 says more than that what was asked is done


def of(command: str) -> str:
    """The lines of one command."""
    return epilog(OF[command], "" if command in _MOVES else "done")


def epilog(codes: tuple[str, ...] = tuple(CODES), done: str = "") -> str:
    """Lines that click leaves as they are. ``done``: what 0 means, where it is not the usual."""
    words = {**CODES, "0": done or CODES["0"]}
    return "\n".join(["\b", "Exit codes:", *(f"  {code:<8}  {words[code]}" for code in codes)])


ALL = epilog()
