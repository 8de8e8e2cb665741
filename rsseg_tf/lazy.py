"""Names that a package offers and imports when they are asked for (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def offering(package: str, homes: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package that imports nothing by itself.

    A name must not be that of another module of the package: importing that module would put it in the name's place.

    Args:
        package: its `__name__`.
        homes: module of the package → the names that it holds; a module may offer itself.

    Examples:
        >>> get, names = offering("rsseg_tf", {"config": ["Config"], "metrics": ["metrics", "ConfusionMatrix"]})
        >>> names()
        ['Config', 'ConfusionMatrix', 'metrics']
        >>> get("metrics").ConfusionMatrix is get("ConfusionMatrix")
        True
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from rsseg_tf.errors import extras_named

        with extras_named():
            module = importlib.import_module(f"{package}.{home_of[name]}")
        value = module if name == home_of[name] else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(home_of)
