"""Which Host headers are this machine's."""

from __future__ import annotations

import pytest

from pipeline.local.hosts import is_ours


@pytest.mark.parametrize(
    ("host", "at_home", "in_public"),
    [
        ("127.0.0.1:80", True, True),
        ("LocalHost:80", True, True),
        ("[::1]:80", True, True),
        ("10.0.0.7:80", False, True),
        ("[fe80::1]:80", False, True),
        ("127.0.0.1", False, False),
        ("127.0.0.1:81", False, False),
        ("127.0.0.1:", False, False),
        ("evil.example:80", False, False),
        ("localhost.evil.example:80", False, False),
        ("10.0.0.7.evil.example:80", False, False),
        ("localhost:80:80", False, False),
        (":80", False, False),
        ("", False, False),
    ],
)
def test_a_name_is_ours_or_is_not(host: str, at_home: bool, in_public: bool) -> None:
    assert is_ours([host], 80, is_public=False) is at_home
    assert is_ours([host], 80, is_public=True) is in_public


def test_it_is_named_once() -> None:
    assert not is_ours([], 80, is_public=True)
    assert not is_ours(["localhost:80", "localhost:80"], 80, is_public=True)
