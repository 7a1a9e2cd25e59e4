"""What is said of Google's credentials: that they are no good, with the file to mend, or that nobody could be asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.auth import exceptions

from pipeline.errors import AccessError, PlatformUnavailable
from pipeline.rpc import login

FILE = "GOOGLE_APPLICATION_CREDENTIALS"


@pytest.mark.parametrize(
    "error",
    [
        exceptions.TransportError(ConnectionError("proxy refused")),  # type: ignore[no-untyped-call]
        exceptions.RefreshError("backend is busy", retryable=True),  # type: ignore[no-untyped-call]
    ],
)
def test_a_network_that_is_in_the_way_is_no_fault_of_the_credentials(
    error: exceptions.GoogleAuthError,
) -> None:
    told = login.refused(error, "oauth2.googleapis.com")
    assert isinstance(told, PlatformUnavailable)
    assert "HTTPS_PROXY" in told.fix
    assert told.why in ("proxy refused", "backend is busy")


def test_what_google_says_is_told_in_words() -> None:
    error = exceptions.RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant"})  # type: ignore[no-untyped-call]
    assert login.said(error) == "invalid_grant: Bad Request"
    inner = exceptions.DefaultCredentialsError("no JSON.", ValueError("line 1\nline 2"))  # type: ignore[no-untyped-call]
    assert login.said(inner) == "no JSON: line 1"
    assert login.said(exceptions.TransportError()) == "TransportError, and no more was said."  # type: ignore[no-untyped-call]


def test_the_way_in_names_the_file_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE, raising=False)
    assert login.way_in() == "Log in: gcloud auth application-default login"
    monkeypatch.setenv(FILE, "/etc/key.json")
    refused = login.refused(exceptions.DefaultCredentialsError("no JSON"), "x")  # type: ignore[no-untyped-call]
    assert isinstance(refused, AccessError)
    assert refused.fix.startswith(f"Mend /etc/key.json, which {FILE} names, or unset that")


def test_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "key.json")
    monkeypatch.setenv(FILE, str(tmp_path / "key.json"))
    with pytest.raises(exceptions.DefaultCredentialsError, match="a pipe, not a file"):
        login.default()
