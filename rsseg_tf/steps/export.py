"""The job of `rsseg-tf export-tflite`: a `.keras` in, a proven `.tflite` that describes itself out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import to_dict
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.edge.metadata import ModelMetadata, embed_metadata
from rsseg_tf.edge.predict import usual_overlap
from rsseg_tf.edge.runner import TFLiteRunner
from rsseg_tf.errors import ConfigError
from rsseg_tf.models.pretrained import load_keras_model
from rsseg_tf.quantization import agreement, proof
from rsseg_tf.quantization.calibration import Calibration, Candidate, choose_calibration
from rsseg_tf.quantization.convert import calibrated_model, convert
from rsseg_tf.quantization.repair import ConvertedFile, int8_file
from rsseg_tf.runs import atomic_path, file_hash, git_state, package_versions, write_json
from rsseg_tf.settings import AugmentConfig, Config, ExportConfig
from rsseg_tf.steps.keras_predictor import check_model, model_infer
from rsseg_tf.steps.training_data import windows_of

_AS_IT_IS = AugmentConfig(flip_horizontal=False, translate_px=0)
_CANDIDATES_PER_SAMPLE = 4
_CALIBRATED_TYPES = ("int8", "int16x8")
_ERROR_SAMPLES = 8


def export(model_path: Path, config: Config, out: Path) -> Mapping[str, Any]:
    """Write the model in `model_path` as the TFLite file `out`, which appears only once it has been proven.

    Beside it lies `{out}.json`: the result, what it was made from, and the windows it was calibrated on.

    Returns:
        `model` (path), `type`, `head`, `file_bytes`, `proof`, `agreement`, `calibration`, `keep_float` (layers) and
        `layer_errors`, worst first, if `export.layer_error` asks for them.

    Raises:
        CheckFailedError: the file is not what its type promises, or loses too much accuracy.
        RssegError: of any other kind where settings, data or model are at fault.
    """
    _check_settings(config.export)
    dataset = open_dataset(config.data, seed=config.seed)
    model = load_keras_model(model_path)
    check_model(model, dataset.palette, size=config.data.input_size)
    calibration = calibration_of(dataset, config) if config.export.type in _CALIBRATED_TYPES else None
    made = _made(model, config, calibration)
    metadata = _metadata(dataset, config, model, model_path=model_path, calibration=calibration)
    with atomic_path(out) as temporary:
        temporary.write_bytes(embed_metadata(made.content, metadata))
        facts = proof.prove(temporary, layer_names=[layer.name for layer in model.layers])
        proof.require(facts, config.export.type, path=out, keep_float=made.keep_float)
        compared = _compared(model, temporary, dataset, config)
        agreement.require(compared, max_drop=config.export.max_drop)
    result = {
        "model": str(out),
        "type": config.export.type,
        "head": config.export.head,
        "file_bytes": out.stat().st_size,
        "proof": facts.record(),
        "agreement": compared.record(),
        "calibration": _calibration_record(calibration, config),
        "keep_float": made.float_layers,
        "layer_errors": [error.record() for error in made.errors] if config.export.layer_error else [],
    }
    record = {
        "sha256": file_hash(out),
        "made_from": {str(model_path): metadata.hashes["model"], "data:train": metadata.hashes["data"]},
        "calibration_windows": calibration.names if calibration else [],
        "settings": to_dict(config),
        "versions": package_versions(),
        "git": git_state(),
    }
    write_json(out.with_name(f"{out.name}.json"), {**result, **record})
    return result


def _check_settings(settings: ExportConfig) -> None:
    for name in ("keep_float", "layer_error", "equalize", "bias_correction"):
        if getattr(settings, name) and settings.type != "int8":
            raise ConfigError(f"`export.{name}` is for int8 files, the type is `{settings.type}`")


def _made(model: keras.Model, config: Config, calibration: Calibration | None) -> ConvertedFile:
    """The file as the converter made it; of types other than int8 there is nothing to say but its bytes."""
    wanted = config.export
    images = calibration.images if calibration else ()
    if wanted.type != "int8":
        method = wanted.calibration_method
        return ConvertedFile(
            convert(model, number_format=wanted.type, head=wanted.head, calibration=images, method=method)
        )
    measured = wanted.layer_error or wanted.keep_float
    return int8_file(
        calibrated_model(
            model,
            head=wanted.head,
            calibration=images,
            method=wanted.calibration_method,
            equalize=wanted.equalize,
        ),
        head=wanted.head,
        images=images[:_ERROR_SAMPLES] if measured else (),
        layer_names=[layer.name for layer in model.layers],
        keep_float=wanted.keep_float,
        correct_on=images if wanted.bias_correction else (),
    )


def _calibration_record(calibration: Calibration | None, config: Config) -> dict[str, Any] | None:
    return {**calibration.record(), "method": config.export.calibration_method} if calibration else None


def calibration_of(dataset: Dataset, config: Config) -> Calibration:
    """Training windows, drawn as inference sees them: without augmentation."""
    candidates = [
        Candidate(name, image, mask)
        for name, image, mask in windows(
            dataset, config, "train", count=_CANDIDATES_PER_SAMPLE * config.export.calibration_samples
        )
    ]
    return choose_calibration(
        candidates,
        count=config.export.calibration_samples,
        num_classes=len(dataset.palette.names),
        seed=config.seed,
    )


def windows(
    dataset: Dataset, config: Config, split: str, *, count: int
) -> list[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
    """At most `count` windows of a split, seeded, each pair giving as many as its area is worth."""
    source = windows_of(dataset, config, _AS_IT_IS, split=split)
    samples = dataset.samples(split)
    pool = np.repeat(np.arange(source.count), source.windows_per_pair())
    order = np.random.default_rng(config.seed).permutation(pool)[:count]
    return [
        (f"{samples[index].name}#{position}", *source.window(int(index), epoch=0, position=position))
        for position, index in enumerate(order)
    ]


def _compared(model: keras.Model, path: Path, dataset: Dataset, config: Config) -> agreement.Agreement:
    infer, runner = model_infer(model), TFLiteRunner(path)
    pairs = windows(dataset, config, "val", count=config.export.check_samples)
    return agreement.compare(
        ((image, mask) for _, image, mask in pairs),
        keras_classes=lambda image: infer(image[None])[0].argmax(axis=-1).astype(np.uint8),
        tflite_classes=runner.classes,
        num_classes=len(dataset.palette.names),
    )


def _metadata(
    dataset: Dataset, config: Config, model: keras.Model, *, model_path: Path, calibration: Calibration | None
) -> ModelMetadata:
    return ModelMetadata(
        class_names=dataset.palette.names,
        class_colors=dataset.palette.colors,
        input_size=model.input_shape[1:3],
        fitting=config.data.fitting,
        head=config.export.head,
        ground_sampling_distance_m=config.data.ground_sampling_distance_m,
        overlap=usual_overlap(config.evaluate.overlap, model.input_shape[1:3]),
        hashes={"model": file_hash(model_path), "data": dataset.fingerprint("train")},
        versions=package_versions(),
        notes={"type": config.export.type, "calibration": _calibration_record(calibration, config)},
    )
