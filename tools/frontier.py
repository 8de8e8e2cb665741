"""What accuracy a millisecond buys: networks trained alike, and pruned to shares of a dense one's time, in one figure.

python tools/frontier.py -c configs/dubai_r18.yaml --out runs/frontier --seeds 3 2> frontier.log &

The first network of the table is the reference: every network is trained for as many steps as it, of which a pruned one
takes its last part as retraining. All become int8 files, are scored on whole images of the test split, and timed in
turns on this machine. The same command resumes where a killed one stopped, and does nothing finished again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from comparison.commands import CommandError, chosen, command, log
from comparison.held import held_figures
from comparison.points import draw, markdown, points_of

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, overrides_argument
from rsseg_tf.config import dump_yaml, load_config
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import cpu_model, file_hash, git_state, read_manifest, write_json

_LIGHT = ("model.aspp=separable", "model.decoder=separable")
_LITE0 = ("model.backbone=efficientnet_lite0", *_LIGHT)
_IMAGENET = (*_LITE0, "model.weights=imagenet", "fit.learning_rate=3e-3")
_NARROW = (*_IMAGENET, "model.aspp_width=128", "model.low_level_width=24", "model.decoder_width=64")

_REPEATS = 50


@dataclass(frozen=True)
class Network:
    """A network of the comparison.

    Attributes:
        settings: in which it differs from the configuration.
        rungs: it is pruned to the reference's time divided by each of these.
        teacher: name of the network, trained for as many steps, whose predictions it learns too.
    """

    settings: tuple[str, ...]
    rungs: tuple[int, ...] = ()
    teacher: str = ""


NETWORKS: Mapping[str, Network] = {
    "r18": Network(("model.backbone=resnet18",), (2, 4)),
    "r18-light": Network(("model.backbone=resnet18", *_LIGHT), (6, 9)),
    "lite0": Network(_LITE0, (8, 12, 16)),
    "lite0-imagenet": Network(_IMAGENET, (6, 12)),
    "lite0-narrow": Network(_NARROW, (6, 8)),
    "lite0-fast": Network((*_NARROW, "model.output_stride=32")),
    "lite0-fast-taught": Network((*_NARROW, "model.output_stride=32"), teacher="lite0-imagenet"),
    "r18-half": Network(
        (
            *("model.backbone=resnet18", "model.width=0.5"),
            *("model.aspp_width=128", "model.low_level_width=24", "model.decoder_width=128"),
        )
    ),
    "r18-quarter": Network(
        (
            *("model.backbone=resnet18", "model.width=0.25"),
            *("model.aspp_width=64", "model.low_level_width=12", "model.decoder_width=64"),
        )
    ),
    "bisenet": Network(("model.architecture=bisenet",)),
    "shelfnet18": Network(("model.architecture=shelfnet18",)),
    "lr-aspp": Network(("model.architecture=lr_aspp", "model.backbone=mobilenet_v2")),
    "segformer-b0": Network(("model.architecture=segformer_b0",), (4, 6)),
}
"""Name → network; the first is the reference, those without rungs are what a user could pick instead of pruning."""


@dataclass(frozen=True)
class Job:
    """What all trainings share.

    Attributes:
        config: file of the data and the recipe.
        overrides: settings that differ from it.
        steps: gradient steps of a training.
        retrain: the last part of them, which a pruned network takes after pruning.
        out: folder of all files.
    """

    config: Path
    overrides: tuple[str, ...]
    steps: int
    retrain: int
    out: Path

    def fingerprint(self) -> str:
        """Return a hash of what all files depend on."""
        settings = dump_yaml(load_config(self.config, self.overrides))
        return hashlib.sha256(f"{settings} {self.steps} {self.retrain}".encode()).hexdigest()

    def words(self, network: Network, steps: int, seed: int) -> tuple[str, ...]:
        """Return the settings of one training of a network, in one epoch."""
        fit = (f"fit.steps_per_epoch={steps}", "fit.epochs=1", "fit.validate_every=1")
        teacher = self._folder(network.teacher, self.steps, seed)
        learns = (f"fit.distill.teacher={teacher}",) if network.teacher else ()
        return (*self.overrides, *network.settings, *learns, *fit, f"seed={seed}")

    def trained(self, name: str, steps: int, seed: int) -> Path:
        """Return the int8 file of a network trained for so many steps, which its run lies beside."""
        network, folder = NETWORKS[name], self._folder(name, steps, seed)
        if read_manifest(folder) is None:
            if network.teacher:
                self.trained(network.teacher, self.steps, seed)
            log(f"{folder.name}: training")
            command("fit", "-c", str(self.config), "-o", str(folder), *self.words(network, steps, seed))
        return exported(folder)

    def _folder(self, name: str, steps: int, seed: int) -> Path:
        return self.out / f"{name}-{steps}-s{seed}"

    def pruned(self, name: str, rung: int, seed: int, reference: Path) -> Path | None:
        """Return the int8 file of a network pruned to the time of another file divided by `rung`.

        None where it takes no longer than that unpruned, or has not so much to give, which `prune` says.
        """
        start = self.trained(name, self.steps - self.retrain, seed)
        share = 1 / (rung * times_as_long(start, reference))
        if share >= 1:
            return None
        profile = profiled(start)
        budget_ms = share * total_ms(profile)
        folder = self.out / f"{name}-1_{rung}-s{seed}"
        if read_manifest(folder) is None:
            log(f"{folder.name}: pruning")
            retrain = ("epochs=1", f"steps_per_epoch={self.retrain}", "validate_every=1")
            settings = ("macs=1", f"latency_ms={budget_ms:.3f}", f"profile={profile}", "round_to=auto")
            words = (*(f"prune.{word}" for word in settings), *(f"prune.retrain.{word}" for word in retrain))
            try:
                command("prune", str(start.with_suffix("")), "-o", str(folder), *words)
            except CommandError as error:
                if error.code != ConfigError.exit_code:
                    raise
                log(f"{folder.name}: left out")
                return None
        return exported(folder)


def exported(folder: Path) -> Path:
    """Return the int8 file of a run."""
    path = folder.with_name(f"{folder.name}.tflite")
    if not path.exists():
        command("export-tflite", str(folder), "-o", str(path), "export.max_drop=100")
    return path


def profiled(path: Path) -> Path:
    """Return the profile of a file on this machine."""
    profile = path.with_suffix(".profile.json")
    if not profile.exists():
        command("benchmark", str(path), "--profile", str(profile))
    return profile


def times_as_long(path: Path, reference: Path) -> float:
    """Return the time of a file, over that of another: in turns, since profiles may be of a busier hour."""
    known = path.with_suffix(".time.json")
    if not known.exists():
        words = (str(path), str(reference), "--repeats", str(_REPEATS), "--json")
        taken, whole = json.loads(command("benchmark", *words))["results"]
        write_json(known, {"ratio": taken["p50_ms"] / whole["p50_ms"]})
    return float(json.loads(known.read_text(encoding="utf-8"))["ratio"])


def total_ms(profile: Path) -> float:
    """Return the milliseconds of the whole network in a profile."""
    return float(json.loads(profile.read_text(encoding="utf-8"))["total_ms"])


def files_of(job: Job, names: Sequence[str], seed: int) -> Iterator[tuple[str, Path]]:
    """Yield each point of the figure: its name, and its int8 file, which is made where it is not there."""
    reference = job.trained(next(iter(NETWORKS)), job.steps, seed)
    for name in names:
        yield name, job.trained(name, job.steps, seed)
        for rung in NETWORKS[name].rungs:
            path = job.pruned(name, rung, seed, reference)
            if path is not None:
                yield f"{name}, 1/{rung}", path


def measured(job: Job, files: Sequence[tuple[str, Path]], seed: int, *, repeats: int) -> Path:
    """Return the JSON file with the scores and times of one seed's files."""
    target = job.out / f"figures-s{seed}.json"
    names, paths = zip(*files, strict=True)
    hashes = [file_hash(path) for path in paths]
    if target.exists() and [row["sha256"] for row in read_rows(target)] == hashes:
        return target
    words = [str(path) for path in paths]
    log(f"seed {seed}: scoring and timing {len(words)} files")
    config = str(paths[0].with_suffix("") / "config.yaml")
    scores = json.loads(command("evaluate", *words, "-c", config, "--split", "test", "--json"))
    times = json.loads(command("benchmark", *words, "--repeats", str(repeats), "--json"))["results"]
    intervals = [None, *scores["differences"]]
    rows = [
        {
            "name": name,
            "sha256": sha256,
            "miou": score["miou"],
            "iou": score["iou"],
            "boundary_f1": score["boundary_f1"],
            "difference": difference,
            "ms": taken["p50_ms"],
            "file_bytes": taken["file_bytes"],
        }
        for name, sha256, score, difference, taken in zip(
            names, hashes, scores["models"], intervals, times, strict=True
        )
    ]
    facts = {"seed": seed, "steps": job.steps, "retrain": job.retrain, "cpu": cpu_model(), "git": git_state()}
    write_json(target, {**facts, "config": str(job.config), "overrides": list(job.overrides), "rows": rows})
    return target


def rival(path: Path, reference: Mapping[str, Any], seed: int) -> list[Mapping[str, Any]]:
    """Return the fastest of a file of `tools/peers/yolo_sem.py` as a row, if it is of this seed.

    Its time is the reference's here, times its share of the reference's there.

    Raises:
        ConfigError: if the file is none, or the reference was not timed beside it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = next(row["p50_ms"] for name, row in found["rows"].items() if name == f"{reference['stem']}, litert")
        scored = {name: row for name, row in found["rows"].items() if "scores" in row}
        name, best = min(scored.items(), key=lambda each: each[1]["p50_ms"])
        row = {"name": name, "miou": best["scores"]["miou"], "file_bytes": best["file_bytes"]}
        return [{**row, "ms": reference["ms"] * best["p50_ms"] / whole}] if found["seed"] == seed else []
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise ConfigError(
            f"`{path}` does not hold a rival timed beside `{reference['stem']}`",
            hint=f"tools/peers/yolo_sem.py --beside {reference['stem']}.tflite",
        ) from error


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """Return the rows of a file of figures."""
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"])


@click.command(name="frontier")
@click.option("-c", "--config", "config", type=ANY_PATH, required=True, help="Data and recipe.")
@click.option("--networks", default="", help="Comma-separated; all where not given. The reference is always there.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings of each.")
@click.option("--steps", type=click.IntRange(2), default=800, show_default=True, help="Gradient steps of each.")
@click.option("--retrain", type=click.IntRange(1), default=300, show_default=True, help="Those after pruning.")
@click.option("--repeats", type=click.IntRange(1), default=_REPEATS, show_default=True, help="Timed runs of each file.")
@click.option(
    "--rival", "rivals", type=ANY_PATH, multiple=True, help="Result of tools/peers/yolo_sem.py, of the same data."
)
@click.option("--out", type=ANY_PATH, required=True, help="Folder for all files; finished ones in it are kept.")
@overrides_argument
def main(networks: str, seeds: int, repeats: int, rivals: Sequence[Path], **shared: Any) -> None:
    """Train, prune, export, score and time the networks, and print and draw the frontier."""
    job, reference = Job(**shared), next(iter(NETWORKS))
    names = list(dict.fromkeys([reference, *chosen(networks, NETWORKS, what="network")]))
    if job.retrain >= job.steps:
        raise ConfigError(f"--retrain {job.retrain} leaves nothing of --steps {job.steps}", hint="it is a part of them")
    for name in names:
        load_config(job.config, job.words(NETWORKS[name], job.steps, 0))  # a wrong one ends it before hours of work
    held = job.out / "job.json"
    if held_figures(held, job.fingerprint()) is None:
        write_json(held, {"fingerprint": job.fingerprint()})
    results = [measured(job, [*files_of(job, names, seed)], seed, repeats=repeats) for seed in range(seeds)]
    rows = []
    for seed, path in enumerate(results):
        own = read_rows(path)
        first = {**own[0], "stem": f"{reference}-{job.steps}-s{seed}"}
        rows.append([*own, *(row for other in rivals for row in rival(other, first, seed))])
    points = points_of(rows)
    click.echo(markdown(points))
    draw(points, job.out / "frontier.png")


if __name__ == "__main__":
    sys.exit(run(command=main, name="frontier"))
