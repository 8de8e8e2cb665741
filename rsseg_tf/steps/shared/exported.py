"""What exported files are made from, and what they say of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rsseg_tf.config import Config, ExportConfig, to_dict
from rsseg_tf.config.export import MICRO
from rsseg_tf.datasets import Dataset
from rsseg_tf.inference.predict import usual_overlap
from rsseg_tf.inference.runtimes.opening import Runner
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.quantization.calibration import Calibration
from rsseg_tf.quantization.checks import agreement
from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.ethosu.convolutions import with_cheap_convolutions
from rsseg_tf.quantization.ethosu.enlarging import suited_to_ethosu
from rsseg_tf.quantization.freeze import image_shape
from rsseg_tf.quantization.int8.calibrated import quantize
from rsseg_tf.quantization.micro import in_parts
from rsseg_tf.runs import file_hash, git_state, package_versions
from rsseg_tf.steps.edgetpu_variant import for_target
from rsseg_tf.steps.shared.data import prepared_dataset
from rsseg_tf.steps.shared.keras_predictor import check_model, model_infer
from rsseg_tf.steps.shared.model_classes import numbered_as, pixel_m_of, with_pixel_m
from rsseg_tf.steps.shared.windows import calibration_of, windows
from rsseg_tf.tflite.ethosu import vela
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.graph import TFLiteModel
from rsseg_tf.tflite.metadata import ModelMetadata

_UNCALIBRATED = Calibration((), (), (), sha256="")


@dataclass(frozen=True)
class Source:
    """What a file is made from."""

    model: keras.Model
    path: Path
    dataset: Dataset
    config: Config
    calibration: Calibration

    @property
    def layer_names(self) -> list[str]:
        """Of the model, in topological order."""
        return [layer.name for layer in self.model.layers]

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Of the model's file and of the training data, each read once."""
        return {"model": file_hash(self.path), "data": self.dataset.fingerprint("train")}

    def calibration_record(self, number_format: str) -> dict[str, Any] | None:
        """Return on what the ranges of a format were measured and how, as JSON values; None for one without ranges."""
        wanted, known = self.config.export, FORMATS[number_format]
        if not known.calibration:
            return None
        method = wanted.calibration_method
        rounding = {"rounding": wanted.rounding} if known.can_be_repaired else {}
        kept = method if method in known.calibration else known.calibration[0]
        return {**self.calibration.record(), "method": kept, **rounding}


def open_source(path: Path, config: Config) -> Source:
    """Return the `.keras` file at `path`, with the data that it is calibrated on and compared over.

    Raises:
        RssegError: if settings, data or model are at fault.
    """
    dataset = numbered_as(path, prepared_dataset(config))
    model = load_segmenter(path, output=config.model.output)
    check_model(model, dataset.palette, size=config.data.input_size, bands=config.data.num_bands)
    model, export = _variant(model, config.export)
    config = replace(config, export=export)
    calibration = calibration_of(dataset, config) if FORMATS[config.export.type].calibration else _UNCALIBRATED
    return Source(model, path, dataset, config, calibration)


def int8_graph(model: keras.Model, export: ExportConfig) -> TFLiteModel:
    """Return the graph of the int8 file that these settings make of a model; its numbers are of no use.

    Raises:
        RssegError: if the model cannot be converted, or has no such head.
    """
    model, export = _variant(model, export)
    pixels = np.random.default_rng(0).integers(0, 256, image_shape(model), dtype=np.uint8)
    calibrated = calibrated_model(model, head=export.head, calibration=[pixels])
    content = quantize(calibrated, head=export.head, throughout=export.throughout)
    return parse_model(suited_file(content, export.target, name=model.name), name=model.name)


def suited_file(content: bytes, target: str, *, name: str) -> bytes:
    """Return an int8 file with the same outputs as another, to the byte, in the form that suits a target best.

    Args:
        content: the bytes of the other.
        target: in `export.target`.
        name: what errors call the file.
    """
    if target == MICRO:
        return in_parts(content, name=name)
    return with_cheap_convolutions(content, name=name) if target in vela.USUAL else content


def _variant(model: keras.Model, export: ExportConfig) -> tuple[keras.Model, ExportConfig]:
    """Return the model and the settings with which it is exported for `export.target`."""
    model = suited_to_ethosu(model, export.target) if export.target in vela.USUAL else model
    return model, for_target(export, model)


def agreement_of(source: Source, runner: Runner) -> agreement.Agreement:
    """Return how far what a file sees in windows of val agrees with what the model sees."""
    infer = model_infer(source.model)
    drawn = windows(source.dataset, source.config, "val", count=source.config.export.check_samples)
    return agreement.compare(
        ((image, mask) for _, image, mask in drawn),
        keras_classes=lambda image: infer(image[None])[0].argmax(axis=-1).astype(np.uint8),
        tflite_classes=runner.classes,
        num_classes=len(source.dataset.palette.names),
    )


def source_metadata(source: Source, number_format: str) -> ModelMetadata:
    """Return what a file of `number_format` says about itself."""
    dataset, model = source.dataset, source.model
    config = with_pixel_m(source.config, pixel_m_of(source.path))
    return ModelMetadata(
        class_names=dataset.palette.names,
        class_colors=dataset.palette.colors,
        input_size=model.input_shape[1:3],
        fitting=config.data.fitting,
        head=config.export.head,
        ground_sampling_distance_m=config.data.ground_sampling_distance_m,
        overlap=usual_overlap(config.evaluate.overlap, model.input_shape[1:3]),
        hashes=source.hashes,
        versions=package_versions(),
        notes={"type": number_format, "calibration": source.calibration_record(number_format)},
        layers=tuple(source.layer_names),
        bands=config.data.bands,
        scale=config.data.scale,
    )


def provenance(source: Source, out: Path) -> dict[str, Any]:
    """Return what the record beside a file says of where it comes from, as JSON values."""
    return {
        "sha256": file_hash(out),
        "made_from": {str(source.path): source.hashes["model"], "data:train": source.hashes["data"]},
        "calibration_windows": source.calibration.names,
        "settings": to_dict(source.config),
        "versions": package_versions(),
        "git": git_state(),
    }
