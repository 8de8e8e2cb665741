"""The job of `rsseg-tf ablate`: backbone × pruning × quantization over several seeds, as the paper's Table II."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from rsseg_tf.config import dump_yaml
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.edge.bench import benchmark
from rsseg_tf.edge.compare import compared
from rsseg_tf.edge.evaluate import Evaluation, evaluate_all
from rsseg_tf.edge.predict import open_predictor
from rsseg_tf.errors import ConfigError
from rsseg_tf.models.backbones import find_backbone
from rsseg_tf.report.results import ablation_table
from rsseg_tf.report.sources import ABLATION
from rsseg_tf.runs import CONFIG, file_hash, git_state, package_versions, read_manifest, write_json, write_text
from rsseg_tf.settings import Config
from rsseg_tf.steps.export import export
from rsseg_tf.steps.fit import MODEL, fit
from rsseg_tf.steps.prune import prune

EVALUATION = "evaluation.json"
BENCHMARK = "benchmark.json"

_NO_GATE = 100.0
"""Points that a file may lose: an ablation measures the drop and does not judge it."""


@dataclass(frozen=True)
class Extent:
    """How far an ablation goes; a larger one goes on with what a smaller one left.

    Attributes:
        backbones: see `rsseg_tf.models.backbones.find_backbone`.
        repeats: seeds of each, from `seed` of the settings upwards.
        split: what the models are scored on.
    """

    backbones: tuple[str, ...] = ("resnet18", "resnet50")
    repeats: int = 5
    split: str = "test"


def ablate(config: Config, folder: Path, extent: Extent, *, announce: Callable[[str], None]) -> Mapping[str, Any]:
    """Train, prune, quantize and score every backbone with every seed, and leave everything in `folder`.

    A repeat has the folder `{backbone}/seed{n}`: the runs `dense` and `pruned`, which share their dense model,
    a float and an int8 file of each, and their scores on the same images. `ablation.json` is renewed after each. The
    same call goes on after a kill; all repeats train and are scored on the same data.

    Args:
        config: settings of all repeats.
        folder: of the ablation.
        extent: what to repeat, and how often.
        announce: called with a line about what begins.

    Returns:
        `data`, `split`, `backbones`, `repeats`, `cells` (a model with one seed each: `backbone`, `seed`, `pruned`,
        `quantized`, `accuracy`, `miou`, `boundary_f1`, `iou`, `params`, `macs`, `file_bytes`), `versions` and `git`.

    Raises:
        ConfigError: the folder holds an ablation with other settings, or something else; an unknown backbone.
    """
    for name in extent.backbones:
        find_backbone(name)  # an unknown one is an error before anything is trained
    fixed = _with_fixed_data(config)
    open_dataset(fixed.data, seed=fixed.seed).samples(extent.split)  # an error before anything is trained
    _claim(folder, dump_yaml(fixed))
    cells: list[dict[str, Any]] = []
    result = _result(fixed, extent, cells)
    for repeat in range(extent.repeats):
        for backbone in extent.backbones:
            seed = fixed.seed + repeat
            settings = replace(fixed, seed=seed, model=replace(fixed.model, backbone=backbone))
            cells += _repeat(settings, folder / backbone / f"seed{seed}", extent, announce)
            write_json(folder / ABLATION, result)
            keras.backend.clear_session()
    _measure_latency(folder, fixed, extent, announce)
    return result


def format_ablation(result: Mapping[str, Any]) -> str:
    """The ablation's table as Markdown."""
    return ablation_table(result).to_markdown()


def _with_fixed_data(config: Config) -> Config:
    """The settings with scenes that do not change with the seed of a repeat."""
    scenes = config.data.scenes
    if scenes.seed >= 0:
        return config
    return replace(config, data=replace(config.data, scenes=replace(scenes, seed=config.seed)))


def _claim(folder: Path, config_text: str) -> None:
    """Make the folder ready, or find it left by the same settings."""
    path = folder / CONFIG
    if path.is_file() and path.read_text(encoding="utf-8") != config_text:
        raise ConfigError(f"`{folder}` holds a run or an ablation with other settings", hint="choose another --out")
    if not path.is_file() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"`{folder}` exists and is no ablation", hint="choose another --out")
    if read_manifest(folder) is not None:
        raise ConfigError(f"`{folder}` holds a finished run", hint="choose another --out")
    write_text(path, config_text)


def _result(config: Config, extent: Extent, cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": config.data.name,
        "split": extent.split,
        "backbones": list(extent.backbones),
        "repeats": extent.repeats,
        "cells": cells,
        "versions": package_versions(),
        "git": git_state(),
    }


def _repeat(config: Config, folder: Path, extent: Extent, announce: Callable[[str], None]) -> list[dict[str, Any]]:
    """The four models of one backbone and seed."""
    if read_manifest(folder / "dense") is None:
        announce(f"{folder}: train")
        fit(config, folder / "dense")
    if read_manifest(folder / "pruned") is None:
        announce(f"{folder}: prune and retrain")
        prune(folder / "dense" / MODEL, config, folder / "pruned")
    for run, number_format in _variants(config):
        out = _file(folder, run, number_format)
        if not out.with_name(f"{out.name}.json").is_file():
            announce(f"{folder}: export {out.name}")
            wanted = replace(config.export, type=number_format, max_drop=_NO_GATE)  # type: ignore[arg-type]
            export(folder / run / MODEL, replace(config, export=wanted), out)
    if not (folder / EVALUATION).is_file():
        announce(f"{folder}: score")
        _score(config, folder, extent.split)
    scored = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))["models"]
    if scored[0]["split"] != extent.split:
        raise ConfigError(
            f"`{folder}` was scored on `{scored[0]['split']}`, not on `{extent.split}`",
            hint=f"remove its {EVALUATION} to score it again",
        )
    pairs = zip(_variants(config), scored, strict=True)
    return [_cell(config, folder, run=run, number_format=kind, scores=scores) for (run, kind), scores in pairs]


def _variants(config: Config) -> list[tuple[str, str]]:
    """Run and number format of the four models, in the order of the paper's Table II."""
    quantized = config.export.type if config.export.type.startswith("int") else "int8"
    return [("dense", "float32"), ("pruned", "float32"), ("dense", quantized), ("pruned", quantized)]


def _file(folder: Path, run: str, number_format: str) -> Path:
    return folder / f"{run}_{number_format}.tflite"


def _score(config: Config, folder: Path, split: str) -> None:
    files = [_file(folder, *variant) for variant in _variants(config)]
    dataset = open_dataset(config.data, seed=config.seed)
    predictors = [open_predictor(file, threads=2) for file in files]
    evaluations: Sequence[Evaluation] = evaluate_all(predictors, dataset, split, settings=config.evaluate)
    result = compared([file.name for file in files], evaluations).to_dict()
    for file, scores in zip(files, result["models"], strict=True):
        scores["sha256"] = file_hash(file)
    write_json(folder / EVALUATION, result)


def _cell(config: Config, folder: Path, *, run: str, number_format: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    manifest = read_manifest(folder / run) or {}
    return {
        "backbone": config.model.backbone,
        "seed": config.seed,
        "pruned": run == "pruned",
        "quantized": number_format != "float32",
        **{key: scores[key] for key in ("accuracy", "miou", "boundary_f1", "iou")},
        **{key: manifest["results"][key] for key in ("params", "macs")},
        "file_bytes": _file(folder, run, number_format).stat().st_size,
    }


def _measure_latency(folder: Path, config: Config, extent: Extent, announce: Callable[[str], None]) -> None:
    """Time the files of the first seed in turns: their latency does not depend on it."""
    path = folder / BENCHMARK
    seed = folder / extent.backbones[0] / f"seed{config.seed}"
    files = [
        _file(folder / backbone / seed.name, *variant) for backbone in extent.backbones for variant in _variants(config)
    ]
    known = json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else []
    if [each["sha256"] for each in known] == [file_hash(file) for file in files]:
        return
    announce(f"{folder}: time {len(files)} files")
    write_json(path, {"results": [result.to_dict() for result in benchmark(files, repeats=30)]})
