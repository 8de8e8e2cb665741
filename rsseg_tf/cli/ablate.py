"""`rsseg-tf ablate`."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.config import load_config
from rsseg_tf.steps.opening import find_teacher


@click.command(name="ablate")
@click.option(
    "-c",
    "--config",
    "config_paths",
    type=options.ANY_PATH,
    multiple=True,
    help="YAML file of a backbone's settings (rsseg-tf settings lists them).",
)
@options.out_option("Folder of the ablation.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1, max=1000),
    default=5,
    show_default=True,
    help="Number of seeds for each backbone.",
)
@click.option("--backbones", default="", help="Backbones to run with one -c, comma-separated; by default its own.")
@click.option(
    "--control", is_flag=True, help="Train the dense networks on as well, and judge the pruned ones against them."
)
@options.split_option()
@options.json_option
@options.overrides_argument
def command(
    config_paths: tuple[Path, ...],
    out: Path,
    repeats: int,
    backbones: str,
    control: bool,
    split: str,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Repeat the paper's Table II: backbone × pruning × quantization, mean ± deviation over the seeds.

    Every repeat trains a dense network, prunes and retrains it, writes both as float and int8 files, and scores the
    four on the same images. With --control it also trains each dense network on for as many steps as its pruned one,
    with and without the teacher, and says what the pruned one lost against these. The same command resumes after a
    kill, and with a larger --repeats, or with --control, keeps what is done; rsseg-tf report OUT makes a page of it.

    Give -c once for every backbone that has a recipe of its own, or once with the --backbones that share it.

    For example: rsseg-tf ablate -c uavid_r18.yaml -c uavid_r50.yaml --split val -o out
    """
    configs = [load_config(path, overrides) for path in config_paths or (None,)]
    for config in configs:
        for section, distill in (("fit.distill", config.fit.distill), ("prune.distill", config.prune.distill)):
            find_teacher(distill, section=section, out=out)  # a wrong path shows before TensorFlow starts
    options.quiet_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that several models are traced, as they must be
    from rsseg_tf.steps.ablate import ablate, format_ablation
    from rsseg_tf.steps.ablation.recipes import Extent, recipes_of

    recipes = recipes_of(configs, [name.strip() for name in backbones.split(",") if name.strip()])
    result = ablate(recipes, out, Extent(repeats, split, control), announce=lambda line: click.echo(line, err=True))
    options.print_result(result, format_ablation(result), as_json=as_json)
