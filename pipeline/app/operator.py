"""Who is at the keyboard, for the record."""

from __future__ import annotations

import os

from pipeline.redact import plain

_NAMES = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "LOGNAME", "USER", "LNAME", "USERNAME")
_LONGEST = 64


def who() -> str:
    """The CI's actor, else the user's name, else the number of the user.

    Only the environment is asked: the user database may lack the user, and may sit on a network that does not answer.
    """
    named = (plain(os.environ.get(name, "")).strip() for name in _NAMES)
    return next((name[:_LONGEST] for name in named if name), f"uid {os.getuid()}")
