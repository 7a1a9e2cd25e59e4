"""Google's packages without their clients: a package whose ``__init__`` runs when something of its own is asked for.

``google.cloud.run_v2`` imports sixteen clients, and with them aiohttp, requests and cryptography: four fifths of the time
that a roll-back takes. What is needed is a channel (``call.py``) and the message classes, which are a module of it. From
Python 3.15 on the package defers its own imports (``__lazy_modules__`` in its ``__init__``, PEP 810); until then it is
done here.

Google's generated transports over a channel of our own save nothing: they import ``operations_v1``, and that all the
rest. Messages written out anew would have to follow the API by hand. Nothing has to be followed here: whoever imports a
deferred package gets the package itself, which is complete as soon as a client of it is touched.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_loading = RLock()  # the thread that loads comes by again: the package imports its own parts


class _Deferred(ModuleType):
    """A package before its ``__init__``. Its modules can be imported already, and what they hold is its own."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            for module in self.__dict__.get("_wanted", ()):
                if hasattr(module, name):
                    return getattr(module, name)
        full = f"{self.__name__}.{name}"
        if not name.startswith("__") and (full in sys.modules or find_spec(full)):
            return import_module(full)
        with _loading:
            if type(self) is _Deferred and "_is_loading" not in self.__dict__:
                self._load()
        return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        with _loading:
            self._load()
        return dir(self)

    def _load(self) -> None:
        spec = self.__spec__
        assert spec
        assert spec.loader
        self.__dict__["_is_loading"] = True
        try:
            spec.loader.exec_module(self)
            self.__class__ = ModuleType  # type: ignore[assignment]
        finally:
            del self.__dict__["_is_loading"]


def defer(package: str, *wanted: str) -> None:
    """Import some modules of a package, and leave the package's ``__init__`` for when it is needed.

    Where a module cannot do without, the package is imported as ever. So is one that somebody imported before.

    Args:
        wanted: modules whose names the package's ``__init__`` re-exports: they are found on the package at once.
    """
    if package in sys.modules:
        return
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return  # whoever imports it is told so
    module = sys.modules[package] = module_from_spec(spec)
    module.__class__ = _Deferred
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)
    try:
        module.__dict__["_wanted"] = [import_module(f"{package}.{each}") for each in wanted]
    except Exception:  # noqa: BLE001 - whatever it is, the import as ever tells it, or has it not
        for each in [each for each in sys.modules if f"{each}.".startswith(f"{package}.")]:
            del sys.modules[each]
        import_module(package)
