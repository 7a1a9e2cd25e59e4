"""A signal ends ``check`` where it is, in words of its own, also while the checks are still being loaded."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline.app import static_checks
from tests.test_checks_cli import SAFE, Spillway, spillway
from tests.test_checks_examples import plant

__all__ = ["spillway"]  # the fixture


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_anything_is_looked_at_ends_it(
    number: signal.Signals, code: int, spillway: Spillway, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = static_checks.told_as_usage

    def loading() -> AbstractContextManager[None]:
        os.kill(os.getpid(), number)
        return loaded()

    monkeypatch.setattr(static_checks, "told_as_usage", loading)
    plant(Path(), {"a.py": SAFE})
    done = spillway()
    assert done.code == code
    assert "the checks were stopped" in done.err
    assert "stopping after this step" not in done.err
