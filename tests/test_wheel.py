"""The wheel, installed alone in an environment of its own, does what a board needs."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it would go before the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the sources, as `python -m build` makes it."""
    copy = tmp_path_factory.mktemp("sources")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "findings/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory):
    """An environment with the wheel, in which the packages that it depends on are found where we have them."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, env=ALONE, check=True, capture_output=True)
    ours, theirs = Path(np.__file__).parents[1], next((folder / "lib").glob("python*/site-packages"))
    (theirs / "dependencies.pth").write_text(f"{ours}\n")
    return folder / "bin" / "rsseg-tf"


def run(command, *words, cwd):
    result = subprocess.run(
        [str(command), *map(str, words)], cwd=cwd, env=ALONE, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_has_the_package_and_its_pages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    sources = [
        path for path in (ROOT / "rsseg_tf").rglob("*") if path.suffix in (".py", ".css", ".html", ".js", ".typed")
    ]
    assert {name.split("/")[0] for name in names} == {"rsseg_tf"}
    assert {path.relative_to(ROOT).as_posix() for path in sources} - set(names) == set()


def test_the_installed_command_is_the_wheels_own_and_measures_and_maps(fresh, models, tmp_path):
    cv2.imwrite(str(tmp_path / "field.png"), np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8))
    assert "Usage: rsseg-tf" in run(fresh, "--help", cwd=tmp_path)
    where = "import rsseg_tf; print(rsseg_tf.__file__)"
    assert str(fresh.parents[1]) in run(fresh.with_name("python"), "-c", where, cwd=tmp_path)

    assert "int8.tflite" in run(
        fresh, "benchmark", models / "sealed.tflite", models / "int8.tflite", "--repeats", 1, cwd=tmp_path
    )
    run(fresh, "predict", models / "sealed.tflite", "field.png", "--out", "maps", cwd=tmp_path)
    assert (tmp_path / "maps" / "field_classes.png").exists()


def test_the_package_says_who_and_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(name).decode()
    head = text.partition("\n\n")[0]
    assert f"Version: {distribution('rsseg-tf').version}" in head
    for line in ("Author: ", "Keywords:", "Project-URL: Paper, https://doi.org/10.21553/rev-jec.380", "License"):
        assert line in head
    for name in ("tensorflow<", "keras<", "ai-edge-litert<"):
        library = name.rstrip("<")
        (needed,) = (line for line in head.splitlines() if line.startswith(f"Requires-Dist: {library}<"))
        assert "<" in needed
        assert ">=" in needed
