"""What one dispatcher is as plain data: its keys, and how one more would be written."""

from __future__ import annotations

import ast
from typing import NamedTuple

from checks.tree.symbols import dotted

#: what the field of a message that holds its type is called, and what a registry's argument for it is
KINDS = (
    "type", "kind", "event", "event_type", "message_type", "msg_type", "action", "name", "op", "topic", "command", "cmd",
    "tag",
)  # fmt: skip


class Key(NamedTuple):
    """One key where it stands; ``handler`` is what answers it, empty where that has no name.

    Args:
        form: what ``node`` is: ``handler`` for the key itself, ``message`` for a class whose literal is the key, ``spread``
            for another dispatcher or table, ``functions`` for a module or class whose functions are called as ``handler``
            says (prefix, blank, suffix), ``super`` for the function of that name in the class above.
    """

    node: ast.expr
    handler: str
    form: str = "handler"


class Dispatch(NamedTuple):
    """Keys of one dispatcher, in order.

    Args:
        style: what it is, in words.
        example: how one more is written; ``{key}`` stands for its key.
        is_open: something in it cannot be read.
        subject: what is looked at, spelt alike however it is read; empty where that has no name.
    """

    style: str
    example: str
    keys: list[Key]
    is_open: bool = False
    subject: str = ""


def is_key(node: ast.expr) -> bool:
    """A text, ``Kind.X`` or ``Kind.X.value``, a class by its capital, or a constant by its capitals."""
    if isinstance(node, ast.Name):
        return node.id.isupper()
    if isinstance(node, ast.Attribute):
        return node.attr.isupper() or any(part[:1].isupper() for part in dotted(node).split(".")[:-1])
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_class(node: ast.expr) -> bool:
    """A class of messages, by its capital and small letters; an exception is none."""
    name = dotted(node).rpartition(".")[2].lstrip("_")
    is_exception = name.endswith(("Error", "Exception", "Warning"))
    return name[:1].isupper() and name != name.upper() and not is_exception
