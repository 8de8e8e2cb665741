from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A law's examples may take as long as they take: nothing here depends on the machine's speed.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Networks begin with the same kernels in every test, whichever tests ran before it."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `int8.tflite`, `float32.tflite` and, sealed with metadata, `sealed.tflite`."""
    from rsseg_tf.tflite.metadata import embed_metadata
    from tests.tflite.networks import METADATA, tiny_model

    folder = tmp_path_factory.mktemp("models")
    (folder / "int8.tflite").write_bytes(tiny_model("int8"))
    (folder / "float32.tflite").write_bytes(tiny_model("float32"))
    (folder / "sealed.tflite").write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    return folder
