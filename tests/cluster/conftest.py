from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra `cluster`")

from rsseg_tf.cluster.engine import Cluster, open_cluster
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, tiny_model


@pytest.fixture(scope="package")
def two() -> Iterator[Cluster]:
    """Two workers on this machine."""
    with open_cluster(workers=2) as cluster:
        yield cluster


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(embed_metadata(tiny_model(), METADATA))
    return path
