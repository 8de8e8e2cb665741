from __future__ import annotations

from pathlib import Path

import pytest

from rsseg_tf.edge.metadata import embed_metadata
from tests.edge.networks import METADATA, tiny_model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `int8.tflite`, `float32.tflite` and, sealed with metadata, `sealed.tflite`."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "int8.tflite").write_bytes(tiny_model("int8"))
    (folder / "float32.tflite").write_bytes(tiny_model("float32"))
    (folder / "sealed.tflite").write_bytes(embed_metadata(tiny_model("int8"), METADATA))
    return folder
