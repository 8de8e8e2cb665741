"""Take one trained model to one budget in several ways, retrain all alike, and compare what comes out.

python tools/compare_pruning.py -c configs/dubai_r18.yaml --model runs/dubai/model.keras \
    --methods ours,ours:taylor-bn/macs,l1-uniform,random,tfmot --out runs/compare 2> compare.log &

Same dense weights, same multiply-accumulates (TFMOT: as many parameters zeroed as the first method removes), same
recalibration, same batches in the same order, same optimizer, same teacher; `--seeds 3` does it three times, with other
batches. Each method's figures are a JSON file in `--out`; the same command resumes where a killed one stopped and does
nothing finished again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from comparison.held import held_figures
from comparison.table import comparison_table, seeds_table

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, overrides_argument, quiet_tensorflow
from rsseg_tf.config import Config, dump_yaml, load_config
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.errors import ConfigError
from rsseg_tf.evaluation.scoring import evaluate
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.runs import CONFIG, atomic_path, file_hash, write_json, write_text

if TYPE_CHECKING:
    import keras
    from comparison.methods import Method

DENSE = "dense"
LATENCY = "latency.json"
_BEFORE = "before.json"


@dataclass(frozen=True)
class Comparison:
    """What all methods share.

    Attributes:
        model_path: the trained `.keras` file.
        config: of its data and of the retraining.
        dataset: images and masks.
        folder: of the results.
    """

    model_path: Path
    config: Config
    dataset: Dataset
    folder: Path

    def fingerprint(self, name: str, config: Config) -> str:
        """Return a hash of everything that the figures of method `name` depend on."""
        text = f"{name}\n{file_hash(self.model_path)}\n{dump_yaml(config)}"
        return hashlib.sha256(text.encode()).hexdigest()


def configured(config: Config, *, macs: float, epochs: int | None, steps: int | None, distill: bool) -> Config:
    """Return `config` with the command line's budget and retraining, and an export that only measures."""
    retrain = config.prune.retrain
    retrain = replace(
        retrain,
        epochs=retrain.epochs if epochs is None else epochs,
        steps_per_epoch=retrain.steps_per_epoch if steps is None else steps,
    )
    distilling = config.prune.distill if distill else replace(config.prune.distill, weight=0.0)
    slimming = replace(config.prune, macs=macs, params=1.0, retrain=retrain, distill=distilling)
    export = replace(config.export, type="int8", max_drop=100.0)
    return replace(config, prune=slimming, export=export)


def compare(comparison: Comparison, methods: Sequence[Method], *, repeats: int) -> list[Mapping[str, Any]]:
    """Return figures of the dense model and of each method, in this order; latencies are taken in turns at the end."""
    rows = [_dense_row(comparison)]
    params_share = None
    for method in methods:
        rows.append(method_row(comparison, method, params_share))
        if params_share is None:
            params_share = rows[-1]["params"] / rows[0]["params"]
    latencies = latencies_ms(comparison.folder, [Path(row["int8_file"]) for row in rows], repeats=repeats)
    return [{**row, "int8_p50_ms": latencies[row["int8_file"]]} for row in rows]


def _dense_row(comparison: Comparison) -> Mapping[str, Any]:
    from rsseg_tf.models.weights.pretrained import load_keras_model

    path = comparison.folder / f"{DENSE}.json"
    fingerprint = comparison.fingerprint(DENSE, comparison.config)
    row = held_figures(path, fingerprint)
    if row is None:
        model = load_keras_model(comparison.model_path)
        scores = _scores(comparison, comparison.config, model)
        row = {"method": DENSE, "before": None, "after": scores, **_size(model)}
        row = {**row, **_int8(comparison, comparison.config, comparison.model_path, DENSE), "fingerprint": fingerprint}
        write_json(path, row)
    return row


def method_row(comparison: Comparison, method: Method, params_share: float | None) -> Mapping[str, Any]:
    """Return the figures of a method, measured now unless its file holds them."""
    config = replace(comparison.config, prune=method.configured(comparison.config.prune))
    path = comparison.folder / f"{method.slug}.json"
    fingerprint = comparison.fingerprint(_identity(method, params_share), config)
    row = held_figures(path, fingerprint)
    if row is None:
        click.echo(f"{method.name}:", err=True)
        folder = work_folder(comparison.folder / method.slug, fingerprint)
        row = measured(comparison, method, config, folder=folder, params_share=params_share)
        row = {**row, "fingerprint": fingerprint}
        write_json(path, row)
    return row


def _identity(method: Method, params_share: float | None) -> str:
    """Return the method's name with what it takes from elsewhere."""
    if method.kind == "tfmot":
        return f"{method.name} {params_share}"
    if method.file is not None:
        if not method.file.is_file():
            raise ConfigError(f"no file `{method.file}`", hint="tools/peers/mct_prune.py writes one")
        return f"{method.name} {file_hash(method.file)}"
    return method.name


def work_folder(folder: Path, fingerprint: str) -> Path:
    """Return the folder of an unfinished method, emptied if it was of other settings."""
    note = folder / CONFIG
    if folder.exists() and (not note.exists() or note.read_text(encoding="utf-8") != fingerprint):
        shutil.rmtree(folder)
    write_text(note, fingerprint)
    return folder


def measured(
    comparison: Comparison, method: Method, config: Config, *, folder: Path, params_share: float | None
) -> dict[str, Any]:
    """Return the figures of a method: pruned, scored, retrained as `rsseg-tf prune` does, exported and scored again."""
    from comparison.methods import Task, make

    from rsseg_tf.steps.fit import MODEL
    from rsseg_tf.steps.shared.retraining import Retraining
    from rsseg_tf.steps.shared.validation import validation
    from rsseg_tf.tracing.precision import use_precision
    from rsseg_tf.training.strategy import open_replicas

    job = Retraining.of(comparison.model_path, config, open_replicas(config.strategy), out=folder)
    use_precision(config.prune.retrain.precision)
    model = make(method, Task(job.dense, config, job.schedule, params_share, kept_file=method.file), folder)
    before = _before(comparison, config, model, folder / _BEFORE)
    score = validation(model, comparison.dataset, config)
    has_teacher = config.prune.distill.weight > 0
    outcome = job.run(model, score, folder=folder, title="retrain", has_teacher=has_teacher, start=before["val"])
    with atomic_path(folder / MODEL) as temporary:
        model.save(temporary)
    after = _scores(comparison, config, model)
    best = {"best_epoch": outcome.best_epoch, "averaged": outcome.is_average}
    row = {"method": method.name, "before": before, "after": after, **best, **_size(model)}
    return {**row, **_int8(comparison, config, folder / MODEL, method.slug)}


def _before(comparison: Comparison, config: Config, model: keras.Model, path: Path) -> Mapping[str, float]:
    """Return scores before the retraining, kept in `path` since a later call finds other weights."""
    if not path.exists():
        write_json(path, _scores(comparison, config, model))
    scores: Mapping[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return scores


def _scores(comparison: Comparison, config: Config, model: keras.Model) -> Mapping[str, float]:
    from rsseg_tf.steps.shared.keras_predictor import keras_predictor

    predictor = keras_predictor(model, comparison.dataset.palette, config)
    return {split: evaluate(predictor, comparison.dataset, split).miou for split in ("val", "test")}


def _size(model: keras.Model) -> Mapping[str, int | None]:
    from comparison.magnitude import nonzero_params

    from rsseg_tf import pruning

    cost = pruning.cost(model)
    return {"params": cost.params, "nonzero_params": nonzero_params(model), "macs": cost.macs}


def _int8(comparison: Comparison, config: Config, model_path: Path, slug: str) -> Mapping[str, Any]:
    from rsseg_tf.steps.export import export

    file = comparison.folder / f"{slug}_int8.tflite"
    export(model_path, config, file)
    data = file.read_bytes()
    return {
        "int8_file": str(file),
        "int8_bytes": len(data),
        "int8_gzip_bytes": len(gzip.compress(data, mtime=0)),
        "int8_test_miou": evaluate(open_predictor(file, threads=2), comparison.dataset, "test").miou,
    }


def latencies_ms(folder: Path, files: Sequence[Path], *, repeats: int) -> Mapping[str, float]:
    """Return file → median milliseconds on one thread, all files in turns; measured again if one changed."""
    of = {"repeats": repeats, "files": {str(file): file_hash(file) for file in files}}
    path = folder / LATENCY
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if held.get("of") != of:
        results = [asdict(result) for result in benchmark(files, repeats=repeats)]
        held = {"of": of, "p50_ms": {result["model"]: result["p50_ms"] for result in results}, "results": results}
        write_json(path, held)
    latencies: Mapping[str, float] = held["p50_ms"]
    return latencies


@click.command(name="compare_pruning")
@click.option("-c", "--config", "config_path", type=ANY_PATH, help="YAML file with the settings.")
@click.option("--model", "model_path", type=ANY_PATH, required=True, help="The trained .keras file.")
@click.option("--macs", default=0.5, show_default=True, help="Share of the multiply-accumulates to keep.")
@click.option(
    "--methods",
    default="ours,l1-uniform,random,tfmot",
    show_default=True,
    help="Also ours:CRITERION[+NORMALIZE][/COST], for example ours:taylor-bn/macs, and kept:FILE (a peer's choice).",
)
@click.option("--retrain-epochs", type=click.IntRange(1), help="Instead of the configuration's.")
@click.option("--retrain-steps", type=click.IntRange(1), help="Steps an epoch, instead of the configuration's.")
@click.option("--distill/--no-distill", default=True, show_default=True, help="Learn from the dense model.")
@click.option("--repeats", type=click.IntRange(1), default=50, show_default=True, help="Timed runs of each file.")
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Of `seed` and up, each in OUT-SEED."
)
@click.option("-o", "--out", type=ANY_PATH, required=True, help="Folder of the results.")
@overrides_argument
def main(  # noqa: PLR0913 - one parameter an option
    config_path: Path | None,
    model_path: Path,
    macs: float,
    methods: str,
    retrain_epochs: int | None,
    retrain_steps: int | None,
    distill: bool,
    repeats: int,
    seeds: int,
    out: Path,
    overrides: tuple[str, ...],
) -> None:
    """Prune one trained model in several ways to one budget, retrain all alike, and print a table.

    Several seeds end in a table of means; each draws other windows, and other generated scenes.
    """
    loaded = load_config(config_path, [*overrides, f"prune.macs={macs}"])
    config = configured(loaded, macs=macs, epochs=retrain_epochs, steps=retrain_steps, distill=distill)
    folders = {seed: Path(f"{out}-{seed}") for seed in range(config.seed, config.seed + seeds)}
    comparisons = [
        Comparison(model_path, replace(config, seed=seed), open_dataset(config.data, seed=seed), folder)
        for seed, folder in ({config.seed: out} if seeds == 1 else folders).items()
    ]
    quiet_tensorflow()
    from comparison.methods import parse_methods

    chosen = parse_methods(methods)
    results = [compare(comparison, chosen, repeats=repeats) for comparison in comparisons]
    click.echo(comparison_table(results[0]) if seeds == 1 else seeds_table(results))


if __name__ == "__main__":
    sys.exit(run(command=main, name="compare_pruning"))
