"""Small trees for repeated; the tests are made from them."""

from __future__ import annotations

from checks.settings import Settings
from tests.checks_examples.example import Example

_ON = Settings(discover=True)
_ONE = '''\
def tell(state):
    """Text."""
    if hasattr(state, "name") and hasattr(state, "value"):
        return str(state.name).lower()
    return str(state)
'''
_NEARLY = _ONE.replace("str(state)\n", "repr(state)\n")

VALID = (
    Example("once", {"a.py": _ONE, "b.py": "def other(x):\n    return x\n"}, _ON),
    Example(
        "too small to matter",
        {"a.py": "def f(x):\n    return x\n", "b.py": "def f(x):\n    return x\n"},
        _ON,
    ),
    Example("not asked", {"a.py": _ONE, "b.py": _ONE}, Settings()),
    Example("in tests", {"a.py": _ONE, "tests/b.py": _ONE}, _ON),
)

INVALID = (
    Example("twice", {"a.py": _ONE, "b.py": _ONE.replace("state", "s")}, _ON, ("a.py:1 ?",)),
    Example("under another name", {"a.py": _ONE, "b.py": _ONE.replace("tell", "say")}, _ON, ("a.py:1 ?",)),
    Example("nearly", {"a.py": _ONE, "b.py": _NEARLY}, _ON, ("a.py:1 ?",)),
)
