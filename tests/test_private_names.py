"""Private names of libraries: each stands in one file, and a test says when a library has lost it.

Those of Keras and TensorFlow have tests of their own: `tests/graphs/test_private.py`, `tests/tracing/test_private.py`.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import ROOT, SOURCES

TRAINING_SIDE = ("graphs/private.py", "tracing/private.py")
"""Where those of Keras, tf_keras and TensorFlow stand."""


def model_table(module: Any) -> Any:
    return module.Model.GetRootAs(bytes(64))


USED = [
    ("rasterio", "rasterio._err", lambda module: module, "CPLE_BaseError", "datasets/files/raster.py"),
    (
        "ai-edge-litert",
        "ai_edge_litert.interpreter",
        lambda x: x.Interpreter,
        "_get_ops_details",
        "tflite/interpreter.py",
    ),
    ("ai-edge-litert", "ai_edge_litert.schema_py_generated", model_table, "_tab", "tflite/front/root.py"),
    ("tflite", "tflite", model_table, "_tab", "tflite/front/root.py"),
]


@pytest.mark.parametrize(
    ("library", "module", "owner", "name", "file"), USED, ids=[f"{module}-{name}" for _, module, _, name, _ in USED]
)
def test_the_installed_library_has_the_private_name(library, module, owner, name, file):
    missing = f"{library} {version(library)} has no `{name}` in `{module}` any more: see rsseg_tf/{file}"
    try:
        holder = owner(importlib.import_module(module))
    except ModuleNotFoundError:
        pytest.fail(missing)
    assert hasattr(holder, name), missing


def test_no_other_private_name_is_used():
    elsewhere = [path for path in SOURCES if str(path.relative_to(ROOT / "rsseg_tf")) not in TRAINING_SIDE]
    found = {(name, str(path.relative_to(ROOT / "rsseg_tf"))) for path in elsewhere for name in foreign_names(path)}
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
        elif isinstance(node, ast.ImportFrom) and is_private_module(node.module or ""):
            yield str(node.module)


_INNER = re.compile(r"(keras|tf_keras)\.src|tensorflow(_model_optimization|\.lite)?\.python")


def is_private_module(name: str) -> bool:
    return bool(_INNER.match(name)) or any(map(is_private, name.split(".")))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem)
def test_tests_look_at_what_is_public(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    seen = {name for name in imported if is_private(name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            seen |= {node.attr} if isinstance(node.value, ast.Name) and node.value.id in imported else set()
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
            words = [word.value for word in node.args[:2] if isinstance(word, ast.Constant)]
            seen |= {word for word in words if is_private(str(word).rpartition(".")[2])}
    assert seen <= {"_exit"}
