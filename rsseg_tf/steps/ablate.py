"""The job of `rsseg-tf ablate`: backbone × pruning × quantization over several seeds, as the paper's Table II."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.config import Config
from rsseg_tf.config.export import as_type
from rsseg_tf.config.pruning import Control
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.sample import require_masks
from rsseg_tf.errors import ConfigError
from rsseg_tf.evaluation.by_class import class_differences, difference_facts
from rsseg_tf.evaluation.comparison import compared
from rsseg_tf.evaluation.counting import ImageCounts
from rsseg_tf.evaluation.scoring import Evaluation, evaluate_all
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.metrics import miou_difference
from rsseg_tf.number_formats import FORMATS, FormatName
from rsseg_tf.report.differences import control_table
from rsseg_tf.report.results import ablation_table
from rsseg_tf.report.sources import ABLATION
from rsseg_tf.runs import file_hash, git_state, package_versions, read_manifest, write_json
from rsseg_tf.steps.ablation.folder import check_folder, check_inputs, inputs_of, repeat_folder
from rsseg_tf.steps.ablation.recipes import Extent
from rsseg_tf.steps.control import check_controls, control_folder, train_control
from rsseg_tf.steps.export import export
from rsseg_tf.steps.fit import MODEL, build_model, fit
from rsseg_tf.steps.prune import prune

EVALUATION = "evaluation.json"
BENCHMARK = "benchmark.json"

_NO_GATE = 100.0
"""Points that a file may lose: an ablation measures the drop and does not judge it."""


def ablate(
    recipes: Mapping[str, Config], folder: Path, extent: Extent, *, announce: Callable[[str], None]
) -> Mapping[str, Any]:
    """Train, prune, quantize and score every backbone with every seed, and leave everything in `folder`.

    A repeat has the folder `{network}/seed{n}`: the runs `dense` and `pruned`, which share their dense model, and the
    controls of `pruned`, a float32 file and one of `export.type` of each, and their scores on the same images.
    `ablation.json` is renewed after each. The same call resumes after a kill; all repeats train and are scored on the
    same data.

    Args:
        recipes: from `recipes_of`.
        folder: of the ablation.
        extent: how often to repeat, and what to score on.
        announce: called with a line about what begins.

    Returns:
        `data`, `split`, `backbones`, `repeats`, `inputs` (hashes of images, masks and teachers), `cells` (a model with
        one seed each: `backbone`, `seed`, `pruned`, `quantized`, `accuracy`, `miou`, `boundary_f1`, `iou`, `params`,
        `macs`, `file_bytes`), `versions` and `git`.
        With controls these are cells too, whose `control` says which, and `differences` has for each pruned network
        (`backbone`, `seed`, `quantized`) and each `control` of its seed what `difference_facts` says.

    Raises:
        ConfigError: if the folder holds an ablation with other settings, of other images, masks or teachers, or
            something else, or controls are asked for and nothing is retrained.
        DataError: if the data set has no such split, or one without masks.
        ModelError: if the initial weights of a backbone cannot be fetched.
    """
    first = next(iter(recipes.values()))
    dataset = open_dataset(first.data, seed=first.seed)  # what is wrong is said before anything is trained
    require_masks(dataset.samples(extent.split), extent.split)
    for config in recipes.values():
        check_controls(config.prune, extent.controls(config))
    check_folder(folder, recipes, extent)
    inputs = inputs_of(recipes, folder, extent)
    check_inputs(folder, inputs)
    for name, config in recipes.items():
        if config.model.weights != "none" and not (folder / name).exists():
            build_model(config, dataset.palette)
            keras.backend.clear_session()
    cells: list[dict[str, Any]] = []
    result = {**_result(first.data.name, list(recipes), extent, cells), "inputs": inputs}
    if not (folder / ABLATION).is_file():
        write_json(folder / ABLATION, result)  # says what the folder is
    for repeat in range(extent.repeats):
        for config in recipes.values():
            settings = replace(config, seed=config.seed + repeat)
            cells += _repeat(settings, repeat_folder(folder, settings), extent, announce)
            if controls := extent.controls(settings):
                known = result.setdefault("differences", [])
                known += _differences(settings, repeat_folder(folder, settings), controls)
            write_json(folder / ABLATION, result)
            keras.backend.clear_session()
    _measure_latency(folder, recipes, announce)
    return result


def format_ablation(result: Mapping[str, Any]) -> str:
    """Return the ablation's tables as Markdown."""
    tables = (ablation_table(result), control_table(result))
    return "\n".join(table.to_markdown() for table in tables if table.rows)


def _result(data: str, backbones: list[str], extent: Extent, cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": data,
        "split": extent.split,
        "backbones": backbones,
        "repeats": extent.repeats,
        "cells": cells,
        "versions": package_versions(),
        "git": git_state(),
    }


def _repeat(config: Config, folder: Path, extent: Extent, announce: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the models of one backbone and seed."""
    controls = extent.controls(config)
    if read_manifest(folder / "dense") is None:
        announce(f"{folder}: train")
        fit(config, folder / "dense")
    if read_manifest(folder / "pruned") is None:
        announce(f"{folder}: prune and retrain")
        prune(folder / "dense" / MODEL, replace(config, prune=replace(config.prune, control="none")), folder / "pruned")
    for control in controls:
        out = control_folder(folder, control)
        if read_manifest(out) is None:
            announce(f"{out}: train the dense network on")
            train_control(folder / "dense" / MODEL, config, out, control, loops=_results(folder / "pruned")["loops"])
    variants = _variants(config, controls)
    for run, number_format in variants:
        out = _file(folder, run, number_format)
        if not out.with_name(f"{out.name}.json").is_file():
            announce(f"{folder}: export {out.name}")
            wanted = replace(as_type(config.export, number_format), max_drop=_NO_GATE)
            export(folder / run / MODEL, replace(config, export=wanted), out)
    files = [_file(folder, *variant) for variant in variants]
    scored = _scored(folder)
    if any(file.name not in scored for file in files):
        announce(f"{folder}: score")
        _score(config, folder, files, extent.split)
        scored = _scored(folder)
    if (split := scored[files[0].name]["split"]) != extent.split:
        raise ConfigError(
            f"`{folder}` was scored on `{split}`, not on `{extent.split}`",
            hint=f"remove its {EVALUATION} to score it again",
        )
    pairs = zip(variants, files, strict=True)
    return [_cell(config, folder, run=run, number_format=kind, scores=scored[file.name]) for (run, kind), file in pairs]


def _variants(config: Config, controls: Sequence[Control] = ()) -> list[tuple[str, FormatName]]:
    """Return the run and number format of the models, in the order of the paper's Table II."""
    kinds: tuple[FormatName, ...] = ("float32", config.export.type)
    runs = ("dense", *(control_folder(Path(), each).name for each in controls), "pruned")
    return [(run, kind) for kind in kinds for run in runs]


def _file(folder: Path, run: str, number_format: str) -> Path:
    return folder / f"{run}_{number_format}.tflite"


def _scored(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Return the scores that are known, by the file's name."""
    path = folder / EVALUATION
    models = json.loads(path.read_text(encoding="utf-8"))["models"] if path.is_file() else []
    return {each["model"]: each for each in models}


def _differences(config: Config, folder: Path, controls: Sequence[Control]) -> list[dict[str, Any]]:
    """Return how the pruned networks of one backbone and seed differ from each control."""
    scored, found = _scored(folder), []
    for kind in ("float32", config.export.type):
        pruned = scored[_file(folder, "pruned", kind).name]
        for control in controls:
            base = scored[_file(folder, control_folder(folder, control).name, kind).name]
            counts = [ImageCounts.of(each) for each in (base, pruned)]
            miou = miou_difference(*(each.confusions for each in counts))
            facts = difference_facts(miou, class_differences(pruned["class_names"], *counts))
            place = {"backbone": config.model.network, "seed": config.seed}
            found.append({**place, "quantized": FORMATS[kind].is_quantized, "control": control, **facts})
    return found


def _score(config: Config, folder: Path, files: Sequence[Path], split: str) -> None:
    dataset = open_dataset(config.data, seed=config.seed)
    predictors = [open_predictor(file, threads=2) for file in files]
    evaluations: Sequence[Evaluation] = evaluate_all(predictors, dataset, split, settings=config.evaluate)
    result = compared([file.name for file in files], evaluations).to_dict()
    for file, scores in zip(files, result["models"], strict=True):
        scores["sha256"] = file_hash(file)
    write_json(folder / EVALUATION, result)


def _cell(config: Config, folder: Path, *, run: str, number_format: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    known = _results(folder / run)
    return {
        "backbone": config.model.network,
        "seed": config.seed,
        "pruned": run == "pruned",
        "quantized": FORMATS[number_format].is_quantized,
        **{key: scores[key] for key in ("accuracy", "miou", "boundary_f1", "iou")},
        **{key: known[key] for key in ("params", "macs")},
        "file_bytes": _file(folder, run, number_format).stat().st_size,
        **{key: known[key] for key in ("control",) if key in known},
    }


def _results(run: Path) -> Mapping[str, Any]:
    """Return the figures of a finished run."""
    manifest = read_manifest(run) or {}
    results: Mapping[str, Any] = manifest["results"]
    return results


def _measure_latency(folder: Path, recipes: Mapping[str, Config], announce: Callable[[str], None]) -> None:
    """Time the files of the first seed in turns: their latency does not depend on it."""
    path = folder / BENCHMARK
    files = [
        _file(repeat_folder(folder, config), *variant) for config in recipes.values() for variant in _variants(config)
    ]
    known = json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else []
    if [each["sha256"] for each in known] == [file_hash(file) for file in files]:
        return
    announce(f"{folder}: time {len(files)} files")
    write_json(path, {"results": [result.to_dict() for result in benchmark(files, repeats=30)]})
