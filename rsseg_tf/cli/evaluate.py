"""`rsseg-tf evaluate`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg_tf.cli.shared import options
from rsseg_tf.cli.shared.workers import are_wanted, model_for, opened_workers, workers_options
from rsseg_tf.config import Config
from rsseg_tf.progress import progress_bar
from rsseg_tf.steps.opening import config_for, find_model, is_keras, open_model, warn_of_splits

if TYPE_CHECKING:
    from rsseg_tf.evaluation.share import Share


@click.command(name="evaluate")
@options.paths_argument("MODEL")
@options.config_option
@options.split_option()
@options.opening_options
@workers_options
@options.json_option
def command(
    words: tuple[str, ...],
    config_path: Path | None,
    split: str,
    workers: int | None,
    address: str | None,
    as_json: bool,
    **opening: Any,
) -> None:
    """Score every MODEL on the same pixels of a split: accuracy, IoU and boundary F1 of every class.

    MODEL is a .tflite, .onnx or .keras file, or the folder of a finished run; without -c, the settings of
    the first are used. All further models are compared with the first: the differences in mean IoU, and of each class
    in IoU and in small objects found, come with 95 % intervals, from a paired bootstrap over the images. To judge a
    pruned network, name its control (prune.control) first. A .tflite file needs no TensorFlow. Machines that TF_CONFIG
    names share the images of .keras models; the first of them prints the scores. --workers and --cluster (extra
    `cluster`) deal those of .tflite files to processes and machines; the scores are the same. Where images are resized
    to what the network sees (data.fitting=resize), so are the masks, and the scores are of those.

    For example: rsseg-tf evaluate dense.tflite pruned.tflite -c configs/dubai_r18.yaml --split test
    """
    models, overrides = options.paths_and_overrides(words)
    paths = [find_model(model) for model in models]
    config = config_for(paths[0], config_path, overrides)
    for path in paths[1:]:
        warn_of_splits(path, config.data)
    from rsseg_tf.datasets.opening import open_prepared
    from rsseg_tf.evaluation.comparison import compared
    from rsseg_tf.evaluation.data import data_for
    from rsseg_tf.evaluation.images import Seen
    from rsseg_tf.evaluation.scoring import evaluate_all

    opened = options.opening(opening)
    with contextlib.ExitStack() as stack:
        dealt = are_wanted(workers, address, paths)
        cluster, shared = (
            stack.enter_context(opened_workers(workers, address, paths[0], opened)) if dealt else (None, {})
        )
        share: Share = stack.enter_context(_sharing(paths, config))
        predictors = [open_model(path, config, **opened) for path in paths]
        data = data_for(predictors, config.data)
        with progress_bar("prepare") as prepared:
            dataset = open_prepared(data, seed=config.seed, progress=prepared)
        progress = stack.enter_context(progress_bar(f"evaluate {split}"))
        if cluster:
            from rsseg_tf.cluster.scores import DealtShare, Scoring

            models_there = [model_for(path, each, shared) for path, each in zip(paths, predictors, strict=True)]
            known = {"seed": config.seed, "split": split, "settings": config.evaluate}
            share = DealtShare(cluster, Scoring.of(models_there, predictors, data, **known), progress)

        def watch(seen: Seen) -> None:
            progress(seen.done, seen.total)

        evaluations = evaluate_all(predictors, dataset, split, settings=config.evaluate, watch=watch, share=share)
    if share.process:
        return
    hashes = [
        {"model": str(path), "sha256": each.model_sha256, **({"runtime": each.runtime} if opening["runtime"] else {})}
        for path, each in zip(paths, predictors, strict=True)
    ]
    if len(paths) == 1:
        options.print_result({**hashes[0], **evaluations[0].to_dict()}, evaluations[0].table(), as_json=as_json)
        return
    comparison = compared([str(path) for path in paths], evaluations)
    result = comparison.to_dict()
    result["models"] = [{**known, **scores} for known, scores in zip(hashes, result["models"], strict=True)]
    options.print_result(result, comparison.table(), as_json=as_json)


@contextlib.contextmanager
def _sharing(models: Sequence[Path], config: Config) -> Iterator[Share]:
    """Yield this process's part in scoring `models`: machines of TF_CONFIG share them if a Keras model is among them.

    Raises:
        RssegError: if another machine was lost within the block.
    """
    from rsseg_tf.evaluation.share import WHOLE

    if not any(is_keras(model) for model in models):
        yield WHOLE
        return
    options.quiet_tensorflow()
    from rsseg_tf.training.strategy import open_workers, watching

    workers = open_workers(config.strategy)
    with watching(workers, lambda: "evaluation"):
        yield workers
