"""What HTTP can carry, and how an answer begins that was not the wanted one.  PURE."""

from __future__ import annotations

import re

from pipeline.redact import SINK

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
VALUE = re.compile(r"[\t -~]*")  # of a header


def excerpt(body: bytes | bytearray) -> str:
    """How an answer begins that was not the wanted one, after a colon; empty where it has no body."""
    said = SINK.cut(body[:4096].decode(errors="replace"), 200)
    return f": {said}" if said else ""
