from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from rsseg_tf.errors import ConfigError, DataError, ModelError, RssegError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.inference.runtimes import engine
from rsseg_tf.tflite import guard
from rsseg_tf.tflite.metadata import ModelMetadata, embed_metadata
from rsseg_tf.tflite.ports import Normalization
from tests.tflite.networks import CLASSES, METADATA, SIZE, frame, image_model, products_model, tiny_model


def saved(folder: Path, content: bytes, name: str = "model.tflite") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def sealed(folder: Path, kind: str = "int8", head: str = "logits") -> Path:
    """A file that needs no child process to be trusted."""
    metadata = dataclasses.replace(METADATA, head=head)
    return saved(folder, embed_metadata(tiny_model(kind, head), metadata), f"{kind}-{head}.tflite")


def reference(content: bytes, image: np.ndarray) -> np.ndarray:
    """Real-valued scores by the plain interpreter."""
    native = Interpreter(model_content=content)
    native.allocate_tensors()
    (source,), (result,) = native.get_input_details(), native.get_output_details()
    native.set_tensor(source["index"], image[None].astype(source["dtype"]))
    native.invoke()
    scale, zero_point = result["quantization"]
    stored = native.get_tensor(result["index"])[0].astype(np.float64)
    return (stored - zero_point) * scale if scale else stored


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_logits_are_the_interpreter_s_as_real_numbers(tmp_path: Path, kind: str) -> None:
    logits = TFLiteRunner(sealed(tmp_path, kind)).logits(frame())
    assert logits.shape == (SIZE, SIZE, CLASSES)
    assert logits.dtype == np.float32
    assert np.allclose(logits, reference(tiny_model(kind), frame()), atol=1e-6)


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("head", ["logits", "logits-low", "classes"])
def test_classes_are_the_best_logits(tmp_path: Path, kind: str, head: str) -> None:
    runner = TFLiteRunner(sealed(tmp_path, kind, head))
    classes, logits = runner.classes(frame()), runner.logits(frame())
    assert runner.head == head
    assert classes.dtype == np.uint8
    assert classes.shape == (SIZE, SIZE)
    chosen = np.take_along_axis(logits, classes[..., None].astype(int), axis=-1)[..., 0]
    assert np.allclose(chosen, logits.max(-1), atol=1e-5)


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize("head", ["logits", "logits-low", "classes"])
def test_scores_order_the_classes_as_logits_do(tmp_path: Path, kind: str, head: str) -> None:
    runner = TFLiteRunner(sealed(tmp_path, kind, head))
    assert np.array_equal(runner.scores(frame()).argmax(-1), runner.classes(frame()))


def test_low_logits_are_resized_as_the_network_would() -> None:
    import tensorflow as tf

    low = np.random.default_rng(0).normal(size=(8, 8, 5)).astype(np.float32)
    ours = cv2.resize(low, (32, 32), interpolation=cv2.INTER_LINEAR)
    assert np.allclose(ours, tf.image.resize(low, (32, 32), method="bilinear").numpy(), atol=1e-5)


def test_an_argmax_in_the_graph_gives_the_classes_of_the_logits(tmp_path: Path) -> None:
    inside, outside = (TFLiteRunner(sealed(tmp_path, "int8", head)) for head in ("classes", "logits"))
    assert np.array_equal(inside.classes(frame()), outside.classes(frame()))


def test_the_delegate_runs_an_int8_graph_in_one_piece(tmp_path: Path) -> None:
    partitions, outside = TFLiteRunner(sealed(tmp_path)).partitions()
    assert partitions == 1
    assert outside == ["QUANTIZE"]  # uint8 → int8 at the input, which XNNPACK leaves to the interpreter


def test_the_delegate_runs_all_of_a_float_graph(tmp_path: Path) -> None:
    assert TFLiteRunner(sealed(tmp_path, "float32")).partitions() == (1, [])


def test_operators_that_the_delegate_cannot_run_are_named(tmp_path: Path) -> None:
    _, outside = TFLiteRunner(sealed(tmp_path, "float32", "classes")).partitions()
    assert outside == ["ARG_MAX", "CAST"]


def test_the_runner_knows_its_metadata(tmp_path: Path) -> None:
    runner = TFLiteRunner(sealed(tmp_path))
    assert runner.metadata == METADATA
    assert runner.num_classes == CLASSES
    assert runner.input_size == (SIZE, SIZE)


def test_given_metadata_comes_before_that_in_the_file(tmp_path: Path) -> None:
    other = dataclasses.replace(METADATA, fitting="resize")
    assert TFLiteRunner(sealed(tmp_path), metadata=other).metadata == other


def test_metadata_with_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    wrong = ModelMetadata(class_names=("a",), class_colors=((1, 2, 3),), input_size=(SIZE, SIZE))
    with pytest.raises(ModelError, match="4 classes but its metadata names 1"):
        TFLiteRunner(sealed(tmp_path), metadata=wrong)


def test_class_ids_without_metadata_do_not_say_how_many_there_are(tmp_path: Path) -> None:
    runner = TFLiteRunner(saved(tmp_path, tiny_model("int8", "classes")))
    assert runner.classes(frame()).shape == (SIZE, SIZE)
    with pytest.raises(ModelError, match="how many classes"):
        _ = runner.num_classes


@pytest.mark.parametrize("image", [frame(0, SIZE, SIZE + 1), frame().astype(np.float32), frame()[..., :2]])
def test_images_that_do_not_fit_are_refused(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(DataError, match="takes uint8 images of shape"):
        TFLiteRunner(sealed(tmp_path)).classes(image)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: image_model(17), "expected one image"),
        (lambda: image_model(3, out_size=20), "not a class map"),
        (products_model, "expected"),
        (lambda: b"not a model", "is not a TFLite model"),
        (lambda: tiny_model()[:2000], "damaged or truncated"),
    ],
)
def test_files_that_are_no_segmentation_network_are_refused_by_name(
    tmp_path: Path, content: object, reason: str
) -> None:
    path = saved(tmp_path, content())  # type: ignore[operator]
    with pytest.raises(ModelError, match=reason) as caught:
        TFLiteRunner(path)
    assert str(path) in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite"):
        TFLiteRunner(tmp_path / "none.tflite")


def test_a_missing_delegate_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.so"):
        TFLiteRunner(sealed(tmp_path), delegate=tmp_path / "none.so")


def test_a_sealed_file_is_not_tried_in_a_child_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", _unexpected)
    assert TFLiteRunner(sealed(tmp_path)).num_classes == CLASSES


def test_another_file_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, tiny_model())
    TFLiteRunner(path)
    monkeypatch.setattr(subprocess, "Popen", _unexpected)
    assert TFLiteRunner(path).num_classes == CLASSES


def test_a_sealed_file_that_was_damaged_is_refused(tmp_path: Path) -> None:
    content = bytearray(sealed(tmp_path).read_bytes())
    content[-200] ^= 1
    with pytest.raises(ModelError, match=r"rotten\.tflite. is damaged"):
        TFLiteRunner(saved(tmp_path, bytes(content), "rotten.tflite"))


def test_a_file_that_crashes_the_library_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    path = saved(tmp_path, tiny_model())
    with pytest.raises(ModelError, match=r"model\.tflite. crashes the interpreter"):
        TFLiteRunner(path)


def test_a_file_that_never_comes_back_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(guard, "TIMEOUT_S", 0.1)
    with pytest.raises(ModelError, match="did not run once"):
        TFLiteRunner(saved(tmp_path, tiny_model()))


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_foreign_network_sees_normalized_pixels(tmp_path: Path, kind: str) -> None:
    path = sealed(tmp_path, kind)
    halves = TFLiteRunner(path, normalization=Normalization(mean=10, std=2))
    even = frame() // 4 * 2 + 10
    assert np.array_equal(halves.logits(even), TFLiteRunner(path).logits((even - 10) // 2))


def test_a_standard_deviation_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        Normalization(std=0)


def test_flipped_bits_never_take_the_process_down(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(30):
        damaged = bytearray(tiny_model())
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        path = saved(tmp_path, bytes(damaged), f"{number}.tflite")
        assert _outcome(path) in ("a class map", f"an error that names {path.name}")


@pytest.mark.slow
def test_hundreds_of_flipped_bits_never_take_the_process_down(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(400):
        damaged = bytearray(tiny_model())
        for _ in range(int(rng.integers(1, 4))):
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        path = saved(tmp_path, bytes(damaged), f"{number}.tflite")
        assert _outcome(path) in ("a class map", f"an error that names {path.name}")


def test_a_file_that_computes_another_size_than_it_says_is_an_error(tmp_path: Path) -> None:
    content = bytearray(tiny_model())
    model = schema.Model.GetRootAs(content)
    buffers = [model.Buffers(number).DataAsNumpy() for number in range(model.BuffersLength())]
    (size,) = [each for each in buffers if np.size(each) == 8 and each.tobytes() == np.int32([SIZE, SIZE]).tobytes()]
    size[:4] = np.frombuffer(np.int32(SIZE + 4).tobytes(), np.uint8)  # of the enlargement
    path = saved(tmp_path, bytes(content))
    with pytest.raises(ModelError, match=rf"says that its output is \(1, {SIZE}, .* computes \(1, {SIZE + 4}, "):
        TFLiteRunner(path)


def test_no_damage_to_an_exported_file_reaches_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sealed file every flipped bit and every cut is an error; only what is outside its seal is tried apart."""
    whole = sealed(tmp_path).read_bytes()
    rng = np.random.default_rng(2)
    monkeypatch.setattr(engine, "open_interpreter", _unexpected)
    monkeypatch.setattr(guard, "prove", _refused)
    for number in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        path = saved(tmp_path, bytes(damaged), f"flip-{number}.tflite")
        assert _outcome(path) == f"an error that names {path.name}"
        path = saved(tmp_path, whole[: int(rng.integers(len(whole)))], f"cut-{number}.tflite")
        assert _outcome(path) == f"an error that names {path.name}"


def _refused(*_arguments: object, crash: str, **_options: object) -> None:
    raise ModelError(crash)


def _outcome(path: Path) -> str:
    try:
        classes = TFLiteRunner(path).classes(frame())
    except RssegError as error:
        return f"an error that names {path.name}" if path.name in error.message else error.message
    return "a class map" if classes.shape == (SIZE, SIZE) else f"{classes.shape}"


def _unexpected(*_arguments: object, **_options: object) -> None:
    raise AssertionError("a child process was started")
