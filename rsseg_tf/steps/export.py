"""The job of `rsseg-tf export-tflite`: a `.keras` in, a proven `.tflite` that describes itself out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import to_dict
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.edge import edgetpu
from rsseg_tf.edge.metadata import ModelMetadata, embed_metadata
from rsseg_tf.edge.predict import usual_overlap
from rsseg_tf.edge.runner import TFLiteRunner
from rsseg_tf.models.pretrained import load_keras_model
from rsseg_tf.quantization import agreement, proof
from rsseg_tf.quantization.calibration import Calibration, Candidate, choose_calibration
from rsseg_tf.quantization.convert import convert
from rsseg_tf.runs import atomic_path, file_hash, git_state, package_versions, write_json
from rsseg_tf.settings import AugmentConfig, Config
from rsseg_tf.steps.edgetpu_variant import for_target
from rsseg_tf.steps.keras_predictor import check_model, model_infer
from rsseg_tf.steps.qat import qat_flatbuffer
from rsseg_tf.steps.training_data import windows_of

_AS_IT_IS = AugmentConfig(flip_horizontal=False, translate_px=0)
_CANDIDATES_PER_SAMPLE = 4


def export(model_path: Path, config: Config, out: Path) -> Mapping[str, Any]:
    """Write the model in `model_path` as the TFLite file `out`, which appears only once it has been proven.

    Beside it lies `{out}.json`: the result, what it was made from, and the windows it was calibrated on.

    Returns:
        `model` (path), `type`, `head`, `file_bytes`, `proof`, `agreement`, `calibration`; `recovered`: None, or
        where `export.recover` had the file trained, the agreement of the plain `int8` one and the points won back;
        and `edgetpu`: the lint for that target, else None.

    Raises:
        CheckFailedError: the file is not what its type promises, does not map to its target, or loses too much
            accuracy.
        RssegError: of any other kind where settings, data or model are at fault.
    """
    dataset = open_dataset(config.data, seed=config.seed)
    model = load_keras_model(model_path)
    check_model(model, dataset.palette, size=config.data.input_size)
    config = replace(config, export=for_target(config.export, model))
    calibration = calibration_of(dataset, config) if config.export.type in ("int8", "int8-qat") else None
    metadata = _metadata(dataset, config, model, model_path=model_path, calibration=calibration)
    with atomic_path(out) as temporary:

        def attempt(kind: str) -> tuple[proof.Proof, agreement.Agreement]:
            flatbuffer = _flatbuffer(kind, model, dataset, config, calibration=calibration)
            notes = {**metadata.notes, "type": kind}
            temporary.write_bytes(embed_metadata(flatbuffer, replace(metadata, notes=notes)))
            facts = proof.prove(temporary, layer_names=[layer.name for layer in model.layers])
            proof.require(facts, kind.removesuffix("-qat"), path=out)
            return facts, _compared(model, temporary, dataset, config)

        kind, lost = config.export.type, None
        facts, compared = attempt(kind)
        if kind == "int8" and config.export.recover == "qat" and compared.drop > config.export.max_drop:
            kind, lost = "int8-qat", compared
            facts, compared = attempt(kind)
        mapped = edgetpu.require_mapped(temporary, out=out) if config.export.target == "edgetpu" else None
        agreement.require(compared, max_drop=config.export.max_drop)
    result = {
        "model": str(out),
        "type": kind,
        "head": config.export.head,
        "file_bytes": out.stat().st_size,
        "proof": facts.record(),
        "agreement": compared.record(),
        "calibration": calibration.record() if calibration else None,
        "edgetpu": mapped.record() if mapped else None,
        "recovered": {"int8": lost.record(), "won_back": lost.drop - compared.drop} if lost else None,
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


def _flatbuffer(
    kind: str, model: keras.Model, dataset: Dataset, config: Config, *, calibration: Calibration | None
) -> bytes:
    if kind == "int8-qat" and calibration is not None:
        return qat_flatbuffer(model, dataset, config, calibration)
    images = calibration.images if calibration else ()
    return convert(model, number_format=kind, head=config.export.head, calibration=images)


def calibration_of(dataset: Dataset, config: Config) -> Calibration:
    """Training windows to measure ranges on, drawn as inference sees them: without augmentation."""
    candidates = [
        Candidate(name, image, mask)
        for name, image, mask in _windows(
            dataset, config, "train", count=_CANDIDATES_PER_SAMPLE * config.export.calibration_samples
        )
    ]
    return choose_calibration(
        candidates,
        count=config.export.calibration_samples,
        num_classes=len(dataset.palette.names),
        seed=config.seed,
    )


def _windows(
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
    windows = _windows(dataset, config, "val", count=config.export.check_samples)
    return agreement.compare(
        ((image, mask) for _, image, mask in windows),
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
        notes={"type": config.export.type, "calibration": calibration.record() if calibration else None},
    )
