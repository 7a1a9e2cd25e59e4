"""How a text may be spelt where it is encoded: in URLs, JSON, HTML, a shell, Python, hexadecimal and base64.  PURE."""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Iterable, Iterator
from urllib.parse import quote

_LESS_PLAIN = re.compile("[<>&\u2028\u2029]")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_LONG_LINE = 16  # characters: shorter ones of a secret of several lines may stand anywhere
_PEM_EDGE = re.compile("-----(BEGIN|END) ")


def spellings(secret: str) -> Iterator[str]:
    """How a secret may be spelt where text is encoded."""
    data = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield from _of_lines(secret)
    for in_url in _in_urls(data):
        yield in_url
        if in_url != secret:
            yield from _in_urls(in_url.encode())  # one address inside of another
    for quoted in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield from (quoted, quoted.replace("/", "\\/"))  # PHP's
        twice = json.dumps(quoted)[1:-1]  # JSON in JSON
        yield from (twice, json.dumps(twice)[1:-1])
        yield _LESS_PLAIN.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)  # Go's
        yield from _in_python(quoted)
    in_html = secret.translate(_HTML)
    for quote_mark in ("'\"'\"'", "'\\''"):
        yield secret.replace("'", quote_mark)  # a shell's
    yield from _in_python(secret)
    yield from (repr(data)[2:-1], in_html, in_html.replace("&#x27;", "&#39;"))
    yield from (data.hex(), data.hex().upper())
    for inside in {data, json.dumps(secret)[1:-1].encode()}:
        for offset in range(3):
            inner = _inside_base64(inside, offset)
            yield from (inner, inner.replace("+", "-").replace("/", "_"), quote(inner, safe=""))


def _in_python(text: str) -> Iterator[str]:
    """In a text of its own, and beside a quotation mark, where another one ends it."""
    yield from (repr(text)[1:-1], repr(f'{text}"')[1:-2])


def _of_lines(secret: str) -> Iterator[str]:
    """A secret of several lines as one line shows it, and its lines, which may be shown one by one."""
    lines = secret.splitlines()
    if len(lines) > 1:
        yield "".join(" " if letter.isspace() else letter for letter in secret)
        yield from (
            line.strip() for line in lines if len(line.strip()) >= _LONG_LINE and not _PEM_EDGE.match(line)
        )


def _in_urls(data: bytes) -> Iterable[str]:
    """By what is left as it is: nothing, a path's slashes, a form's, JavaScript's two; and each byte escaped."""
    every = "%" + data.hex("%") if data else ""
    made = [every.upper(), every]
    for escaped in _ESCAPED:
        strict = "".join(map(escaped.__getitem__, data))
        made.append(strict)
        made.append(strict.replace(escaped[ord(" ")], "+"))
        for left in _LEFT:
            text = strict
            for letter in left:
                text = text.replace(escaped[letter], chr(letter))
            made.append(text)
    return dict.fromkeys(made)


def _escapes(form: str) -> list[str]:
    """By byte, what stands for it where everything is escaped that ever is. Args: form: of the two digits."""
    return [chr(byte) if byte in _NEVER_ESCAPED else f"%{byte:{form}}" for byte in range(256)]


_NEVER_ESCAPED = frozenset(f"{string.ascii_letters}{string.digits}_.-~".encode())
_ESCAPED = (_escapes("02X"), _escapes("02x"))
_LEFT = (b"/", b"!'()*", b";,/?:@&=+$!'()*#")


def _inside_base64(data: bytes, offset: int) -> str:
    """The characters that depend on ``data`` alone when it starts ``offset`` bytes into a group of three."""
    text = base64.b64encode(bytes(offset) + data).decode().rstrip("=")
    foreign_tail = 1 if (offset + len(data)) % 3 else 0
    return text[(0, 2, 3)[offset] : len(text) - foreign_tail]
