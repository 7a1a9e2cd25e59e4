"""Certificates of a scenario: the one that a probe shows, and those that it trusts the server by.

They are read anew for each conversation, as secrets are; what they come to is kept by their texts.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.errors import UserError
from pipeline.probe import secret_file
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import Tls
from pipeline.probe.templates import Scope
from pipeline.redact import SINK

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_PEM = "-----BEGIN "


def context(scenario: Scenario, scope: Scope) -> ssl.SSLContext | None:
    """Of what a scenario says of it; None where it says nothing. Args: scope: has its secrets. Raises: UserError."""
    if scenario.tls is None:
        return None
    read = Tls(*(_text(scenario, name, scope) for name in Tls.__struct_fields__))
    SINK.learn(read.key, read.password)
    try:
        made, shown = _made(replace(read, key=read.key or read.certificate))
        if shown is not None:
            _check_time(shown)
    except _Unusable as error:
        named = getattr(scenario.tls, error.key) or scenario.tls.certificate
        where = "" if _PEM in named else f" ({named})"
        raise UserError(
            f"scenario {scenario.name}: the {error.key} of tls{where} cannot be used", error.why, error.fix
        ) from None
    return made


def hint(tls: Tls | None, words: str) -> str:
    """What a fault of a https address may come from, to be said after its words; empty where they say it."""
    if "certificate verify failed" in words:
        return "" if tls and tls.ca else "; where its roots are your own, name them: tls: {ca: PATH}"
    if not re.search(r"disconnected|ends after 0 bytes|reset|alert", words, re.IGNORECASE):
        return ""
    if tls and tls.certificate:
        return "; it may not take the client certificate that tls gives"
    return "; it may ask for a client certificate: give one under tls"


class _Unusable(Exception):
    """Args: key: of ``tls`` that is to blame."""

    def __init__(self, key: str, why: str, fix: str) -> None:
        super().__init__(why)
        self.key, self.why, self.fix = key, why, fix


def _text(scenario: Scenario, key: str, scope: Scope) -> str:
    value = str(getattr(scenario.tls, key))
    filled = scope.text(value)
    if not value or key == "password" or _PEM in filled or value != filled:
        return filled
    what = f"scenario {scenario.name}: the {key} of tls ({value})"
    return secret_file.read_for(what, Path(scenario.folder) / value, "Write it there as PEM")


@lru_cache(maxsize=16)
def _made(read: Tls) -> tuple[ssl.SSLContext, Certificate | None]:
    """With the certificate that is shown. Raises _Unusable."""
    if read.ca:
        _certificates("ca", read.ca)
    made = ssl.create_default_context(cadata=read.ca or None)
    if not read.certificate:
        return made, None
    shown = _certificates("certificate", read.certificate)
    _check_key(read, shown)
    with _file(read.certificate) as certificate, _file(read.key) as key:
        try:
            made.load_cert_chain(certificate, key, read.password)
        except ssl.SSLError as error:
            raise _Unusable("certificate", f"OpenSSL does not take it: {error.reason}.", _PAIR) from None
    return made, shown


_PAIR = "Give the certificate and the key that were made for one another."


def _certificates(key: str, text: str) -> Certificate:
    """The first. Raises _Unusable."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError:
        raise _Unusable(
            key, "It is no certificate in PEM.", "PEM begins with -----BEGIN CERTIFICATE-----."
        ) from None


def _check_key(read: Tls, shown: Certificate) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(read.key.encode(), read.password.encode() or None)
    except TypeError:
        why = "It is not encrypted, and there is a password for it." if read.password else "It is encrypted."
        fix = (
            "Leave the password out." if read.password else "Give its password: ${env:NAME} or ${file:PATH}."
        )
        raise _Unusable("key", why, fix) from None
    except (ValueError, UnsupportedAlgorithm):
        why = "Its password is another, or it is no key in PEM." if read.password else "It is no key in PEM."
        raise _Unusable(
            "key", why, "PEM begins with -----BEGIN PRIVATE KEY----- or the like; try: openssl pkey -in FILE"
        ) from None
    if key.public_key() != shown.public_key():
        raise _Unusable("key", "It is not the key of the certificate.", _PAIR)


def _check_time(shown: Certificate) -> None:
    first, last, now = shown.not_valid_before_utc, shown.not_valid_after_utc, datetime.now(UTC)
    if first <= now <= last:
        return
    why = (
        f"It has expired: it was valid until {last:%Y-%m-%d %H:%M} UTC."
        if now > last
        else f"It is not valid yet: it will be from {first:%Y-%m-%d %H:%M} UTC on."
    )
    raise _Unusable("certificate", why, "Give one that is valid now.")


@contextmanager
def _file(text: str) -> Iterator[str]:
    """A file that has the text, in memory where there are such: who is killed leaves no key behind."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("tls"), "w") as held:
            held.write(text)
            held.flush()
            yield f"/proc/self/fd/{held.fileno()}"
    else:
        with NamedTemporaryFile("w") as kept:
            kept.write(text)
            kept.flush()
            yield kept.name
