"""Whether what looks like a dispatcher of messages is one, by its keys and by the ways that they lead.

What is proposed is pasted: a place too few costs less than one that is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from checks.rules.event_map.tables import looked_up
from checks.service.dispatch import Branch
from checks.service.source import MESSAGES, TYPES, words_in, words_of
from checks.tree.body import functions
from checks.tree.symbols import dotted

_SOCKETS = frozenset({"ws", "websocket", "socket", "sock", "sid", "connection"})
#: what language models are given and say, and what files and schemas are: inside of messages
PARTS = frozenset(
    {"text", "input_text", "output_text", "image", "image_url", "input_image", "audio", "input_audio"}
    | {"output_audio", "video", "video_url", "file", "input_file", "document", "refusal", "thinking"}
    | {"redacted_thinking", "reasoning", "reasoning_text", "summary_text", "tool_use", "tool_result"}
    | {"tool_call", "tool_calls", "server_tool_use", "web_search_call", "file_search_call", "web_search_tool_result"}
    | {"function", "message", "agent_message", "function_call", "function_call_output", "custom_tool_call"}
    | {"custom_tool_call_output", "computer_call", "computer_call_output", "agent_handoff", "agent_config_update"}
    | {"compaction", "text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta"}
    | {"json_object", "json_schema", "custom", "auto", "component", "plain_text", "markdown", "html"}
    | {"dir", "directory", "folder", "symlink", "submodule", "blob", "tree"}
    | {"system", "user", "assistant", "tool", "developer", "human", "ai", "model", "image_file", "function_result"}
    | {"string", "integer", "number", "float", "boolean", "object", "array", "null"}
)  # fmt: skip
_SPOKEN = (MESSAGES | {"handler", "handlers", "command", "commands", "actions"}) - {"chat"}
#: what tables are called of how messages and others are shown or made
_OTHER_TABLES = frozenset({"converters", "formatters", "helpers", "fields", "badges", "adapters", "icons", "colors", "labels", "titles", "templates", "defaults", "units", "names", "aliases", "descriptions", "styles", "widgets", "models", "schemas", "tools", "serializers", "loaders", "factories", "backends", "providers"})  # fmt: skip
#: what is registered that answers no messages
_OTHER_THINGS = frozenset({"agent", "model", "tool", "plugin", "component", "provider", "backend", "format", "serializer", "deserializer", "theme", "codec", "loader", "exporter", "themes", "plugins", "models", "tools", "serializers"})  # fmt: skip
_DUNDER = re.compile("__.*__")
#: what the interpreter tells tracing functions
_TRACED = frozenset({"call", "line", "return", "exception", "opcode", "c_call", "c_return", "c_exception"})
#: what libraries tell of a connection or of a stream, whatever is said on it
_LIFE = frozenset(
    {"open", "close", "closed", "end", "finish", "exit", "error", "message", "data", "ready", "opened", "timeout"}
    | {"connected", "disconnected", "connection", "reconnect", "ping", "pong", "track", "icecandidate", "datachannel"}
)  # fmt: skip


def is_one(several: Sequence[Branch], keys: tuple[str, ...]) -> bool:
    """Args: several: the branches of one place; keys: what would be proposed of them."""
    style, words = several[0].style, {key.lower().removeprefix("on_") for key in keys}
    return not (
        words <= _TRACED
        or all(len(word) == 1 for word in words)
        or (style in ("decorator", "call", "name") and words <= _LIFE)
        or (style in ("decorator", "call") and not _OTHER_THINGS.isdisjoint(words_of(several[0].dispatcher)))
        or (style == "dict" and _DUNDER.fullmatch(several[0].dispatcher.rpartition(".")[2]))
        or (style == "chain" and _has_one_way(several, keys))
        or (words <= PARTS and _SOCKETS.isdisjoint(_arguments(several)))
    )


def _has_one_way(several: Sequence[Branch], keys: tuple[str, ...]) -> bool:
    """Whether all keys lead to the same code: they are let through together, and told apart elsewhere."""
    ways = [(branch.key, id(branch.code[0])) for branch in several if branch.code]
    others = {*keys} - {key for key, _ in ways}  # other functions ask for those
    return len({way for key, way in ways if key in keys} | others) == 1


def is_asked_for_types(tree: ast.Module | None, several: Sequence[Branch]) -> bool:
    """Whether a mapping is called one of messages or looked up by what is called like a type.

    Where its file never looks it up, the file has to be called one of messages, or what it holds to take some.

    Args: tree: of its file; several: its branches. It goes by a function's name where it is that function's own.
    """
    name, path = several[0].dispatcher, several[0].where.path
    last = [word for word in words_of(name) if word][-1:]
    if not _OTHER_TABLES.isdisjoint(last):
        return False
    if not _SPOKEN.isdisjoint(words_of(name)):
        return True
    inside: list[ast.AST] = [node for where, node in functions(tree) if where == name] if tree else []
    keys = [key for each in inside for key in _looked_up(each, "")]
    keys += _looked_up(tree, name.rpartition(".")[2]) if tree else []
    if not keys:
        return any(not _SPOKEN.isdisjoint(words_of(each)) for each in (path, *_arguments(several)))
    return not TYPES.isdisjoint(words_in(keys))


def _looked_up(node: ast.AST, name: str) -> Iterator[ast.expr]:
    """By what the mapping of that name is subscripted, or any where the name is empty."""
    for table, key in looked_up(node):
        made = table.func if isinstance(table, ast.Call) else table
        if not name or dotted(made).rpartition(".")[2] == name:
            yield key


def _arguments(several: Sequence[Branch]) -> set[str]:
    homes = [each.home.node.args for each in several if each.home]
    return {a.arg for args in homes for a in (*args.posonlyargs, *args.args)}
