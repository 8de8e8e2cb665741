"""What `import rsseg_tf` and its packages offer, and what it costs to ask."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest

import rsseg_tf
from rsseg_tf.errors import ConfigError, MissingExtraError, RssegError, extras_named
from rsseg_tf.runs import file_hash
from tests.quantization.tiny import segmenter
from tests.test_architecture import run_without_tensorflow
from tests.tflite.networks import METADATA, frame

MODULES = [module.name for module in pkgutil.walk_packages(rsseg_tf.__path__, "rsseg_tf.")]
PACKAGES = ["rsseg_tf", *(module for module in MODULES if Path(*module.split("."), "__init__.py").is_file())]
OFFERING = [package for package in PACKAGES if hasattr(importlib.import_module(package), "__all__")]
LAZY = [package for package in OFFERING if hasattr(importlib.import_module(package), "__getattr__")]
NEED_TENSORFLOW = {"export", "fit", "prune", "pruning"}


def test_importing_the_package_imports_nothing_else():
    code = "import sys, rsseg_tf; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"numpy", "cv2", "yaml", "click", "keras", "tensorflow"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_for(package):
    assert inspect.getdoc(importlib.import_module(package))


@pytest.mark.parametrize("package", OFFERING)
def test_a_public_name_exists_and_has_a_docstring_of_its_own(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        text = getattr(module, name).__doc__
        assert text, name
        assert not text.startswith(f"{name}("), f"{name} has only the docstring that dataclasses make"


@pytest.mark.parametrize("package", LAZY)
def test_dir_lists_the_public_names(package):
    module = importlib.import_module(package)
    assert dir(module) == sorted(module.__all__)


@pytest.mark.parametrize("package", LAZY)
def test_no_module_takes_the_place_of_a_public_name(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        if f"{package}.{name}" in MODULES:
            importlib.import_module(f"{package}.{name}")
        assert getattr(module, name) is module.__getattr__(name)


def test_a_name_that_is_not_offered_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'rsseg_tf' has no attribute 'predict'"):
        _ = rsseg_tf.predict


def test_a_board_has_the_names_that_need_no_tensorflow():
    code = f"import rsseg_tf\nfor name in {sorted(set(rsseg_tf.__all__) - NEED_TENSORFLOW)}: getattr(rsseg_tf, name)"

    result = run_without_tensorflow(code)

    assert result.returncode == 0, result.stderr


def test_a_traceback_ends_with_the_hint(tmp_path):
    with pytest.raises(RssegError) as caught:
        rsseg_tf.open_model(tmp_path)

    assert traceback.format_exception_only(caught.value)[-1] == f"hint: {caught.value.hint}\n"


@pytest.mark.parametrize("name", sorted(NEED_TENSORFLOW))
def test_a_name_without_its_extra_says_what_to_install(name):
    code = f"""
try:
    from rsseg_tf import {name}
except ImportError as error:
    from rsseg_tf import RssegError
    assert isinstance(error, RssegError)
    print(error.hint)
"""
    result = run_without_tensorflow(code)

    assert result.stdout == "pip install 'rsseg-tf[train]'\n", result.stderr


def test_a_keras_file_without_tensorflow_says_what_to_install(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        for member in ("config.json", "model.weights.h5"):
            archive.writestr(member, "")
    code = f"""
from rsseg_tf import Config, RssegError, open_model
try:
    open_model({str(tmp_path)!r}, Config())
except RssegError as error:
    print(error.hint)
"""
    assert run_without_tensorflow(code).stdout == "pip install 'rsseg-tf[train]'\n"


def test_a_package_that_no_extra_brings_is_pythons_own_error():
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as caught, extras_named():
        importlib.import_module("no_such_package")
    assert not isinstance(caught.value, RssegError)


def test_a_part_of_the_base_that_is_missing_is_named():
    with pytest.raises(MissingExtraError) as caught, extras_named():
        raise ModuleNotFoundError("no interpreter", name="ai_edge_litert.interpreter")
    assert caught.value.hint == "pip install ai-edge-litert"


def test_a_tflite_file_predicts_images_of_any_size(models: Path):
    model = rsseg_tf.open_model(str(models / "sealed.tflite"))

    assert model.palette.names == METADATA.class_names
    assert model.predict(frame(0, 50, 70)).shape == (50, 70)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a Keras model and the settings of its data."""
    segmenter(size=32, classes=6).save(tmp_path / "model.keras")
    data = "{name: scenes, input_size: [32, 32], ground_sampling_distance_m: 2}"
    (tmp_path / "config.yaml").write_text(f"data: {data}\nevaluate: {{overlap: 5}}\n")
    return tmp_path


def test_a_run_folder_opens_with_its_own_settings(run: Path):
    model = rsseg_tf.open_model(run)

    assert (model.overlap, model.ground_sampling_distance_m) == (5, 2)
    assert model.model_sha256 == file_hash(run / "model.keras")
    assert np.isin(model.predict(frame(0, 50, 70)), range(6)).all()


def test_settings_that_are_given_come_before_those_of_the_run(run: Path):
    config = rsseg_tf.load_config(run / "config.yaml", ["evaluate.overlap=0"])

    assert rsseg_tf.open_model(run, config).overlap == 0


def test_a_keras_file_without_settings_is_refused(run: Path):
    (run / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"no config\.yaml beside"):
        rsseg_tf.open_model(run)


def test_settings_say_how_tiles_of_a_tflite_file_overlap(models: Path):
    config = rsseg_tf.load_config(overrides=["evaluate.overlap=3"])

    assert rsseg_tf.open_model(models / "sealed.tflite", config).overlap == 3
