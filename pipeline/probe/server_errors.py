"""Messages in which a service complains, by the usual shapes.  PURE.

{type: error, ...}    {event: chat.error}    {kind: serverError}    {op: "error:auth"}
{error: {...}}        {action: error}        {status: error}        where no type, event, kind or op is said
    {type: message, data: {error: {...}}}    {type: next, payload: {errors: [...], data: null}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.framing.fields import field_at
from pipeline.probe.matching import NAMED, cut

_TYPES = ("type", "event", "kind", "op")
_ERROR = re.compile(  # a sentence that ends so is no name
    r"(?i:^(?:\S*[^a-z0-9\s])?(?:error|exception)$)|^\S*[a-z0-9](?:Error|Exception)$|^(?i:error)[.:/]"
)
#: Types that say nothing of what they carry, and where: an event of a stream without a name, a result of GraphQL's.
_CARRIERS = {"message": "data", "next": "payload"}
_SHOWN_CHARS = 400


def error_words(message: object, type_path: str = "type") -> str:
    """What a message says where it is the server's complaint; empty for any other.

    Args:
        type_path: where messages of this service say what they are, beside the usual places.
    """
    if not isinstance(message, dict | Mapping):
        return ""
    name = next((message[key] for key in _TYPES if isinstance(message.get(key), str)), None)
    is_error = name is not None and _is_error(name)
    if type_path != "type":
        is_error = is_error or _is_error(field_at(message, type_path))
    if name is None:
        is_error = is_error or any(_is_error(message.get(key)) for key in (*NAMED, "status"))
        is_error = is_error or bool(message.get("error") or message.get("errors"))
    inside = message.get(_CARRIERS[name]) if name in _CARRIERS else None
    if isinstance(inside, Mapping) and not inside.get("data"):
        is_error = is_error or bool(inside.get("error") or inside.get("errors"))
    return cut(repr(dict(message)), _SHOWN_CHARS) if is_error else ""


def _is_error(name: object) -> bool:
    if not isinstance(name, str):
        return False
    is_likely = name[-9:].lower().endswith(("error", "exception")) or name[:5].lower() == "error"
    return is_likely and _ERROR.search(name) is not None
