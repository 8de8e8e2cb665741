"""The job of `rsseg-tf ranges`: the paper's Figure 1 of a model, and what its power-of-two scheme costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import Config
from rsseg_tf.datasets import Dataset
from rsseg_tf.evaluation.scoring import evaluate, percent
from rsseg_tf.graphs import flatten
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.progress import progress_bar
from rsseg_tf.quantization.paper.folding import fold_batch_norms
from rsseg_tf.quantization.paper.power_of_two import simulate
from rsseg_tf.quantization.paper.ranges import measure
from rsseg_tf.quantization.paper.tensors import KINDS
from rsseg_tf.replaced import replaced, require_replaceable
from rsseg_tf.report.pictures.heatmap import check_matplotlib, write_heatmap
from rsseg_tf.runs import file_hash, git_state, package_versions
from rsseg_tf.steps.shared.data import prepared_dataset
from rsseg_tf.steps.shared.keras_predictor import check_model, keras_predictor
from rsseg_tf.steps.shared.model_classes import numbered_as
from rsseg_tf.steps.shared.windows import calibration_of
from rsseg_tf.text import text_table

_BATCH = 4
_FILES = ("ranges.json", "ranges.png", "ranges.svg")


def ranges(model_path: Path, config: Config, out: Path, *, split: str | None = None) -> Mapping[str, Any]:
    """Write the ranges of the model in `model_path` as `ranges.json`, `ranges.png` and `ranges.svg` in a folder.

    Weights and biases are those after folding the batch norms; activations are logged on the images that an
    int8 export would be calibrated on.

    Args:
        model_path: the `.keras` file.
        config: its settings.
        out: the folder.
        split: score the model, and it in 8-bit powers of two, on this split; None for neither.

    Returns:
        What `ranges.json` holds: `model` (path), `samples`, `layers`, `tensors`, `calibration`, `evaluation`
        (null, or `split`, `float32` and `power_of_two`), `made_from`, `versions`, `git` and `files` (what was
        written).

    Raises:
        RssegError: if settings, data or model are at fault, a file is in the way that no earlier call wrote, or
            matplotlib is missing.
    """
    check_matplotlib()
    require_replaceable(out, _FILES[0], _FILES)
    dataset = numbered_as(model_path, prepared_dataset(config))
    if split is not None:
        dataset.samples(split)  # an unknown split is an error before anything is measured
    model = load_segmenter(model_path, output=config.model.output)
    check_model(model, dataset.palette, size=config.data.input_size, bands=config.data.num_bands)
    folded = fold_batch_norms(flatten(model))
    calibration = calibration_of(dataset, config)
    with progress_bar("log activations") as show:
        found = measure(folded, _batches(calibration.images), progress=lambda done: show(done, len(calibration.images)))
    result = {"model": str(model_path), **found.to_dict(), "calibration": calibration.record(), "evaluation": None}
    if split is not None:
        networks = {"float32": model, "power_of_two": simulate(folded, found)}
        result["evaluation"] = {"split": split, **_scores(networks, dataset, config, split=split)}
    result["made_from"] = {str(model_path): file_hash(model_path), "data:train": dataset.fingerprint("train")}
    result |= {"versions": package_versions(), "git": git_state()}
    result["files"] = list(_FILES)
    with replaced(out, _FILES[0], result):
        write_heatmap(result, [out / name for name in _FILES[1:]])
    return result


def format_ranges(result: Mapping[str, Any]) -> str:
    """Return the result of `ranges` as a text table: of each kind the tensors that lose most, then the scores."""
    rows = [(" " * 12, "tensors", f"{'worst underflow':<44}", "worst overflow")]
    for kind in KINDS:
        tensors = [tensor for tensor in result["tensors"] if tensor["kind"] == kind]
        rows.append((kind, str(len(tensors)), _worst(tensors, "underflow"), _worst(tensors, "overflow")))
    text, scores = text_table(rows, align="<><<"), result["evaluation"]
    if not scores:
        return text
    heads = (scores["split"], " mIoU %", "accuracy %", "  BF1 %")
    return f"{text}\n\n{text_table([heads, *(_score_row(name, scores[name]) for name in ('float32', 'power_of_two'))])}"


def _batches(images: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(images), _BATCH):
        yield np.stack(images[start : start + _BATCH]).astype(np.float32)


def _scores(networks: Mapping[str, keras.Model], dataset: Dataset, config: Config, *, split: str) -> dict[str, Any]:
    scores = {}
    for name, network in networks.items():
        with progress_bar(f"evaluate {name} on {split}") as show:
            predictor = keras_predictor(network, dataset.palette, config)
            scored = evaluate(predictor, dataset, split, settings=config.evaluate, progress=show)
            scores[name] = scored.to_dict()
    return scores


def _worst(tensors: Sequence[Mapping[str, Any]], key: str) -> str:
    worst = max(tensors, key=lambda tensor: tensor[key], default={key: 0})
    return f"{100 * worst[key]:6.2f} %  {worst['name']}" if worst[key] else f"{'none':>6}"


def _score_row(name: str, score: Mapping[str, Any]) -> tuple[str, ...]:
    return name, *(percent(score[key]) for key in ("miou", "accuracy", "boundary_f1"))
