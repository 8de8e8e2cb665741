"""Mutation testing: how many small changes of the code do its tests notice?

    pip install cosmic-ray
    PYTHONPATH=. python -m tools.faults.mutants --out mutants.json --sample 40

The changes are cosmic-ray's; those of annotations are left out, and so many of each module are drawn. Each is tried in
a forked child of a process that has imported the large libraries and none of the modules: the child's import gives the
changed one, and pytest runs the tests that stand here beside the module. What they let pass has survived.
"""

from __future__ import annotations

import ast
import difflib
import importlib.machinery
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import click

_LIMIT_S, _WAIT_S = 180, 1800.0
"""Of the processor and of the clock: beside other jobs the second says little."""

_MOMENT_S = 0.05

_METRICS, _PRUNING = "tests/metrics/test_", "tests/pruning/test_"
_GRAPHS = [f"{_PRUNING}{name}.py" for name in ("groups", "plan", "law", "cost")]
TESTS = {
    "rsseg_tf/metrics/confusion.py": [f"{_METRICS}confusion.py"],
    "rsseg_tf/metrics/boundary.py": [f"{_METRICS}boundary.py"],
    "rsseg_tf/metrics/objects.py": [f"{_METRICS}objects.py"],
    "rsseg_tf/metrics/bootstrap.py": [f"{_METRICS}bootstrap.py"],
    "rsseg_tf/inference/tiling.py": ["tests/inference/test_tiling.py"],
    "rsseg_tf/inference/blending.py": ["tests/inference/test_tiling.py", "tests/inference/test_predict.py"],
    "rsseg_tf/pruning/select.py": [f"{_PRUNING}select.py"],
    "rsseg_tf/pruning/groups.py": _GRAPHS,
    "rsseg_tf/pruning/wiring.py": _GRAPHS,
    "rsseg_tf/pruning/rebuild.py": _GRAPHS,
}
"""Module → the tests that its changes are shown to."""


def changes(source: str) -> Iterator[tuple[str, str]]:
    """Yield the changes of a module that are more than another annotation: their kind, and the changed source."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    seen = {_meaning(source)}
    for name in sorted(operator_names()):
        kind, number = get_operator(name), 0
        while not kind.arguments() and (changed := mutate_code(source, kind(), number)):
            number += 1
            try:
                meaning = _meaning(changed)
            except SyntaxError:  # the star of an argument list for a product, and the like
                continue
            if meaning not in seen:
                seen.add(meaning)
                yield name.removeprefix("core/"), changed


def survives(module: Path, changed: str, tests: list[str]) -> bool:
    """Return whether the tests pass with the changed module; one that takes too long is noticed."""
    pid = os.fork()
    if pid == 0:
        _be_child(module, changed, tests)
    until = time.monotonic() + _WAIT_S
    found, status = os.waitpid(pid, os.WNOHANG)
    while not found:
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(_MOMENT_S)
        found, status = os.waitpid(pid, os.WNOHANG)
    return status == 0


def _be_child(module: Path, changed: str, tests: list[str]) -> None:
    code = 99
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT_S, _LIMIT_S))
        loader: Any = importlib.machinery.SourceFileLoader
        given = loader.get_code

        def get_code(self: Any, name: str) -> CodeType | None:
            if Path(self.path).resolve() == module.resolve():
                return compile(changed, self.path, "exec")
            found: CodeType | None = given(self, name)
            return found

        loader.get_code = get_code
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
        import pytest

        code = int(pytest.main(["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]))
    finally:
        os._exit(code)


def _meaning(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant("")
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


@click.command(name="mutants")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="JSON file; modules in it are not done again."
)
@click.option("--sample", type=click.IntRange(1), default=40, show_default=True, help="Changes of each module.")
@click.option("--only", multiple=True, type=click.Choice(list(TESTS)), help="These modules alone.")
def main(out: Path, sample: int, only: tuple[str, ...]) -> None:
    """Change modules, run their tests, and count the changes that nobody noticed."""
    import keras  # noqa: F401 - large, and once for all children
    import pytest  # noqa: F401

    results: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    for name in only or TESTS:
        if name in results:
            continue
        module, source = Path(name), Path(name).read_text()
        if not survives(module, source, TESTS[name]):
            raise SystemExit(f"the tests of {name} fail as it is")
        found = list(changes(source))
        drawn = random.Random(name).sample(found, min(sample, len(found)))
        alive = [(kind, _diff(source, changed)) for kind, changed in drawn if survives(module, changed, TESTS[name])]
        results[name] = {"changes": len(found), "tried": len(drawn), "survived": alive}
        out.write_text(json.dumps(results, indent=1))
        click.echo(f"{name}: {len(drawn) - len(alive)} of {len(drawn)} noticed")


def _diff(source: str, changed: str) -> list[str]:
    lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++"))]


if __name__ == "__main__":
    sys.exit(main())
