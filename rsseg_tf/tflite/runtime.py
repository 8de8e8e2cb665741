"""The TFLite runtime that is installed: LiteRT, or its predecessor where there is no wheel of it, as on 32-bit ARM.

`tflite_runtime` (last release 2.14.0, for NumPy 1) brings no schema of the file format; the package `tflite` has one,
without the classes that LiteRT's unpacks a table's values into, which cutting a file for a profile needs.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

_INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
_SCHEMAS = ("ai_edge_litert.schema_py_generated", "tflite")


def first_installed(names: Sequence[str]) -> ModuleType:
    """Return the first of the modules that is installed.

    Raises:
        ModuleNotFoundError: if none is; it names the first.
    """
    missing = None
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = missing or error
    raise missing or ModuleNotFoundError("no module to look for")


@functools.cache
def load_runtime() -> ModuleType:
    """Return the module with `Interpreter` and `load_delegate`."""
    return first_installed(_INTERPRETERS)


def options_of(operator: Any, tables: ModuleType) -> Mapping[str, Any]:
    """Return the builtin options of an operator of a file, by the names that the schema gives them in CamelCase.

    Args:
        operator: a table `Operator` of the schema.
        tables: a module with the schema.
    """
    options = operator.BuiltinOptions()
    if not options:
        return {}
    if hasattr(tables, "BuiltinOptionsCreator"):
        values = tables.BuiltinOptionsCreator(operator.BuiltinOptionsType(), options)
        return vars(values) if values else {}
    kinds = {value: name for name, value in vars(tables.BuiltinOptions).items()}
    table = getattr(tables, kinds[operator.BuiltinOptionsType()])()
    table.Init(options.Bytes, options.Pos)
    return {name: _value(table, name) for name in _fields(type(table))}


def _fields(table: type) -> list[str]:
    """Return the accessors of a table's fields; a vector has others besides its own, recognized by their endings."""
    names = [name for name in vars(table) if name[0].isupper() and not name.startswith("GetRootAs") and name != "Init"]
    endings = ("AsNumpy", "Length", "IsNone", "BufferHasIdentifier")
    return [name for name in names if not any(name.endswith(end) and name != end for end in endings)]


def _value(table: Any, name: str) -> Any:
    if not hasattr(table, f"{name}Length"):
        return getattr(table, name)()
    length = getattr(table, f"{name}Length")()
    return [getattr(table, name)(index) for index in range(length)] or None


schema: Any = first_installed(_SCHEMAS)
"""The file format's tables and enumerations."""
