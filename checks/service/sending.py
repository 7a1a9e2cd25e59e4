"""What is sent while a message is handled, and what of the message is read: followed through calls inside the tree.

Only what is sent in any case counts. What stands in a handler of exceptions or under a condition is left out: a scenario that expects it would fail on a good service. Texts that are handed to a helper are
followed, so ``await tell(ws, "agent_started")`` counts, whatever ``tell`` makes of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from checks.service.dispatch import Branch
from checks.service.facts import Sent
from checks.service.source import Named, Source, speaks_of_messages
from checks.tree.body import walk
from checks.tree.symbols import dotted

_DEPTH = 6
_OUT = re.compile(
    r"send|emit|publish|broadcast|reply|respond|notify|tell|^event$|^message$|\bws\b|socket|sock|conn|client|queue|push|write",
    re.IGNORECASE,
)
_WORDS = {
    "text": "hello", "message": "hello", "prompt": "hello", "query": "hello", "content": "hello", "input": "hello", "question": "hello",
    "id": "1", "count": 1,
}  # fmt: skip

#: local name to the text that it holds
Texts = Mapping[str, str]


class Sending:
    """Args: field: the key that holds a message's type."""

    def __init__(self, source: Source, field: str) -> None:
        self._source, self._field = source, field

    def of(self, branch: Branch) -> tuple[Sent, ...]:
        """Each type once, in order."""
        found: dict[str, Sent] = {}
        for sent in self._all(branch):
            found.setdefault(sent.type, sent)
            if sent.repeats:
                found[sent.type] = sent
        return tuple(found.values())

    def _all(self, branch: Branch) -> Iterator[Sent]:
        path = branch.home.path if branch.home else branch.where.path
        return self._walk(branch.code, path, {}, repeats=False, met=())

    def is_of_messages(self, branch: Branch) -> bool:
        """Whether it is a message that is told apart: something is sent for it, or its place speaks of messages."""
        if self.is_near(branch):
            return True
        is_handler = branch.style != "class" or "handler" in branch.dispatcher.lower()
        return is_handler and _hands_out(branch) and any(True for _ in self._all(branch))

    def is_near(self, branch: Branch) -> bool:
        """Whether the code takes a socket, or what it asks or its place speaks of messages."""
        if branch.is_told or branch.style == "class":
            return branch.is_told
        args = branch.home.node.args if branch.home else None
        names = [a.arg for a in (*args.posonlyargs, *args.args)] if args else []
        return any(map(speaks_of_messages, (*names, branch.where.path, branch.dispatcher)))

    def _walk(
        self, code: Sequence[ast.AST], path: str, texts: Texts, *, repeats: bool, met: tuple[str, ...]
    ) -> Iterator[Sent]:
        for node in code:
            match node:
                case ast.If():
                    yield from self._walk([node.test], path, texts, repeats=repeats, met=met)
                case ast.For() | ast.AsyncFor() | ast.While():
                    head = [node.test] if isinstance(node, ast.While) else [node.iter]
                    yield from self._walk([*head, *node.body], path, texts, repeats=True, met=met)
                case ast.Try() | ast.TryStar():
                    inner = [*node.body, *node.orelse, *node.finalbody]
                    yield from self._walk(inner, path, texts, repeats=repeats, met=met)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Lambda():
                    continue
                case _:
                    inner_nodes = list(ast.iter_child_nodes(node))
                    yield from self._walk(inner_nodes, path, texts, repeats=repeats, met=met)
                    yield from self._sent(node, path, texts, repeats=repeats, met=met)

    def _sent(
        self, node: ast.AST, path: str, texts: Texts, *, repeats: bool, met: tuple[str, ...]
    ) -> Iterator[Sent]:
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == self._field:
                    yield from self._told(value, texts, repeats=repeats)
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == self._field:
                    yield from self._told(keyword.value, texts, repeats=repeats)
            name = dotted(node.func).rpartition(".")[2]
            found = (
                self._source.function(name, path) if name and name not in met and len(met) < _DEPTH else None
            )
            if found is not None:
                bound = self._bound(found, node, texts)
                yield from self._walk(found.node.body, found.path, bound, repeats=repeats, met=(*met, name))

    def _told(self, value: ast.expr, texts: Texts, *, repeats: bool) -> Iterator[Sent]:
        text = texts.get(dotted(value).removesuffix(".value"), "") or self._source.text(value)
        if text and "error" not in text.lower() and "fail" not in text.lower():
            yield Sent(text, repeats)

    def _bound(self, found: Named, call: ast.Call, texts: Texts) -> Texts:
        """The texts that the function's arguments hold in this call."""
        names = [a.arg for a in (*found.node.args.posonlyargs, *found.node.args.args)]
        if names[:1] == ["self"] and isinstance(call.func, ast.Attribute):
            names = names[1:]
        given = [*zip(names, call.args, strict=False), *((k.arg or "", k.value) for k in call.keywords)]
        made = {name: texts.get(dotted(value), "") or self._source.text(value) for name, value in given}
        return {name: text for name, text in made.items() if text}


def _hands_out(branch: Branch) -> bool:
    """Whether the code has to do with a connection, or with what sends."""
    words = (
        n.attr if isinstance(n, ast.Attribute) else n.id
        for code in branch.code
        for n in walk(code)
        if isinstance(n, ast.Name | ast.Attribute)
    )
    return any(_OUT.search(word) for word in words)


def fields(branch: Branch, type_field: str) -> Mapping[str, Any]:
    """What of the message the code reads, with an example for each: ``{"payload": {"agent": "example"}}``."""
    made: dict[str, Any] = {}
    names = _messages(branch)
    for node in (each for root in branch.code for each in walk(root)):
        keys, base = _chain(node)
        name = dotted(base)
        if keys and name in names:
            example(made, [*names[name], *keys])
    made.pop(type_field, None)
    return made


def _messages(branch: Branch) -> dict[str, list[str]]:
    """Local names that hold the message or a part of it, and by which keys that is reached."""
    node = branch.home.node if branch.home else None
    if node is None:
        return {}
    own = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    names: dict[str, list[str]] = {
        name: [] for name in own if name not in ("self", "ws", "websocket", "socket")
    }
    names |= {name: [name] for name in own if name == "payload"}
    for each in walk(node):
        if isinstance(each, ast.Assign) and len(each.targets) == 1:
            keys, base = _chain(each.value)
            target, name = dotted(each.targets[0]), dotted(base)
            if keys and name in names:
                names[target] = [*names[name], *keys]
            elif "receive" in ast.dump(each.value) or "loads" in ast.dump(each.value):
                names.setdefault(target, [])
    return names


def _chain(node: ast.AST) -> tuple[list[str], ast.expr]:
    """``x["a"].get("b")`` to its keys and ``x``."""
    match node:
        case ast.Subscript(value=inner, slice=ast.Constant(value=str(key))):
            keys, base = _chain(inner)
            return [*keys, key], base
        case ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[ast.Constant(value=str(key)), *_]):
            keys, base = _chain(inner)
            return [*keys, key], base
        case ast.BoolOp(values=[first, *_]):
            return _chain(first)
        case ast.expr():
            return [], node
    return [], ast.Constant(None)


def example(made: dict[str, Any], keys: list[str]) -> None:
    """Put an example where these keys lead."""
    *above, last = keys
    for key in above:
        inner = made.get(key)
        made[key] = made = inner if isinstance(inner, dict) else {}
    made.setdefault(last, _WORDS.get(last, "1" if last.endswith("_id") else "example"))
