"""The job of `rsseg-tf prune --oracle`: which criterion knows beforehand what removing a channel does?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from rsseg_tf import pruning
from rsseg_tf.config import Config
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.progress import Progress
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.shared.data import prepared_dataset
from rsseg_tf.steps.shared.keras_predictor import check_model
from rsseg_tf.steps.shared.model_classes import numbered_as
from rsseg_tf.steps.shared.training_data import float_batches, scoring_loss, training_schedule

RANKINGS = {
    "none": pruning.Ranking(),
    "mean": pruning.Ranking(normalize="mean"),
    "l2": pruning.Ranking(normalize="l2"),
}
"""How layers are made comparable: name of the normalization → ranking."""

_OF_DRAWN_LABELS, _OF_MASKS = "fisher", "taylor"
"""The criterion whose loss is of labels drawn from the predictions, and one of the others, whose loss is that of the
masks: its true change is measured."""


def compare_criteria(
    dense_path: Path, config: Config, *, limit: int, progress: Progress | None = None
) -> Mapping[str, Any]:
    """Return the rank correlation of every criterion with the true loss change of removing each group alone.

    Scores and true changes are taken on the same batches, `prune.batches` of the training split. The loss that
    changes is that of the masks, also for `fisher`, whose scores are of labels drawn from the predictions.

    Args:
        dense_path: a trained `.keras` model.
        config: of its data; `prune.retrain` says how batches are drawn and what the loss is.
        limit: measure this many groups, drawn evenly over the families; 0 for all.
        progress: called after each group with how many are done and how many there are.

    Returns:
        `model`, `sha256`, `groups` (measured), `of_groups` (in all), `loss`, and `criteria`: a list of
        `criterion`, `normalize`, `overall` (Spearman over all groups) and `within_families` (the mean).

    Raises:
        RssegError: if settings, data or model are at fault.
    """
    dataset = numbered_as(dense_path, prepared_dataset(config))
    model = pruning.prunable(load_segmenter(dense_path, output=config.model.output))
    check_model(model, dataset.palette, size=config.data.input_size, bands=config.data.num_bands)
    schedule = training_schedule(dataset, config, config.prune.retrain)
    drawn, of_masks = (
        scoring_loss(schedule, config, criterion, num_classes=len(dataset.palette.names))
        for criterion in (_OF_DRAWN_LABELS, _OF_MASKS)
    )
    batches = float_batches(schedule, epoch=0, count=config.prune.batches)
    groups = pruning.find_groups(model)
    only = pruning.spread_groups(groups, limit or len(groups), seed=config.seed)
    truth = pruning.oracle(model, groups, batches, loss=of_masks, only=only, progress=progress)
    return {
        "model": str(dense_path),
        "sha256": file_hash(dense_path),
        "groups": len(truth.groups),
        "of_groups": len(groups),
        "loss": truth.loss,
        "criteria": [
            row
            for criterion in pruning.CRITERIA
            for row in _rows(
                model,
                groups,
                truth,
                criterion,
                batches=batches,
                loss=drawn if criterion == _OF_DRAWN_LABELS else of_masks,
            )
        ],
    }


def _rows(
    model: keras.Model,
    groups: pruning.Groups,
    truth: pruning.Truth,
    criterion: str,
    *,
    batches: Any,
    loss: Any,
) -> list[dict[str, Any]]:
    scores = pruning.score(model, batches, criterion=criterion, loss=loss)
    found = {name: pruning.rank_correlation(groups, scores, truth, ranking) for name, ranking in RANKINGS.items()}
    return [
        {
            "criterion": criterion,
            "normalize": name,
            "overall": correlation.overall,
            "within_families": correlation.mean_of_families,
        }
        for name, correlation in found.items()
    ]


def format_criteria(result: Mapping[str, Any]) -> str:
    """Return the comparison as a Markdown table, best first."""
    lines = [
        f"{result['groups']} of {result['of_groups']} groups of {result['model']}, loss {result['loss']:.4f}",
        "",
        "| criterion | layers made comparable by | ρ over all groups | mean ρ within families |",
        "| --- | --- | --- | --- |",
    ]
    for row in sorted(result["criteria"], key=lambda row: -row["overall"]):
        lines.append(
            f"| `{row['criterion']}` | {row['normalize']} | {row['overall']:.3f} | {row['within_families']:.3f} |"
        )
    return "\n".join(lines)
