"""The job of `rsseg-tf demo`: the whole main job on generated scenes, and what each step of it cost and gained."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.config import Config, dump_yaml, load_config, same_settings
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.color_baseline import ColorBaseline
from rsseg_tf.errors import ConfigError
from rsseg_tf.evaluation.scoring import evaluate
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.metrics import ConfusionMatrix
from rsseg_tf.number_formats import FormatName
from rsseg_tf.report.headline import Offer, best_trade, in_words
from rsseg_tf.report.pictures.overlays import Panel, write_overlay_page
from rsseg_tf.report.tables import Column, Table
from rsseg_tf.run_folder import holds_nothing
from rsseg_tf.runs import CONFIG, read_manifest, write_json
from rsseg_tf.steps.export import export
from rsseg_tf.steps.fit import MODEL, fit
from rsseg_tf.steps.inspect_keras import inspect_keras
from rsseg_tf.steps.prune import prune
from rsseg_tf.text import text_table
from rsseg_tf.tflite.flatbuffer import read_model

RESULT = "demo.json"
_UNFINISHED = {"unfinished": True}
PAGE = "index.html"

_MODELS: tuple[tuple[str, str, FormatName], ...] = (
    ("dense", "dense", "float32"),
    ("pruned", "pruned", "float32"),
    ("int8", "dense", "int8"),
    ("pruned_int8", "pruned", "int8"),
    ("light_int8", "light", "int8"),
)
"""Row of the table, run folder, number format."""

_FAIRNESS = (
    "The pruned network was trained for longer, with the dense one as its teacher: prune.control=both would tell."
)

_RUNS = tuple(dict.fromkeys(run for _, run, _ in _MODELS))


@dataclass(frozen=True)
class DemoRow:
    """One model of the demo's table.

    Attributes:
        name: `dense`, `pruned`, `int8`, `pruned_int8` or `light_int8`.
        miou: on the test scenes, 0 to 1.
        accuracy: share of test pixels with the right class.
        boundary_f1: mean over the classes.
        params: parameters of the Keras model.
        macs: multiply-accumulates of one run.
        file_bytes: size of the `.tflite`.
        latency_p50_ms: median time in the interpreter, one thread.
    """

    name: str
    miou: float
    accuracy: float
    boundary_f1: float
    params: int
    macs: int
    file_bytes: int
    latency_p50_ms: float


def demo_config(*more: str) -> Config:
    """Return settings, with more of them, that finish the whole job in minutes on two cores.

    Whole scenes at 256×256: smaller windows save little, since the dilated convolutions of the ASPP pad their input
    by more than its size. Scenes cost less to draw than to train on, so there are as many as training draws.
    Few and long epochs, since each ends in a state of 260 MB on the disk: right after an installation, with
    gigabytes still to be written, that has taken 20 s.
    """
    overrides = (
        "data.name=scenes",
        "data.input_size=[256, 256]",
        "data.fitting=resize",
        "data.scenes.train=600",
        "data.scenes.val=8",
        "data.scenes.test=24",
        "data.scenes.size=256",
        *_recipe("fit", epochs=2, steps_per_epoch=75, learning_rate=2e-3),
        *_recipe("prune.retrain", epochs=1, steps_per_epoch=40, learning_rate=1e-3),
        "prune.loops=60",
        "prune.batches=1",
        "prune.macs=0.48",
        "prune.recalibration_batches=8",
        "export.calibration_samples=16",
        "export.check_samples=8",
        "export.max_drop=5",
        "evaluate.overlap=0",
        *more,
    )
    return load_config(overrides=overrides)


def light_config() -> Config:
    """Return the demo's settings for a network that is light to begin with, trained for as many steps.

    ResNet-18 of half the width with separable heads: an eighth of the multiply-accumulates. A teacher would take longer
    than the network itself, which gains more by as many seconds of steps.
    """
    widths = ("width=0.5", "aspp_width=128", "low_level_width=24", "decoder_width=128")
    return demo_config(*(f"model.{setting}" for setting in ("aspp=separable", "decoder=separable", *widths)))


def _recipe(section: str, *, epochs: int, steps_per_epoch: int, learning_rate: float) -> list[str]:
    settings = {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "batch_size": 4,
        "learning_rate": learning_rate,
        "optimizer": "adamw",
        "schedule": "cosine",
        "weight_decay": 0.01,
        "l2": 0,
        "warmup_steps": 10,
        "ema": 0.95,
        "validate_every": 5,
        "precision": "auto",
        "augment.flip_vertical": "true",
        "augment.translate_px": 0,
    }
    return [f"{section}.{key}={value}" for key, value in settings.items()]


def demo(folder: Path, *, overwrite: bool = False) -> Mapping[str, Any]:
    """Train, prune, quantize, score and time on generated scenes; leave everything in `folder`.

    The same call on the folder of a killed demo resumes at the step that was interrupted.

    Args:
        folder: of the demo.
        overwrite: replace a finished demo in `folder`.

    Returns:
        `rows` (see `DemoRow`), `baseline_miou` (a per-pixel color classifier), `page` (path) and
        `seconds` of this call.

    Raises:
        ConfigError: if `folder` holds a finished demo and `overwrite` is off.
        CheckFailedError: if an exported file is not what its type promises.
    """
    started = time.monotonic()
    config = demo_config()
    dataset = open_dataset(config.data, seed=config.seed)
    again = _is_finished(folder, overwrite=overwrite)
    if not again:
        write_json(folder / RESULT, _UNFINISHED)
    if again or not _is_done(folder / "dense", config):
        fit(config, folder / "dense", overwrite=overwrite)
    if again or not _is_done(folder / "pruned", config):
        prune(folder / "dense" / MODEL, config, folder / "pruned", overwrite=overwrite)
    light = light_config()
    if again or not _is_done(folder / "light", light):
        fit(light, folder / "light", overwrite=overwrite)
    files = [_exported(folder, config, run=run, number_format=kind) for _, run, kind in _MODELS]
    latencies = {Path(result.model): result.p50_ms for result in benchmark(files, repeats=30)}
    costs = {run: inspect_keras(folder / run / MODEL) for run in _RUNS}
    rows = [
        _row(name, file, dataset, cost=costs[run], latency_p50_ms=latencies[file])
        for (name, run, _), file in zip(_MODELS, files, strict=True)
    ]
    _write_page(folder / PAGE, dataset, files, rows)
    result = {
        "rows": [asdict(row) for row in rows],
        "baseline_miou": color_baseline_miou(dataset),
        "page": str(folder / PAGE),
        "seconds": time.monotonic() - started,
    }
    write_json(folder / RESULT, result)
    return result


def _is_finished(folder: Path, *, overwrite: bool) -> bool:
    """Return whether a finished demo lies there, which is to be replaced; what is no demo's is never written to."""
    try:
        held = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        held = None
    is_finished = isinstance(held, dict) and "rows" in held
    if folder.exists() and not is_finished and held != _UNFINISHED and not holds_nothing(folder):
        raise ConfigError(f"`{folder}` holds files that are no demo's", hint="choose another --out")
    if is_finished and not overwrite:
        raise ConfigError(
            f"`{folder}` holds a finished demo", hint="choose another --out, or --overwrite to replace it"
        )
    return is_finished


def _is_done(run: Path, config: Config) -> bool:
    """Return whether a finished run of these settings lies there; what they were made of stands in comments."""
    if read_manifest(run) is None:
        return False
    text = (run / CONFIG).read_text(encoding="utf-8")
    return same_settings("\n".join(line for line in text.splitlines() if not line.startswith("#")), dump_yaml(config))


def _exported(folder: Path, config: Config, *, run: str, number_format: FormatName) -> Path:
    out = folder / f"{run}_{number_format}.tflite"
    settings = replace(config.export, type=number_format)
    export(folder / run / MODEL, replace(config, export=settings), out)
    return out


def _row(name: str, file: Path, dataset: Dataset, *, cost: Mapping[str, Any], latency_p50_ms: float) -> DemoRow:
    scores = evaluate(open_predictor(file, threads=2), dataset, "test")
    return DemoRow(
        name=name,
        miou=scores.miou,
        accuracy=scores.accuracy,
        boundary_f1=scores.boundary_f1,
        params=cost["params"],
        macs=read_model(file).macs,
        file_bytes=file.stat().st_size,
        latency_p50_ms=latency_p50_ms,
    )


def color_baseline_miou(dataset: Dataset) -> float:
    """Return the mean IoU on the test split of a classifier that knows nothing but a pixel's color."""
    num_classes = len(dataset.palette.names)
    baseline = ColorBaseline()
    baseline.fit((dataset.read(sample) for sample in dataset.samples("train")), num_classes)
    confusion = ConfusionMatrix(num_classes)
    for sample in dataset.samples("test"):
        image, mask = dataset.read(sample)
        confusion.update(mask, baseline.predict(image))
    return float(confusion.miou)


def format_demo(result: Mapping[str, Any]) -> str:
    """Return the demo's table as text."""
    dense = result["rows"][0]
    rows = [(f"{'model':<12}", "mIoU %", "params M", "GMACs", f"{'MB':>5}", "ms (p50)", "speed")]
    for row in result["rows"]:
        figures = (100 * row["miou"], row["params"] / 1e6, row["macs"] / 1e9, row["file_bytes"] / 1e6)
        times = (f"{row['latency_p50_ms']:.2f}", f"{dense['latency_p50_ms'] / row['latency_p50_ms']:.1f}×")
        rows.append((row["name"], *(f"{figure:.2f}" for figure in figures), *times))
    return (
        f"{text_table(rows)}\nper-pixel color classifier: mIoU {100 * result['baseline_miou']:.2f} %\n"
        f"{_FAIRNESS}\n"
        f"{result['seconds']:.0f} s; overlays: {result['page']}"
    )


def _write_page(page: Path, dataset: Dataset, files: Sequence[Path], rows: Sequence[DemoRow]) -> None:
    predictors = [open_predictor(file, threads=2) for file in files]
    panels = []
    for sample in dataset.samples("test")[:6]:
        image, mask = dataset.read(sample)
        predictions = {row.name: one.predict(image) for row, one in zip(rows, predictors, strict=True)}
        panels.append(Panel(sample.name, image, mask, predictions))
    title, table = "rsseg-tf demo: generated scenes", _table(rows)
    write_overlay_page(page, panels, dataset.palette, title=title, summary=_summary(rows), table=table)


def _summary(rows: Sequence[DemoRow]) -> list[str]:
    """Return what the best trade is worth."""
    base, *others = (Offer(row.name, row.file_bytes, row.latency_p50_ms, 100 * row.miou) for row in rows)
    best = best_trade(base, others)
    return [in_words(base, best)] if best else []


def _table(rows: Sequence[DemoRow]) -> Table:
    dense = rows[0]
    values = tuple(
        (
            *(row.name, 100 * row.miou, 100 * row.accuracy, 100 * row.boundary_f1, row.params / 1e6, row.macs / 1e9),
            *(row.file_bytes / 1e6, row.latency_p50_ms, dense.latency_p50_ms / row.latency_p50_ms),
        )
        for row in rows
    )
    heads = (
        *("model", "mIoU, %", "accuracy, %", "boundary F1, %", "parameters, M", "multiply-accumulates, G"),
        *("file, MB", "latency p50, ms", "times faster"),
    )
    return Table("demo", "Models", tuple(map(Column, heads)), values, _FAIRNESS)
