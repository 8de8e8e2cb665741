"""Private names of libraries: what runs on a board uses these and no others, each in one file."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import ROOT, SOURCES, TRAINING_SIDE


def model_table(module: Any) -> Any:
    return module.Model.GetRootAs(bytes(64))


USED = [
    ("rasterio", "rasterio._err", lambda module: module, "CPLE_BaseError", "inference/raster.py"),
    (
        "ai-edge-litert",
        "ai_edge_litert.interpreter",
        lambda x: x.Interpreter,
        "_get_ops_details",
        "tflite/interpreter.py",
    ),
    ("ai-edge-litert", "ai_edge_litert.schema_py_generated", model_table, "_tab", "tflite/metadata.py"),
    ("tflite", "tflite", model_table, "_tab", "tflite/metadata.py"),
]


@pytest.mark.parametrize(("library", "module", "owner", "name", "file"), USED, ids=lambda value: str(value))
def test_the_installed_library_has_the_private_name(library, module, owner, name, file):
    missing = f"{library} {version(library)} has no `{name}` in `{module}` any more: see rsseg_tf/{file}"
    try:
        holder = owner(importlib.import_module(module))
    except ModuleNotFoundError:
        pytest.fail(missing)
    assert hasattr(holder, name), missing


def test_no_other_private_name_is_used():
    board = [path for path in SOURCES if path.relative_to(ROOT / "rsseg_tf").parts[0] not in TRAINING_SIDE]
    found = {(name, str(path.relative_to(ROOT / "rsseg_tf"))) for path in board for name in foreign_names(path)}
    expected = {(module if "._" in module else name, file) for _, module, _, name, file in USED}
    assert found == expected


def foreign_names(path: Path) -> Iterator[str]:
    """Private attributes of anything but `self`, that no class here defines, and private modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} | {"_exit"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and any(map(is_private, (node.module or "").split("."))):
            yield str(node.module)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
