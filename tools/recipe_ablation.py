"""What each option of the training recipe is worth: one training a cell, everything else as in the base recipe.

python tools/recipe_ablation.py -c configs/dubai_r18.yaml --out runs/recipes fit.class_sampling=0 2> recipes.log &

The base recipe is the configuration with the settings at the end of the command line. A cell is the base recipe with
one thing changed, trained at a small size for a few hundred steps and scored on whole images of the test split. All
cells take the same steps on the same windows as far as the change allows. Each leaves a JSON file in `--out`; the same
command resumes where a killed one stopped and does nothing finished again.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from comparison.commands import chosen, command, log
from comparison.held import held_figures

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, overrides_argument
from rsseg_tf.config import Config, dump_yaml, load_config
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import cpu_model, git_state, read_manifest, write_json

BASE = "base"

_SGD = ("fit.optimizer=sgd", "fit.momentum=0.9")

CELLS: Mapping[str, tuple[str, ...]] = {
    BASE: (),
    "paper": (*_SGD, "fit.learning_rate=1e-3", "fit.schedule=step", "fit.l2=1e-3", "fit.ema=0"),
    "sgd-cosine": (*_SGD, "fit.learning_rate=0.02", "fit.l2=5e-4"),
    "no-ema": ("fit.ema=0",),
    "constant-rate": ("fit.schedule=constant",),
    "from-above": (
        "fit.augment.flip_vertical=true",
        "fit.augment.translate_px=0",
        "fit.augment.scale=[0.7, 1.4]",
        "fit.augment.rotate_deg=180",
        "fit.augment.color=0.2",
    ),
    "strong-augment": (
        "fit.augment.color=0.4",
        "fit.augment.blur_px=1.0",
        "fit.augment.noise=8",
        "fit.augment.erase=0.3",
    ),
    "label-smoothing": ("fit.label_smoothing=0.1",),
    "class-weights": ("fit.class_weights=balanced",),
    "class-sampling": ("fit.class_sampling=0.5",),
    "hard-pixels": ("fit.hard_pixels=0.3",),
    "dice": ("fit.dice=0.5",),
    "lovasz": ("fit.lovasz=0.5",),
    "dice-class-sampling": ("fit.dice=0.5", "fit.class_sampling=0.5"),
}
"""Name → what differs from the base recipe."""


@dataclass(frozen=True)
class Budget:
    """What every cell gets: pixels a side, windows a step, epochs, steps an epoch."""

    size: int
    batch: int
    epochs: int
    steps: int

    def words(self) -> tuple[str, ...]:
        """Return the settings that say so."""
        return (
            f"data.input_size=[{self.size}, {self.size}]",
            f"fit.batch_size={self.batch}",
            f"fit.epochs={self.epochs}",
            f"fit.steps_per_epoch={self.steps}",
            f"fit.validate_every={self.epochs}",
            "fit.precision=auto",
            f"evaluate.overlap={self.size // 8}",  # scoring shall not cost as much as training
        )


@dataclass(frozen=True)
class Base:
    """What every cell begins from: a configuration's file, settings changed in it, and the budget."""

    path: Path
    overrides: tuple[str, ...]
    budget: Budget

    def words(self, name: str, seed: int) -> tuple[str, ...]:
        """Return the settings of cell `name` in addition to the file's."""
        return (*self.overrides, *self.budget.words(), *CELLS[name], f"seed={seed}")

    def config(self, name: str, seed: int = 0) -> Config:
        """Return all settings of cell `name`.

        Raises:
            ConfigError: if one is wrong, or the base recipe has already what the cell changes.
        """
        config = load_config(self.path, self.words(name, seed))
        if name != BASE and config == load_config(self.path, self.words(BASE, seed)):
            raise ConfigError(
                f"cell `{name}` is the base recipe: it has `{' '.join(CELLS[name])}` already",
                hint="switch it off at the end of the command line, or leave the cell out of --cells",
            )
        return config


def run_cell(name: str, base: Base, out: Path, *, seed: int) -> None:
    """Train and score a cell, unless its figures are there already.

    Raises:
        ConfigError: if figures of other settings lie there.
        RssegError: if a command failed; its message stands on stderr.
    """
    target, folder = out / f"{name}-{seed}.json", out / f"{name}-{seed}"
    fingerprint = hashlib.sha256(dump_yaml(base.config(name, seed)).encode()).hexdigest()
    if held_figures(target, fingerprint) is not None:
        return
    log(f"{name}, seed {seed}: training")
    if read_manifest(folder) is None:
        command("fit", "-c", str(base.path), "-o", str(folder), *base.words(name, seed))
    log(f"{name}, seed {seed}: scoring")
    scores = json.loads(command("evaluate", str(folder), "--split", "test", "--json"))
    fitted = read_manifest(folder) or {}
    figures = {
        "val_miou": fitted["results"]["val_miou"],
        "test_miou": scores["miou"],
        "test_accuracy": scores["accuracy"],
        "test_boundary_f1": scores["boundary_f1"],
        "test_iou": scores["iou"],
        "train_s": sum(_seconds(folder / "log.csv")),
    }
    facts = {"cell": name, "seed": seed, "config": str(base.path), "overrides": list(base.overrides)}
    facts |= {"changes": list(CELLS[name]), "budget": asdict(base.budget), "fingerprint": fingerprint}
    write_json(target, {**facts, **figures, "cpu": cpu_model(), "git": git_state()})
    shutil.rmtree(folder)


def _seconds(path: Path) -> Iterable[float]:
    head, *rows = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
    return [float(row[head.index("seconds")]) for row in rows]


def figures_in(out: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Return cell → the figures of its seeds, for the cells that are done."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name in CELLS:
        paths = sorted(path for path in out.glob(f"{name}-*.json") if path.stem.removeprefix(f"{name}-").isdecimal())
        if paths:
            found[name] = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return found


def markdown(cells: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a row a cell, best mean test mIoU first, as a table."""
    head = ["recipe", "changes", "seeds", "test mIoU %", "against base", "val mIoU %", "test BF1 %"]
    classes = list(next(iter(cells.values()))[0]["test_iou"])
    head += [f"{name} %" for name in classes] + ["training s"]
    base = _mean(cells[BASE], "test_miou") if BASE in cells else math.nan
    ranked = sorted(cells, key=lambda name: -_mean(cells[name], "test_miou"))
    lines = [head, ["---"] * len(head)]
    for name in ranked:
        seeds = cells[name]
        own = _mean(seeds, "test_miou")
        row = [f"`{name}`", " ".join(seeds[0]["changes"]) or "–", str(len(seeds)), _spread(seeds, "test_miou")]
        row += ["–" if math.isnan(base) else f"{100 * (own - base):+.2f}"]
        row += [_spread(seeds, "val_miou"), _spread(seeds, "test_boundary_f1")]
        row += [f"{100 * statistics.mean(seed['test_iou'][label] or 0 for seed in seeds):.1f}" for label in classes]
        lines.append([*row, f"{_mean(seeds, 'train_s'):.0f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(seeds: Sequence[Mapping[str, Any]], key: str) -> float:
    return statistics.mean(seed[key] for seed in seeds)


def _spread(seeds: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return mean, and with several seeds the standard deviation, in percent."""
    values = [100 * seed[key] for seed in seeds]
    return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


@click.command(name="recipe_ablation")
@click.option("-c", "--config", "config", type=ANY_PATH, required=True, help="The base recipe.")
@click.option("--cells", default="", help="Comma-separated; all where not given.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings a cell.")
@click.option("--size", type=click.IntRange(32), default=160, show_default=True, help="Pixels a side.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Windows a step.")
@click.option("--epochs", type=click.IntRange(1), default=4, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=100, show_default=True, help="Steps an epoch.")
@click.option("--out", type=ANY_PATH, required=True, help="Folder for the cells; those that it holds are kept.")
@overrides_argument
def main(config: Path, cells: str, seeds: int, out: Path, overrides: tuple[str, ...], **budget: int) -> None:
    """Train each recipe of the table alike, and print what it is worth against the base recipe."""
    base = Base(config, overrides, Budget(**budget))
    names = chosen(cells, CELLS, what="cell")
    for name in names:
        base.config(name)  # a wrong setting ends it before hours of work
    for seed in range(seeds):
        for name in names:
            run_cell(name, base, out, seed=seed)
    click.echo(markdown(figures_in(out)))


if __name__ == "__main__":
    sys.exit(run(command=main, name="recipe_ablation"))
