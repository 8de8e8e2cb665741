"""Rules that hold for the whole tree."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsseg_tf.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "rsseg_tf").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
TRAINING_ONLY = ("tensorflow", "keras", "tf_keras", "tensorflow_model_optimization", "keras_cv", "scipy", "tensorboard")
TRAINING_SIDE = ("steps", "models", "training", "pruning", "quantization", "graphs", "tracing")
TF_FREE = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in SOURCES
    if path.relative_to(ROOT / "rsseg_tf").parts[0] not in TRAINING_SIDE
]

_BLOCKER = f"""
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING_ONLY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_without_tensorflow(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", _BLOCKER + code], capture_output=True, text=True, check=False)


def test_every_board_module_imports_where_tensorflow_cannot_be():
    code = f"import importlib\nfor name in {TF_FREE!r}: importlib.import_module(name)"

    result = run_without_tensorflow(code)

    assert result.returncode == 0, result.stderr


def test_every_commands_help_works_where_tensorflow_cannot_be():
    code = f"""
from rsseg_tf.cli.main import main
for name in {list(COMMANDS)!r}:
    assert main([name, "--help"]) == 0, name
"""

    result = run_without_tensorflow(code)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Usage: rsseg-tf") == len(COMMANDS)


@pytest.mark.parametrize("arguments", [["fit", "-o", "run"], ["demo", "-o", "run"]], ids=lambda words: words[0])
def test_a_training_command_without_its_extra_says_what_to_install(arguments, tmp_path):
    code = f"""
import os, sys
os.chdir({str(tmp_path)!r})
from rsseg_tf.cli.main import main
sys.exit(main({arguments!r}))
"""

    result = run_without_tensorflow(code)

    assert result.returncode == 2
    assert "pip install 'rsseg-tf[train]'" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_board_without_the_interpreter_says_what_to_install(tmp_path):
    code = f"""
sys.modules["ai_edge_litert"] = sys.modules["tflite"] = None
from rsseg_tf.cli.main import main
model = {str(tmp_path / "model.tflite")!r}
open(model, "wb").close()
sys.exit(main(["inspect", model]))
"""

    result = run_without_tensorflow(code)

    assert result.returncode == 2
    assert "pip install ai-edge-litert" in result.stderr
    assert "Traceback" not in result.stderr


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def body_lines(function: ast.FunctionDef) -> int:
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320


def test_functions_are_short_enough_to_read():
    lengths = [body_lines(function) for path in SOURCES for function in functions(path)]

    assert statistics.median(lengths) <= 12
    assert statistics.quantiles(lengths, n=10)[-1] <= 40


def asserts(function: ast.FunctionDef, helpers: set[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name.startswith("assert_") or name == "raises" or name in helpers:
                return True
    return False


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_asserts(path):
    """Directly, or through a function of the same file that does."""
    every = list(functions(path))
    helpers = {
        function.name for function in every if not function.name.startswith("test_") and asserts(function, set())
    }
    silent = [
        function.name for function in every if function.name.startswith("test_") and not asserts(function, helpers)
    ]

    assert silent == []


PACKAGES = sorted(path.parent for path in SOURCES if path.name == "__init__.py")


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_folder_holds_more_files_than_one_look_takes_in(folder):
    assert len(list(folder.glob("*.py"))) <= 15


def test_a_files_name_does_not_repeat_its_folders():
    repeated = [path for path in SOURCES if path.parent.name in path.stem.split("_") and path.name != "__init__.py"]

    assert repeated == []


def test_the_page_names_every_room_and_every_room_is_there():
    page = (
        (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("rsseg_tf/\n")[2].partition("```")[0]
    )
    folders: list[Path] = []
    for line in page.splitlines():
        depth, first = len(line) - len(line.lstrip()), line.split(maxsplit=1)[0]
        if first.endswith("/"):
            parent = (
                ROOT / "rsseg_tf"
                if depth == 2
                else [folder for folder in folders if folder.parent.name == "rsseg_tf"][-1]
            )
            folders.append(parent / first.rstrip("/"))

    assert sorted(folders) == [folder for folder in PACKAGES if folder != ROOT / "rsseg_tf"]
