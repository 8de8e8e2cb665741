"""`rsseg-tf ablate`."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from rsseg_tf.cli.shared import (
    config_option,
    json_option,
    out_option,
    overrides_argument,
    print_result,
    quiet_tensorflow,
)
from rsseg_tf.config import load_config


@click.command(name="ablate")
@config_option
@out_option
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Seeds of every backbone.")
@click.option("--backbones", default="resnet18,resnet50", show_default=True, help="Which, comma-separated.")
@click.option("--split", default="test", show_default=True, help="Which images to score.")
@json_option
@overrides_argument
def command(
    config_path: Path | None,
    out: Path,
    repeats: int,
    backbones: str,
    split: str,
    as_json: bool,
    **words: tuple[str, ...],
) -> None:
    """Repeat the paper's Table II: backbone × pruning × quantization, mean ± deviation over the seeds.

    Every repeat trains a dense network, prunes and retrains it, writes both as float and int8 files, and scores the
    four on the same images. The same command goes on after a kill, and a larger --repeats with what is there;
    rsseg-tf report OUT makes a page of it.

    For example: rsseg-tf ablate -c configs/scenes.yaml --repeats 5 --backbones resnet18 -o ablation
    """
    config = load_config(config_path, words["overrides"])
    quiet_tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that several models are traced, as they must be
    from rsseg_tf.steps.ablate import Extent, ablate, format_ablation

    names = tuple(dict.fromkeys(name.strip() for name in backbones.split(",")))
    extent = Extent(backbones=names, repeats=repeats, split=split)
    result = ablate(config, out, extent, announce=lambda line: click.echo(line, err=True))
    print_result(result, format_ablation(result), as_json=as_json)
