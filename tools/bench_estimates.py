"""Compare what a latency profile says of pruned networks with what they take.

python tools/bench_estimates.py resnet18 --plans 20 --work work/r18 --out estimates_r18.json

The network has random weights. Each plan keeps a random share of every family of channels, from a sixteenth to all of
them: odd widths and narrow ones among them; every other plan keeps multiples of 16. The dense network is profiled, all
networks are then timed in turns, and errors are those of the ratios to the dense one, so that a change of the clock
between the two does not count. Files that the work folder holds are not made again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from rsseg_tf.benchmark.latency import benchmark
from rsseg_tf.benchmark.profile import LatencyProfile, load_profile, profile, save_profile
from rsseg_tf.benchmark.staircase import TILES
from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, quiet_tensorflow
from rsseg_tf.runs import cpu_model, git_state, package_versions, write_json

_LEAST_SHARE = 1 / 16
_ROUND = 16


def random_removals(groups: Any, seed: int) -> np.ndarray:
    """Return which groups go, bool (groups,): a share of its own of every family."""
    rng = np.random.default_rng(seed)
    removed = np.zeros(len(groups), bool)
    for family in groups.families:
        kept = max(1, round(rng.uniform(_LEAST_SHARE, 1) * len(family)))
        if seed % 2 == 0 and len(family) > _ROUND:
            kept = min(len(family), max(_ROUND, round(kept / _ROUND) * _ROUND))
        removed[family.groups[kept:]] = True
    return removed


def made(backbone: str, plans: int, folder: Path, *, size: int, heads: str) -> tuple[Any, Path, list[tuple[Path, Any]]]:
    """Return the groups and the int8 file of the dense network, and the file of every plan with the plan."""
    import keras

    from rsseg_tf import pruning
    from rsseg_tf.config.training import Heads
    from rsseg_tf.graphs import live_taps
    from rsseg_tf.models.deeplab import deeplab_v3_plus
    from rsseg_tf.quantization.convert import convert

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    model = live_taps(deeplab_v3_plus(backbone, 8, (size, size, 3), heads=Heads(aspp=heads, decoder=heads)))
    pruning.randomize(model)
    groups = pruning.find_groups(model)
    folder.mkdir(parents=True, exist_ok=True)

    def file(name: str, network: Any) -> Path:
        path = folder / f"{name}.tflite"
        if not path.exists():
            click.echo(f"converting {path}", err=True)
            path.write_bytes(convert(network(), calibration=list(images)))
        return path

    dense = file("dense", lambda: model)
    found = []
    for seed in range(plans):
        plan = groups.plan(random_removals(groups, seed))
        found.append((file(f"plan{seed}", lambda plan=plan: pruning.rebuild(model, plan)), plan))
    return groups, dense, found


def estimates(measured: LatencyProfile, plans: Sequence[Any], groups: Any) -> list[float]:
    """Return what a profile says of every plan, as a share of the dense network's time."""
    from rsseg_tf.pruning.latency import LATENCY, latency_terms

    terms = groups.terms_with(latency_terms(measured, groups.wiring))
    whole = terms.total(LATENCY, groups.counts)
    return [terms.total(LATENCY, groups.counts_kept(groups.removed(plan))) / whole for plan in plans]


def other_ways(measured: LatencyProfile) -> dict[str, LatencyProfile]:
    """Return ways to estimate from the same times: in proportion to the work, and by other tiles."""
    bare = tuple(replace(layer, steps=()) for layer in measured.layers)
    by_tile = {f"tile of {tile}": replace(measured, tile=tile) for tile in TILES}
    return {"in proportion": replace(measured, layers=bare), **by_tile, f"as found, {measured.tile}": measured}


def errors_of(ways: Mapping[str, Sequence[float]], measured: Sequence[float]) -> str:
    """Return a row a way to estimate: errors in percent."""
    lines = ["| estimate | error %, median | 90th percentile | mean |", "| --- | --- | --- | --- |"]
    for name, estimated in ways.items():
        errors = 100 * (np.asarray(estimated) / np.asarray(measured) - 1)
        sizes = np.abs(errors)
        lines.append(f"| {name} | {np.median(sizes):.1f} | {np.quantile(sizes, 0.9):.1f} | {errors.mean():+.1f} |")
    return "\n".join(lines)


def markdown(rows: Sequence[Mapping[str, float]]) -> str:
    """Return a row a plan."""
    lines = [
        "| plan | MACs % | of the dense time, estimated % | measured % | error % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number, row in enumerate(rows):
        shares = " | ".join(f"{100 * row[key]:.1f}" for key in ("macs", "estimated", "measured"))
        lines.append(f"| {number} | {shares} | {100 * row['error']:+.1f} |")
    return "\n".join(lines)


@click.command(name="bench_estimates")
@click.argument("backbone")
@click.option("--heads", type=click.Choice(["full", "separable"]), default="full", show_default=True)
@click.option("--size", type=click.IntRange(64), default=256, show_default=True, help="Pixels a side.")
@click.option("--plans", type=click.IntRange(1), default=20, show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True, help="Timed runs of each file.")
@click.option("--work", type=ANY_PATH, required=True, help="Folder of files and profile.")
@click.option("--out", type=ANY_PATH, required=True, help="JSON file for all figures.")
def main(backbone: str, plans: int, repeats: int, work: Path, out: Path, **network: Any) -> None:
    """Compare a profile's estimates with the times of random plans."""
    quiet_tensorflow()
    groups, dense, found = made(backbone, plans, work, **network)
    path = work / "profile.json"
    if not path.exists():
        save_profile(path, profile(dense, repeats=repeats))
    kept = [plan for _, plan in found]
    ways = {name: estimates(way, kept, groups) for name, way in other_ways(load_profile(path)).items()}
    results = benchmark([dense, *(file for file, _ in found)], repeats=repeats)
    measured = [result.p50_ms / results[0].p50_ms for result in results[1:]]
    rows = [
        {"macs": plan.share("macs"), "estimated": guess, "measured": true, "error": guess / true - 1}
        for plan, guess, true in zip(kept, list(ways.values())[-1], measured, strict=True)
    ]
    about = {"backbone": backbone, **network, "cpu": cpu_model(), "versions": package_versions(), "git": git_state()}
    write_json(out, {**about, "dense_ms": results[0].p50_ms, "rows": rows, "ways": ways})
    click.echo(f"{markdown(rows)}\n\n{errors_of(ways, measured)}")


if __name__ == "__main__":
    sys.exit(run(command=main, name="bench_estimates"))
