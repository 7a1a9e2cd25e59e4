"""What names call secret: of variables, headers and fields.  PURE."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_FOLDERS = frozenset({"PWD", "OLDPWD"})  # the shell's working folders, not passwords
_SECRET_WORDS = frozenset(
    [
        "auth",
        "authentication",
        "authorization",
        "authorisation",
        "bearer",
        "cookies",
        "credential",
        "jwt",
        "nonce",
        "otp",
        "pass",
        "passcode",
        "passwd",
        "pwd",
        "secrets",
        "signature",
        "sig",
    ]
)
_SECRET_ENDS = ("token", "secret", "password", "passphrase", "apikey", "privatekey", "accesskey", "cookie")
_SECRET_PAIRS = frozenset(
    (one, "key") for one in ("access", "api", "auth", "encryption", "private", "secret", "shared", "signing")
)
#: what such names end with when they say something *about* a secret
_ABOUT = frozenset(
    [
        "address",
        "algorithm",
        "audience",
        "class",
        "count",
        "dir",
        "directory",
        "enabled",
        "endpoint",
        "expires",
        "expiry",
        "file",
        "folder",
        "header",
        "host",
        "id",
        "issuer",
        "kind",
        "length",
        "limit",
        "manager",
        "max",
        "method",
        "min",
        "mode",
        "name",
        "path",
        "prefix",
        "provider",
        "required",
        "scheme",
        "seconds",
        "size",
        "sock",
        "socket",
        "suffix",
        "timeout",
        "ttl",
        "type",
        "uri",
        "url",
        "user",
        "version",
    ]
)


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is secret: ``WS_TOKEN``, ``x-api-key``, ``clientSecret``, ``Authorization``."""
    words = [word.lower() for word in _WORD.findall(name[:200])]
    if not words or words[-1] in _ABOUT:
        return False
    if "credentials" in words and "application" not in words:  # GOOGLE_APPLICATION_CREDENTIALS names a file
        return True
    return any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in words) or any(
        pair in _SECRET_PAIRS for pair in itertools.pairwise(words)
    )


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of variables (or headers) whose name says that they are secret."""
    return tuple(v for name, v in environment.items() if is_secret_name(name) and name not in _FOLDERS)
