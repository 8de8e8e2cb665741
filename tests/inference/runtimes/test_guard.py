"""ONNX files that are not what was exported: tried in a process of their own, and never the end of this one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")

from rsseg_tf.cli.main import main  # noqa: E402 - behind what skips
from rsseg_tf.errors import ModelError, RssegError  # noqa: E402
from rsseg_tf.inference.runner import TFLiteRunner  # noqa: E402
from rsseg_tf.inference.runtimes import guard  # noqa: E402
from rsseg_tf.inference.runtimes.exchanged import OnnxRunner  # noqa: E402
from rsseg_tf.inference.runtimes.seal import is_sealed, sealed  # noqa: E402
from rsseg_tf.quantization.exchange.description import describe  # noqa: E402
from rsseg_tf.tflite.metadata import ModelMetadata  # noqa: E402

SIZE = 8
METADATA = ModelMetadata(("ground", "road"), ((0, 0, 0), (255, 0, 0)), (SIZE, SIZE), overlap=2)


def described() -> bytes:
    """One convolution, with a blank seal."""
    from onnx import TensorProto, helper, numpy_helper

    kernel = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "kernel")
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, SIZE, SIZE))
        for name, channels in (("image", 3), ("probabilities", 2))
    ]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["probabilities"])], "net", ports[:1], ports[1:], [kernel]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    describe(model, METADATA)
    content: bytes = model.SerializeToString()
    return content


def saved(folder: Path, content: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object, crash: str, **_options: object) -> None:
        raise ModelError(crash)

    monkeypatch.setattr(guard, "prove", refused)


def broken_python(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def outcome(path: Path) -> str:
    try:
        shape = OnnxRunner(path).classes(np.zeros((SIZE, SIZE, 3), np.uint8)).shape
    except RssegError as error:
        return f"an error that names {path.name}" if path.name in error.message else error.message
    return "a class map" if shape == (SIZE, SIZE) else str(shape)


def test_what_was_exported_runs_without_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_process(monkeypatch)
    assert OnnxRunner(saved(tmp_path, sealed(described()))).num_classes == 2


def test_a_file_without_a_seal_is_tried_first_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, described().replace(b"rsseg_tf_seal", b"rsseg_tf_sold"))
    assert OnnxRunner(path).num_classes == 2
    no_process(monkeypatch)
    assert OnnxRunner(path).num_classes == 2


def test_a_file_of_open_size_is_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(described().replace(b"rsseg_tf_seal", b"rsseg_tf_sold"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(ModelError, match="has no fixed size"):
        OnnxRunner(saved(tmp_path, model.SerializeToString()))


def test_a_file_that_crashes_the_runtime_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, described().replace(b"rsseg_tf_seal", b"rsseg_tf_sold"))
    broken_python(tmp_path, monkeypatch, "kill -SEGV $$")
    with pytest.raises(ModelError, match=r"model\.onnx. crashes onnxruntime"):
        OnnxRunner(path)


def test_a_file_that_never_comes_back_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, described().replace(b"rsseg_tf_seal", b"rsseg_tf_sold"))
    broken_python(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(guard, "TIMEOUT_S", 0.1)
    with pytest.raises(ModelError, match="did not run once"):
        OnnxRunner(path)


def test_no_damage_to_an_exported_file_reaches_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flipped bit and every cut is an error, or makes a file without a seal, which is tried apart."""
    whole = sealed(described())
    no_process(monkeypatch)
    rng = np.random.default_rng(0)
    for number in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        for kind, content in (("flip", bytes(damaged)), ("cut", whole[: int(rng.integers(len(whole)))])):
            path = saved(tmp_path, content, f"{kind}-{number}.onnx")
            with pytest.raises(RssegError, match=path.name):
                OnnxRunner(path)


def test_flipped_bits_end_in_an_error_or_a_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    unsealed = described().replace(b"rsseg_tf_seal", b"rsseg_tf_sold")
    for number in range(6):
        damaged = bytearray(unsealed)
        damaged[rng.integers(len(damaged) // 3)] ^= 1 << int(rng.integers(8))
        path = saved(tmp_path, bytes(damaged), f"{number}.onnx")
        assert outcome(path) in ("a class map", f"an error that names {path.name}")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed")
def test_a_foreign_tflite_file_is_tried_in_openvino_first(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_process(monkeypatch)
    TFLiteRunner(models / "sealed.tflite", runtime="openvino")
    foreign = tmp_path / "foreign.tflite"  # which nothing tried before
    foreign.write_bytes((models / "int8.tflite").read_bytes())
    with pytest.raises(ModelError, match="crashes openvino"):
        TFLiteRunner(foreign, runtime="openvino")


def test_a_seal_is_over_every_byte() -> None:
    content = sealed(described())
    assert is_sealed(content)
    assert sealed(content) == content
    assert not is_sealed(b"nothing")
    with pytest.raises(ModelError, match="no place"):
        sealed(b"nothing")


def test_inspect_says_that_it_takes_other_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(saved(tmp_path, sealed(described())))]) == 2
    assert "is an ONNX file, which inspect does not take apart" in capsys.readouterr().err
