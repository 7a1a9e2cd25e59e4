"""The command of a Dockerfile, and what it is on a developer's machine.  PURE."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

#: started as modules, so that the project's own interpreter runs them
_MODULES = frozenset({"uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "fastapi", "flask"})
_PYTHONS = frozenset({"python", "python3"})
_PORT_OPTIONS = frozenset({"--port", "-p", "--bind", "-b"})


def command(text: str) -> list[str]:
    """The words of the last ENTRYPOINT and CMD together, a shell's command split; nothing where there is none."""
    said: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").split("\n"):
        match = re.match(r"\s*(ENTRYPOINT|CMD)\s+(.+)", line, re.IGNORECASE)
        if match:
            said[match[1].upper()] = words_of(match[2].strip())
            if match[1].upper() == "ENTRYPOINT":
                said.pop("CMD", None)  # of an earlier stage
        elif re.match(r"\s*FROM\s", line, re.IGNORECASE):
            said = {}
    words = [*said.get("ENTRYPOINT", []), *said.get("CMD", [])]
    if words[:2] in (["sh", "-c"], ["bash", "-c"], ["/bin/sh", "-c"]) and len(words) == 3:
        words = words_of(words[2])
    return words[1:] if words[:1] == ["exec"] else words


def words_of(text: str) -> list[str]:
    """Of a list in JSON, or of a line for a shell; none of what is neither."""
    if text.startswith("["):
        try:
            made = json.loads(text)
        except ValueError:
            return []
        return [str(each) for each in made] if isinstance(made, list) else []
    try:
        return shlex.split(text)
    except ValueError:
        return []


def for_this_machine(words: Sequence[str], python: str) -> tuple[str, ...]:
    """As an image of the local Cloud Run: the port is the one that it gives, and only this machine is listened to.

    Args:
        python: the interpreter that stands for ``python``, and runs servers that are modules.
    """
    first, *rest = words
    name = first.rpartition("/")[2]
    if name in _MODULES:
        rest = ["-m", name, *rest]
    made = [python if name in _MODULES | _PYTHONS else first, *_with_port(rest)]
    is_for_a_shell = any("$" in word for word in made)
    return ("sh", "-c", f"exec {' '.join(map(_quoted, made))}") if is_for_a_shell else tuple(made)


def _with_port(words: Sequence[str]) -> list[str]:
    made: list[str] = []
    for word in words:
        before = made[-1] if made else ""
        text = re.sub(r"\$\{PORT(?::-?\d+)?\}", "$PORT", word)
        if before in _PORT_OPTIONS or text.startswith(("--port=", "--bind=")):
            text = re.sub(r"\b\d{2,5}$", "$PORT", text)
        if before in ("--host", "--bind", "-b", "-h") or text.startswith(("--host=", "--bind=")):
            text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what is taken out
        made.append(text)
    if "-m" in words[:1] and "uvicorn" in words[:2] and not any("$PORT" in word for word in made):
        made += ["--port", "$PORT"]
    return made


def _quoted(word: str) -> str:
    return f'"{word}"' if "$" in word or "{" in word else shlex.quote(word)
