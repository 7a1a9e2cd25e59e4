"""Who is at the keyboard: from the environment alone."""

from __future__ import annotations

import os
import pwd

import pytest

from pipeline.app.session import who


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable names a user, and the user database does not know the number."""
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_name_it_is_the_number() -> None:
    assert who() == f"uid {os.getuid()}"


def test_the_ci_knows_better_than_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "runner")
    assert who() == "runner"
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    assert who() == "ada"


@pytest.mark.parametrize(
    ("name", "told"), [(" ", f"uid {os.getuid()}"), ("a\x1b[2Jb\n", "ab"), ("x" * 1000, "x" * 64)]
)
def test_a_name_is_one_short_line(name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", name)
    assert who() == told
