"""Small trees for single-source; the tests are made from them."""

from __future__ import annotations

from checks.settings import Settings, SingleSource
from tests.checks_examples.example import Example

_ON = Settings(single_source=(SingleSource("safe_state_for_logs", "app/states.py"),))
_HOME = '''\
def safe_state_for_logs(state):
    """Text for a state."""
    if hasattr(state, "name"):
        return state.name.lower()
    return str(state)
'''


def _case(
    title: str, code: str, *finds: str, path: str = "app/user.py", settings: Settings = _ON, **more: str
) -> Example:
    files = {"app/__init__.py": "", "app/states.py": _HOME, path: code}
    files |= {name.replace("__", "/") + ".py": text for name, text in more.items()}
    return Example(title, files, settings, tuple(f"{path}:{line}" for line in finds))


_IMPORT = "from app.states import safe_state_for_logs\n"

VALID = (
    _case("imported from home", _IMPORT + "print(safe_state_for_logs(1))\n"),
    _case("relative import", "from .states import safe_state_for_logs\nprint(safe_state_for_logs(1))\n"),
    _case(
        "lazy import",
        "def f(s):\n    from app.states import safe_state_for_logs\n    return safe_state_for_logs(s)\n",
    ),
    _case("through the module", "from app import states\nprint(states.safe_state_for_logs(1))\n"),
    _case("under another name", "from app.states import safe_state_for_logs as safe\nprint(safe(1))\n"),
    _case(
        "only in text",
        '"""safe_state_for_logs"""\n# def safe_state_for_logs(state):\nX = "safe_state_for_logs()"\n',
    ),
    _case("a stub", "def safe_state_for_logs(state: object) -> str: ...\n", path="app/states.pyi"),
    _case("a test's own", "def safe_state_for_logs(state):\n    return 'fake'\n", path="tests/test_user.py"),
    _case("alias of the one", "from app import states\nsafe_state_for_logs = states.safe_state_for_logs\n"),
    _case(
        "as a default",
        _IMPORT + "def f(safe_state_for_logs=safe_state_for_logs):\n    return safe_state_for_logs(1)\n",
    ),
    _case("longer name", "def not_safe_state_for_logs_(state):\n    return state.label\n"),
)

INVALID = (
    _case(
        "second definition", "import os\n\n\ndef safe_state_for_logs(state):\n    return repr(state)\n", "4"
    ),
    _case("method", "class A:\n    def safe_state_for_logs(self, state):\n        return state\n", "2"),
    _case("class attribute", "class A:\n    safe_state_for_logs = str\n", "2"),
    _case("lambda", "safe_state_for_logs = lambda s: s.value\n", "1"),
    _case("assignment", "safe_state_for_logs = str\n", "1"),
    _case(
        "nested",
        "def f():\n    def safe_state_for_logs(s):\n        return s\n    return safe_state_for_logs(1)\n",
        "2",
    ),
    _case(
        "fallback",
        "try:\n    from app.states import safe_state_for_logs\nexcept ImportError:\n    safe_state_for_logs = str\n",
        "4",
    ),
    _case("copy with another name", _HOME.replace("safe_state_for_logs", "_tell").replace("state", "s"), "1"),
    _case("not imported", "def f(s):\n    return safe_state_for_logs(s)\n", "2"),
    _case(
        "a parameter hides it",
        _IMPORT + "def f(safe_state_for_logs):\n    return safe_state_for_logs(1)\n",
        "3",
    ),
    _case(
        "a local hides it", "def f(g):\n    safe_state_for_logs = g\n    return safe_state_for_logs(1)\n", "3"
    ),
    _case("everything imported", "from app.states import *\nprint(safe_state_for_logs(1))\n", "2"),
    _case(
        "for type checkers only",
        "import typing\nif typing.TYPE_CHECKING:\n    from app.states import safe_state_for_logs\nprint(safe_state_for_logs(1))\n",
        "4",
    ),
    Example(
        "from a re-exporter",
        {
            "app/__init__.py": _IMPORT,
            "app/states.py": _HOME,
            "app/user.py": "from app import safe_state_for_logs\nprint(safe_state_for_logs(1))\n",
        },
        _ON,
        ("app/user.py:1",),
    ),
    Example("home is gone", {"app/__init__.py": ""}, _ON, ("app/states.py:1",)),
    Example("home lost it", {"app/states.py": "x = 1\n"}, _ON, ("app/states.py:1",)),
)
